"""Two runs against each other: what became of each cell, and what else has changed. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from orchestrator.analyse.change import Change, State, classify, is_lost, is_worse, read_state
from orchestrator.analyse.ingredients import Difference, Ingredients, compare_cells, compare_whole
from orchestrator.analyse.moves import Move, find_moves
from orchestrator.analyse.nights import Flakiness
from orchestrator.errors import Exit
from orchestrator.frozen_value import Value, describe_schema
from orchestrator.matrix.model import AXES
from orchestrator.record.model import CellRecord, RunInfo, RunRecord

CAN_HAVE_A_SUSPECT = {Change.NEW_FAILURE, Change.CHANGED_REASON, Change.FIXED}
"""Judgement in both, and not the same: something has made the difference."""


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
    flakiness: Flakiness | None
    """Of a failure that BASE does not show and that the nights before do: how often. It is no new one."""
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


def make_json_schema() -> dict[str, Any]:
    """Return the JSON Schema, draft 2020-12, of a comparison."""
    return describe_schema(Comparison, "matrixctl compare --format json")


def compare(
    base: RunRecord, head: RunRecord, flaky: Mapping[str, Flakiness] = MappingProxyType({})
) -> Comparison:
    """Compare two runs of any two matrices, cell by cell.

    :param flaky: cells that were flaky in the nights before HEAD, made of what they are made of in HEAD.
    """
    before, after = Ingredients(base), Ingredients(head)
    was, now = {cell.id: cell for cell in base.cells}, {cell.id: cell for cell in head.cells}
    moves = find_moves(
        [(key, cell) for key, cell in was.items() if key not in now],
        [(key, cell) for key, cell in now.items() if key not in was],
        _drop_version,
    )
    pairs = [(was.get(moves[key].old if key in moves else key), cell) for key, cell in now.items()]
    found = [
        _compare_cell(one, cell, before, after, flaky.get(cell.id), move=moves.get(cell.id))
        for one, cell in pairs
    ]
    old = {move.old for move in moves.values()}
    unneeded = head.run.exploration.left if head.run.exploration else ()
    here = {*now, *old, *unneeded}
    gone = [cell for key, cell in was.items() if key not in here]
    found += [_compare_cell(cell, None, before, after) for cell in gone]
    order = list(Change)
    found.sort(key=lambda one: order.index(one.change))
    return Comparison(
        base=_make_side(base.run),
        head=_make_side(head.run),
        counts=Counter(one.change for one in found),
        cells=tuple(one for one in found if one.change is not Change.UNCHANGED),
        differences=compare_whole(before, after),
        exit_code=_choose_exit(found),
    )


def _choose_exit(found: list[CellChange]) -> Exit:
    if any(one.alarm for one in found):
        return Exit.FAILED
    return Exit.HARNESS if any(one.lost for one in found) else Exit.OK


def _drop_version(cell: CellRecord, axis: str) -> tuple[tuple[str, ...], str]:
    """Return the cell's axes, one of them without its name and version; and that version."""
    values = {one: getattr(cell.axes, one) for one in AXES}
    version = values[axis].version
    values[axis] = values[axis].model_copy(update={"name": "", "version": ""})
    return tuple(map(repr, values.values())), version


def _compare_cell(
    was: CellRecord | None,
    now: CellRecord | None,
    before: Ingredients,
    after: Ingredients,
    flaky: Flakiness | None = None,
    *,
    move: Move | None = None,
) -> CellChange:
    ended, ends = (None if cell is None else read_state(cell) for cell in (was, now))
    exact = before.tells and after.tells
    differences: tuple[Difference, ...] = ()
    if was and now and classify(ended, ends) is not Change.UNCHANGED:
        differences = (
            compare_cells(before.find_dependencies(was), after.find_dependencies(now))
            if exact
            else compare_whole(before, after)
        )
    alike = not (exact and differences)
    worse = is_worse(ended, ends, alike=alike)
    flaky = flaky if worse else None
    change = Change.FLAKY if flaky else classify(ended, ends, alike=alike)
    last = now or was
    return CellChange(
        cell=last.id if last else "",
        change=change,
        was=ended,
        now=ends,
        moved=Moved(axis=move.axis, was=move.was, now=move.now) if move else None,
        alarm=worse and not flaky,
        lost=is_lost(ended, ends),
        differences=differences,
        exact=exact,
        suspect=find_suspect(change, differences) if exact else None,
        flakiness=flaky,
        reproducer=last.reproducer if last else "",
    )


def find_suspect(change: Change, differences: Sequence[Difference]) -> Difference | None:
    """Return the one ingredient that differs, where there is exactly one and the cell ended otherwise."""
    return differences[0] if change in CAN_HAVE_A_SUSPECT and len(differences) == 1 else None


def _make_side(run: RunInfo) -> Side:
    cells = run.selection.cells if run.selection else ()
    options = run.selection.options if run.selection else ()
    shard = run.selection.shard if run.selection else ""
    asked = [f"--profile {run.profile}", *(f"--filter {one}" for one in run.filters)]
    asked += [*(f"--cell {one}" for one in cells), *options, *([f"--shard {shard}"] if shard else [])]
    return Side(
        id=run.id,
        series=run.series,
        status=run.status,
        started_at=run.started_at,
        planned=run.planned,
        judged=run.judged,
        exit_code=run.exit_code,
        selection=" ".join(asked),
    )
