"""What is sent to a worker, and what comes back: plain values, so that they can be pickled."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

from orchestrator.app.cluster.images import Given, WantedImage
from orchestrator.app.resume import digest_tool
from orchestrator.matrix.model import Cell, Limits, Unsupported
from orchestrator.plan.action import Action
from orchestrator.probe.certificates import Certificates
from orchestrator.record.journal import Event
from orchestrator.record.model import ActionStatus


@dataclass(frozen=True, kw_only=True)
class Tool:
    """What must be the same on every machine of a run, since each reads what another has pickled."""

    matrixctl: str
    """A digest of its own modules, templates and image recipes."""
    python: str
    distributed: str

    def __str__(self) -> str:
        return f"matrixctl {self.matrixctl}, Python {self.python}, distributed {self.distributed}"


@cache
def find_tool() -> Tool:
    """Return what this process is."""
    return Tool(
        matrixctl=digest_tool()[:16],
        python=platform.python_version(),
        distributed=version("distributed"),
    )


@dataclass(frozen=True, kw_only=True)
class Task:
    """One action, and all that it takes beside what the store has.

    :ivar asker: who asked: a run that was cut off and goes on has the same id, and is another one.
    :ivar needed: the actions that it needs, by their keys.
    :ivar cells: its own, by id; of a probe also one for each thing that its clients have to prove.
    :ivar source: SHA-256 and file of what is compiled.
    :ivar images: what it is done in.
    :ivar declared: what is declared impossible of its cells.
    """

    run_id: str
    asker: str
    tool: Tool
    action: Action
    needed: Mapping[str, Action]
    cells: Mapping[str, Cell]
    source: tuple[str, str] | None
    images: Mapping[WantedImage, Given]
    limits: Limits
    repeat: int
    keep: bool
    certificates: Certificates
    declared: Mapping[str, Unsupported | None]


@dataclass(frozen=True, kw_only=True)
class Call:
    """Something that a session told: the field of ``Probing`` that is to be called, and with what."""

    field: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """What became of a task.

    :ivar events: its calls and events, in that order.
    :ivar files: its evidence, by path below the run's folder.
    :ivar log: of a build; ``None`` where there is none.
    :ivar given: the image that it made, as the other workers take it.
    :ivar worker: the address of who did it.
    """

    status: ActionStatus
    events: tuple[Call | Event, ...]
    files: Mapping[str, bytes]
    log: bytes | None
    error: Exception | None
    given: Given | None
    worker: str
