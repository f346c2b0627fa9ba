"""``journal.jsonl``, the one record of a run: its events, written one by one and read back."""

import fcntl
import logging
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from orchestrator.atomic_files import is_unheld, sync_folder, write_durably
from orchestrator.errors import MatrixctlError, UsageError
from orchestrator.frozen_value import Value, replace_surrogates
from orchestrator.mask_passwords import mask_text
from orchestrator.matrix.catalog import Moving, Source
from orchestrator.record.model import (
    ActionRecord,
    CellRecord,
    ClientProof,
    Component,
    Moment,
    RunRecord,
    SelfTest,
    Traced,
    utc_now,
)
from orchestrator.record.settings import Inputs, Settings

_log = logging.getLogger(__name__)

JOURNAL = "journal.jsonl"


class UnplannedError(UsageError):
    """A run that was cut off before its plan was written: its cells are not known."""

    def __init__(self, folder: Path) -> None:
        """:param folder: the run's."""
        super().__init__(
            f"the run {folder.name} was cut off before its plan was written: it tells nothing,"
            " and there is nothing to go on with",
            resolution="Start it again.",
        )


class _Event(Value):
    at: Moment = Field(default_factory=utc_now)
    """Of an event that is written; one that is read without it is no event of ours."""


class RunStarted(_Event):
    """Always the first: the whole record as it was planned, no cell judged; and what it takes to go on."""

    kind: Literal["run-started"] = "run-started"
    record: RunRecord
    settings: Settings | None = None
    inputs: Inputs | None = None


class RunResumed(_Event):
    """A run that was cut off goes on, with the actions that its other cells need."""

    kind: Literal["run-resumed"] = "run-resumed"
    stood: int
    """How many cells were judged, and stay so."""
    actions: tuple[ActionRecord, ...]


class CellsAsked(_Event):
    """The run asks for more cells of its selection, with the actions that they need beside the others."""

    kind: Literal["cells-asked"] = "cells-asked"
    cells: tuple[CellRecord, ...]
    actions: tuple[ActionRecord, ...]


class ExplorationEnded(_Event):
    """The run asks for no more cells."""

    kind: Literal["exploration-ended"] = "exploration-ended"
    end: str
    left: tuple[str, ...]


class SourcePinned(_Event):
    """What a source that moves is in this run, to its end."""

    kind: Literal["source-pinned"] = "source-pinned"
    moving: Moving
    source: Source
    origin: str


class ComponentResolved(_Event):
    """An ingredient is known now; replaces the one of its kind and name."""

    kind: Literal["component"] = "component"
    component: Component


class ActionChanged(_Event):
    """Replaces the action of its kind and name."""

    kind: Literal["action"] = "action"
    action: ActionRecord


class SelfTested(_Event):
    """Replaces the self-test of its library, architecture and execution."""

    kind: Literal["self-test"] = "self-test"
    selftest: SelfTest


class CellJudged(_Event):
    """Replaces the cell of its id. Not ``final``: another attempt at the cell was still to come."""

    kind: Literal["cell"] = "cell"
    cell: CellRecord
    final: bool = True


class CellTraced(_Event):
    """A judged cell was run a second time to see what it does; its judgement stays as it is."""

    kind: Literal["cell-traced"] = "cell-traced"
    cell: str
    """Its id."""
    traced: Traced


class CellUntraced(_Event):
    """A judged cell was to be run a second time, and was not; its judgement stays as it is."""

    kind: Literal["cell-untraced"] = "cell-untraced"
    cell: str
    """Its id."""
    why: str


class ClientsProved(_Event):
    """What the clients of one image could do with good servers; replaces what was known of them."""

    kind: Literal["clients"] = "clients"
    clients: tuple[ClientProof, ...]


class RunFinished(_Event):
    """The end. A journal without it is that of a run which still goes on, or died."""

    kind: Literal["run-finished"] = "run-finished"
    status: Literal["finished", "interrupted"]
    finished_at: str
    duration_s: float
    exit_code: int
    message: str


Event = (
    RunStarted
    | RunResumed
    | CellsAsked
    | ExplorationEnded
    | SourcePinned
    | ComponentResolved
    | ActionChanged
    | ClientsProved
    | SelfTested
    | CellJudged
    | CellTraced
    | CellUntraced
    | RunFinished
)
_DURABLE = RunStarted | RunResumed | CellsAsked | SourcePinned | CellJudged | CellTraced | RunFinished
"""Those whose loss in a power cut would lose work, or what is needed to resume it."""

_LINE: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Make the run's folder and lock it, so that no other process writes to it.

    A run that could not begin leaves no folder. If the process dies, the kernel drops the lock.

    :raises UsageError: while another process has the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / JOURNAL).open("ab") as file:
        try:
            _make_retrying()(fcntl.flock, file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"the run {folder.name} still goes on: another process writes to {folder}",
                resolution="Wait for its end, or end it; then it can be resumed.",
            ) from None
        try:
            sync_folder(folder)
            sync_folder(folder.parent)
            yield
        finally:
            if not os.fstat(file.fileno()).st_size:
                (folder / JOURNAL).unlink(missing_ok=True)
                with suppress(OSError):  # a person's own files are in it
                    folder.rmdir()


def _make_retrying() -> Retrying:
    """Try again for a moment: a reader that checks whether the run goes on may have the lock."""
    return Retrying(
        retry=retry_if_exception_type(BlockingIOError),
        stop=stop_after_delay(0.5),
        wait=wait_fixed(0.02),
        reraise=True,
    )


def goes_on(folder: Path) -> bool:
    """Return whether a process writes to this run now."""
    with (folder / JOURNAL).open("rb") as file:
        return not is_unheld(file)


class Journal:
    """Appends events, each whole or not at all; usable from several threads, closed by ``with``."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)  # a buffered rest would come after the next line
        self._lock = threading.Lock()
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            if file.read() not in {b"", b"\n"}:
                self._file.write(b"\n")  # a run died in the middle of a line

    def append(self, event: Event) -> Event:
        """Write the event through to the kernel, and to the disk where losing it would lose work.

        Return the event as it was written: text that UTF-8 cannot represent is replaced, and so is every
        password of a URL.

        :raises OSError: if it cannot be written; the journal then ends as it did before.
        """
        event, said = _write_line(event)
        with self._lock:
            whole = self._file.seek(0, os.SEEK_END)
            try:
                self._write(said + b"\n")
                if isinstance(event, _DURABLE):
                    os.fsync(self._file.fileno())
            except OSError:
                self._file.truncate(whole)
                raise
        return event

    def _write(self, line: bytes) -> None:
        left = memoryview(line)
        while left:  # a disk that becomes full takes a part at first
            left = left[self._file.write(left) :]

    def close(self) -> None:
        """Close the journal: later events are an error."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _write_line(event: Event) -> tuple[Event, bytes]:
    try:
        said = event.model_dump_json()
    except PydanticSerializationError:  # a file name, or an error of the engine's
        event = _LINE.validate_python(replace_surrogates(event.model_dump()))
        said = event.model_dump_json()
    clean = mask_text(said)
    return (event if clean == said else _LINE.validate_json(clean)), clean.encode()


def write(path: Path, events: Iterable[Event]) -> None:
    """Write the journal of a run that is over, into a folder that has no readers yet.

    :raises OSError: as the file system says.
    """
    write_durably(path, b"".join(_write_line(event)[1] + b"\n" for event in events))


def read(path: Path, *, warn: bool = False, whole_parts: bool = False) -> Iterator[Event]:
    """Return the events of a journal; skip a line that a crash cut.

    :param warn: log such a line as a warning; else, as where many runs are read, for debugging only.
    :param whole_parts: such a line may only be the last of a part: of the run, or before it was resumed.
    :raises MatrixctlError: where there is no journal, it was written by another version, or, with
        ``whole_parts``, a line is invalid that no crash can have cut.
    """
    harmed = 0
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise MatrixctlError(f"the journal {path} cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            event = _LINE.validate_json(line)
            if harmed and whole_parts and not isinstance(event, RunResumed):
                raise MatrixctlError(
                    f"{path}:{harmed} is damaged, and it is not where a crash has cut the journal",
                    details="What that line said of a cell or a source is lost.",
                    resolution=f"Begin a new run; what is left of this one: matrixctl report {path.parent}",
                )
            harmed = 0
            _require_date(event, f"{path}:{number}")
            yield event
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            if first["type"] != "json_invalid":
                where = ".".join(str(step) for step in first["loc"])
                raise MatrixctlError(
                    f"{path}:{number} is an event that this version does not know",
                    details=f"{where}: {first['msg']}",
                    resolution="Read it with the version of matrixctl that wrote it.",
                ) from None
            harmed = number
            level = logging.WARNING if warn else logging.DEBUG
            _log.log(level, "%s:%d is incomplete and was passed over", path, number)


def read_more(path: Path, start: int) -> tuple[list[Event], int]:
    """Return the events of the whole lines from byte ``start`` on, and where the next line begins.

    A line that is half written is left for the next time; one that a crash cut is passed over.

    :raises MatrixctlError: where another version wrote it.
    :raises OSError: as the file system says.
    """
    with path.open("rb") as file:
        file.seek(start)
        lines = file.read().split(b"\n")
    found: list[Event] = []
    for line in lines[:-1]:
        try:
            found.append(_LINE.validate_json(line))
        except ValidationError as error:
            if error.errors(include_url=False)[0]["type"] != "json_invalid":
                raise MatrixctlError(
                    f"{path} has an event that this version does not know",
                    resolution="Read it with the version of matrixctl that wrote it.",
                ) from None
    return found, start + sum(len(line) + 1 for line in lines[:-1])


def _require_date(event: Event, where: str) -> None:
    """Refuse an event without its time: with the time of reading, no two readers would see the same run."""
    if "at" not in event.model_fields_set:
        raise MatrixctlError(
            f"{where} is an event that does not say when",
            resolution="Read it with the version of matrixctl that wrote it.",
        )
