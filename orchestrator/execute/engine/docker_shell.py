"""A person's shell in a container of a Docker daemon, on this terminal, or fed by this process's stdin."""

import os
import signal
import socket
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import docker

from orchestrator.errors import EngineLostError
from orchestrator.execute.engine import docker_exec
from orchestrator.execute.engine.docker_errors import DOCTOR, ENGINE_ERRORS, explain_errors

_PIECE = 1 << 16
_OUT = 1
"""Number of stdout in Docker's stream."""


def interact(api: docker.APIClient, name: str, argv: tuple[str, ...]) -> int:
    """See ``Engine.interact``."""
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    with explain_errors(f"open a shell in {name}"):
        environment = {"TERM": "xterm"} if terminal else {}  # what the container knows, and each imitates
        made = api.exec_create(name, list(argv), stdin=True, tty=terminal, environment=environment)
        exec_id = made["Id"]
        with docker_exec.open_stream(api, exec_id, terminal=terminal) as (raw, response):
            find: Any = getattr(api, "_get_raw_response_socket")  # noqa: B009 - docker-py's own way, not public
            found = find(response)  # a socket, or over ssh a channel
            connection = getattr(found, "_sock", found)
            threading.Thread(target=_send, args=(connection,), daemon=True).start()
            if terminal:
                with _raw_terminal(lambda rows, columns: api.exec_resize(exec_id, rows, columns)):
                    _copy(getattr(raw, "read1", connection.recv))
            else:
                _copy_both(raw)
        code = docker_exec.find_exit_code(api, exec_id)
    if code is None:
        raise EngineLostError(f"the shell in {name} was cut off", resolution=DOCTOR)
    return code


def _send(connection: socket.socket) -> None:
    """Send what is typed, or piped, until its end."""
    with suppress(OSError):  # the shell has ended
        while data := os.read(0, _PIECE):
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)


def _copy(read: Callable[[int], bytes]) -> None:
    while data := read(_PIECE):
        _write(1, data)


def _copy_both(raw: Any) -> None:
    for number, data in docker_exec.read_frames(raw, float("inf")):
        _write(1 if number == _OUT else 2, data)


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


@contextmanager
def _raw_terminal(resize: Callable[[int, int], Any]) -> Iterator[None]:
    """Let each key, Ctrl-C too, and the terminal's size go to the container; undo that afterwards."""

    def fit(*_: object) -> None:
        size = os.get_terminal_size(0)
        with suppress(*ENGINE_ERRORS):
            resize(size.lines, size.columns)

    before, handler = termios.tcgetattr(0), signal.getsignal(signal.SIGWINCH)
    try:
        tty.setraw(0)
        fit()
        signal.signal(signal.SIGWINCH, fit)
        yield
    finally:
        signal.signal(signal.SIGWINCH, handler)
        with suppress(termios.error):  # the terminal itself may be gone
            termios.tcsetattr(0, termios.TCSADRAIN, before)
