"""The one module that starts processes."""

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from orchestrator.errors import DeadlineError, MatrixctlError

_live: set[int] = set()
GRACE = 5.0
"""Seconds between TERM and KILL."""

_OUTPUT = 64 << 20
"""Bytes of a program's output that are read; the rest is of no use to anybody."""

_PACKAGES = {
    "apt-cache": "apt",
    "apt-get": "apt",
    "dockerd": "docker.io",
    "gh": "gh",
    "git": "git",
    "mmdebstrap": "mmdebstrap",
    "mount": "mount",
    "prlimit": "util-linux",
    "setpriv": "util-linux",
    "systemctl": "systemd",
    "update-binfmts": "binfmt-support",
}
"""Debian's package for each program that is called by name."""


@dataclass(frozen=True, kw_only=True)
class Completed:
    """How a process ended. ``exit_code`` is negative for a signal, as in ``subprocess``."""

    exit_code: int
    stdout: bytes
    stderr: bytes


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
) -> Completed:
    """Run a program to its end, in a process group of its own, without our stdin.

    :param timeout: seconds until the group gets TERM; KILL follows GRACE seconds later.
    :param env: the whole environment; ``None`` hands on our own.
    :param stdin: what the program reads there.
    :raises DeadlineError: when the time is up; the group is gone by then.
    :raises MatrixctlError: when the program is not installed; says which package has it.
    """
    # Files, not pipes: a pipe's content would all be read into memory, and limits on files do not apply.
    with (
        tempfile.TemporaryFile() as stdout,
        tempfile.TemporaryFile() as stderr,
        tempfile.TemporaryFile() as given,
    ):
        given.write(stdin)
        given.seek(0)
        process = _start(argv, env=env, stdin=given, stdout=stdout, stderr=stderr)
        _wait(process, argv, timeout)
        return Completed(
            exit_code=process.returncode, stdout=_read_content(stdout), stderr=_read_content(stderr)
        )


def _read_content(output: IO[bytes]) -> bytes:
    output.seek(0)
    return output.read(_OUTPUT)


def _wait(process: "subprocess.Popen[bytes]", argv: Sequence[str], timeout: float) -> None:
    _live.add(process.pid)
    try:
        process.wait(timeout=timeout)
    except subprocess.TimeoutExpired:
        _end_group(process)
        raise DeadlineError(
            f"`{' '.join(argv)}` did not end within {timeout:g} s",
            resolution="It was stopped. Run it by hand to see where it waits.",
        ) from None
    except BaseException:  # Ctrl-C does not reach another process group by itself
        _end_group(process)
        raise
    finally:
        _live.discard(process.pid)


def end_all() -> None:
    """Send TERM to every program that ``run`` waits for, in all threads: their callers see it fail."""
    for group in list(_live):
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGTERM)


def spawn_detached(argv: Sequence[str], log: Path) -> int:
    """Start a program that outlives us, append its output to ``log``, and return its process id.

    None of our files stays open in it: a reader that waits for our pipes to close would never end.

    :raises MatrixctlError: when the program is not installed.
    """
    with log.open("ab") as output:
        try:
            process = subprocess.Popen(  # noqa: S603 - an argument list, never a shell line
                list(argv), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        except FileNotFoundError:
            raise explain_missing(argv[0]) from None
    process.returncode = 0  # it is meant to go on: no warning that it still runs
    return process.pid


def _start(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None,
    stdin: IO[bytes],
    stdout: IO[bytes],
    stderr: IO[bytes],
) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(  # noqa: S603 - an argument list, never a shell line
            list(argv),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=None if env is None else dict(env),
            start_new_session=True,
        )
    except FileNotFoundError:
        raise explain_missing(argv[0]) from None


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """End the whole group with TERM, a grace period, KILL: children may outlive their parent."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=GRACE)


def read_inherited(names: re.Pattern[str]) -> dict[str, str]:
    """Return the part of our environment that a program may see if it runs other people's code."""
    return {name: value for name, value in os.environ.items() if names.fullmatch(name)}


def explain_missing(program: str) -> MatrixctlError:
    """Return the error for a program that is not installed; its resolution names the package."""
    package = _PACKAGES.get(Path(program).name)
    return MatrixctlError(
        f"the program `{program}` is not installed",
        resolution=f"Run: apt-get install --no-install-recommends {package}" if package else "",
    )
