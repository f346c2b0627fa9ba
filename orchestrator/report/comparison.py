"""Two runs against each other in words: what is shared by the forms in which that is printed. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestrator.analyse.change import Change, State, name_end
from orchestrator.analyse.compare import CellChange, Comparison, Moved, Side
from orchestrator.analyse.ingredients import Difference, Thing
from orchestrator.analyse.nights import Flakiness
from orchestrator.outcome import Verdict
from orchestrator.report import units
from orchestrator.report.headline import UNFINISHED
from orchestrator.report.summary import VERDICT_TITLES

SHOWN = 10
"""Cells of a group, and differences of a cell, that are named; JSON has all."""
DIFFERENCES = "What differs between the two runs, in any cell"
NO_DIFFERENCE = "Nothing that is recorded differs between the two runs but their cells."
_DIGITS = 12
"""Of a digest: enough to tell two apart."""
_NOUNS = {
    Change.NEW_FAILURE: ("new failure", "new failures"),
    Change.CHANGED_REASON: ("fails for another reason", "fail for another reason"),
    Change.FLAKY: ("flaky", "flaky"),
    Change.NOT_JUDGED: ("judged in one run only", "judged in one run only"),
    Change.NOW_PASSING: ("now passing", "now passing"),
    Change.FIXED: ("fixed", "fixed"),
    Change.EXPECTED_FAILURE: ("fails now as a rule expects", "fail now as a rule expects"),
    Change.STILL_FAILING: ("still failing", "still failing"),
    Change.NEW_CELL: ("new cell", "new cells"),
    Change.VANISHED_CELL: ("vanished cell", "vanished cells"),
    Change.NEVER_JUDGED: ("never judged", "never judged"),
    Change.UNCHANGED: ("unchanged", "unchanged"),
}


@dataclass(frozen=True, kw_only=True)
class ChangeGroup:
    """Cells of which the same is to be said."""

    change: Change
    title: str
    why: tuple[str, ...]
    """What differs, a line each; the first says how much of it there is."""
    cells: tuple[CellChange, ...]

    @property
    def alarm(self) -> bool:
        """Return whether HEAD has an alarm here that BASE does not have."""
        return any(cell.alarm for cell in self.cells)

    @property
    def quiet(self) -> bool:
        """Return whether no one has to look at the single cells: known failures that still fail."""
        known = all(cell.now and cell.now.verdict is Verdict.KNOWN_FAILURE for cell in self.cells)
        return self.change in {Change.STILL_FAILING, Change.EXPECTED_FAILURE} and known


def group_changes(comparison: Comparison) -> tuple[ChangeGroup, ...]:
    """Return all cells that changed, or that somebody has to look at, the most urgent first."""
    found: dict[tuple[object, ...], list[CellChange]] = {}
    for cell in comparison.cells:
        found.setdefault(
            (cell.change, _write_title(cell), cell.differences, cell.exact, cell.flakiness), []
        ).append(cell)
    made = [
        ChangeGroup(
            change=cells[0].change,
            title=_write_title(cells[0]),
            why=explain_change(cells),
            cells=tuple(cells),
        )
        for cells in found.values()
    ]
    order = list(Change)
    made.sort(key=lambda one: (not one.alarm, one.quiet, order.index(one.change), -len(one.cells)))
    return tuple(made)


def write_headline(comparison: Comparison) -> str:
    """Return the counts, the most urgent first; what is zero is left out."""
    counts = ((change, comparison.counts.get(change, 0)) for change in Change)
    parts = [f"{count} {_NOUNS[change][count > 1]}" for change, count in counts if count]
    return ", ".join(parts) or "no cell: there is nothing to compare"


def describe_verdict(comparison: Comparison) -> str:
    """Return what the exit code says."""
    alarms = sum(cell.alarm for cell in comparison.cells)
    lost = sum(cell.lost for cell in comparison.cells)
    if alarms:
        cells = "cell fails" if alarms == 1 else "cells fail"
        return f"HEAD is worse: {alarms} {cells} in a way that BASE does not show and no rule expects"
    if lost:
        cells = "cell that BASE judged is" if lost == 1 else "cells that BASE judged are"
        return f"HEAD does not tell: {lost} {cells} not judged"
    return "HEAD has no new failure"


def describe_side(name: str, run: Side) -> tuple[str, ...]:
    """Return what there is to say of one of the runs, part by part."""
    ended = UNFINISHED.get(run.status, "").lower()
    series = f"series {run.series}" if run.series else "by hand"
    judged = f"{run.judged} of {units.format_count(run.planned, 'cell')} judged"
    parts = (name, run.id, series, units.format_moment(run.started_at), judged, ended)
    return tuple(part for part in parts if part)


def list_notes(comparison: Comparison) -> tuple[str, ...]:
    """Return what makes a comparison weaker than it looks."""
    base, head = comparison.base, comparison.head
    found = (
        (
            "a record is too old to say what a cell depends on, so no single suspect can be named",
            any(not cell.exact for cell in comparison.cells),
        ),
        ("BASE and HEAD are the same run", base.id == head.id),
        ("HEAD began before BASE", head.started_at < base.started_at),
        ("BASE and HEAD have no cell in common: they are of different matrices", _is_unrelated(comparison)),
        (
            f"other cells were asked for: BASE {base.selection}; HEAD {head.selection}",
            base.selection != head.selection,
        ),
    )
    return tuple(note for note, holds in found if holds)


def _is_unrelated(comparison: Comparison) -> bool:
    counts = comparison.counts
    alone = counts.get(Change.NEW_CELL, 0), counts.get(Change.VANISHED_CELL, 0)
    return all(alone) and sum(alone) == sum(counts.values())


def describe_difference(one: Difference) -> str:
    """Return ``package curl in client-amd64: 8.14.1-2 -> 8.14.1-3``."""
    was, now = describe_ends(one)
    return f"{one.kind} {one.name}: {was} -> {now}"


def describe_ends(one: Difference) -> tuple[str, str]:
    """Return in words what was there, and what is there now."""
    return _describe_thing(one.was, one.now), _describe_thing(one.now, one.was)


def describe_flakiness(flakiness: Flakiness) -> str:
    """Return since when a cell is flaky, and the share of its attempts that fail."""
    low, high = (f"{share:.0%}" for share in (flakiness.low, flakiness.high))
    nights = units.format_count(flakiness.nights, "night")
    return (
        f"flaky since {flakiness.since} on the same ingredients: {flakiness.failed} of {flakiness.attempts}"
        f" attempts in {nights} failed (95 % interval {low} to {high})"
    )


def name_cell(cell: CellChange) -> str:
    """Return the cell's id, and what it was called where it moved."""
    return f"{cell.cell} (was {cell.was.cell})" if cell.moved and cell.was else cell.cell


def find_shared_message(group: ChangeGroup) -> str:
    """Return what is said of all cells of the group alike, or nothing."""
    said = {find_message(cell) for cell in group.cells}
    return said.pop() if len(said) == 1 else ""


def find_message(cell: CellChange) -> str:
    """Return what HEAD says of the cell, or BASE where HEAD does not have it."""
    state = cell.now or cell.was
    return state.message if state else ""


def _describe_thing(thing: Thing | None, other: Thing | None) -> str:
    """Return the version; and the digest, where there is no version or it does not tell the two apart."""
    if thing is None:
        return "none"
    same = other is not None and thing.version == other.version
    if thing.digest is None or (thing.version and not same):
        return thing.version or "none"
    digests = ", ".join(one.removeprefix("sha256:")[:_DIGITS] for one in thing.digest.split(", "))
    return f"{thing.version} (sha256 {digests})" if thing.version else f"sha256 {digests}"


def describe_since_base(cell: CellChange) -> str:
    """Return ``new failure since BASE: pass -> fail: handshake-timeout (regression)``."""
    return f"{_NOUNS[cell.change][0]} since BASE: {_describe_states(cell)}"


def _write_title(cell: CellChange) -> str:
    return f"{_NOUNS[cell.change][0]}: {_describe_states(cell)}"


def _describe_states(cell: CellChange) -> str:
    """Return how the cell ended in the runs that have it."""
    states = dict.fromkeys(_describe_state(state) for state in (cell.was, cell.now) if state)
    return " -> ".join(states) + (f", {_describe_move(cell.moved)}" if cell.moved else "")


def _describe_move(moved: Moved) -> str:
    return f"{moved.axis} moved {moved.was} -> {moved.now}"


def _describe_state(state: State) -> str:
    said = name_end(state.outcome, state.reason)
    if state.attempts > 1 and state.failed > 0:
        said += f" in {state.failed} of {state.attempts} attempts"
    if state.outcome is None or state.verdict is Verdict.AS_EXPECTED:
        return said
    return f"{said} ({VERDICT_TITLES[state.verdict]})"


def explain_change(cells: Sequence[CellChange]) -> tuple[str, ...]:
    """Return, of cells of which the same is to be said and that both runs have, what differs below them."""
    return tuple(_explain(cells))


def _explain(cells: Sequence[CellChange]) -> Iterator[str]:
    cell, these = cells[0], "this cell depends" if len(cells) == 1 else "these cells depend"
    if cell.flakiness:
        yield describe_flakiness(cell.flakiness)
    if not (cell.was and cell.now) or cell.change in {Change.STILL_FAILING, Change.NEVER_JUDGED}:
        return
    if not cell.exact:
        yield f"{_count_differences(cell)} somewhere in this run, see below"
        return
    if cell.suspect:
        yield f"suspect: {describe_difference(cell.suspect)}, and nothing else on which {these} differs"
        return
    if not cell.differences:
        yield f"nothing that is recorded and on which {these} differs"
        return
    count = len(cell.differences)
    yield f"{_count_differences(cell)} in what {these} on:"
    yield from (f"  {describe_difference(one)}" for one in cell.differences[:SHOWN])
    if count > SHOWN:
        yield f"  and {count - SHOWN} more"


def _count_differences(cell: CellChange) -> str:
    count = len(cell.differences)
    return f"{count or 'no'} difference{'' if count == 1 else 's'}"
