"""What the ``docker`` package raises, in the words of this one."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import requests
import urllib3
from docker.errors import APIError, DockerException
from paramiko.ssh_exception import SSHException

from orchestrator import bounds
from orchestrator.errors import EngineError, EngineLostError, ExhaustedError

ENGINE_ERRORS = (
    DockerException,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    SSHException,
    EOFError,
    ConnectionError,
)
"""Whatever the ``docker`` package and the transports below it raise."""
_TAKEN = re.compile(
    r"is not running|non[- ]running container|no such (container|exec)|shutting down", re.IGNORECASE
)
"""How the engine says that what was started there is gone: it restarted, or somebody removed it."""
_FULL = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
DOCTOR = "Run `matrixctl doctor` to see what is missing."


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
        if not isinstance(error, APIError) or _TAKEN.search(said):
            kind = EngineLostError
        elif _FULL.search(said):
            kind = ExhaustedError
        raise kind(
            f"Docker failed to {what}.", details=bounds.cut(said, bounds.MESSAGE), resolution=DOCTOR
        ) from error
