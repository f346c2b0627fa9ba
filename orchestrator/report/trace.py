"""What is said of the second run of a cell, with its packets and traces, or why there is none. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from orchestrator.outcome import Outcome, Reason
from orchestrator.record.model import CellRecord
from orchestrator.report import units

_NAMED = 3
"""Cells that fail alike, of which so many are named."""
_PACKETS = "capture.pcapng"
_REMEDY = (
    "the command that runs this cell again keeps its packets; "
    "matrixctl run --evidence all keeps those of every cell"
)

Traces = Mapping[tuple[Outcome | None, Reason | None], Sequence[str]]
"""Ids of cells that have packets, by how they ended."""


@dataclass(frozen=True, kw_only=True)
class Absence:
    """Why a cell has no packets. ``others`` are cells that have some, and fail alike."""

    said: str
    others: tuple[str, ...]
    remedy: str = _REMEDY

    def __str__(self) -> str:
        """Return it as one sentence."""
        named = f": {', '.join(self.others)}" if self.others else ""
        return f"no packets: {self.said}{named}; {self.remedy}"


def find_traces(cells: Iterable[CellRecord]) -> Traces:
    """Return which cells have packets of a second run that ended as the first."""
    found: dict[tuple[Outcome | None, Reason | None], list[str]] = {}
    for cell in cells:
        kept = cell.traced_alike.evidence if cell.traced_alike else ()
        if any(PurePosixPath(path).name == _PACKETS for path in kept):
            found.setdefault((cell.outcome, cell.reason), []).append(cell.id)
    return found


def explain_absence(cell: CellRecord, traces: Traces) -> Absence | None:
    """Return why the cell has no packets though there might be some; ``None`` where none were to be.

    Those are cells that a limit left out, and those that fail as others do that have packets.
    """
    if cell.traced is not None:
        return None
    if cell.untraced:
        return Absence(said=cell.untraced, others=())
    others = tuple(traces.get((cell.outcome, cell.reason), ())[:_NAMED])
    if cell.outcome is not Outcome.FAIL or not others or not (cell.observations and cell.observations.h3):
        return None
    how = "1 cell that fails alike has" if len(others) == 1 else f"{len(others)} cells that fail alike have"
    return Absence(said=f"{how} them", others=others)


def describe_end(cell: CellRecord) -> str:
    """Return how the cell's second, traced run ended beside the first; nothing without one."""
    made = cell.traced
    if made is None:
        return ""
    same = cell.traced_alike is not None
    reason = f": {made.reason}" if made.reason else ""
    how = (
        f"ended as the first: {made.outcome}{reason}" if same else f"ended otherwise: {made.outcome}{reason}"
    )
    message = "" if same else f"; {made.message}"
    return f"a second run, {units.format_duration(made.duration_s)}, {how}{message}"


def describe_suite(cell: CellRecord) -> str:
    """Return the suite that was in use, and its source where that is not the server's answer; or nothing."""
    told = cell.observations.negotiated_cipher if cell.observations else None
    captured = cell.captured_cipher
    return told or (f"{captured} (by the capture of a second run: no answer told it)" if captured else "")
