"""A cell's second run in the record: beside its judgement, never in its place."""

from pathlib import Path
from typing import cast

import pytest
from record_samples import AT, cell, record

from orchestrator.errors import MatrixctlError
from orchestrator.outcome import Outcome
from orchestrator.record.fold import fold
from orchestrator.record.interrupted_run import PastRun
from orchestrator.record.journal import CellJudged, CellTraced, CellUntraced, Event, RunStarted
from orchestrator.record.merge_parts import Part
from orchestrator.record.model import RunRecord, Traced

TRACED = Traced(
    outcome=Outcome.PASS,
    reason=None,
    message="all well",
    started_at=AT,
    duration_s=1.0,
    negotiated_cipher="TLS_AES_128_GCM_SHA256",
    evidence=("cells/a/traced/capture.pcapng",),
    missing=(),
)
FAILED = cell("a", Outcome.FAIL, message="no")
START = RunStarted(at=AT, record=record(cell("a")))


def test_a_trace_replaces_nothing_of_the_judgement() -> None:
    (found,) = fold([START, CellJudged(cell=FAILED), CellTraced(cell="a", traced=TRACED)]).cells
    assert found == FAILED.model_copy(update={"traced": TRACED})


def test_a_later_word_on_the_cell_keeps_the_trace() -> None:
    explained = FAILED.model_copy(update={"cause": "a self-test says why"})
    judged, traced = CellJudged(cell=FAILED), CellTraced(cell="a", traced=TRACED)
    (found,) = fold([START, judged, traced, CellJudged(cell=explained)]).cells
    assert (found.cause, found.traced) == (explained.cause, TRACED)


def test_why_there_is_none_stays_until_there_is_one() -> None:
    explained = FAILED.model_copy(update={"cause": "a self-test says why"})
    events: list[Event] = [
        START,
        CellJudged(cell=FAILED),
        CellUntraced(cell="a", why="no time"),
        CellJudged(cell=explained),
    ]
    (found,) = fold(events).cells
    assert (found.cause, found.untraced) == (explained.cause, "no time")
    (found,) = fold([*events, CellTraced(cell="a", traced=TRACED)]).cells
    assert (found.untraced, found.traced) == ("", TRACED)


def test_a_trace_of_a_cell_that_the_run_has_not_is_refused_in_a_sentence() -> None:
    with pytest.raises(MatrixctlError, match="a second run of 'b', which is no cell of the run"):
        fold([START, CellTraced(cell="b", traced=TRACED)])


def test_a_record_from_before_there_were_traces_is_read() -> None:
    old = record(FAILED).model_dump(mode="json")
    del old["cells"][0]["traced"]
    assert RunRecord.model_validate(old).cells[0].traced is None


def test_a_merged_run_names_its_own_copies() -> None:
    part = Part(past=cast("PastRun", None), record=record(FAILED.model_copy(update={"traced": TRACED})))
    (found,) = part.move(lambda path: f"shards/1/{path}", str).record.cells
    assert found.files == ("shards/1/cells/a/traced/capture.pcapng",)


def test_a_resumed_run_removes_no_trace(tmp_path: Path) -> None:
    kept, left = (tmp_path / "cells/a/traced" / name for name in ("capture.pcapng", "keys.log"))
    kept.parent.mkdir(parents=True)
    for path in (kept, left):
        path.write_bytes(b"x")
    events = (START, CellJudged(cell=FAILED), CellTraced(cell="a", traced=TRACED))
    PastRun(folder=tmp_path, start=START, events=events, record=fold(events)).remove_half_written()
    assert (kept.exists(), left.exists()) == (True, False)
