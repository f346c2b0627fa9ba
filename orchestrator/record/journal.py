"""``journal.jsonl``, the truth of a run, and ``run.json``, which is rendered from it."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError

from orchestrator.errors import MatrixctlError
from orchestrator.files import write_atomically
from orchestrator.record.model import ActionRecord, CellRecord, Component, RunRecord, utc_now
from orchestrator.value import Value


class _Event(Value):
    at: str = Field(default_factory=utc_now)


class RunStarted(_Event):
    """Always the first: the whole record as it was planned, no cell judged."""

    kind: Literal["run-started"] = "run-started"
    record: RunRecord


class ComponentResolved(_Event):
    """An ingredient came to be known; replaces the one of its kind and name."""

    kind: Literal["component"] = "component"
    component: Component


class ActionChanged(_Event):
    """Replaces the action of its kind and name."""

    kind: Literal["action"] = "action"
    action: ActionRecord


class CellJudged(_Event):
    """Replaces the cell of its id."""

    kind: Literal["cell"] = "cell"
    cell: CellRecord


class RunFinished(_Event):
    """The end. A journal without it is that of a run which still goes on, or died."""

    kind: Literal["run-finished"] = "run-finished"
    status: Literal["finished", "interrupted"]
    finished_at: str
    duration_s: float
    exit_code: int
    message: str


Event = RunStarted | ComponentResolved | ActionChanged | CellJudged | RunFinished

_LINE: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])


class Journal:
    """Appends events; usable from several threads, closed by ``with``."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        if path.stat().st_size and not path.read_bytes().endswith(b"\n"):
            self._file.write(b"\n")  # a run died in the middle of a line

    def append(self, event: Event) -> None:
        """Write the event through to the kernel, and to the disk where losing it would lose work."""
        line = event.model_dump_json().encode() + b"\n"
        self._file.write(line)  # one call, which Python's buffered files keep whole between threads
        self._file.flush()
        if isinstance(event, CellJudged | RunFinished):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Later events are an error."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read(path: Path, *, say: Callable[[str], None] = lambda _: None) -> Iterator[Event]:
    """The events of a journal; a line that was cut by a crash is said and passed over.

    :raises MatrixctlError: where there is no journal, or it was written by another version.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise MatrixctlError(f"the journal {path} cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield _LINE.validate_json(line)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            if first["type"] != "json_invalid":
                where = ".".join(str(step) for step in first["loc"])
                raise MatrixctlError(
                    f"{path}:{number} is an event that this version does not know",
                    details=f"{where}: {first['msg']}",
                    resolution="Read it with the version of matrixctl that wrote it.",
                ) from None
            say(f"{path}:{number} is incomplete and was passed over")


def fold(events: Iterable[Event]) -> RunRecord:
    """The record after the events, counts included. Pure: the same events give the same record.

    :raises MatrixctlError: where the first event, and only that, is not the start.
    """
    stream = iter(events)
    start, rest = next(stream, None), list(stream)
    if not isinstance(start, RunStarted) or any(isinstance(event, RunStarted) for event in rest):
        raise MatrixctlError("a journal begins with run-started, and has it once")
    run = start.record.run
    components = {(item.kind, item.name): item for item in start.record.components}
    actions = {(item.kind, item.name): item for item in start.record.actions}
    cells = {item.id: item for item in start.record.cells}
    for event in rest:
        match event:
            case ComponentResolved(component=component):
                components[component.kind, component.name] = component
            case ActionChanged(action=action):
                actions[action.kind, action.name] = action
            case CellJudged(cell=cell):
                cells[cell.id] = cell
            case RunFinished():
                run = run.model_copy(update=event.model_dump(exclude={"kind", "at"}))
    judged = sum(cell.outcome is not None for cell in cells.values())
    return start.record.model_copy(
        update={
            "run": run.model_copy(update={"planned": len(cells), "judged": judged}),
            "components": tuple(components.values()),
            "actions": tuple(actions.values()),
            "cells": tuple(cells.values()),
        }
    )


def write_run_json(record: RunRecord, path: Path) -> None:
    """Replace ``run.json`` whole: a reader never sees half of it."""
    write_atomically(path, record.model_dump_json(indent=1).encode() + b"\n")
