"""Record what happens in a run: every event goes into the journal, ``run.json`` from it every few seconds."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from orchestrator.atomic_files import write_atomically
from orchestrator.errors import MatrixctlError, RecordError
from orchestrator.record.fold import fold, mark_cut_off, write_run_json
from orchestrator.record.journal import (
    JOURNAL,
    CellJudged,
    ComponentResolved,
    Event,
    Journal,
    RunFinished,
    RunStarted,
)
from orchestrator.record.model import CellRecord, Component, RunRecord

_RENDER_EVERY = 3.0


class Recorder:
    """The journal of one run, and what is rendered from it; usable from several threads.

    ``listen`` gets each event after it was written; ``finish`` gets the last record, to make the report.
    ``before`` are the events of a run that goes on.
    ``broke`` is called once if the folder can no longer be written: no event is accepted after that.
    """

    def __init__(
        self,
        folder: Path,
        *,
        listen: Callable[[Event], None],
        finish: Callable[[RunRecord, Path], None],
        before: Sequence[Event] = (),
        broke: Callable[[], None] = lambda: None,
    ) -> None:
        self.folder = folder
        self._listen, self._finish, self._broke = listen, finish, broke
        self._broken: RecordError | None = None
        self._ended = False
        self._events = list(before)
        self._cells = {event.cell.id: event for event in before if isinstance(event, CellJudged)}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._renderer = threading.Thread(target=self._render_now_and_then, name="render", daemon=True)

    def __enter__(self) -> Self:
        self._journal = Journal(self.folder / JOURNAL)
        self._renderer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._renderer.join()
        try:
            self._write_reports()
        except OSError as failure:
            if self._broken is not None:  # that says it already
                return
            raise MatrixctlError(
                f"The report in {self.folder} cannot be written: {failure.strerror or failure}",
                details="The journal beside it has every event up to here.",
                resolution="Make room there, then run: matrixctl report " + self.folder.name,
            ) from failure
        finally:
            self._journal.close()

    def _write_reports(self) -> None:
        """Write all files made from the journal; if one cannot be written, write the others."""
        if not self._events:
            return
        record = mark_cut_off(self.make_record())
        try:
            write_run_json(record, self.folder / "run.json")
        finally:
            self._finish(record, self.folder)

    def emit(self, event: Event) -> None:
        """Write the event, then pass it to ``listen``; after the end of the run nothing is accepted.

        :raises RecordError: if it cannot be written, and for every event after that.
        """
        with self._lock:
            if self._broken is not None:
                raise self._broken
            if self._ended:  # from a thread that outlived the run: the count is closed
                return
            try:
                event = self._journal.append(event)
            except OSError as error:
                raise self._give_up(error) from error
            self._events.append(event)
            self._ended = isinstance(event, RunFinished)
            if isinstance(event, CellJudged):
                self._cells[event.cell.id] = event
        if isinstance(event, RunStarted):
            self._render()
        self._listen(event)

    def add_component(
        self,
        kind: Literal["image", "source", "package", "emulator", "patch"],
        name: str,
        version: str,
        digest: str | None,
        origin: str,
        *,
        used_by: Sequence[str],
        rest: str | None = None,
    ) -> None:
        """Write down an ingredient of the run, and the keys of the actions that used it."""
        component = Component(
            kind=kind,
            name=name,
            version=version,
            digest=digest,
            origin=origin,
            used_by=tuple(sorted(used_by)),
            rest=rest,
        )
        self.emit(ComponentResolved(component=component))

    def keep(self, path: str, content: bytes) -> Path:
        """Write a file below the run's folder, completely or not at all.

        :raises RecordError: if it cannot be written; the run is then over.
        """
        file = self.folder / path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, content)
        except OSError as error:
            raise self.give_up(error) from error
        return file

    def give_up(self, error: OSError) -> RecordError:
        """Accept no more events, since the folder cannot be written; return the error to raise."""
        with self._lock:
            return self._give_up(error)

    def _give_up(self, error: OSError) -> RecordError:
        if self._broken is None:
            record = fold(self._events) if self._events else None
            stand = f"{record.run.judged} of {record.run.planned} cells" if record else "no cell"
            self._broken = RecordError(
                f"The run's folder {self.folder} cannot be written: {error.strerror or error}.",
                details=f"The run ends here; {stand} were judged before, and stand in the journal.",
                resolution=f"Make room there, then go on with: matrixctl run --resume {self.folder.name}",
            )
            self._broke()
        return self._broken

    def find_cell(self, key: str) -> CellRecord | None:
        """Return a cell as it was last judged, or ``None`` if it never was."""
        event = self.find_judgement(key)
        return event.cell if event else None

    def find_judgement(self, key: str) -> CellJudged | None:
        """Return the last judgement of a cell, or ``None``."""
        with self._lock:
            return self._cells.get(key)

    def make_record(self) -> RunRecord:
        """Return the record of the run so far."""
        with self._lock:
            events = list(self._events)
        return fold(events)

    def _render_now_and_then(self) -> None:
        while not self._over.wait(_RENDER_EVERY):
            with suppress(Exception):  # the last rendering says it
                self._render()

    def _render(self) -> None:
        if self._events:
            write_run_json(self.make_record(), self.folder / "run.json")
