"""What matrixctl asks of whatever runs its containers (later: virtual machines).

The verbs are create, put, start, exec, get, stop, remove; files travel as tar archives in both
directions, so that the engine may be on another machine.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from orchestrator.record.model import EngineInfo
from orchestrator.value import Value

UID = 65534
"""Everything in a container runs as Debian's ``nobody``."""
WORK = "/work"
"""Where the labelled volume is mounted, in every container; the one writable place that lasts."""


class ContainerSpec(Value):
    """A container to be made. The name and the run's label are chosen before it exists."""

    name: str
    run_id: str
    image: str
    platform: str
    argv: tuple[str, ...]
    network: str
    """``none``, or ``container:<name>`` to join another's network namespace."""
    volume: str
    """The named volume at WORK."""
    memory_bytes: int
    cpus: float
    pids: int = 256
    files: int = 4096


class ExecResult(Value):
    """What a program in a container answered. ``exit_code`` 124 or 137 with ``timed_out``: its deadline."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    timed_out: bool


class Engine(Protocol):
    """The verbs. Every method raises EngineError when the engine does not do what was asked."""

    def info(self) -> EngineInfo: ...

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

        After ``timeout`` seconds it gets TERM, 5 seconds later KILL, inside the container.

        :raises DeadlineError: if the engine itself does not come back in time.
        """
        ...

    def get(self, name: str, path: str) -> Iterator[bytes]:
        """A tar archive of ``path``, in chunks."""
        ...

    def stop(self, name: str) -> None: ...

    def remove(self, name: str) -> None: ...

    def sweep(self, run_id: str) -> tuple[str, ...]:
        """Remove every container and volume of a run; the names that were still there."""
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
