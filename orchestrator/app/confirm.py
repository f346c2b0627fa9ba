"""The stage of a run that probes what would wake somebody once more, alone, before it does."""

import time
from collections.abc import Iterator, Sequence

from orchestrator.app.stages import Run, probe_alone
from orchestrator.matrix.model import Cell
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.plan.plan import name_build

_Kind = tuple[Verdict, Outcome | None, Reason | None]


def confirm_alarms(run: Run) -> Run:
    """Probe the cells whose verdict is an alarm again, one at a time; settle the verdict of each.

    Bounds are the number of cells that fail alike and the minutes for all of them; what is beyond them stays
    an alarm, and says that it was not confirmed. A run that is cut off leaves that to its resumption.
    """
    options, started = run.context.options, time.monotonic()
    for alike in _find_alarms(run):
        for number, cell in enumerate(alike):
            if run.context.cancel():
                return run
            if time.monotonic() - started > options.confirm_minutes * 60:
                why = f"the {options.confirm_minutes:g} minutes for that were over"
                run.ledger.settle(cell, why_open=why)
            elif number >= options.confirm_cells:
                run.ledger.settle(cell, why_open=_name_others(options.confirm_cells))
            else:
                _confirm(run, cell)
    return run


def _name_others(count: int) -> str:
    others = "other cell that ends alike was" if count == 1 else "other cells that end alike were"
    return f"{count} {others} probed again"


def _find_alarms(run: Run) -> Iterator[Sequence[Cell]]:
    """Yield the cells that have to be confirmed or settled, those that ended alike together."""
    found: dict[_Kind, list[Cell]] = {}
    for cell in run.cells:
        record = run.context.recorder.find_cell(cell.id)
        if record and run.ledger.is_due(cell):
            found.setdefault((record.verdict, record.outcome, record.reason), []).append(cell)
    for _, cells in sorted(found.items(), key=str, reverse=True):
        yield spread(cells)


def spread(cells: Sequence[Cell]) -> Sequence[Cell]:
    """Return the cells in an order in which each build comes once before one comes twice."""
    turns: dict[str, int] = {}
    ordered = []
    for cell in cells:
        turn = turns[name_build(cell)] = turns.get(name_build(cell), -1) + 1
        ordered.append((turn, cell))
    return [cell for _, cell in sorted(ordered, key=lambda one: one[0])]


def _confirm(run: Run, cell: Cell) -> None:
    """Probe the cell again and settle it, unless the run is cut off."""
    rounds = run.ledger.find_rounds(cell)
    failure = probe_alone(run, cell, "confirm", rounds=rounds) if rounds else None
    why_open = failure.message if failure else ""
    if not run.context.cancel():
        run.ledger.settle(cell, why_open=why_open)
