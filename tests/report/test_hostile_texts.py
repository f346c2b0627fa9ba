"""Every text of a record x values of the hostile corpus x every renderer.

A record has a value of one class in each text, another one in each; with --whole-corpus there are as many
records as the corpus has values, and each value stands once in each text. The output of each has the shape
that it has with harmless text, shows the same fields, and each value can be read in it, its invisible
characters made visible.
"""

import html as escapes
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import hostile_records as records
import pytest
from conftest import Tell
from hostile import AGAIN, Hostile, executed, published, rows, tried
from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console
from rich.text import Text

from orchestrator.analyse.change import Change
from orchestrator.analyse.compare import Comparison, compare
from orchestrator.cli import common, report
from orchestrator.cli.closing import write_closing
from orchestrator.cli.progress import describe
from orchestrator.mask_passwords import mask_text
from orchestrator.record import journal
from orchestrator.record.journal import ActionChanged, CellJudged, RunStarted
from orchestrator.record.model import RunRecord
from orchestrator.report import ctrf, github_summary, html, issue, junit, markdown
from orchestrator.report.text import make_visible

SHOWN = 60
"""Characters of a value that have to be readable; long ones are cut."""
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2067\ufeff\ud800-\udfff]"
)
"""What must not stand in any output. U+2068 and U+2069 are our own isolates."""
COMMAND = re.compile(r"^[^\S\n]*::[^\n]*::|##\w*\[", re.MULTILINE)


@dataclass(frozen=True)
class Seen:
    """An output taken apart: ``shape`` is what no text may change, ``texts`` what a person reads."""

    shape: list[Any]
    texts: str


def page(record: RunRecord) -> Seen:
    return _look_at_page(html.render(record))


def page_with_news(record: RunRecord) -> Seen:
    """``report --base``."""
    return _look_at_page(html.render(*since_yesterday(record)))


def page_of_both(record: RunRecord) -> Seen:
    """``compare --format html``."""
    return _look_at_page(html.render_comparison(since_yesterday(record)[1]))


def since_yesterday(record: RunRecord) -> tuple[RunRecord, Comparison]:
    """The record, its cells told apart by a number behind their one id, and what is new in it."""
    numbered = [one.model_copy(update={"id": f"{one.id}-{n}"}) for n, one in enumerate(record.cells)]
    # Without its shards: of a cell in none of them nothing is known that could be a suspect.
    record = record.model_copy(update={"cells": tuple(numbered), "shards": ()})
    found = compare(records.day_before(record), record)
    rare = {Change.FLAKY, Change.UNCHANGED, Change.EXPECTED_FAILURE, Change.STILL_FAILING}
    assert {*Change} - {*found.counts} <= rare
    assert any(cell.suspect for cell in found.cells)
    return record, found


def _look_at_page(output: str) -> Seen:
    parser = _Page()
    parser.feed(output)
    parser.close()
    assert not UNSEEN.search(output.replace("\u2068", "").replace("\u2069", ""))
    for link in parser.links:
        assert re.match(r"(#|\./|https?://)", link), link
    return Seen(parser.shape, "\n".join(parser.texts))


@dataclass
class _Page(HTMLParser):
    shape: list[Any] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        link = str(values.get("href", ""))
        self.texts.append(unquote(link) if link.startswith("./") else "")
        # <wbr> is ours, after an underscore; a path that would leave the folder is no link.
        if tag != "wbr" and not (tag == "a" and link.startswith("./")):
            self.shape.append((tag, sorted(values), values.get("class")))
        self.links += [str(value) for name, value in attrs if name in {"href", "src", "action"}]
        self.texts += [str(value) for name, value in attrs if name in {"title", "aria-label"}]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.shape.append(("comment", data))


def suites(record: RunRecord) -> Seen:
    return _look_at_suites(junit.render(record))


def suites_with_news(record: RunRecord) -> Seen:
    return _look_at_suites(junit.render(*since_yesterday(record)))


def _look_at_suites(output: str) -> Seen:
    assert not UNSEEN.search(output)
    assert not COMMAND.search(escapes.unescape(output)), "whoever prints a failure into a log runs it"
    root = ET.fromstring(output)
    shape = [(one.tag, sorted(one.attrib)) for one in root.iter()]
    texts = [text for one in root.iter() for text in (one.text, *one.attrib.values()) if text]
    return Seen(shape, "\n".join(texts))


def summary(record: RunRecord) -> Seen:
    return _look_at_markdown(markdown.render(record))


def summary_with_news(record: RunRecord) -> Seen:
    return _look_at_markdown(markdown.render(*since_yesterday(record)))


def text_for_a_bug(record: RunRecord) -> Seen:
    """``report --format issue``; what its fences hold is no markup, and mentions nobody."""
    told = [issue.render(record, cell, {}, steps=("`sh reproduce.sh`",)) for cell in record.cells[:3]]
    return _look_at_markdown("\n".join(told))


def _look_at_markdown(output: str) -> Seen:
    assert not UNSEEN.search(output)
    assert not COMMAND.search(output)
    tokens = MarkdownIt("commonmark").enable("table").parse(output)
    lines = output.splitlines()
    for token in tokens:  # in a block of code GitHub finds no mention
        if token.type == "fence" and token.map:
            lines[slice(*token.map)] = [""] * (token.map[1] - token.map[0])
    assert "@" not in "\n".join(lines), "a mention"
    shape, texts = [], []

    def walk(tokens: list[Token]) -> None:
        for token in tokens:
            shape.append((token.type, token.tag, token.content if token.type == "html_inline" else ""))
            if token.type in {"text", "text_special", "code_inline", "fence"}:
                texts.append(token.content)
            walk(token.children or [])

    walk(tokens)
    # Neighbouring texts are one for a reader, however many tokens the entities made of them.
    texts_only = {"text", "text_special"}
    shape = [
        one
        for before, one in zip([("", "", ""), *shape], shape, strict=False)
        if not (one[0] in texts_only and before[0] in texts_only)
    ]
    shape = [("text", "", "") if one[0] in texts_only else one for one in shape]
    return Seen(shape, "".join(texts))


def step(record: RunRecord) -> Seen:
    """``matrixctl github summary``."""
    return _look_at_markdown(github_summary.render(record))


def step_with_news(record: RunRecord) -> Seen:
    return _look_at_markdown(github_summary.render(*since_yesterday(record)))


def screen(record: RunRecord) -> Seen:
    """Lines of a run on a terminal: progress, what is said, the end, and ``matrixctl logs``."""
    console = Console(file=StringIO(), force_terminal=True, highlight=False, soft_wrap=True, width=200)
    lines = [describe(CellJudged(cell=cell)) for cell in record.cells]
    lines += [describe(ActionChanged(action=action)) for action in record.actions]
    for line in [*lines, *write_closing(record, Path("run"))]:
        if line is not None:
            console.print(line)
    for cell in (*record.cells[:3], record.cells[-1]):
        logged = list(report._describe(record, cell, Path("nowhere"), every=True))
        console.print(Text("\n".join(logged)))
    output = console.file.getvalue()  # type: ignore[attr-defined]
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    assert not UNSEEN.search(plain)
    assert not COMMAND.search(plain)
    # What is said in several lines is indented, so that nobody's text looks like a line of ours.
    first = [line.split()[0] for line in plain.splitlines() if line[:1].strip(" (")]
    return Seen([records.MARK.sub("", word) if word[0] != "F" else "F" for word in first], plain)


def data(record: RunRecord) -> Seen:
    """``matrixctl report --format json`` and ``run --format json``."""
    output = common.as_json(record.model_dump(mode="json"))
    assert output.isascii()
    assert not COMMAND.search(output)
    assert RunRecord.model_validate_json(output) == record
    return Seen([], json.dumps(json.loads(output), ensure_ascii=False))


def document(record: RunRecord) -> Seen:
    """``matrixctl report --format ctrf``."""
    return _look_at_document(ctrf.render(record))


def document_with_news(record: RunRecord) -> Seen:
    return _look_at_document(ctrf.render(*since_yesterday(record)))


def _look_at_document(output: str) -> Seen:
    assert output.isascii()
    assert not COMMAND.search(output)
    shape: list[Any] = []
    texts: list[str] = []

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                walk(item, f"{path}.{key}")
        elif isinstance(value, list):
            for item in value:
                walk(item, f"{path}[]")
        else:
            shape.append((path, type(value).__name__))
            texts.append(value if isinstance(value, str) else "")

    walk(json.loads(output), "")
    plain = "\n".join(texts)
    assert not UNSEEN.search(plain)
    return Seen(shape, plain)


RENDERERS: dict[str, Callable[[RunRecord], Seen]] = {
    "html": page,
    "junit": suites,
    "ctrf": document,
    "markdown": summary,
    "terminal": screen,
    "html --base": page_with_news,
    "junit --base": suites_with_news,
    "ctrf --base": document_with_news,
    "markdown --base": summary_with_news,
    "compare": page_of_both,
    "github summary": step,
    "github summary --base": step_with_news,
    "issue": text_for_a_bug,
}


def marks(seen: Seen) -> set[str]:
    return {records.name(int(number)) for number in records.MARK.findall(seen.texts)}


def words(text: str) -> str:
    """Without white space, which a renderer may fold, and without our isolates."""
    return re.sub(r"[\s\u2068\u2069]", "", text)


Row = tuple[Hostile, ...]
"""A value for each field."""


@pytest.fixture(scope="module")
def table(whole_corpus: bool) -> list[Row]:
    return list(rows(len(records.FIELDS), whole=whole_corpus))


def poisoned(row: Row) -> RunRecord:
    return records.poisoned([hostile.text for hostile in row])


@cache
def stored(row: Row) -> RunRecord:
    """What the journal makes of it."""
    started, _ = journal._write_line(RunStarted(record=poisoned(row)))
    assert isinstance(started, RunStarted)
    return started.record


def values(row: Row) -> list[str]:
    """What of each field a person should read."""
    return [make_visible(mask_text(hostile.text.replace("\ud800", "\ufffd"))) for hostile in row]


def test_every_text_of_the_model_is_in_the_plain_record() -> None:
    assert records.missing() == []
    assert len(records.FIELDS) > 100


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.whole
def test_hostile_text_changes_no_shape_and_loses_nothing(renderer: str, table: list[Row]) -> None:
    for row in table:
        seen, shown = RENDERERS[renderer](stored(row)), values(row)
        plain = RENDERERS[renderer](records.poisoned(["b" * min(len(value), 3000) for value in shown]))
        assert seen.shape == plain.shape, row[0].name
        assert marks(seen) == marks(plain), row[0].name
        assert executed(Path("nowhere"), seen.texts) == []
        text, whole = words(seen.texts), words(plain.texts)
        for number, (path, value) in enumerate(zip(records.FIELDS, shown, strict=True)):
            place = f"F{number}E"
            if path[-1] != "sha256" and place + "b" * min(SHOWN, len(value)) in whole:
                found = any(f"{place}{form}" in text for form in forms(words(value)[:SHOWN]))
                assert found, (row[number].name, path)


def forms(shown: str) -> set[str]:
    """A log shows a CI system's command otherwise than a page."""
    return {shown, shown.replace("::", "<U+003A>:", 1), shown.replace("##[", "<U+0023>#[")}


@pytest.mark.whole
def test_data_is_ascii_and_comes_back_as_it_was(table: list[Row]) -> None:
    for row in table:
        data(stored(row))


def test_the_journal_holds_it_and_gives_it_back(table: list[Row], tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with journal.Journal(path) as made:
        written = [made.append(RunStarted(record=poisoned(row))) for row in table]
    assert list(journal.read(path)) == written
    assert path.read_bytes().count(b"\n") == len(table)


def test_the_count(table: list[Row], tell: Tell) -> None:
    pairs, outputs = sum(map(len, table)), len(RENDERERS) + 2  # and JSON, and the journal
    line = tried("texts of a record", len(records.FIELDS), pairs)
    tell(f"{line}, in {outputs} outputs: {pairs * outputs:,}")
    assert pairs >= 17 * len(records.FIELDS)
    assert published("texts of a record", len(records.FIELDS)), AGAIN
