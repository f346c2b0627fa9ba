"""Hostile text in every field of a record: it goes through history and site, is shown, and does nothing."""

import json
import os
import re
import shutil
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import hostile_records
import pytest
from hostile import CORPUS, executed
from samples import HOSTILE, hostile, mixed
from site_samples import MORNING, Series

from orchestrator.app.history import add_run, find_folders, import_run
from orchestrator.app.site import build_site, read_known, read_year
from orchestrator.atomic_files import read_beneath
from orchestrator.outcome import Outcome
from orchestrator.record.find import read_run
from orchestrator.record.history.history import History
from orchestrator.record.history.place import parse_place
from orchestrator.record.journal import JOURNAL, CellTraced, Journal
from orchestrator.record.model import RunRecord, Traced
from orchestrator.report.text import make_visible
from orchestrator.site.badges import draw
from orchestrator.site.pages import as_json, as_script

HEAD = '<meta http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;;'


@dataclass
class Seen(HTMLParser):
    """What a page is made of."""

    tags: list[str] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    handlers: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on") or name in {"style", "srcdoc"}]
        found = dict(attrs)
        if tag == "script":
            self.scripts.append(str(found.get("src")))
        self.links += [str(found[name]) for name in ("href", "src", "action") if name in found]
        self.words += [value or "" for name, value in attrs if name in {"title", "aria-label"}]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def look(page: Path) -> Seen:
    seen = Seen()
    seen.feed(page.read_text(encoding="utf-8"))
    seen.close()
    return seen


def series_of(record: RunRecord, day: int) -> RunRecord:
    """The record as a night of one series; what names the run has to be what a history takes."""
    run = {"series": "nightly", "started_at": f"2026-11-{day:02}T02:00:00Z", "status": "finished"}
    run |= {"id": f"202611{day:02}-020000{record.run.id}"}
    cells = tuple(
        cell.model_copy(
            update={
                "id": f"{cell.id}-{number}",
                "attempts": tuple(
                    one.model_copy(update={"number": n}) for n, one in enumerate(cell.attempts, start=1)
                ),
            }
        )
        for number, cell in enumerate(record.cells)
    )
    return record.model_copy(update={"run": record.run.model_copy(update=run), "cells": cells})


def site_of(folder: Path, *records: RunRecord) -> Path:
    with History(parse_place(str(folder / "history.db"))) as kept:
        for day, record in enumerate(records, start=20):
            night = series_of(record, day)
            add_run(kept, night, folder=str(folder))
        build_site(kept, folder / "site", series=None, now=MORNING)
    return folder / "site"


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [CORPUS[number % len(CORPUS)].text for number in range(len(hostile_records.FIELDS))]
    records = (mixed(), hostile(), hostile_records.poisoned(texts))
    return site_of(tmp_path_factory.mktemp("hostile"), *records)


@pytest.mark.whole
def test_no_page_has_a_tag_a_link_or_a_handler_that_is_not_ours(bad: Path) -> None:
    pages = list(bad.rglob("*.html"))
    assert len(pages) > 60
    allowed = {"last.js", "site.js", "matrix-data.js", "matrix.js", "compare-data.js", "compare.js"}
    for page in pages:
        seen = look(page)
        assert HEAD in page.read_text()
        assert {src.removeprefix("../") for src in seen.scripts} <= allowed, page
        assert not seen.handlers, page
        assert not {"img", "iframe", "object", "embed", "base", "style", "b<"} & {*seen.tags}, page
        for link in seen.links:
            assert re.match(r"(#|(\.\./)?[a-z0-9][a-z0-9./~_-]*(#.*)?$|https?://)", link), (page, link)
            assert ".." not in link.removeprefix("../"), (page, link)


def test_hostile_text_is_shown_with_what_is_invisible_made_visible(bad: Path) -> None:
    words = "\n".join(" ".join(look(page).words) for page in (bad / "cells").glob("*.html"))
    assert "</script><script>window.hurt=1</script><img src=x onerror=window.hurt=2>" in words
    assert "<U+001B>[31mred" in words
    every = "".join(
        path.read_text(encoding="utf-8")
        for path in bad.rglob("*")
        if path.suffix != ".txt" and path.is_file()
    )
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ufeff]", every)
    assert executed(bad.parent, every) == []


def test_data_can_be_read_and_ends_no_script(bad: Path) -> None:
    for path in bad.rglob("*.json"):
        json.loads(path.read_text())
    data = [path for path in bad.rglob("*.js") if path.name not in {"site.js", "matrix.js", "compare.js"}]
    assert data
    for path in data:
        text = path.read_text()
        assert text.isascii()
        assert "<" not in text
        call = text.removeprefix("window.matrixctl??={};(window.matrixctl.queue??=[]).push(").removesuffix(
            ");\n"
        )
        assert isinstance(json.loads(call), list), path


def test_feed_and_badges_are_xml_with_text_only(bad: Path) -> None:
    feed = ET.parse(bad / "feed.xml").getroot()
    names = {element.tag.rpartition("}")[2] for element in feed.iter()}
    assert names <= {"feed", "title", "id", "updated", "author", "name", "link", "entry", "summary"}
    badges = list((bad / "badges").rglob("*.svg"))
    assert len(badges) >= 3
    for path in badges:
        tags = {element.tag.rpartition("}")[2] for element in ET.parse(path).getroot().iter()}
        assert tags == {"svg", "title", "rect", "text"}


def test_files_of_the_site_are_below_it_and_named_by_us(bad: Path) -> None:
    for path in bad.rglob("*"):
        assert re.fullmatch(r"[a-z0-9.~_-]+", path.name), path
        assert not path.is_symlink()


def test_a_badge_of_any_text_is_xml() -> None:
    for one in CORPUS:
        root = ET.fromstring(draw(make_visible(one.text), "1 pass", "#000000"))
        assert int(root.get("width") or 0) < 1200


def test_json_within_a_script_has_no_end_of_one() -> None:
    text = "</script>\u2028\u2029<!--"
    for told in (as_json({"x": text}), as_script("x", text)):
        assert b"<" not in told
        assert told.isascii()


@pytest.mark.parametrize(
    "name",
    [
        "../secret.txt",
        "/etc/passwd",
        "linked/secret.txt",
        "link.txt",
        "a/../../secret.txt",
        "",
        ".",
        "a//b",
        "pipe",
        "x\0",
    ],
)
def test_no_way_leads_out_of_a_runs_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "linked").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    with pytest.raises(OSError):  # noqa: PT011 - any refusal will do
        read_beneath(folder, name, 100)


def test_a_file_below_the_folder_is_read_up_to_its_limit(tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "x.log").write_text("0123456789")
    assert read_beneath(tmp_path, "cells/x.log", 100) == b"0123456789"
    assert read_beneath(tmp_path, "cells/x.log", 4) == b"01234"


def test_evidence_that_is_a_link_is_not_followed_into_the_site(tmp_path: Path, nights: Series) -> None:
    """A run's folder whose log was replaced by a link to a secret."""
    reports = tmp_path / "reports"
    shutil.copytree(nights.reports, reports)
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    logs = [path for path in reports.rglob("haproxy.log") if "20261126" in str(path)]
    assert logs
    for log in logs:
        log.unlink()
        log.symlink_to(secret)
    with History(parse_place(str(tmp_path / "history.db"))) as kept:
        for folder in find_folders(kept, reports):
            import_run(kept, folder)
        year = read_year(kept, None)
        known = read_known(year)
        assert any("haproxy.log" in one.title for many in known.evidence.values() for one in many)
        build_site(kept, tmp_path / "site", series=None, now=MORNING)
    texts = [path.read_text() for path in (tmp_path / "site" / "evidence").iterdir()]
    assert any("cannot be read" in text for text in texts)
    assert not any("the secret" in text for text in texts)


def test_the_text_of_a_second_run_is_evidence_on_the_site_and_its_capture_is_not(
    tmp_path: Path, nights: Series
) -> None:
    reports = tmp_path / "reports"
    shutil.copytree(nights.reports, reports)
    last = [reports / one.id for one in nights.year().nights[-3:]]
    night, cell = next(
        (night, one) for night in last for one in read_run(night).cells if one.outcome is Outcome.FAIL
    )
    names = ("haproxy.log", "packets.txt", "capture.pcapng", "h3.stderr")
    paths = tuple(f"cells/{cell.id}/traced/{name}" for name in names)
    for path in paths:
        (night / path).parent.mkdir(parents=True, exist_ok=True)
        (night / path).write_text(path)
    made = Traced(
        outcome=Outcome.FAIL,
        reason=cell.reason,
        message="",
        started_at="2026-11-28T02:00:00Z",
        duration_s=1.0,
        negotiated_cipher=None,
        evidence=paths,
        missing=(),
    )
    with Journal(night / JOURNAL) as journal:
        journal.append(CellTraced(cell=cell.id, traced=made))
    with History(parse_place(str(tmp_path / "history.db"))) as kept:
        for folder in find_folders(kept, reports):
            import_run(kept, folder)
        known = read_known(read_year(kept, None))
    found = {one.title: one.read() for one in known.evidence[make_visible(cell.id)]}
    told = {title: content for title, content in found.items() if title.startswith("traced/")}
    assert told == {f"traced/{name}": path.encode() for name, path in zip(names[:2], paths, strict=False)}


def test_the_site_has_hostile_ids_as_well(bad: Path) -> None:
    assert any(
        HOSTILE.splitlines()[0][:20] in " ".join(look(page).words) for page in (bad / "runs").glob("*.html")
    )
