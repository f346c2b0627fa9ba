"""Whether a verdict stands when its cell is probed again."""

from collections.abc import Sequence

import pytest
from record_samples import cell

from orchestrator.outcome import REASONS, Outcome, Reason, Verdict, find_verdict
from orchestrator.probe.confirm import find_rounds, is_due, settle
from orchestrator.record.model import Attempt, CellRecord, Confirmation, Expected, Load

HANG, CRASH, KILLED = Reason.HANDSHAKE_THEN_HANG, Reason.SERVER_CRASHED, Reason.KILLED
RULE = Expected(
    outcome=Outcome.FAIL,
    reason=HANG,
    cipher=None,
    because="https://example.org/1",
    rule="matrix.yaml:1",
    stale="",
)
IDLE, BUSY = Load(average=0.5, cpus=2, steal=0.0), Load(average=6.1, cpus=2, steal=0.0)


def ended(
    *reasons: Reason | None, expected: Expected | None = None, load: Load | None = IDLE, first: int = 1
) -> CellRecord:
    """A cell whose attempts ended so; all but the ``first`` were made to confirm those."""
    attempts = tuple(
        Attempt(
            number=number,
            why="first"
            if number == 1
            else f"repeat {number}"
            if number <= first
            else f"confirm {number - first}",
            outcome=REASONS[reason].outcome if reason else Outcome.PASS,
            reason=reason,
            message="",
            started_at="2026-11-28T00:00:00+00:00",
            duration_s=1.0,
            load=load,
        )
        for number, reason in enumerate(reasons, 1)
    )
    worst = max(attempts, key=lambda one: list(Outcome).index(one.outcome))
    update = {
        "attempts": attempts,
        "outcome": worst.outcome,
        "reason": worst.reason,
        "expected": expected,
        "verdict": find_verdict(worst.outcome, worst.reason, expected),
    }
    return cell("one").model_copy(update=update)


@pytest.mark.parametrize(
    ("reasons", "expected", "state", "found"),
    [
        ((HANG, HANG, HANG, HANG), None, "confirmed", Verdict.REGRESSION),
        ((HANG, CRASH, HANG, HANG), None, "confirmed", Verdict.REGRESSION),
        ((HANG, HANG, HANG, None), None, "flaky", Verdict.FLAKY),
        ((HANG, None, None, None), None, "flaky", Verdict.FLAKY),
        ((HANG, KILLED, KILLED, None), None, "flaky", Verdict.FLAKY),
        ((HANG, KILLED, KILLED, HANG), None, "confirmed", Verdict.REGRESSION),
        ((HANG, KILLED, KILLED, KILLED), None, "open", Verdict.REGRESSION),
        ((CRASH, HANG, HANG, HANG), RULE, "flaky", Verdict.FLAKY),
        ((CRASH, CRASH, CRASH, CRASH), RULE, "confirmed", Verdict.CHANGED_FAILURE),
        ((None, None, None, None), RULE, "confirmed", Verdict.NOW_PASSING),
        ((None, None, HANG, None), RULE, "flaky", Verdict.KNOWN_FAILURE),
        ((None, KILLED, KILLED, KILLED), RULE, "open", Verdict.NOT_JUDGED),
    ],
)
def test_one_attempt_that_ends_otherwise_makes_an_alarm_flaky(
    reasons: Sequence[Reason | None], expected: Expected | None, state: str, found: Verdict
) -> None:
    settled = settle(ended(*reasons, expected=expected))
    assert settled.confirmation is not None
    assert (settled.confirmation.state, settled.verdict) == (state, found)
    assert settled.outcome is not Outcome.PASS or state != "flaky", "a flaky cell is never green"


def test_what_was_not_probed_again_stays_an_alarm_and_says_why() -> None:
    settled = settle(ended(HANG), why_open="the 15 minutes were over")
    assert settled.confirmation == Confirmation(state="open", why="the 15 minutes were over")
    assert settled.verdict is Verdict.REGRESSION


@pytest.mark.parametrize(
    ("cell", "wanted", "rounds"),
    [
        (ended(HANG), 3, ("confirm 1", "confirm 2", "confirm 3")),
        (ended(HANG, HANG), 3, ("confirm 2", "confirm 3")),
        (ended(HANG, HANG, HANG, HANG), 3, ()),
        (ended(HANG), 0, ()),
        (ended(HANG), None, ()),
        (ended(HANG, load=BUSY), None, ("confirm 1",)),
        (ended(HANG, load=None), None, ()),
        (ended(None), 3, ()),
        (ended(HANG, expected=RULE), 3, ()),
        (ended(None, expected=RULE), 1, ("confirm 1",)),
        (ended(KILLED), 3, ()),
        (ended(HANG, HANG, first=2), 1, ("confirm 1",)),
        (ended(HANG, None, first=2), 3, ()),
        (settle(ended(HANG)), 3, ()),
    ],
)
def test_an_alarm_is_probed_again_as_often_as_wanted(
    cell: CellRecord, wanted: int | None, rounds: tuple[str, ...]
) -> None:
    assert find_rounds(cell, wanted) == rounds


def test_an_attempt_that_a_lost_worker_began_is_one_round_of_them() -> None:
    cell = ended(HANG, HANG)
    *first, last = cell.attempts
    lost = last.model_copy(update={"why": f"{last.why}, after tls://192.0.2.1:40001 was lost"})
    assert find_rounds(cell.model_copy(update={"attempts": (*first, lost)}), 2) == ("confirm 2",)


def test_repeats_that_disagree_are_settled_without_another_attempt() -> None:
    repeated = ended(HANG, None, HANG, first=3)
    assert is_due(repeated, 3)
    assert not find_rounds(repeated, 3)
    assert settle(repeated).verdict is Verdict.FLAKY


def test_a_cell_whose_build_failed_is_not_probed() -> None:
    blocked = ended(Reason.BUILD_FAILED)
    never = blocked.attempts[0].model_copy(update={"duration_s": 0.0})
    assert not is_due(blocked.model_copy(update={"attempts": (never,)}), 3)


@pytest.mark.parametrize(
    ("load", "heavy"),
    [
        (Load(average=6.0, cpus=2, steal=None), False),
        (Load(average=6.1, cpus=2, steal=None), True),
        (Load(average=6.1, cpus=4, steal=0.2), False),
        (Load(average=0.0, cpus=4, steal=0.21), True),
        (Load(average=0.0, cpus=4, steal=0.0, late_s=0.25), False),
        (Load(average=0.0, cpus=4, steal=0.0, late_s=0.26), True),
    ],
)
def test_a_load_is_heavy_by_the_queue_the_steal_or_a_late_driver(load: Load, heavy: bool) -> None:
    assert load.is_heavy is heavy
