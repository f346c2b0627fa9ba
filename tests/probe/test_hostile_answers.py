"""Every text of the driver's lines, which servers and clients wrote, with every value of the hostile corpus.

A value is stored as it is (a record is data; the renderers escape), bounded, and never makes a cell pass.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from builders import BINARY, line, server_line
from conftest import Tell
from fakes import cell
from hostile import AGAIN, published, rows, tried

from orchestrator import bounds
from orchestrator.errors import EngineError
from orchestrator.outcome import Outcome
from orchestrator.probe.judge import Judgement, judge
from orchestrator.probe.session import _parse

CELL = cell()
Path = tuple[str | int, ...]
LINES = {"server": server_line(), "cell": line(CELL)}
HARMLESS = {"error", "protocol", "haproxy.log", "haproxy.cfg", "cpu"}
"""Texts that decide nothing of a request that went well."""


def texts(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where texts can stand in the lines, ``null`` included; ids and kinds are matched, not kept."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in {"id", "kind", "name"}:
                yield from texts(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from texts(item, (*path, number))
    elif isinstance(value, str):
        yield path


FIELDS = sorted(set(texts(LINES)), key=str)
LONG = "x" * (1 << 20)


def said(path: Path, text: str) -> dict[str, Any]:
    """The lines with ``text`` at ``path``, as they arrive."""
    lines = json.loads(json.dumps(LINES))
    place = lines
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = text
    return {name: _parse(json.dumps(one).encode()) for name, one in lines.items()}


def judged(path: Path, text: str) -> Judgement:
    lines = said(path, text)
    return judge(CELL, BINARY, lines["server"], lines["cell"], None)


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)


def test_the_lines_have_the_texts_that_they_are_known_for() -> None:
    found = {path[-1] for path in FIELDS}
    assert {"vv", "machine", "cpu", "cipher", "protocol", "error", "sha256", "text", "haproxy.log"} <= found


@pytest.mark.parametrize("path", FIELDS, ids=lambda path: ".".join(map(str, path)))
def test_a_hostile_text_is_kept_as_data_and_makes_no_cell_pass(path: Path, whole_corpus: bool) -> None:
    upload = path[-3:] == ("requests", 2, "sha256")  # of the answer; it is its text that counts
    harmless = path[-1] in HARMLESS or "control" in path or upload
    number = FIELDS.index(path)
    for hostile in (row[number] for row in rows(len(FIELDS), whole=whole_corpus)):
        found = judged(path, hostile.text)
        assert Judgement.model_validate_json(found.model_dump_json()) == found, hostile.name
        if not harmless:
            assert found.outcome is not Outcome.PASS, hostile.name
        elif path[-1] != "cpu":
            assert found.outcome is Outcome.PASS, hostile.name


@pytest.mark.parametrize("path", FIELDS, ids=lambda path: ".".join(map(str, path)))
def test_a_text_of_megabytes_leaves_a_record_of_a_few_kilobytes(path: Path) -> None:
    for text in (LONG, f"{LONG}\n" * 2):
        found = judged(path, text)
        assert max(map(len, strings(found.model_dump()))) < 4 * bounds.WORDS
        assert len(found.model_dump_json()) < 32 << 10


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-1", "null", '"x"', "[]", "9" * 5000]
)
@pytest.mark.parametrize("name", ["duration_s", "ready_s", "handshake_failures", "exit_code"])
def test_a_number_that_is_none_spoils_no_record(name: str, number: str) -> None:
    line_ = json.dumps(LINES["cell"] | {name: "HERE"}).replace('"HERE"', number).encode()
    try:
        raw = _parse(line_)
    except EngineError:
        return
    found = judge(CELL, BINARY, LINES["server"], raw, None)
    assert Judgement.model_validate_json(found.model_dump_json()) == found


def test_the_count(tell: Tell, whole_corpus: bool) -> None:
    pairs = sum(map(len, rows(len(FIELDS), whole=whole_corpus)))
    tell(tried("texts of the driver's lines", len(FIELDS), pairs))
    assert pairs >= 17 * 30
    assert published("texts of the driver's lines", len(FIELDS)), AGAIN
