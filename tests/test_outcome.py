"""Outcomes, verdicts, exit codes: complete, without a double, and as promised."""

from dataclasses import dataclass
from itertools import product

import pytest

from orchestrator.errors import Exit
from orchestrator.outcome import (
    FAILURES,
    REASONS,
    Outcome,
    Reason,
    Verdict,
    find_exit_code,
    find_verdict,
    rank_severity,
)

CHANGED, KNOWN, NOT_JUDGED = Verdict.CHANGED_FAILURE, Verdict.KNOWN_FAILURE, Verdict.NOT_JUDGED
AS_EXPECTED, NOW_PASSING, REGRESSION = Verdict.AS_EXPECTED, Verdict.NOW_PASSING, Verdict.REGRESSION
HANG, CRASH, REFUSED = Reason.HANDSHAKE_THEN_HANG, Reason.SERVER_CRASHED, Reason.HANDSHAKE_REFUSED
UNREACHABLE, LIBRARY, CLIENT = (
    Reason.SOURCE_UNREACHABLE,
    Reason.LIBRARY_CANNOT,
    Reason.CLIENT_CANNOT_OFFER,
)

Seen = Reason | Outcome | None
"""A reason, ``pass``, or nothing: a cell that was never judged."""
EVERYTHING: list[Seen] = [None, Outcome.PASS, *Reason]


@dataclass(frozen=True)
class Expected:
    outcome: Outcome
    reason: Reason | None
    rule: str = "matrix.yaml:1"


def pair(seen: Seen) -> tuple[Outcome | None, Reason | None]:
    return (REASONS[seen].outcome, seen) if isinstance(seen, Reason) else (seen, None)


def rule(says: Seen) -> Expected:
    outcome, reason = pair(says)
    assert outcome is not None
    return Expected(outcome, reason)


DECLARED = Expected(Outcome.UNSUPPORTED, LIBRARY, rule="")


def test_every_reason_stands_once_in_the_table() -> None:
    assert set(REASONS) == set(Reason)
    assert all(info.reason is reason for reason, info in REASONS.items())
    assert Outcome.PASS not in {info.outcome for info in REASONS.values()}


@pytest.mark.parametrize(
    ("seen", "expected", "meant"),
    [
        (None, None, NOT_JUDGED),
        (Outcome.PASS, None, AS_EXPECTED),
        (HANG, None, REGRESSION),
        (Reason.NO_QUIC, None, REGRESSION),
        (CLIENT, None, NOT_JUDGED),
        (UNREACHABLE, None, NOT_JUDGED),
        (Reason.KILLED, None, NOT_JUDGED),
        (LIBRARY, DECLARED, AS_EXPECTED),
        (CLIENT, DECLARED, NOT_JUDGED),
        (Outcome.PASS, DECLARED, REGRESSION),
        (CRASH, DECLARED, REGRESSION),
        (UNREACHABLE, DECLARED, NOT_JUDGED),
        (HANG, rule(HANG), KNOWN),
        (CRASH, rule(HANG), CHANGED),
        (Reason.NO_QUIC, rule(HANG), CHANGED),
        (Outcome.PASS, rule(HANG), NOW_PASSING),
        (UNREACHABLE, rule(HANG), NOT_JUDGED),
        (LIBRARY, rule(HANG), NOT_JUDGED),
        (None, rule(HANG), NOT_JUDGED),
        (Reason.NO_QUIC, rule(Reason.NO_QUIC), KNOWN),
        (Outcome.PASS, rule(Outcome.PASS), AS_EXPECTED),
        (HANG, rule(Outcome.PASS), REGRESSION),
        (Reason.DEFAULT_CHANGED, rule(Outcome.PASS), REGRESSION),
        (Reason.KILLED, rule(Outcome.PASS), NOT_JUDGED),
        (UNREACHABLE, rule(UNREACHABLE), AS_EXPECTED),
        (Reason.CHECKSUM_MISMATCH, rule(UNREACHABLE), NOT_JUDGED),
        (Outcome.PASS, rule(UNREACHABLE), NOW_PASSING),
        (HANG, rule(UNREACHABLE), REGRESSION),
        (LIBRARY, rule(LIBRARY), AS_EXPECTED),
        (Outcome.PASS, rule(LIBRARY), NOW_PASSING),
        (CRASH, rule(LIBRARY), REGRESSION),
        (Reason.EMULATION, rule(Reason.EMULATION), AS_EXPECTED),
    ],
)
def test_the_decisions(seen: Seen, expected: Expected | None, meant: Verdict) -> None:
    assert find_verdict(*pair(seen), expected) is meant


def test_every_combination_has_one_verdict_that_keeps_the_promises() -> None:
    promised = [None, DECLARED, *(rule(says) for says in EVERYTHING if says is not None)]
    for seen, expected in product(EVERYTHING, promised):
        outcome, reason = pair(seen)
        found = find_verdict(outcome, reason, expected)
        met = expected is not None and (outcome, reason) == (expected.outcome, expected.reason)
        # Red is a failure that is not the expected one, or a declaration that does not hold; nothing else is.
        broken = outcome is Outcome.PASS and expected is DECLARED
        assert (found in {REGRESSION, CHANGED}) is ((outcome in FAILURES and not met) or broken)
        assert (found is KNOWN) is (outcome in FAILURES and met)
        # What did not put the product to the test is green only where it is just what was expected.
        if outcome not in {Outcome.PASS, *FAILURES}:
            assert found is (AS_EXPECTED if met else NOT_JUDGED)


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        ([], Exit.OK),
        ([(Outcome.PASS, AS_EXPECTED), (Outcome.UNSUPPORTED, AS_EXPECTED)], Exit.OK),
        ([(Outcome.FAIL, KNOWN), (Outcome.PASS, NOW_PASSING)], Exit.OK),
        ([(Outcome.BLOCKED, AS_EXPECTED)], Exit.OK),
        ([(Outcome.PASS, AS_EXPECTED), (Outcome.FAIL, REGRESSION)], Exit.FAILED),
        ([(Outcome.PASS, REGRESSION)], Exit.FAILED),
        ([(Outcome.FAIL, CHANGED)], Exit.FAILED),
        ([(Outcome.ERROR, NOT_JUDGED)], Exit.HARNESS),
        ([(Outcome.BLOCKED, NOT_JUDGED)], Exit.HARNESS),
        ([(Outcome.UNSUPPORTED, NOT_JUDGED)], Exit.HARNESS),
        ([(Outcome.ERROR, NOT_JUDGED), (Outcome.FAIL, CHANGED)], Exit.FAILED),
        ([(Outcome.PASS, AS_EXPECTED), (None, NOT_JUDGED)], Exit.HARNESS),
    ],
)
def test_exit_code(cells: list[tuple[Outcome | None, Verdict]], code: Exit) -> None:
    assert find_exit_code(cells) is code
    assert find_exit_code(cells, stale=True) is Exit.FAILED


def test_allow_blocked_forgives_blocked_and_nothing_else() -> None:
    blocked, error = (Outcome.BLOCKED, NOT_JUDGED), (Outcome.ERROR, NOT_JUDGED)
    assert find_exit_code([blocked, (Outcome.PASS, AS_EXPECTED)], allow_blocked=True) is Exit.OK
    assert find_exit_code([blocked, error], allow_blocked=True) is Exit.HARNESS
    assert find_exit_code([blocked], allow_blocked=True, stale=True) is Exit.FAILED


def test_one_failure_among_repeats_is_a_failure_and_a_known_one_hides_no_other() -> None:
    best_first = [
        (Outcome.PASS, AS_EXPECTED),
        (Outcome.ERROR, NOT_JUDGED),
        (Outcome.FAIL, KNOWN),
        (Outcome.FAIL, CHANGED),
    ]
    assert sorted(best_first, key=lambda one: rank_severity(*one)) == best_first
