"""The last stage of a run: some cells are run again to see what they do, each alone."""

import logging
import time

from orchestrator import bounds
from orchestrator.app.stages import Run, schedule_actions
from orchestrator.matrix.model import Cell
from orchestrator.plan.action import ProbeAction, make_key

_log = logging.getLogger(__name__)

_MINUTES = 10.0
"""For all of them together; one that has begun comes to its end."""


def trace_cells(run: Run) -> Run:
    """Run the cells again of which ``--evidence`` wants packets and traces. No verdict changes.

    Bounds are the number of cells that fail alike, minutes, and the bytes that are kept.
    """
    started, left = time.monotonic(), run.untraced
    while left and not run.context.cancel():
        if time.monotonic() - started > _MINUTES * 60:
            why = f"the {_MINUTES:g} minutes for that are over"
        elif _count_bytes(run) > bounds.TRACED_RUN:
            why = f"{bounds.size(bounds.TRACED_RUN)} are enough for one run"
        else:
            _trace(run, left.pop(0))
            continue
        _log.info("of %d more no packets are captured: %s", len(left), why)
        break
    return run


def _count_bytes(run: Run) -> int:
    """Return how much the traces of the run take so far."""
    paths = (
        run.context.folder / path
        for cell in run.context.recorder.record().cells
        if cell.traced
        for path in cell.traced.evidence
    )
    return sum(path.stat().st_size for path in paths if path.is_file())


def _trace(run: Run, cell: Cell) -> None:
    build = run.ledger.plan.find_build(cell)
    if build is None:
        return
    name = f"trace--{cell.id}"
    key = make_key("probe", name)
    action = ProbeAction(key=key, name=name, build=build.key, cells=(cell.id,), traced=True)
    schedule_actions(run, [action], [action])
