"""A program in a container of a Docker daemon: what it writes, how it ends, and how it is ended."""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, cast

import docker
from docker.errors import NotFound

from orchestrator import bounds
from orchestrator.errors import DeadlineError, EngineError, EngineLostError
from orchestrator.execute.engine.docker_errors import DOCTOR, ENGINE_ERRORS, explain_errors
from orchestrator.execute.engine.engine import ExecResult

GRACE = 5
"""Seconds between TERM and KILL of a program past its deadline."""
_BACKSTOP = 15
"""Seconds after KILL until the engine itself is taken to hang."""
_TERMINATED, _SIGKILL = 124, 137
"""How ``timeout`` ends: the program obeyed TERM; it had to be killed (timeout(1))."""
_MOMENT = 1.5
"""Seconds in which the end of a container shows, once KILL has ended the programs in it."""
_HEADER = 8
_PIECE = 1 << 16
"""Bytes that are read at once: a frame's header may promise 4 GiB."""
_OUT = 1
"""Number of stdout in Docker's stream."""
_UPGRADE = {"Connection": "Upgrade", "Upgrade": "tcp"}


def execute(
    api: docker.APIClient,
    name: str,
    argv: tuple[str, ...],
    *,
    timeout: float,
    on_line: Callable[[bytes], None] | None,
) -> ExecResult:
    """See ``Engine.exec``."""
    bounded = ["timeout", "-k", str(GRACE), f"{timeout:.1f}", *argv]
    backstop = timeout + GRACE + _BACKSTOP
    started = time.monotonic()
    with explain_errors(f"run {argv[0]} in {name}"):
        exec_id = api.exec_create(name, bounded, stdin=False)["Id"]
        out, err = bounds.Head(bounds.OUTPUT), bounds.Head(bounds.OUTPUT)
        take = out.add if on_line is None else _make_line_splitter(argv[0], on_line)
        with (
            _kill_after(api, name, timeout + 2 * GRACE) as killed,
            closing(_read_stream(api, exec_id, started + backstop)) as frames,
        ):
            for number, data in frames:
                (take if number == _OUT else err.add)(data)
        exit_code = _SIGKILL if killed.is_set() else find_exit_code(api, exec_id)
    if exit_code is None:  # the stream ended, the program did not: the container is being removed
        raise EngineLostError(f"{argv[0]} in {name} was cut off.", resolution=DOCTOR)
    if exit_code != 0 and not killed.is_set() and not _is_still_running(api, name, exit_code):
        # What it says of its program is worth nothing.
        raise EngineLostError(f"{name} was stopped while {argv[0]} ran in it.", resolution=DOCTOR)
    timed_out = exit_code in {_TERMINATED, _SIGKILL} and time.monotonic() - started >= timeout
    return ExecResult(
        exit_code=exit_code, stdout=out.get_content(), stderr=err.get_content(), timed_out=timed_out
    )


def is_running(api: docker.APIClient, name: str) -> bool:
    """See ``Engine.is_running``."""
    with explain_errors(f"tell whether {name} runs"):
        try:
            return bool(api.inspect_container(name)["State"]["Running"])
        except NotFound:
            return False


def _is_still_running(api: docker.APIClient, name: str, exit_code: int) -> bool:
    """Whether a container outlives its program; the engine notes its end a moment after the program's."""
    until = time.monotonic() + (_MOMENT if exit_code == _SIGKILL else 0)
    while (runs := is_running(api, name)) and time.monotonic() < until:
        time.sleep(0.1)
    return runs


@contextmanager
def _kill_after(api: docker.APIClient, name: str, seconds: float) -> Iterator[threading.Event]:
    """End the container of what outlives its KILL: it may have stopped timeout(1), which sends that."""
    killed = threading.Event()

    def kill() -> None:
        killed.set()
        with suppress(*ENGINE_ERRORS):
            api.kill(name)

    timer = threading.Timer(seconds, kill)
    timer.daemon = True
    timer.start()
    try:
        yield killed
    finally:
        timer.cancel()


def _read_stream(api: docker.APIClient, exec_id: str, deadline: float) -> Generator[tuple[int, bytes]]:
    wait = max(1.0, deadline - time.monotonic())
    with open_stream(api, exec_id, wait=wait) as (raw, _):
        yield from read_frames(raw, deadline)


@contextmanager
def open_stream(
    api: docker.APIClient, exec_id: str, *, terminal: bool = False, wait: float | None = None
) -> Iterator[tuple[Any, Any]]:
    """Start a program that was made; yield what it writes, as a file, and the engine's answer.

    :param terminal: the program has one, and what it writes comes as it is, not in frames.
    :param wait: seconds of silence after which it is over; ``None``: a person may think as long as he likes.
    """
    # Not docker-py's own exec_start: it reads the socket beneath http.client's buffer, so that
    # output which arrives together with the response's header is lost, and it waits forever.
    # Without the upgrade http.client closes the connection that it hands over, which paramiko's
    # channel, unlike a socket, takes at its word; the buffer itself is `fp`.
    url = f"{api.base_url}/v{api.api_version}/exec/{exec_id}/start"
    options: Any = {"json": {"Detach": False, "Tty": terminal}, "headers": _UPGRADE, "stream": True}
    with api.post(url, **options, timeout=wait) as response:
        response.raise_for_status()
        connection: Any = response.raw._fp  # noqa: SLF001 - the way that docker-py goes, too
        yield connection.fp, response


def find_exit_code(api: docker.APIClient, exec_id: str) -> int | None:
    """Return the program's exit code; ``None`` if its stream ended and it did not, so that it was cut off."""
    until = time.monotonic() + GRACE
    while (state := api.exec_inspect(exec_id))["Running"] and time.monotonic() < until:
        time.sleep(0.02)  # the engine notes the end a moment after the stream's
    return None if state["Running"] else state["ExitCode"]


def _make_line_splitter(program: str, on_line: Callable[[bytes], None]) -> Callable[[bytes], None]:
    lines = bounds.Lines(bounds.LINE)

    def take(data: bytes) -> None:
        try:
            for line in lines.split(data):
                on_line(line)
        except OverflowError as error:
            raise EngineError(f"{program} in a container wrote {error}.") from None

    return take


def read_frames(raw: Any, deadline: float) -> Iterator[tuple[int, bytes]]:
    """Yield stream number and data of Docker's multiplexed stream; frames come in pieces.

    A frame is the number, three zero bytes, the length, the data.

    Source: https://docs.docker.com/reference/api/engine/ (ContainerAttach, "stream format").
    """
    while len(header := _read_exactly(raw, _HEADER)) == _HEADER:
        left = int.from_bytes(header[4:], "big")
        while left and (data := _read_exactly(raw, min(left, _PIECE))):
            yield header[0], data
            left -= len(data)
            if time.monotonic() > deadline:
                raise DeadlineError("A program in a container outlived its deadline and its KILL.")


def _read_exactly(raw: Any, size: int) -> bytes:
    data = b""
    while len(data) < size:
        try:
            more = cast("bytes", raw.read(size - len(data)))
        except TimeoutError as error:
            raise DeadlineError("The Docker engine stopped answering.", resolution=DOCTOR) from error
        if not more:
            break
        data += more
    return data
