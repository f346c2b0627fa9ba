"""What the server watches beside its requests: the history, for new pages, and the newest run."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.app.site import build_site
from orchestrator.errors import MatrixctlError
from orchestrator.record.follow import Follower, find_newest
from orchestrator.record.history.history import History
from orchestrator.record.history.place import HistoryPlace
from orchestrator.site.live import NOTHING, tell_problem, tell_run
from orchestrator.site.write import Written

_log = logging.getLogger(__name__)

HISTORY_S = 3.0
"""Seconds between two looks at the history."""
RUN_S = 0.5
"""The same at the journal of the run."""


class SiteWatch:
    """Keeps a site as new as its history."""

    def __init__(self, place: HistoryPlace, folder: Path, series: str | None) -> None:
        """Take the history, the site's folder, and whose nights it shows."""
        self.folder = folder
        self.has_pages = False
        self._place, self._series = place, series
        self._seen: object = None

    def make(self) -> Written | None:
        """Write the pages if the history is another one than the last time, or there was none.

        :return: what was written; ``None`` where the history is the same, or there is none yet.
        :raises MatrixctlError: as ``build_site`` does.
        :raises OSError: as the file system says.
        """
        if self._place.file is not None and not self._place.file.exists():
            return None
        seen = self._read_state()
        if seen == self._seen:
            return None
        self._seen = seen  # one that cannot be shown is said once, and tried again when it has changed
        with History(self._place) as kept:
            written = build_site(kept, self.folder, series=self._series, now=datetime.now(UTC), served=True)
        self._seen = self._read_state()  # to open it may have brought it to a newer shape
        self.has_pages = True
        return written

    def look(self) -> None:
        """Make the pages again if the history has changed; say so."""
        try:
            written = self.make()
            if written is not None and (written.changed or written.removed):
                _log.info("the history has changed, and so have the pages")
        except (MatrixctlError, OSError) as error:
            _log.warning("the pages stay as they are: %s", error)

    def _read_state(self) -> object:
        """Return what is another one once the history has changed."""
        if self._place.file is None:
            with History(self._place) as kept:
                return [(run["id"], run["digest"]) for run in kept.list_runs()]
        files = (self._place.file, self._place.file.with_name(f"{self._place.file.name}-wal"))
        return [(one.st_mtime_ns, one.st_size, one.st_ino) for one in map(_stat, files) if one]


def _stat(path: Path) -> Any:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


class RunWatch:
    """Follows the newest run below a folder."""

    def __init__(self, reports: Path, address: Callable[[str], str]) -> None:
        """Take the folder of the runs.

        :param address: returns the address of the report of a run, by its id.
        """
        self.told: Mapping[str, Any] = NOTHING
        """How far it is; see ``tell_run``. Another value whenever that has changed."""
        self._reports, self._address = reports, address
        self._follower: Follower | None = None

    def look(self) -> None:
        """Read what the run did since the last time."""
        try:
            told = self._tell()
        except (MatrixctlError, OSError) as error:
            told = tell_problem(self.told, error)
        if told != self.told:
            self.told = told

    def _tell(self) -> Mapping[str, Any]:
        newest = find_newest(self._reports)
        if newest is None:
            return NOTHING
        if self._follower is None or self._follower.folder != newest:
            self._follower = Follower(newest)
        self._follower.read()
        if self._follower.record is None:
            return NOTHING
        return tell_run(self._follower.record, self._follower.judged, report=self._address(newest.name))


def repeat(look: Callable[[], None], seconds: float) -> None:
    """Look again and again in a thread of its own, until the process ends."""
    threading.Thread(target=_repeat, args=(look, seconds), name=look.__qualname__, daemon=True).start()


def _repeat(look: Callable[[], None], seconds: float) -> None:
    while True:
        time.sleep(seconds)
        try:
            look()
        except Exception as error:  # noqa: BLE001 - one bad look must not be the last
            _log.warning("a fault of matrixctl, please report it: %r", error)
