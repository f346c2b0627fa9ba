"""The stage of a run after its verdicts: some cells are run again to see what they do, each alone."""

import logging
import time

from orchestrator import bounds
from orchestrator.app.stages import Run, lift_fail_fast, probe_alone

_log = logging.getLogger(__name__)

_MINUTES = 10.0
"""For all of them together; one that has begun comes to its end."""


def take_traces(run: Run) -> Run:
    """Run the cells again of which ``--evidence`` wants packets and traces. No verdict changes.

    Bounds are the number of cells that fail alike, minutes, and the bytes that are kept. Of what the last two
    leave out, and of what could not be run, is written down why.
    """
    started, left = time.monotonic(), run.untraced
    with lift_fail_fast(run):
        while left and not run.context.cancel():
            if time.monotonic() - started > _MINUTES * 60:
                why = f"the {_MINUTES:g} minutes that a run has for that were over"
            elif _count_bytes(run) > bounds.TRACED_RUN:
                why = f"{bounds.format_size(bounds.TRACED_RUN)} are enough for one run"
            else:
                cell = left.pop(0)
                failure = probe_alone(run, cell, "trace", traced=True)
                if failure is not None and not run.context.cancel():
                    run.ledger.record_untraced(cell, failure.message)
                continue
            for cell in left:
                run.ledger.record_untraced(cell, why)
            _log.info("of %d more no packets are captured: %s", len(left), why)
            break
    return run


def _count_bytes(run: Run) -> int:
    """Return how much the traces of the run take so far."""
    paths = (
        run.context.folder / path
        for cell in run.context.recorder.make_record().cells
        if cell.traced
        for path in cell.traced.evidence
    )
    return sum(path.stat().st_size for path in paths if path.is_file())
