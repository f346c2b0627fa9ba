"""Where along a row of versions or commits a cell begins to fail: what a step says, and which is next. Pure.

The words are those of git-bisect(1): a step is good, bad, or skipped, since it cannot be told.
"""

from collections.abc import Mapping
from enum import StrEnum

from orchestrator.frozen_value import Value
from orchestrator.outcome import REASONS, Outcome, Reason
from orchestrator.record.model import CellRecord, count_ends, list_counted


class Mark(StrEnum):
    """What one step says."""

    GOOD = "good"
    BAD = "bad"
    SKIP = "skip"


BAD = tuple(
    reason
    for reason, row in REASONS.items()
    if row.outcome is Outcome.FAIL and reason is not Reason.BUILD_FAILED
)
"""The failures of the product that may be looked for: what does not build cannot have them."""


_NO_STEP = frozenset(
    {
        Reason.ENGINE_UNAVAILABLE,
        Reason.EXHAUSTED,
        Reason.ORIGIN_DOWN,
        Reason.SOURCE_UNREACHABLE,
        Reason.CHECKSUM_MISMATCH,
    }
)
"""What the machine and its network are to blame for, whatever is tried. A deadline, a program that was killed
and the like may come of the commit."""


def is_no_step(cell: CellRecord) -> bool:
    """Return whether a cell's end says nothing of what was tried: once that is mended, it is tried again."""
    return cell.outcome is None or cell.reason in _NO_STEP


def judge_step(cell: CellRecord, reason: Reason | None = None) -> Mark:
    """Return what a cell's end says, whatever rules expect of it.

    Only a pass in each attempt is good, and only a failure in each is bad. What does not build, is misbuilt,
    or ends sometimes so and sometimes so cannot be told.

    :param reason: the only failure that is bad; any other one cannot be told.
    """
    ends = count_ends(cell.attempts)
    if cell.outcome is Outcome.PASS and not ends.failed:
        return Mark.GOOD
    if cell.outcome is Outcome.FAIL and not ends.passed:
        failures = ends.failures or {(cell.outcome, cell.reason)}
        if all(_is_bad(*one, reason) for one in failures):
            return Mark.BAD
    return Mark.SKIP


def vote(cell: CellRecord, reason: Reason | None, *, bad_from: int, of: int) -> Mark:
    """Return what the attempts at a flaky cell come to.

    :param bad_from: so many failures make it bad, and so many passes that no more could fail make it good.
    :param of: how many attempts there were to be; fewer count where the harness failed.
    """
    ends = [(attempt.outcome, attempt.reason) for attempt in list_counted(cell.attempts)]
    if sum(_is_bad(*end, reason) for end in ends) >= bad_from:
        return Mark.BAD
    passed = sum(outcome is Outcome.PASS for outcome, _ in ends)
    return Mark.GOOD if passed > of - bad_from else Mark.SKIP


def is_split(cell: CellRecord) -> bool:
    """Return whether some attempts at the cell passed and others failed."""
    ends = count_ends(cell.attempts)
    return bool(ends.passed and ends.failed)


def _is_bad(outcome: Outcome, found: Reason | None, reason: Reason | None) -> bool:
    return outcome is Outcome.FAIL and found in BAD and reason in {None, found}


class Border(Value):
    """What is known: ``before`` and ``after`` are positions in the row that end differently."""

    before: int
    """The last position that ends as the first one of the row does."""
    after: int
    """The first position after it that ends as the last one does."""
    between: tuple[int, ...]
    """The positions between them, none of which can be told, or none of which was tried yet."""


def find_border(marks: Mapping[int, Mark], length: int) -> Border | None:
    """Return the narrowest border that is known; ``None`` where the ends are not known or end alike.

    The end that differs from the first one, and comes first, counts: what lies after it is not asked.

    :param marks: by position, what was tried.
    """
    first, last = marks.get(0), marks.get(length - 1)
    if first in {None, Mark.SKIP} or last in {None, Mark.SKIP} or first is last:
        return None
    after = min(position for position, mark in marks.items() if mark is last)
    before = max(position for position, mark in marks.items() if mark is first and position < after)
    return Border(before=before, after=after, between=tuple(range(before + 1, after)))


def choose_steps(marks: Mapping[int, Mark], length: int, *, width: int = 1) -> tuple[int, ...]:
    """Return the positions to try next, at once; none where the border cannot be made narrower.

    At first both ends; then what parts the border evenly, a little further away from the middle with each
    position in it that could not be told, since neighbours often cannot be told for the same reason.

    :param width: how many may be tried at once.
    """
    if ends := tuple(end for end in dict.fromkeys((0, length - 1)) if end not in marks):
        return ends
    border = find_border(marks, length)
    if border is None:
        return ()
    left = [position for position in border.between if position not in marks]
    skipped = len(border.between) - len(left)
    chosen: list[int] = []
    for part in range(1, min(width, len(left)) + 1):
        gap = border.after - border.before
        aim = border.before + round(gap * part / (min(width, len(left)) + 1)) + _step_aside(skipped, gap)
        near = min((one for one in left if one not in chosen), key=lambda one: (abs(one - aim), one))
        chosen.append(near)
    return tuple(sorted(chosen))


def _step_aside(skipped: int, gap: int) -> int:
    """Return how far to go from the middle: nothing, -1, 3, -7, 15, ... and not beyond the border."""
    distance = min((1 << skipped) - 1, gap // 2 - 1)
    return -distance if skipped % 2 else distance


def count_steps(marks: Mapping[int, Mark], length: int, *, width: int = 1) -> int:
    """Return how many rounds are left, about, where nothing more has to be skipped."""
    border = find_border(marks, length)
    left = 0 if border is None else sum(position not in marks for position in border.between)
    rounds = 0
    while left:
        left //= width + 1
        rounds += 1
    return rounds
