"""What became of one cell from one run to another, by how it ended in each. Pure."""

from enum import StrEnum
from functools import cache

from orchestrator.frozen_value import Value
from orchestrator.outcome import ALARMS, Outcome, Reason, Verdict, correct_verdict
from orchestrator.record.model import CellRecord, count_ends


class Change(StrEnum):
    """What became of a cell from BASE to HEAD, the most urgent first."""

    NEW_FAILURE = "new-failure"
    CHANGED_REASON = "changed-reason"
    FLAKY = "flaky"
    NOT_JUDGED = "not-judged"
    NOW_PASSING = "now-passing"
    FIXED = "fixed"
    EXPECTED_FAILURE = "expected-failure"
    STILL_FAILING = "still-failing"
    NEW_CELL = "new-cell"
    VANISHED_CELL = "vanished-cell"
    NEVER_JUDGED = "never-judged"
    UNCHANGED = "unchanged"

    @property
    def meaning(self) -> str:
        """Return one clause for a person."""
        return _MEANINGS[self]


_MEANINGS = {
    Change.NEW_FAILURE: "passed in BASE, and fails in HEAD though no rule expects it",
    Change.CHANGED_REASON: "fails in both, in HEAD for another reason",
    Change.FLAKY: "fails in some attempts and passes in others",
    Change.NOT_JUDGED: "judged in one of them only",
    Change.NOW_PASSING: "passes in HEAD, though a rule expects a failure",
    Change.FIXED: "failed in BASE, and passes in HEAD",
    Change.EXPECTED_FAILURE: "passed in BASE, and fails in HEAD as a rule expects",
    Change.STILL_FAILING: "fails in both, for the same reason",
    Change.NEW_CELL: "HEAD has it, BASE does not",
    Change.VANISHED_CELL: "BASE has it, HEAD does not",
    Change.NEVER_JUDGED: "judged in neither",
    Change.UNCHANGED: "the same in both",
}
_FAILS = ALARMS | {Verdict.KNOWN_FAILURE, Verdict.FLAKY}


class State(Value):
    """How a cell ended in one run."""

    cell: str
    outcome: Outcome | None
    reason: Reason | None
    verdict: Verdict
    message: str
    attempts: int
    """Those that count: without the ones that another replaced."""
    passed: int
    """How many of them passed."""
    failed: int
    """How many of them were a failure of the product."""
    failures: tuple[str, ...]
    """The failures that they show, each as ``OUTCOME`` or ``OUTCOME: REASON``, sorted."""

    @property
    def fails(self) -> bool:
        """Return whether it is a failure, known or not; what passes though it cannot is one, too."""
        return self.verdict in _FAILS

    @property
    def alarms(self) -> bool:
        """Return whether it is a failure that no rule expects."""
        return self.verdict in ALARMS

    @property
    def tested(self) -> bool:
        """Return whether the product was judged; a cell that was declared impossible was not."""
        return puts_to_test(self.outcome, self.verdict)

    @property
    def flaky(self) -> bool:
        """Return whether the product failed in some attempts and passed in others."""
        return bool(self.passed and self.failed) or self.verdict is Verdict.FLAKY


@cache
def puts_to_test(outcome: Outcome | None, verdict: Verdict) -> bool:
    """Return whether the product was judged; a cell that was declared impossible was not."""
    if outcome is None or verdict is Verdict.NOT_JUDGED:
        return False
    return outcome.judged_product or verdict in _FAILS


def read_state(cell: CellRecord) -> State:
    """Return how a cell ended."""
    ends = count_ends(cell.attempts)
    return State(
        cell=cell.id,
        outcome=cell.outcome,
        reason=cell.reason,
        verdict=correct_verdict(cell.outcome, cell.verdict),
        message=cell.message,
        attempts=ends.attempts,
        passed=ends.passed,
        failed=ends.failed,
        failures=tuple(sorted(name_end(*end) for end in ends.failures)),
    )


def name_end(outcome: Outcome | None, reason: Reason | None) -> str:
    """Return ``fail: handshake-timeout``; a cell without an outcome is ``not judged``."""
    if outcome is None:
        return "not judged"
    return f"{outcome}: {reason}" if reason else str(outcome)


def classify(was: State | None, now: State | None, *, alike: bool = True) -> Change:
    """Return what became of a cell of BASE that is ``now`` in HEAD; ``None`` where a run has no such cell.

    :param alike: whether it depends on the same in both: only then does it count that it was flaky.
    """
    if was is None or now is None:
        return Change.NEW_CELL if was is None else Change.VANISHED_CELL
    if not (was.tested and now.tested):
        return _classify_unjudged(was, now)
    return _classify_judged(was, now, alike=alike)


def is_worse(was: State | None, now: State | None, *, alike: bool = True) -> bool:
    """Return whether HEAD has an alarm that no attempt of BASE shows: exit code 1.

    :param alike: as for ``classify``.
    """
    if was is None or now is None or not now.alarms:
        return False
    return not _has_failed_so(was, now) or is_forgotten(was, now, alike=alike)


def is_forgotten(was: State, now: State, *, alike: bool) -> bool:
    """Return whether a cell that was flaky fails each time, since it depends on something else."""
    return was.flaky and now.alarms and not now.flaky and not alike


def is_lost(was: State | None, now: State | None) -> bool:
    """Return whether HEAD did not judge what BASE did: exit code 4."""
    return was is not None and now is not None and was.tested and not now.tested


def _classify_judged(was: State, now: State, *, alike: bool) -> Change:
    if is_forgotten(was, now, alike=alike):
        return Change.NEW_FAILURE
    if now.flaky or (was.flaky and (not now.fails or _has_failed_so(was, now))):
        return Change.FLAKY
    if now.fails:
        if was.fails:
            same = (was.outcome, was.reason) == (now.outcome, now.reason)
            return Change.STILL_FAILING if same else Change.CHANGED_REASON
        return Change.NEW_FAILURE if now.alarms else Change.EXPECTED_FAILURE
    if now.verdict is Verdict.NOW_PASSING:
        return Change.NOW_PASSING
    return Change.FIXED if was.fails else Change.UNCHANGED


def _classify_unjudged(was: State, now: State) -> Change:
    if was.tested or now.tested:
        return Change.NOT_JUDGED
    declared = Verdict.NOT_JUDGED not in {was.verdict, now.verdict}
    return Change.UNCHANGED if declared else Change.NEVER_JUDGED


def _has_failed_so(was: State, now: State) -> bool:
    """Return whether BASE shows, in any attempt that counts, the failure that HEAD has."""
    seen = {*was.failures, *([name_end(was.outcome, was.reason)] if was.fails else [])}
    return name_end(now.outcome, now.reason) in seen
