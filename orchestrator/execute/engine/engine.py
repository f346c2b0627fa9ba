"""What matrixctl asks of whatever runs its containers (later: virtual machines).

The verbs are create, put, start, exec, get, remove; files travel as tar archives in both directions, so
that the engine may be on another machine. ``docker_engine`` and its neighbours alone import ``docker``.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Annotated, Literal, Protocol

from pydantic import Field

from orchestrator import bounds
from orchestrator.frozen_value import Value
from orchestrator.record.model import EngineInfo

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
    captures: bool = False
    """It may capture packets of its network namespace: its program is root, with that power and no other."""
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


class Image(Value):
    """An image that the engine has.

    :ivar tags: as they were given to it, without a registry that the engine puts before them.
    :ivar arch: that it is recorded for, in Docker's words (``amd64``).
    :ivar created: of ISO 8601.
    """

    id: str
    tags: tuple[str, ...]
    arch: str
    labels: dict[str, str]
    created: str


class Leftover(Value):
    """One thing that bears our label. ``alive``: whether its maker still runs, ``None``: that is not known.

    :ivar kept: left on purpose, by ``--keep``.
    """

    kind: Literal["container", "volume"]
    name: str
    run: str
    alive: bool | None
    kept: bool


class Engine(Protocol):
    """The verbs. Every method raises EngineError when the engine does not do what was asked."""

    # What it is, and has.

    def describe(self) -> EngineInfo: ...

    @property
    def cpus(self) -> int:
        """How many its host has."""
        ...

    @property
    def memory(self) -> int:
        """Bytes that its host has."""
        ...

    @property
    def folder(self) -> str:
        """Where it keeps its images, on its host."""
        ...

    def answers(self) -> bool:
        """Whether it answers, waiting a bounded time for one that is being restarted. Raises nothing."""
        ...

    # A run's containers and volumes.

    def is_running(self, name: str) -> bool:
        """Return whether a container of that name exists and runs."""
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

    def interact(self, name: str, argv: tuple[str, ...]) -> int:
        """Run a program to its end with this process's stdin and stdout; return its exit code.

        Where both are a terminal, the program has one, too.
        """
        ...

    def get(self, name: str, path: str, *, limit: int = bounds.ARCHIVE) -> Iterator[bytes]:
        """Yield a tar archive of ``path``, in chunks; more than ``limit`` bytes is an error."""
        ...

    def remove(self, name: str) -> None: ...

    # Images, and the containers of a moment that make and prove them. Where their program was still running
    # after ``timeout`` seconds, the answer is ``timed_out`` and has no output.

    def find_image(self, name: str) -> Image | None:
        """Return the image of a tag or id, if it is here."""
        ...

    def list_images(self, label: str) -> tuple[Image, ...]:
        """Return the images that bear ``NAME`` or ``NAME=VALUE``, the youngest first."""
        ...

    def find_digest(self, tag: str) -> str | None:
        """Return the digest that a registry has for a tag now; ``None`` where no registry answers."""
        ...

    def build_image(
        self,
        tag: str,
        context: IO[bytes],
        *,
        platform: str,
        labels: Mapping[str, str],
        arguments: Mapping[str, str],
        timeout: float,
    ) -> ExecResult:
        """Build an image of a tar that holds a ``Dockerfile``; ``stdout`` is the end of what its steps wrote.

        ``stderr`` says why it failed.
        """
        ...

    def save_image(self, tag: str, into: IO[bytes]) -> None:
        """Write the saved image of a tag to ``into``, as ``docker save`` does: the same bytes each time."""
        ...

    def load_image(self, saved: IO[bytes]) -> None:
        """Load a saved image, as ``docker load`` does; whatever is in it gets the tags that it names."""
        ...

    def remove_image(self, image: str) -> None:
        """Remove an image by its id, with all tags."""
        ...

    def run(self, image: str, argv: tuple[str, ...], *, timeout: float) -> ExecResult:
        """Run a program as ``nobody``, without network, and with nothing to write to.

        ``stdout`` has all that it wrote; exit code 126: the machine cannot run it.
        """
        ...

    def make_file(
        self,
        image: str,
        script: str,
        path: str,
        into: IO[bytes],
        *,
        environment: Mapping[str, str],
        timeout: float,
    ) -> ExecResult:
        """Run a shell script as root, with network, and write the file that it made to ``into``.

        ``stdout`` is the end of what it wrote. Where it fails, nothing is written.
        """
        ...

    def copy_file(self, image: str, path: str, into: IO[bytes]) -> None:
        """Write a file of an image to ``into``; nothing of the image runs."""
        ...

    # What is left of runs.

    def sweep(self, run_id: str = "") -> tuple[str, ...]:
        """Remove every container and volume that this process made, for one run or at all; their names."""
        ...

    def find_leftovers(self) -> tuple[Leftover, ...]:
        """Return everything that bears our label, in the order in which it can be removed."""
        ...

    def remove_leftover(self, leftover: Leftover) -> bool:
        """Remove it, running or not; false where it is gone already, or another is about to remove it."""
        ...


def connect(*, keep: bool = False) -> Engine:
    """Return the engine that the environment names (DOCKER_HOST, ssh:// included), or the local one.

    :param keep: what it makes is marked, so that nothing but ``matrixctl clean`` takes it from a person.
    :raises UnreachableError: if no engine answers there, with the remedy.
    """
    # Late: the package alone takes 0.2 s, which what needs no engine does not wait for.
    from orchestrator.execute.engine import docker_engine  # noqa: PLC0415

    return docker_engine.connect(keep=keep)


@contextmanager
def volume(engine: Engine, name: str, run_id: str, *, keep: bool) -> Iterator[str]:
    """Make a labelled volume; remove it afterwards."""
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
    """Start a container; remove it in every case, Ctrl-C included.

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
