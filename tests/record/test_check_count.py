"""The count that must close: each way in which a cell could vanish is found."""

import pytest
from record_samples import cell, record

from orchestrator.outcome import Outcome, Verdict
from orchestrator.record.check_count import find_complaints
from orchestrator.record.model import CellRecord, RunRecord

PASSED = cell("a", Outcome.PASS)
LEFT = cell("b")


def counted(*cells: CellRecord, planned: int | None = None, exit_code: int | None = 4) -> RunRecord:
    made = record(*cells)
    run = made.run.model_copy(
        update={
            "planned": len(cells) if planned is None else planned,
            "judged": sum(one.outcome is not None for one in cells),
            "exit_code": exit_code,
        }
    )
    return made.model_copy(update={"run": run})


def test_a_record_with_every_cell_once_is_sound() -> None:
    assert find_complaints(["a", "b"], counted(PASSED, LEFT)) == ()
    assert find_complaints(["a"], counted(PASSED, exit_code=0)) == ()


@pytest.mark.parametrize(
    ("planned", "made", "said"),
    [
        (["a", "b"], counted(PASSED), "planned, and lost from the record: b"),
        (
            ["a", "b"],
            counted(PASSED, planned=2),
            "2 cells were selected, 2 planned, 1 judged and 0 not judged",
        ),
        (["a"], counted(PASSED, LEFT), "in the record, and never planned: b"),
        (["a", "b"], counted(PASSED, LEFT, LEFT), "twice in the record: b"),
        (["a", "b", "b"], counted(PASSED, LEFT), "planned twice: b"),
        (["a", "b"], counted(PASSED, LEFT, exit_code=0), "exit code 0, and 1 cells have no outcome"),
        (
            ["a"],
            counted(PASSED.model_copy(update={"attempts": ()})),
            "judged, and without an attempt: a",
        ),
        (
            ["b"],
            counted(LEFT.model_copy(update={"verdict": Verdict.AS_EXPECTED})),
            "without an outcome, and with a verdict: b",
        ),
    ],
)
def test_what_does_not_add_up_is_named(planned: list[str], made: RunRecord, said: str) -> None:
    assert said in find_complaints(planned, made)


def test_a_count_that_was_written_down_wrong_is_found() -> None:
    made = counted(PASSED, LEFT)
    wrong = made.model_copy(update={"run": made.run.model_copy(update={"judged": 2})})
    assert find_complaints(["a", "b"], wrong) == ("the record says that 2 cells were judged, and 1 were",)


def test_a_thousand_lost_cells_are_one_line() -> None:
    (line, _) = find_complaints([f"c{number:04}" for number in range(1000)], counted(planned=1000))
    assert line.endswith("c0000, c0001, c0002, c0003, c0004 and 995 more")
