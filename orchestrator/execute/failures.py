"""Errors in the words of the outcome table."""

from orchestrator.errors import (
    BuildError,
    ChecksumMismatchError,
    DeadlineError,
    EmulationError,
    EngineError,
    MatrixctlError,
    PrerequisiteError,
    SourceUnreachableError,
)
from orchestrator.execute.docker_engine import ENGINE_ERRORS
from orchestrator.execute.scheduler import Failure
from orchestrator.outcome import REASONS, Reason
from orchestrator.plan.action import Action

_REASONS: tuple[tuple[type[MatrixctlError], Reason], ...] = (
    (BuildError, Reason.BUILD_FAILED),
    (SourceUnreachableError, Reason.SOURCE_UNREACHABLE),
    (ChecksumMismatchError, Reason.CHECKSUM_MISMATCH),
    (PrerequisiteError, Reason.PREREQUISITE),
    (DeadlineError, Reason.DEADLINE),
    (EmulationError, Reason.EMULATION),
    (EngineError, Reason.ENGINE_UNAVAILABLE),
)


def reason_of(error: Exception) -> Reason:
    """The reason that an error stands for; what nobody foresaw is ``internal``."""
    if isinstance(error, ENGINE_ERRORS):
        return Reason.ENGINE_UNAVAILABLE
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), Reason.INTERNAL)


def failure_of(action: Action, error: Exception) -> Failure:
    """What the cells of an action come to when it fails.

    An image for which this machine lacks something is no fault of matrixctl: it blocks the cells, by name.
    An engine that fails stays an error, which ``--allow-blocked`` does not forgive.
    """
    reason = reason_of(error)
    if action.kind == "image" and type(error) is MatrixctlError:
        reason = Reason.PREREQUISITE
    brief = error.brief if isinstance(error, MatrixctlError) else repr(error)
    message = f"{action.kind} {action.name}: {brief}"
    return Failure(outcome=REASONS[reason].outcome, reason=reason, message=message, action=action.key)
