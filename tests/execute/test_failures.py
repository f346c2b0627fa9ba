"""Errors in the words of the outcome table."""

import errno

import fakes
import pytest

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
    TooLargeError,
    UnpackError,
    UnreachableError,
)
from orchestrator.execute.failures import find_reason, is_engine_lost, make_failure
from orchestrator.outcome import Outcome, Reason
from orchestrator.plan.action import Action, ActionKind

TABLE = [
    (BuildError("x"), Reason.BUILD_FAILED, Outcome.FAIL),
    (PackageMissingError("x"), Reason.PACKAGE_MISSING, Outcome.ERROR),
    (SourceUnreachableError("x"), Reason.SOURCE_UNREACHABLE, Outcome.BLOCKED),
    (ChecksumMismatchError("x"), Reason.CHECKSUM_MISMATCH, Outcome.BLOCKED),
    (PrerequisiteError("x"), Reason.PREREQUISITE, Outcome.BLOCKED),
    (DeadlineError("x"), Reason.DEADLINE, Outcome.ERROR),
    (EmulationError("x"), Reason.EMULATION, Outcome.ERROR),
    (EngineError("x"), Reason.ENGINE_UNAVAILABLE, Outcome.ERROR),
    (UnreachableError("x"), Reason.ENGINE_UNAVAILABLE, Outcome.ERROR),
    (UnpackError("x"), Reason.ENGINE_UNAVAILABLE, Outcome.ERROR),
    (EngineLostError("x"), Reason.ENGINE_UNAVAILABLE, Outcome.ERROR),
    (ExhaustedError("x"), Reason.EXHAUSTED, Outcome.ERROR),
    (TooLargeError("x"), Reason.ENGINE_UNAVAILABLE, Outcome.ERROR),
    (MatrixctlError("x"), Reason.INTERNAL, Outcome.ERROR),
    (OSError("x"), Reason.INTERNAL, Outcome.ERROR),
    (OSError(errno.ENOSPC, "x"), Reason.EXHAUSTED, Outcome.ERROR),
]


def action(kind: ActionKind) -> Action:
    return fakes.action(f"{kind}:it", kind=kind, name="it")


@pytest.mark.parametrize(("error", "reason", "outcome"), TABLE)
def test_each_error_has_its_reason(error: Exception, reason: Reason, outcome: Outcome) -> None:
    assert find_reason(error) is reason
    failure = make_failure(action("tls"), error)
    assert (failure.outcome, failure.reason, failure.action) == (outcome, reason, "tls:it")


def test_every_error_of_the_vocabulary_is_in_the_table() -> None:
    no_actions = {"UsageError", "NothingSelectedError", "RecordError"}  # end before there is one, or the run
    foreign = {"MatrixctlError", "OSError"}
    own = {*MatrixctlError.__subclasses__(), *EngineError.__subclasses__()}
    named = {kind.__name__ for kind in own} - no_actions
    assert named == {type(error).__name__ for error, *_ in TABLE} - foreign


@pytest.mark.parametrize(("error", "reason"), [(error, reason) for error, reason, _ in TABLE])
def test_only_what_the_machine_lacks_blocks_by_an_image(error: Exception, reason: Reason) -> None:
    failure = make_failure(action("image"), error)
    assert failure.message.startswith("image it: ")
    if type(error) is MatrixctlError:
        assert (failure.outcome, failure.reason) == (Outcome.BLOCKED, Reason.PREREQUISITE)
    else:  # a dead engine is an error, which --allow-blocked does not forgive
        assert failure.reason is reason


def test_the_message_is_one_line_whatever_the_error_carries() -> None:
    error = BuildError("It broke.", details="line 1\nline 2", resolution="Mend it.")
    assert make_failure(action("haproxy"), error).message == "haproxy it: It broke."
    assert make_failure(action("haproxy"), ValueError("odd")).message == "haproxy it: ValueError('odd')"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (EngineLostError("x"), True),
        (EngineError("x"), False),
        (ExhaustedError("x"), False),
        (ValueError("x"), False),
    ],
)
def test_only_a_loss_of_the_engine_is_worth_another_try(error: Exception, expected: bool) -> None:
    assert is_engine_lost(error) is expected


def test_a_loss_counts_though_the_cleaning_up_failed_in_another_way() -> None:
    def clean_up_in_vain() -> None:
        try:
            raise EngineLostError("gone")
        finally:
            raise EngineError("volume is in use")

    with pytest.raises(EngineError, match="in use") as caught:
        clean_up_in_vain()
    assert is_engine_lost(caught.value)
