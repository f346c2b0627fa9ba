"""The outcome table: complete, without a double, and with the promised exit codes."""

import pytest

from orchestrator.errors import Exit
from orchestrator.outcome import REASONS, Outcome, Reason, exit_code, worst


def test_every_reason_stands_once_in_the_table() -> None:
    assert set(REASONS) == set(Reason)
    assert all(info.reason is reason for reason, info in REASONS.items())
    assert Outcome.PASS not in {info.outcome for info in REASONS.values()}


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([Outcome.PASS], Exit.OK),
        ([Outcome.PASS, Outcome.UNSUPPORTED], Exit.OK),
        ([Outcome.PASS, Outcome.FAIL], Exit.FAILED),
        ([Outcome.MISBUILT], Exit.FAILED),
        ([Outcome.ERROR], Exit.HARNESS),
        ([Outcome.BLOCKED], Exit.HARNESS),
        ([Outcome.ERROR, Outcome.FAIL], Exit.FAILED),
        ([Outcome.PASS, None], Exit.HARNESS),
    ],
)
def test_exit_code(outcomes: list[Outcome | None], expected: Exit) -> None:
    assert exit_code(outcomes) is expected


def test_allow_blocked_forgives_blocked_and_nothing_else() -> None:
    assert exit_code([Outcome.BLOCKED, Outcome.PASS], allow_blocked=True) is Exit.OK
    assert exit_code([Outcome.BLOCKED, Outcome.ERROR], allow_blocked=True) is Exit.HARNESS


def test_one_failure_among_repeats_is_a_failure() -> None:
    assert worst([Outcome.PASS, Outcome.FAIL, Outcome.PASS]) is Outcome.FAIL
    assert worst([Outcome.PASS, Outcome.ERROR]) is Outcome.ERROR
