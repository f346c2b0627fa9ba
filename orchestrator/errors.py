"""Errors for people: what happened, where, what to do, and the exit code that it causes."""

from enum import IntEnum
from typing import Literal

from orchestrator.mask_passwords import mask_text


class Exit(IntEnum):
    """Exit codes of the command line. FAILED beats HARNESS where both apply."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOTHING_SELECTED = 3
    HARNESS = 4
    INTERRUPTED = 130


class MatrixctlError(Exception):
    """An error that is shown without a traceback.

    ``brief`` is one line; ``details`` may have several (what was tried); ``resolution`` says what to do. No
    password of a URL stands in any of them.
    """

    exit_code = Exit.HARNESS

    def __init__(self, brief: str, *, details: str = "", resolution: str = "") -> None:
        super().__init__(mask_text(brief))
        self.brief = mask_text(brief)
        self.details = mask_text(details)
        self.resolution = mask_text(resolution)

    def __str__(self) -> str:
        parts = [self.brief, self.details, self.resolution]
        return "\n".join(part for part in parts if part)


class UsageError(MatrixctlError):
    """A bad command line, matrix or sources file."""

    exit_code = Exit.USAGE


class NothingSelectedError(MatrixctlError):
    """A valid selection that matches no cell: never an empty success."""

    exit_code = Exit.NOTHING_SELECTED


class EngineError(MatrixctlError):
    """The container engine did not do what was asked of it (outcome ``error: engine-unavailable``)."""


class UnreachableError(EngineError):
    """No engine answers. ``why``: this user may not ask it, it does not run, or nothing is known of it."""

    def __init__(
        self,
        brief: str,
        *,
        why: Literal["forbidden", "not-running", "unknown"] = "unknown",
        details: str = "",
        resolution: str = "",
    ) -> None:
        super().__init__(brief, details=details, resolution=resolution)
        self.why = why


class UnpackError(EngineError):
    """An image cannot be built, since dpkg cannot unpack a package; ``said`` is its line on that."""

    def __init__(self, brief: str, *, said: str = "", details: str = "", resolution: str = "") -> None:
        super().__init__(brief, details=details, resolution=resolution)
        self.said = said


class EngineLostError(EngineError):
    """The engine went away, or lost what ran there: the same action may succeed when it is back."""


class ExhaustedError(EngineError):
    """Memory or disk ran out on the engine's host (outcome ``error: exhausted``)."""


class TooLargeError(EngineError):
    """What was asked of the engine is larger than may be taken in."""


class RecordError(MatrixctlError):
    """The run's folder cannot be written. This ends the run: an unwritten event does not count."""


class DeadlineError(MatrixctlError):
    """A time limit passed (outcome ``error: deadline``)."""


class EmulationError(MatrixctlError):
    """A program of another architecture cannot run here (outcome ``error: emulation``)."""


class SourceUnreachableError(MatrixctlError):
    """No origin had the file (outcome ``blocked: source-unreachable``); details say what was tried."""


class ChecksumMismatchError(MatrixctlError):
    """Every origin that answered had other bytes (outcome ``blocked: checksum-mismatch``)."""


class PrerequisiteError(MatrixctlError):
    """Something that a cell needs does not exist here (outcome ``blocked: prerequisite``)."""


class PackageMissingError(MatrixctlError):
    """Our image lacks what a value is built with (outcome ``error: package-missing``)."""


class BuildError(MatrixctlError):
    """A compile failed (outcome ``fail: build-failed``); details hold the last lines of the log."""
