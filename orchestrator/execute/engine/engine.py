"""What matrixctl asks of whatever runs its containers (later: virtual machines).

The verbs are create, put, start, exec, get, remove; files travel as tar archives in both
directions, so that the engine may be on another machine.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Protocol

from pydantic import Field

from orchestrator import bounds
from orchestrator.record.model import EngineInfo
from orchestrator.value import Value

UID = 65534
"""Everything in a container runs as Debian's ``nobody``."""
WORK = "/work"
"""Where the labelled volume is mounted, in every container; the one writable place that lasts."""


_OWN = r"[0-9A-Za-z][0-9A-Za-z_.+-]*"


class ContainerSpec(Value):
    """A container to be made. The name and the run's label are chosen before it exists."""

    name: str
    run_id: str
    image: str
    platform: str
    argv: tuple[str, ...]
    network: Annotated[str, Field(pattern=rf"^(none|container:{_OWN})$")]
    """``none``, or ``container:<name>`` to join another's network namespace; no other one can be said."""
    volume: Annotated[str, Field(pattern=rf"^{_OWN}$")]
    """The named volume at WORK; a path, which would be a folder of the host's, cannot be said."""
    memory_bytes: int
    cpus: float
    pids: int = 256
    files: int = 4096
    processes: int = 16384
    """Of all processes of UID on the engine's host. Podman's default may be more than the host allows, and
    then no container starts; ``pids`` is what holds each container."""


class ExecResult(Value):
    """What a program in a container answered. ``exit_code`` 124 or 137 with ``timed_out``: its deadline."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    timed_out: bool


class Engine(Protocol):
    """The verbs. Every method raises EngineError when the engine does not do what was asked."""

    def info(self) -> EngineInfo: ...

    def answers(self) -> bool:
        """Whether it answers, waiting a bounded time for one that is being restarted. Raises nothing."""
        ...

    def running(self, name: str) -> bool:
        """Whether a container of that name exists and runs."""
        ...

    def create_volume(self, name: str, run_id: str) -> None: ...

    def remove_volume(self, name: str) -> None: ...

    def create(self, spec: ContainerSpec) -> None: ...

    def put(self, name: str, archive: bytes) -> None:
        """Unpack a tar archive below WORK."""
        ...

    def start(self, name: str) -> None: ...

    def exec(
        self, name: str, argv: tuple[str, ...], *, timeout: float, on_line: Callable[[bytes], None] | None
    ) -> ExecResult:
        """Run a program to its end; ``on_line`` gets each line of its output as it comes.

        After ``timeout`` seconds it gets TERM, 5 seconds later KILL, inside the container. The answer has the
        beginning of what it wrote (``bounds.OUTPUT``); with ``on_line`` its stdout is not kept as well.

        :raises EngineLostError: if the container was stopped under it, so that its end says nothing.
        :raises DeadlineError: if the engine itself does not come back in time.
        """
        ...

    def get(self, name: str, path: str, *, limit: int = bounds.ARCHIVE) -> Iterator[bytes]:
        """A tar archive of ``path``, in chunks; more than ``limit`` bytes is an error."""
        ...

    def remove(self, name: str) -> None: ...

    def sweep(self, run_id: str) -> tuple[str, ...]:
        """Remove every container and volume that this process made for a run; the names that were there."""
        ...


@contextmanager
def volume(engine: Engine, name: str, run_id: str, *, keep: bool) -> Iterator[str]:
    """A labelled volume that is gone afterwards."""
    engine.create_volume(name, run_id)
    try:
        yield name
    finally:
        if not keep:
            engine.remove_volume(name)


@contextmanager
def container(
    engine: Engine, spec: ContainerSpec, *, files: bytes | None = None, keep: bool
) -> Iterator[str]:
    """A started container that is removed in every case, Ctrl-C included.

    ``files`` is unpacked below WORK before the start. The ``try`` begins before ``create``, since a
    create whose answer is lost may still have made the container.
    """
    try:
        engine.create(spec)
        if files is not None:
            engine.put(spec.name, files)
        engine.start(spec.name)
        yield spec.name
    finally:
        if not keep:
            engine.remove(spec.name)
