"""What reads the record of a run, and what is rendered from it: journals are torn, or a stranger's."""

import json
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import nights
import pytest
import samples
from fuzzing import Fuzz
from hypothesis import strategies as st
from mutations import near_bytes, near_tree
from pydantic import ValidationError
from record_samples import AT, action, cell, record

from orchestrator.cli.log import show_log
from orchestrator.matrix.model import Limits
from orchestrator.outcome import Outcome
from orchestrator.record.fold import fold
from orchestrator.record.interrupted_run import read_past
from orchestrator.record.journal import (
    JOURNAL,
    ActionChanged,
    CellJudged,
    ClientsProved,
    Event,
    RunFinished,
    RunStarted,
    read,
)
from orchestrator.record.model import CellRecord, RunRecord
from orchestrator.report import ctrf, html, junit, markdown

EVENTS: tuple[Event, ...] = (
    RunStarted(at=AT, record=record(cell("a"), cell("b"))),
    ActionChanged(at=AT, action=action("running")),
    ClientsProved(at=AT, clients=nights.PROOFS[:2]),
    CellJudged(at=AT, cell=cell("a", Outcome.FAIL, message="it hangs \u2028 ü")),
    CellJudged(at=AT, cell=cell("b", Outcome.PASS)),
    RunFinished(at=AT, status="finished", finished_at=AT, duration_s=3.5, exit_code=1, message=""),
)
LINES = tuple(event.model_dump_json().encode() for event in EVENTS)
WHOLE = b"\n".join(LINES) + b"\n"


@pytest.fixture
def reads(tmp_path: Path) -> Callable[[bytes], object]:
    """A journal as a report and as a run that goes on read it."""
    (tmp_path / "cells").mkdir()

    def call(content: bytes) -> object:
        (tmp_path / JOURNAL).write_bytes(content)
        said: list[str] = []
        with show_log(said.append):
            events = list(read(tmp_path / JOURNAL, warn=True))
            found = fold(events)
            assert RunRecord.model_validate_json(found.model_dump_json()) == found
            past = read_past(tmp_path)
        return found, said, past.standing, past.over, past.spent_s

    return call


def test_journal_bytes(fuzz: Fuzz, reads: Callable[[bytes], object]) -> None:
    fuzz(near_bytes(WHOLE, edits=4), reads)


def test_journal_tree(fuzz: Fuzz, reads: Callable[[bytes], object]) -> None:
    trees = [json.loads(line) for line in LINES]
    first = st.one_of(st.just(trees[0]), near_tree(trees[0], edits=2))
    others = st.lists(st.one_of(st.sampled_from(trees[1:]), near_tree(*trees[1:], edits=2)), max_size=4)
    lines = st.tuples(first, others).map(lambda given: [given[0], *given[1]])
    fuzz(lines.map(lambda given: b"\n".join(json.dumps(one).encode() for one in given)), reads)


def test_a_journal_that_is_cut_anywhere_is_read_up_to_there(tmp_path: Path) -> None:
    """Every byte, one after the other: no event before the cut is lost, and none is made up."""
    path = tmp_path / JOURNAL
    events = (RunStarted(at=AT, record=record()), EVENTS[1], EVENTS[-1])
    lines = [event.model_dump_json().encode() + b"\n" for event in events]
    ends = list(accumulate(map(len, lines)))
    content = b"".join(lines)
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        whole = sum(end - 1 <= cut for end in ends)  # a line that lacks but its newline is whole
        assert list(read(path)) == list(events[:whole]), cut


# Reports.

SCRIPTS = html.render(samples.quick()).count("<script")
FEW = 4
"""Cells of one record."""


def rendered(found: RunRecord) -> object:
    """Every form; each is text that can be written, and XML is XML."""
    page, xml, text = html.render(found), junit.render(found), markdown.render(found)
    json.loads(ctrf.render(found))
    ET.fromstring(xml)
    for form in (page, xml, text):
        assert form.encode()
    assert page.count("<script") == SCRIPTS
    return page, xml, text


def test_reports_of_near_records(fuzz: Fuzz) -> None:
    """Of a real record in which anything may stand where it is valid."""
    trees = [json.loads(one.model_dump_json()) for one in (samples.mixed(), nights.bad(), record(cell("a")))]
    for tree in trees:
        tree["cells"] = tree["cells"][:: 1 + len(tree["cells"]) // FEW]

    def call(tree: Any) -> object:
        return rendered(RunRecord.model_validate_json(json.dumps(tree)))

    fuzz(near_tree(*trees, edits=6), call, refuses=(ValidationError,))


def test_reports_of_any_record(fuzz: Fuzz) -> None:
    """Of records in which every field is any value of its type."""
    text, number = st.text(max_size=12), st.floats(allow_nan=False, allow_infinity=False)
    st.register_type_strategy(str, text)
    st.register_type_strategy(float, number)
    # `builds` would take the factory that makes the default of `sessions` for a value.
    sessions = st.dictionaries(text, st.integers(), max_size=2)
    st.register_type_strategy(Limits, st.builds(Limits, request=number, sessions=sessions))
    cells = st.builds(
        lambda made, outcome, message, seconds: made.model_copy(
            update={"outcome": outcome, "message": message, "id": message, "duration_s": seconds}
        ),
        st.sampled_from([cell("a"), cell("b", Outcome.FAIL), *samples.mixed().cells[:5]]),
        st.one_of(st.none(), st.sampled_from(Outcome)),
        text,
        st.one_of(st.none(), number),
    )
    whole = st.builds(
        RunRecord, cells=st.lists(st.one_of(cells, st.from_type(CellRecord)), max_size=3).map(tuple)
    )
    fuzz(whole, rendered)
