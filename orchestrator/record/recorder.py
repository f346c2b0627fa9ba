"""Writes down what happens in a run: every event into the journal, ``run.json`` from it every few seconds."""

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator.errors import MatrixctlError
from orchestrator.record.journal import CellJudged, Event, Journal, RunStarted, fold, write_run_json
from orchestrator.record.model import CellRecord, RunRecord

_RENDER_EVERY = 3.0


class Recorder:
    """The journal of one run, and what is rendered from it; usable from several threads.

    ``listen`` gets each event after it was written; ``finish`` gets the last record, to make the report.
    """

    def __init__(
        self, folder: Path, *, listen: Callable[[Event], None], finish: Callable[[RunRecord, Path], None]
    ) -> None:
        self.folder = folder
        self._listen, self._finish = listen, finish
        self._events: list[Event] = []
        self._cells: dict[str, CellRecord] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._renderer = threading.Thread(target=self._render_now_and_then, name="render", daemon=True)

    def __enter__(self) -> Self:
        self._journal = Journal(self.folder / "journal.jsonl")
        self._renderer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._renderer.join()
        try:
            record = self._render()
            if record is not None:
                self._finish(record, self.folder)
        except OSError as failure:
            raise MatrixctlError(
                f"The report in {self.folder} cannot be written: {failure.strerror or failure}",
                details="The journal beside it has every event up to here.",
                resolution="Make room there, then run: matrixctl report " + self.folder.name,
            ) from failure
        finally:
            self._journal.close()

    def emit(self, event: Event) -> None:
        """Write the event down, then tell of it."""
        with self._lock:
            self._journal.append(event)
            self._events.append(event)
            if isinstance(event, CellJudged):
                self._cells[event.cell.id] = event.cell
        if isinstance(event, RunStarted):
            self._render()
        self._listen(event)

    def cell(self, key: str) -> CellRecord | None:
        """A cell as it was last judged, or ``None`` if it never was."""
        with self._lock:
            return self._cells.get(key)

    def record(self) -> RunRecord:
        """The run as it stands."""
        with self._lock:
            events = list(self._events)
        return fold(events)

    def _render_now_and_then(self) -> None:
        while not self._over.wait(_RENDER_EVERY):
            with suppress(OSError):  # the last rendering says it
                self._render()

    def _render(self) -> RunRecord | None:
        if not self._events:
            return None
        record = self.record()
        write_run_json(record, self.folder / "run.json")
        return record
