"""What the ``docker`` package raises, in the words of this one."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Literal

import requests
import urllib3
from docker.errors import APIError, DockerException
from paramiko.ssh_exception import SSHException

from orchestrator import bounds
from orchestrator.errors import EngineError, EngineLostError, ExhaustedError, UnreachableError

ENGINE_ERRORS = (
    DockerException,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    SSHException,
    EOFError,
    ConnectionError,
)
"""Whatever the ``docker`` package and the transports below it raise."""
DOCTOR = "Run `matrixctl doctor` to see what is missing."


class Refusal(Enum):
    """What a refusal of the engine means, where its status code does not tell."""

    BEING_REMOVED = auto()
    """Another call removes the container at this moment."""
    CANNOT_EXECUTE = auto()
    """The program is for another architecture than the machine's."""
    GONE = auto()
    """What was started there is gone: the engine restarted, or somebody removed it."""
    FULL = auto()
    """Its disk is full."""


# As Docker 20.10 says it: moby's daemon/delete.go, daemon/errors.go and daemon/container_operations.go. What
# runs out, and what cannot be executed, are the kernel's words (ENOSPC, EDQUOT, ENOEXEC), handed on by runc.
_WORDS = {
    Refusal.BEING_REMOVED: r"already in progress",
    Refusal.CANNOT_EXECUTE: r"exec format error",
    Refusal.GONE: r"is not running|non[- ]running container|no such (container|exec)|shutting down",
    Refusal.FULL: r"no space left on device|disk quota exceeded",
}


def find_refusal(error: APIError) -> Refusal | None:
    """Return what the engine's words mean; ``None`` for any other refusal."""
    said = str(error.explanation or error)
    return next((kind for kind, words in _WORDS.items() if re.search(words, said, re.IGNORECASE)), None)


# Python's errors, as requests and docker-py 7 put them into their own messages; over SSH the shell's words.
_FORBIDDEN = re.compile("PermissionError|Permission denied")
_NOT_RUNNING = re.compile("FileNotFoundError|ConnectionRefused")


def explain_unreachable(error: Exception) -> UnreachableError:
    """Return the error of an engine that does not answer the first call."""
    said = str(error)
    why: Literal["forbidden", "not-running", "unknown"] = "unknown"
    if _FORBIDDEN.search(said):
        why = "forbidden"
    elif _NOT_RUNNING.search(said):
        why = "not-running"
    return UnreachableError(
        "No Docker engine answers.", why=why, details=said, resolution=DOCTOR + " `--fix` installs it."
    )


@contextmanager
def explain_errors(what: str) -> Iterator[None]:
    """Raise our errors for those of calls of the engine; ``what`` completes the sentence "Docker failed to".

    :raises EngineLostError: where the engine went away, or took away what it was asked for.
    :raises ExhaustedError: where its disk is full.
    :raises EngineError: where it refused.
    """
    try:
        yield
    except ENGINE_ERRORS as error:
        said, kind = str((error.explanation if isinstance(error, APIError) else None) or error), EngineError
        refusal = find_refusal(error) if isinstance(error, APIError) else Refusal.GONE
        if refusal is Refusal.GONE:
            kind = EngineLostError
        elif refusal is Refusal.FULL:
            kind = ExhaustedError
        raise kind(
            f"Docker failed to {what}.", details=bounds.cut(said, bounds.MESSAGE), resolution=DOCTOR
        ) from error
