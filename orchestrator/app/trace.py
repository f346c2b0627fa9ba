"""The stage of a run after its verdicts: some cells are run again to see what they do, each alone."""

import logging
import time

from orchestrator import bounds
from orchestrator.app.stages import Run, probe_alone

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
            probe_alone(run, left.pop(0), "trace", traced=True)
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
