"""The newest run below a folder, read as it goes on."""

from contextlib import suppress
from pathlib import Path

from orchestrator.record.fold import fold, mark_cut_off
from orchestrator.record.journal import JOURNAL, CellJudged, Event, goes_on, read_more
from orchestrator.record.model import RunRecord
from orchestrator.record.runs import list_begun


class Follower:
    """Reads the journal of one run; each time what was added to it."""

    def __init__(self, folder: Path) -> None:
        """Take the folder of the run."""
        self.folder = folder
        self.record: RunRecord | None = None
        """As it was when it was last read; ``None`` before its first event."""
        self._forget()

    def _forget(self) -> None:
        self._place = 0
        self._events: list[Event] = []
        self._judged: dict[str, None] = {}

    @property
    def judged(self) -> tuple[str, ...]:
        """Return the ids of the judged cells, in the order in which the last event of each came."""
        return tuple(self._judged)

    def read(self) -> None:
        """Read what was added.

        :raises MatrixctlError: where another version wrote the journal, or it does not begin as one.
        :raises OSError: as the file system says.
        """
        path = self.folder / JOURNAL
        going = goes_on(self.folder)  # asked first: what a run that has ended wrote is all there
        if path.stat().st_size < self._place:  # it is another journal by now
            self._forget()
        added, self._place = read_more(path, self._place)
        self._events += added
        for event in added:
            if isinstance(event, CellJudged) and event.cell.outcome is not None:
                self._judged.pop(event.cell.id, None)
                self._judged[event.cell.id] = None
        if added:
            self.record = fold(self._events)
        if self.record is not None and not going:
            self.record = mark_cut_off(self.record)


def find_newest(reports: Path) -> Path | None:
    """Return the folder of the newest run that goes on; where none does, of the newest; else ``None``."""
    names = list_begun(reports)
    for name in reversed(names):
        with suppress(OSError):  # another process cleans meanwhile
            if goes_on(reports / name):
                return reports / name
    return reports / names[-1] if names else None
