"""Errors in the words of the outcome table."""

from orchestrator import bounds
from orchestrator.atomic_files import FULL
from orchestrator.errors import (
    BuildError,
    ChecksumMismatchError,
    DeadlineError,
    EmulationError,
    EngineError,
    EngineLostError,
    ExhaustedError,
    MatrixctlError,
    PackageMissingError,
    PrerequisiteError,
    SourceUnreachableError,
)
from orchestrator.execute.schedule.pool import Failure
from orchestrator.outcome import REASONS, Reason
from orchestrator.plan.action import Action

_REASONS: tuple[tuple[type[MatrixctlError], Reason], ...] = (
    (BuildError, Reason.BUILD_FAILED),
    (PackageMissingError, Reason.PACKAGE_MISSING),
    (SourceUnreachableError, Reason.SOURCE_UNREACHABLE),
    (ChecksumMismatchError, Reason.CHECKSUM_MISMATCH),
    (PrerequisiteError, Reason.PREREQUISITE),
    (DeadlineError, Reason.DEADLINE),
    (EmulationError, Reason.EMULATION),
    (ExhaustedError, Reason.EXHAUSTED),
    (EngineError, Reason.ENGINE_UNAVAILABLE),
)


def find_reason(error: Exception) -> Reason:
    """Return the reason of an error; an unexpected error is ``internal``."""
    if isinstance(error, OSError) and error.errno in FULL:
        return Reason.EXHAUSTED
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), Reason.INTERNAL)


def is_engine_lost(error: BaseException | None) -> bool:
    """Return whether the engine was lost, so that the action is worth another try when it is back.

    The last error may come from cleaning up, so the errors in its context count as well.
    """
    while error is not None:
        if isinstance(error, EngineLostError):
            return True
        error = error.__cause__ or error.__context__
    return False


def make_failure(action: Action, error: Exception) -> Failure:
    """Return the failure that the cells of an action get when it fails.

    An image for which this machine lacks something is no fault of matrixctl: it blocks the cells, by name.
    An engine that fails stays an error, which ``--allow-blocked`` does not forgive.
    """
    reason = find_reason(error)
    if action.kind == "image" and type(error) is MatrixctlError:
        reason = Reason.PREREQUISITE
    brief = error.brief if isinstance(error, MatrixctlError) else repr(error)
    # What to do is all that there is to say: to wait longer, or to name a package.
    if isinstance(error, DeadlineError | PackageMissingError) and error.resolution:
        brief = f"{brief} {error.resolution}"
    brief = bounds.cut(brief, bounds.MESSAGE)
    message = f"{action.kind} {action.name}: {brief}"
    return Failure(outcome=REASONS[reason].outcome, reason=reason, message=message, action=action.key)
