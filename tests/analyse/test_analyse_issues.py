"""Which issue belongs to which alarm, and what is to be done with it."""

import json
from collections.abc import Sequence

import nights
import pytest

from orchestrator.analyse.alarms import find_alarms
from orchestrator.analyse.issues import Issue, decide, make_mark, read_mark, write_mark
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.model import Alarm, CellRecord, RunRecord

NIGHT = nights.bad()
ALARM = max(find_alarms(NIGHT), key=lambda alarm: len(alarm.cells))


def issue(number: int = 7, *, open: bool = True, unwanted: bool = False, alarm: Alarm = ALARM) -> Issue:  # noqa: A002
    return Issue(number=number, open=open, unwanted=unwanted, mark=make_mark(alarm, NIGHT.run.series))


def kinds(
    record: RunRecord, *issues: Issue, confirmed: bool = True, alarm: Alarm | None = ALARM
) -> list[tuple[str, int | None]]:
    steps = decide(record, {alarm: confirmed} if alarm else {}, issues)
    return [(step.kind, step.issue.number if step.issue else None) for step in steps]


def with_cells(change: dict[str, object], count: int = 1000) -> RunRecord:
    """The night, but that the first of the alarm's cells ended otherwise."""
    ids = ALARM.cells[:count]
    cells = tuple(cell.model_copy(update=change) if cell.id in ids else cell for cell in NIGHT.cells)
    return NIGHT.model_copy(update={"cells": cells})


def test_the_last_mark_of_a_text_comes_back() -> None:
    mark = make_mark(ALARM, "nightly")
    line = write_mark(mark)
    assert read_mark(f"text\n\n{line}\n") == mark
    assert read_mark(f"{line}\r\n\r\nmore") == mark
    assert read_mark(f"{line}{'more ' * 13_000}") == mark
    older = write_mark(make_mark(ALARM, "weekly"))
    assert read_mark(f"{older}\n{line}\nmore") == mark
    assert read_mark("text") is None
    assert read_mark("<!-- matrixctl-alarm {} -->") is None
    assert read_mark(line.replace('"outcome":"', '"outcome":"x')) is None


@pytest.mark.parametrize("series", ["-->", "<!-- x -->", "a\n", "x" * 100_000])
def test_no_name_of_a_series_ends_a_mark(series: str) -> None:
    line = write_mark(make_mark(ALARM, series))
    assert line.splitlines() == [line]
    assert line.index("-->") == len(line) - 3
    assert read_mark(line) == make_mark(ALARM, series)
    assert len(line) < 1000


def test_a_mark_of_very_many_cells_fits_into_an_issue() -> None:
    many = ALARM.model_copy(update={"cells": tuple(f"cell-{number}" for number in range(20_000))})
    assert len(write_mark(make_mark(many, "nightly"))) < 30_000
    assert read_mark(write_mark(make_mark(many, "x"))) == make_mark(many, "x")


def test_a_confirmed_alarm_opens_an_issue_and_another_one_does_not() -> None:
    assert kinds(NIGHT) == [("open", None)]
    assert kinds(NIGHT, confirmed=False) == [("leave", None)]


def test_the_same_alarm_is_found_by_its_key() -> None:
    assert kinds(NIGHT, issue()) == [("update", 7)]
    assert kinds(NIGHT, issue(), confirmed=False) == [("update", 7)]
    assert kinds(NIGHT, issue(3, open=False), issue(7)) == [("update", 7)]
    assert kinds(NIGHT, issue(3, open=False)) == [("reopen", 3)]
    assert kinds(NIGHT, issue(3, open=False), confirmed=False) == [("leave", 3)]


def test_what_a_person_does_not_want_stays_closed() -> None:
    assert kinds(NIGHT, issue(3, open=False, unwanted=True)) == [("leave", 3)]


@pytest.mark.parametrize(
    ("kept", "added", "found"), [(15, 0, True), (8, 0, True), (15, 30, True), (7, 9, False), (0, 9, False)]
)
def test_an_alarm_that_has_changed_is_found_by_half_of_its_cells(kept: int, added: int, found: bool) -> None:
    cells = (*ALARM.cells[:kept], *(f"new-{number}" for number in range(added)))
    changed = ALARM.model_copy(update={"key": "another", "cells": cells})
    assert len(ALARM.cells) == 15
    first, *_ = kinds(NIGHT, issue(), alarm=changed)
    assert first == (("update", 7) if found else ("open", None))


def test_an_open_issue_about_the_same_cells_is_before_a_closed_one_with_the_key() -> None:
    reworded = ALARM.model_copy(update={"key": "another"})
    assert kinds(NIGHT, issue(1, open=False), issue(2, alarm=reworded)) == [("update", 2)]
    assert kinds(NIGHT, issue(1, open=False, unwanted=True), issue(2, alarm=reworded)) == [("update", 2)]


def test_an_alarm_without_an_open_issue_gets_the_closed_one_with_its_key() -> None:
    halves = [
        ALARM.model_copy(update={"key": f"half-{number}", "cells": cells})
        for number, cells in enumerate((ALARM.cells[:9], ALARM.cells[9:]))
    ]
    closed = [issue(number, open=False, alarm=half) for number, half in enumerate(halves, start=1)]
    steps = decide(NIGHT, dict.fromkeys(halves, True), [*closed, issue(3)])
    assert [(step.kind, step.issue) for step in steps] == [("update", issue(3)), ("reopen", closed[1])]


def test_another_reason_or_series_is_another_issue() -> None:
    other = ALARM.model_copy(update={"key": "another", "reason": Reason.WRONG_LIBRARY})
    assert kinds(NIGHT, issue(), alarm=other)[0] == ("open", None)
    weekly = issue().model_copy(update={"mark": make_mark(ALARM, "weekly")})
    assert kinds(NIGHT, weekly) == [("open", None)]
    assert kinds(NIGHT, weekly, alarm=None) == []


def test_one_issue_is_of_one_alarm() -> None:
    halves = [
        ALARM.model_copy(update={"key": f"half-{number}", "cells": cells})
        for number, cells in enumerate((ALARM.cells[:9], ALARM.cells[9:]))
    ]
    steps = decide(NIGHT, dict.fromkeys(halves, True), [issue()])
    assert [(step.kind, step.alarm) for step in steps] == [("update", halves[0]), ("open", halves[1])]


PASSES: dict[str, object] = {"outcome": Outcome.PASS, "reason": None, "verdict": Verdict.AS_EXPECTED}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (PASSES, "close"),
        ({"verdict": Verdict.KNOWN_FAILURE}, "close"),
        ({**PASSES, "verdict": Verdict.NOW_PASSING}, "close"),
        ({**PASSES, "outcome": Outcome.UNSUPPORTED}, "close"),
        ({"verdict": Verdict.FLAKY}, "leave"),
        ({"outcome": None, "verdict": Verdict.NOT_JUDGED}, "leave"),
        ({"outcome": Outcome.BLOCKED, "verdict": Verdict.NOT_JUDGED}, "leave"),
        ({"outcome": Outcome.BLOCKED, "verdict": Verdict.AS_EXPECTED}, "leave"),
        ({"outcome": None, "verdict": Verdict.AS_EXPECTED}, "leave"),
    ],
)
def test_an_issue_is_closed_when_each_of_its_cells_is_known_to_be_well(
    change: dict[str, object], kind: str
) -> None:
    assert kinds(with_cells(change), issue(), alarm=None) == [(kind, 7)]


def test_one_cell_that_still_fails_keeps_it_open() -> None:
    assert kinds(with_cells(PASSES, count=14), issue(), alarm=None) == [("leave", 7)]
    assert kinds(with_cells(PASSES), issue(open=False), alarm=None) == []


def without(record: RunRecord, gone: Sequence[str]) -> RunRecord:
    cells: tuple[CellRecord, ...] = tuple(cell for cell in record.cells if cell.id not in gone)
    return record.model_copy(update={"cells": cells})


@pytest.mark.parametrize("count", [1, 7, 15])
def test_a_run_without_some_of_its_cells_closes_nothing_and_says_so(count: int) -> None:
    (step,) = decide(without(with_cells(PASSES), ALARM.cells[:count]), {}, [issue()])
    assert step.kind == "leave"
    assert step.why.startswith(f"the run has {15 - count} of its 15 cells")
    assert "close it by hand" in step.why


def test_a_mark_without_cells_closes_nothing() -> None:
    assert kinds(NIGHT, issue(alarm=ALARM.model_copy(update={"cells": ()})), alarm=None) == [("leave", 7)]


LOST: dict[str, object] = {"outcome": None, "reason": None, "verdict": Verdict.NOT_JUDGED}
FLAKY: dict[str, object] = {"verdict": Verdict.FLAKY}
OTHER: dict[str, object] = {"reason": Reason.WRONG_LIBRARY}


@pytest.mark.parametrize(
    ("change", "kept"), [(LOST, 15), (FLAKY, 15), (None, 15), (PASSES, 3), (OTHER, 3)], ids=str
)
def test_a_cell_that_a_run_does_not_judge_stays_in_the_mark(
    change: dict[str, object] | None, kept: int
) -> None:
    few = ALARM.model_copy(update={"key": "another", "cells": ALARM.cells[12:]})
    night = with_cells(change, count=12) if change else without(NIGHT, ALARM.cells[:12])
    (step,) = decide(night, {few: True}, [issue()])
    assert (step.kind, step.issue) == ("update", issue())
    assert step.mark is not None
    assert step.mark.key == "another"
    assert step.mark.cells == make_mark(ALARM if kept == 15 else few, "").cells


def test_an_issue_that_is_opened_again_keeps_no_old_cell() -> None:
    few = ALARM.model_copy(update={"cells": ALARM.cells[12:]})
    (step,) = decide(with_cells(LOST, count=12), {few: True}, [issue(open=False)])
    assert (step.kind, step.mark) == ("reopen", make_mark(few, ""))


def test_a_mark_has_no_id_of_a_cell() -> None:
    mark = json.loads(write_mark(make_mark(ALARM, "x"))[len("<!-- matrixctl-alarm ") : -len(" -->")])
    assert all(len(one) == 8 for one in mark["cells"])
    assert len(set(mark["cells"])) == 15
