"""A run that was cut off, as its journal has it: which results stay, and what to do again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import chain
from pathlib import Path

from orchestrator.atomic_files import sweep_half_made
from orchestrator.outcome import Verdict
from orchestrator.record.fold import fold
from orchestrator.record.journal import (
    JOURNAL,
    CellJudged,
    CellTraced,
    Event,
    RunResumed,
    RunStarted,
    SourcePinned,
    UnplannedError,
    read,
)
from orchestrator.record.model import RunRecord

_EVIDENCE = "cells"


@dataclass(frozen=True, kw_only=True)
class PastRun:
    """Everything that the journal still tells. ``events`` begins with ``start``."""

    folder: Path
    start: RunStarted
    events: tuple[Event, ...]
    record: RunRecord

    @cached_property
    def last(self) -> Mapping[str, CellJudged]:
        """Return the last judgement of each cell that has one."""
        return {event.cell.id: event for event in self.events if isinstance(event, CellJudged)}

    @cached_property
    def standing(self) -> frozenset[str]:
        """Return the cells that were judged to the end; all others have to run (again)."""
        return frozenset(
            key
            for key, event in self.last.items()
            if event.final and event.cell.verdict is not Verdict.NOT_JUDGED
        )

    @property
    def pins(self) -> tuple[SourcePinned, ...]:
        """Return what the moving sources were."""
        return tuple(event for event in self.events if isinstance(event, SourcePinned))

    @property
    def spent_s(self) -> float:
        """Return the seconds of work so far by the events, without the time between the parts."""
        total, began, latest = 0.0, self.start.at, self.start.at
        for event in self.events:
            if isinstance(event, RunResumed):
                total, began = total + _count_seconds(began, latest), event.at
            latest = event.at
        return total + _count_seconds(began, latest)

    @property
    def over(self) -> bool:
        """Return true if nothing is left: the run has an end, and every cell a final outcome."""
        return self.record.run.status == "finished" and self.standing >= {c.id for c in self.record.cells}

    def remove_half_written(self) -> None:
        """Remove files that no event names: evidence of attempts that were never judged."""
        named = {
            self.folder / path
            for event in self.events
            if isinstance(event, CellJudged)
            for path in chain(event.cell.evidence, *(one.evidence for one in event.cell.attempts))
        }
        named |= {
            self.folder / path
            for event in self.events
            if isinstance(event, CellTraced)
            for path in event.traced.evidence
        }
        evidence = self.folder / _EVIDENCE
        found = () if evidence.is_symlink() else evidence.rglob("*")  # nothing outside of the run's folder
        for path in sorted(found, reverse=True):  # what is inside comes first
            if path.is_dir() and not path.is_symlink():
                if not any(path.iterdir()):
                    path.rmdir()
            elif path not in named:
                path.unlink()
        sweep_half_made(self.folder.rglob(".*"))


def read_past(folder: Path) -> PastRun:
    """Read a run that should go on; drop a broken line of its journal, with a message.

    :raises UnplannedError: where it died before it had planned anything.
    :raises MatrixctlError: where there is no journal, another version wrote it, or a line in it is damaged.
    """
    events: Sequence[Event] = tuple(read(folder / JOURNAL, warn=True, whole_parts=True))
    if not events or not isinstance(events[0], RunStarted):
        raise UnplannedError(folder)
    return PastRun(folder=folder, start=events[0], events=tuple(events), record=fold(events))


def _count_seconds(start: str, end: str) -> float:
    """Return the seconds between two moments; 0 where the clock was set back."""
    return max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())
