"""Errors in the words of the outcome table."""

import pytest

from orchestrator.errors import (
    BuildError,
    ChecksumMismatchError,
    DeadlineError,
    EmulationError,
    EngineError,
    MatrixctlError,
    SourceUnreachableError,
)
from orchestrator.execute.failures import failure_of, reason_of
from orchestrator.outcome import Outcome, Reason
from orchestrator.plan.action import Action, Kind

TABLE = [
    (BuildError("x"), Reason.BUILD_FAILED, Outcome.FAIL),
    (SourceUnreachableError("x"), Reason.SOURCE_UNREACHABLE, Outcome.BLOCKED),
    (ChecksumMismatchError("x"), Reason.CHECKSUM_MISMATCH, Outcome.BLOCKED),
    (DeadlineError("x"), Reason.DEADLINE, Outcome.ERROR),
    (EmulationError("x"), Reason.EMULATION, Outcome.ERROR),
    (EngineError("x"), Reason.ENGINE_UNAVAILABLE, Outcome.ERROR),
    (MatrixctlError("x"), Reason.INTERNAL, Outcome.ERROR),
    (OSError("x"), Reason.INTERNAL, Outcome.ERROR),
]


def action(kind: Kind) -> Action:
    return Action(key=f"{kind}:it", kind=kind, name="it")


@pytest.mark.parametrize(("error", "reason", "outcome"), TABLE)
def test_each_error_has_its_reason(error: Exception, reason: Reason, outcome: Outcome) -> None:
    assert reason_of(error) is reason
    failure = failure_of(action("tls"), error)
    assert (failure.outcome, failure.reason, failure.action) == (outcome, reason, "tls:it")


def test_every_error_of_the_vocabulary_is_in_the_table() -> None:
    usage = {"UsageError", "NothingSelectedError"}  # end before there is an action
    named = {kind.__name__ for kind in MatrixctlError.__subclasses__()} - usage
    assert named == {type(error).__name__ for error, *_ in TABLE} - {"MatrixctlError", "OSError"}


@pytest.mark.parametrize(("error", "reason"), [(error, reason) for error, reason, _ in TABLE])
def test_an_image_that_fails_blocks_its_cells_by_name(error: Exception, reason: Reason) -> None:
    failure = failure_of(action("image"), error)
    if reason is Reason.EMULATION:
        assert failure.reason is Reason.EMULATION
    else:
        assert (failure.outcome, failure.reason) == (Outcome.BLOCKED, Reason.PREREQUISITE)
        assert failure.message.startswith("image it: ")


def test_the_message_is_one_line_whatever_the_error_carries() -> None:
    error = BuildError("It broke.", details="line 1\nline 2", resolution="Mend it.")
    assert failure_of(action("haproxy"), error).message == "haproxy it: It broke."
    assert failure_of(action("haproxy"), ValueError("odd")).message == "haproxy it: ValueError('odd')"
