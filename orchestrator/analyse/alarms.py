"""The alarms of a run: failures that no rule expects, put together, with a key that is the same tomorrow."""

import hashlib
import json
from collections.abc import Sequence

from orchestrator.matrix.model import AXES
from orchestrator.outcome import ALARMS, Outcome, Reason, believed
from orchestrator.record.model import Alarm, CellRecord, RunRecord


def find_alarms(record: RunRecord) -> tuple[Alarm, ...]:
    """Return the run's alarms, by outcome and reason."""
    found: dict[tuple[Outcome | None, Reason | None], list[CellRecord]] = {}
    for cell in record.cells:
        if believed(cell.outcome, cell.verdict) in ALARMS:
            found.setdefault((cell.outcome, cell.reason), []).append(cell)
    return tuple(_make_alarm(*ended, cells, record.cells) for ended, cells in sorted(found.items(), key=str))


def find_common(cells: Sequence[CellRecord], everything: Sequence[CellRecord]) -> tuple[str, ...]:
    """Return the axis values on which all of several cells agree, and the rest of the run does not."""
    shared = []
    for axis in AXES:
        here = {getattr(cell.axes, axis).name for cell in cells}
        if len(here) == 1 and len({getattr(cell.axes, axis).name for cell in everything}) > 1:
            shared.append(f"{axis}={here.pop()}")
    return tuple(shared) if len(cells) > 1 else ()


def _make_alarm(
    outcome: Outcome | None, reason: Reason | None, cells: list[CellRecord], everything: Sequence[CellRecord]
) -> Alarm:
    names = tuple(cell.id for cell in cells)
    conditions = tuple(sorted(find_common(cells, everything) if len(cells) > 1 else _list_axes(cells[0])))
    said = json.dumps([outcome, reason, conditions or sorted(names)])
    return Alarm(
        key=hashlib.sha256(said.encode()).hexdigest()[:16],
        outcome=outcome,
        reason=reason,
        conditions=conditions,
        cells=names,
    )


def _list_axes(cell: CellRecord) -> list[str]:
    return [f"{axis}={getattr(cell.axes, axis).name}" for axis in AXES]
