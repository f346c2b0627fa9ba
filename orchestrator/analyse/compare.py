"""Two runs against each other: what became of each cell, and what else has changed. Pure."""

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

from orchestrator.analyse.ingredients import Difference, Ingredients, compare_cell, compare_whole
from orchestrator.errors import Exit
from orchestrator.matrix.model import AXES
from orchestrator.outcome import ALARMS, FAILURES, Outcome, Reason, Verdict, believed
from orchestrator.record.model import CellRecord, RunInfo, RunRecord, count_failures, counted, is_intermittent
from orchestrator.value import Value, describe_schema


class Change(StrEnum):
    """What became of a cell from BASE to HEAD, the most urgent first."""

    NEW_FAILURE = "new-failure"
    CHANGED_REASON = "changed-reason"
    FLAKY = "flaky"
    NOT_JUDGED = "not-judged"
    NOW_PASSING = "now-passing"
    FIXED = "fixed"
    EXPECTED_FAILURE = "expected-failure"
    STILL_FAILING = "still-failing"
    NEW_CELL = "new-cell"
    VANISHED_CELL = "vanished-cell"
    NEVER_JUDGED = "never-judged"
    UNCHANGED = "unchanged"

    @property
    def meaning(self) -> str:
        """Return one clause for a person."""
        return _MEANINGS[self]


_MEANINGS = {
    Change.NEW_FAILURE: "passed in BASE, and fails in HEAD though no rule expects it",
    Change.CHANGED_REASON: "fails in both, in HEAD for another reason",
    Change.FLAKY: "fails in some attempts and passes in others",
    Change.NOT_JUDGED: "judged in one of them only",
    Change.NOW_PASSING: "passes in HEAD, though a rule expects a failure",
    Change.FIXED: "failed in BASE, and passes in HEAD",
    Change.EXPECTED_FAILURE: "passed in BASE, and fails in HEAD as a rule expects",
    Change.STILL_FAILING: "fails in both, for the same reason",
    Change.NEW_CELL: "HEAD has it, BASE does not",
    Change.VANISHED_CELL: "BASE has it, HEAD does not",
    Change.NEVER_JUDGED: "judged in neither",
    Change.UNCHANGED: "the same in both",
}
_CAN_HAVE_A_SUSPECT = {Change.NEW_FAILURE, Change.CHANGED_REASON, Change.FIXED}
"""Judgement in both, and not the same: something has made the difference."""
_VERSIONED = ("haproxy", "tls")
"""The axes whose values have a version."""
_FAILS = ALARMS | {Verdict.KNOWN_FAILURE, Verdict.FLAKY}


class State(Value):
    """A cell in one of the runs."""

    cell: str
    outcome: Outcome | None
    reason: Reason | None
    verdict: Verdict
    message: str
    attempts: int
    """Those that count: without the ones that another replaced."""
    failed: int
    """How many of them were a failure of the product."""


class Moved(Value):
    """The two cells are one whose value has another version now."""

    axis: str
    was: str
    now: str


class CellChange(Value):
    """What became of one cell."""

    cell: str
    """HEAD's id of it; BASE's where HEAD has none."""
    change: Change
    was: State | None
    now: State | None
    moved: Moved | None
    alarm: bool
    """HEAD has an alarm here that BASE does not have: exit code 1."""
    lost: bool
    """HEAD did not judge what BASE did: exit code 4."""
    differences: tuple[Difference, ...]
    """What differs of that which the cell depends on; of cells that did not change it is not looked up."""
    exact: bool
    """False where a record is too old to say what a cell depends on: ``differences`` are then the run's."""
    suspect: Difference | None
    """The one ingredient that differs, where there is exactly one."""
    reproducer: str


class Side(Value):
    """One of the two runs."""

    id: str
    series: str
    status: str
    started_at: str
    planned: int
    judged: int
    exit_code: int | None
    selection: str
    """What was asked for: profile, filters, cells."""


class Comparison(Value):
    """What ``matrixctl compare --format json`` prints."""

    schema_version: Literal[1] = 1
    base: Side
    head: Side
    counts: Mapping[Change, int]
    cells: tuple[CellChange, ...]
    """All but the unchanged ones, the most urgent first."""
    differences: tuple[Difference, ...]
    """What differs anywhere between the runs."""
    exit_code: int


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema, draft 2020-12, of a comparison."""
    return describe_schema(Comparison, "matrixctl compare --format json")


def compare(base: RunRecord, head: RunRecord) -> Comparison:
    """Compare two runs of any two matrices, cell by cell."""
    before, after = Ingredients(base), Ingredients(head)
    was, now = {cell.id: cell for cell in base.cells}, {cell.id: cell for cell in head.cells}
    moved = _find_moved(was, now)
    origins = dict(moved.values())
    pairs = [(was.get(key) or origins.get(key), cell) for key, cell in now.items()]
    found = [_compare_cells(one, cell, before, after) for one, cell in pairs]
    gone = [cell for key, cell in was.items() if key not in now and key not in moved]
    found += [_compare_cells(cell, None, before, after) for cell in gone]
    order = list(Change)
    found.sort(key=lambda one: order.index(one.change))
    return Comparison(
        base=_side(base.run),
        head=_side(head.run),
        counts=Counter(one.change for one in found),
        cells=tuple(one for one in found if one.change is not Change.UNCHANGED),
        differences=compare_whole(before, after),
        exit_code=_exit(found),
    )


def _exit(found: list[CellChange]) -> Exit:
    if any(one.alarm for one in found):
        return Exit.FAILED
    return Exit.HARNESS if any(one.lost for one in found) else Exit.OK


def _find_moved(
    was: Mapping[str, CellRecord], now: Mapping[str, CellRecord]
) -> dict[str, tuple[str, CellRecord]]:
    """Return the cells that vanished and are, with another version of one value, exactly one new cell.

    By the vanished id: the new id, and the vanished cell.
    """
    gone = [cell for key, cell in was.items() if key not in now]
    new = [cell for key, cell in now.items() if key not in was]
    near: dict[tuple[str, ...], list[CellRecord]] = {}
    for cell in new:
        for axis in _VERSIONED:
            near.setdefault(_without_version(cell, axis), []).append(cell)
    candidates = {
        cell.id: {
            other.id
            for axis in _VERSIONED
            for other in near.get(_without_version(cell, axis), ())
            if _moved(cell, other)
        }
        for cell in gone
    }
    wanted = Counter(key for keys in candidates.values() for key in keys)
    single = {key: next(iter(keys)) for key, keys in candidates.items() if len(keys) == 1}
    return {key: (other, was[key]) for key, other in single.items() if wanted[other] == 1}


def _without_version(cell: CellRecord, axis: str) -> tuple[str, ...]:
    """Return the cell's axes, one of them without its name and version."""
    values = {one: getattr(cell.axes, one) for one in AXES}
    values[axis] = values[axis].model_copy(update={"name": "", "version": ""})
    return axis, *map(repr, values.values())


def _moved(was: CellRecord, now: CellRecord) -> Moved | None:
    """Return the one value of which only the version differs, and what it was and is."""
    axes = [axis for axis in AXES if getattr(was.axes, axis) != getattr(now.axes, axis)]
    if len(axes) != 1:
        return None
    one, other = getattr(was.axes, axes[0]), getattr(now.axes, axes[0])
    versions = getattr(one, "version", None), getattr(other, "version", None)
    if None in versions or versions[0] == versions[1] or one.family != other.family:
        return None
    return Moved(axis=axes[0], was=str(versions[0]), now=str(versions[1]))


def _compare_cells(
    was: CellRecord | None, now: CellRecord | None, before: Ingredients, after: Ingredients
) -> CellChange:
    change = classify(was, now)
    exact = before.tells and after.tells
    differences: tuple[Difference, ...] = ()
    if was and now and change is not Change.UNCHANGED:
        differences = compare_cell(before, was, after, now) if exact else compare_whole(before, after)
    certain = exact and change in _CAN_HAVE_A_SUSPECT and len(differences) == 1
    last = now or was
    return CellChange(
        cell=last.id if last else "",
        change=change,
        was=_state(was),
        now=_state(now),
        moved=_moved(was, now) if was and now and was.id != now.id else None,
        alarm=bool(was and now) and _verdict(now) in ALARMS and not _failed_so(was, now),
        lost=bool(was and now) and _tested(was) and not _tested(now),
        differences=differences,
        exact=exact,
        suspect=differences[0] if certain else None,
        reproducer=last.reproducer if last else "",
    )


def classify(was: CellRecord | None, now: CellRecord | None) -> Change:
    """Return what became of a cell of BASE that is ``now`` in HEAD; ``None`` where a run has no such cell."""
    if was is None or now is None:
        return Change.NEW_CELL if was is None else Change.VANISHED_CELL
    return _classify_judged(was, now) if _tested(was) and _tested(now) else _classify_unjudged(was, now)


def _classify_judged(was: CellRecord, now: CellRecord) -> Change:
    if _is_flaky(now) or (_is_flaky(was) and (not _fails(now) or _failed_so(was, now))):
        return Change.FLAKY
    if _fails(now):
        if _fails(was):
            same = (was.outcome, was.reason) == (now.outcome, now.reason)
            return Change.STILL_FAILING if same else Change.CHANGED_REASON
        return Change.NEW_FAILURE if _verdict(now) in ALARMS else Change.EXPECTED_FAILURE
    if _verdict(now) is Verdict.NOW_PASSING:
        return Change.NOW_PASSING
    return Change.FIXED if _fails(was) else Change.UNCHANGED


def _is_flaky(cell: CellRecord) -> bool:
    return is_intermittent(cell) or _verdict(cell) is Verdict.FLAKY


def _classify_unjudged(was: CellRecord, now: CellRecord) -> Change:
    if _tested(was) or _tested(now):
        return Change.NOT_JUDGED
    declared = Verdict.NOT_JUDGED not in {_verdict(was), _verdict(now)}
    return Change.UNCHANGED if declared else Change.NEVER_JUDGED


def _verdict(cell: CellRecord | None) -> Verdict:
    return believed(cell.outcome, cell.verdict) if cell else Verdict.NOT_JUDGED


def _fails(cell: CellRecord) -> bool:
    """Return whether the cell is a failure, known or not; what passes though it cannot is one, too."""
    return _verdict(cell) in _FAILS


def _tested(cell: CellRecord | None) -> bool:
    """Return whether the product was judged; a cell that was declared impossible was not."""
    if cell is None or cell.outcome is None or _verdict(cell) is Verdict.NOT_JUDGED:
        return False
    return cell.outcome.judged_product or _fails(cell)


def _failed_so(was: CellRecord | None, now: CellRecord | None) -> bool:
    """Return whether BASE shows, in any attempt that counts, the failure that HEAD has."""
    if was is None or now is None:
        return False
    seen = {(one.outcome, one.reason) for one in counted(was.attempts) if one.outcome in FAILURES}
    if _fails(was):
        seen.add((was.outcome or Outcome.ERROR, was.reason))
    return (now.outcome, now.reason) in seen


def _state(cell: CellRecord | None) -> State | None:
    if cell is None:
        return None
    return State(
        cell=cell.id,
        outcome=cell.outcome,
        reason=cell.reason,
        verdict=_verdict(cell),
        message=cell.message,
        attempts=len(counted(cell.attempts)),
        failed=count_failures(cell.attempts),
    )


def _side(run: RunInfo) -> Side:
    cells = run.selection.cells if run.selection else ()
    options = run.selection.options if run.selection else ()
    asked = [f"--profile {run.profile}", *(f"--filter {one}" for one in run.filters)]
    return Side(
        id=run.id,
        series=run.series,
        status=run.status,
        started_at=run.started_at,
        planned=run.planned,
        judged=run.judged,
        exit_code=run.exit_code,
        selection=" ".join([*asked, *(f"--cell {one}" for one in cells), *options]),
    )
