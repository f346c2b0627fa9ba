"""What is said of the second run of a cell, whose packets and traces were kept."""

from orchestrator.record.model import CellRecord
from orchestrator.report import units


def ended(cell: CellRecord) -> str:
    """Return how the cell's second, traced run ended beside the first; nothing without one."""
    made = cell.traced
    if made is None:
        return ""
    same = (made.outcome, made.reason) == (cell.outcome, cell.reason)
    reason = f": {made.reason}" if made.reason else ""
    how = (
        f"ended as the first: {made.outcome}{reason}" if same else f"ended otherwise: {made.outcome}{reason}"
    )
    message = "" if same else f"; {made.message}"
    return f"a second run, {units.duration(made.duration_s)}, {how}{message}"


def negotiated(cell: CellRecord) -> str:
    """Return the suite that was in use, and its source where that is not the server's answer; or nothing."""
    told = cell.observations.negotiated_cipher if cell.observations else None
    captured = cell.captured_cipher
    return told or (f"{captured} (by the capture of a second run: no answer told it)" if captured else "")
