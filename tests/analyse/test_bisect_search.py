"""Which step comes next, against rows of any length in which any part cannot be told."""

from math import ceil, log2

import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st
from samples import CURL, DISTRO, haproxy

from orchestrator.analyse.bisect import (
    Mark,
    choose_steps,
    count_steps,
    find_border,
    is_split,
    judge_step,
    vote,
)
from orchestrator.matrix.model import ExecutionValue
from orchestrator.outcome import REASONS, Outcome, Reason
from orchestrator.record.model import Attempt, Axes, CellRecord

HANG, CRASH = Reason.HANDSHAKE_THEN_HANG, Reason.SERVER_CRASHED


def attempt(number: int, reason: Reason | None) -> Attempt:
    return Attempt(
        number=number,
        why="first" if number == 1 else f"repeat {number}",
        outcome=REASONS[reason].outcome if reason else Outcome.PASS,
        reason=reason,
        message="",
        started_at=samples.run(()).run.started_at,
        duration_s=1.0,
    )


def ended(*reasons: Reason | None) -> CellRecord:
    """A cell after attempts that ended so; the worst decides it."""
    axes = Axes(
        arch=samples.ARCH_VALUES[0],
        haproxy=haproxy("3.0.11"),
        tls=DISTRO,
        cipher=samples.CIPHERS[0],
        client=CURL,
        execution=ExecutionValue(name="default"),
    )
    attempts = [attempt(number, reason) for number, reason in enumerate(reasons, start=1)]
    worst = max(attempts, key=lambda one: list(Outcome).index(one.outcome))
    made = {"attempts": tuple(attempts), "outcome": worst.outcome, "reason": worst.reason}
    return samples.cell(axes, worst.reason).model_copy(update=made)


@pytest.mark.parametrize(
    ("reasons", "only", "mark"),
    [
        ((None,), None, Mark.GOOD),
        ((None, None), HANG, Mark.GOOD),
        ((HANG,), None, Mark.BAD),
        ((HANG, CRASH), None, Mark.BAD),
        ((HANG,), HANG, Mark.BAD),
        ((HANG,), CRASH, Mark.SKIP),
        ((HANG, CRASH), HANG, Mark.SKIP),
        ((None, HANG), None, Mark.SKIP),
        ((HANG, Reason.DEADLINE), None, Mark.BAD),
        ((None, Reason.DEADLINE), None, Mark.SKIP),
        ((Reason.BUILD_FAILED,), None, Mark.SKIP),
        ((Reason.NO_QUIC,), None, Mark.SKIP),
        ((Reason.LIBRARY_CANNOT,), None, Mark.SKIP),
        ((Reason.SOURCE_UNREACHABLE,), None, Mark.SKIP),
        ((Reason.INTERNAL,), None, Mark.SKIP),
    ],
)
def test_only_a_pass_is_good_and_only_a_failure_of_the_product_is_bad(
    reasons: tuple[Reason | None, ...], only: Reason | None, mark: Mark
) -> None:
    assert judge_step(ended(*reasons), only) is mark


def test_what_was_not_judged_cannot_be_told() -> None:
    left = ended(None).model_copy(update={"outcome": None, "attempts": ()})
    assert judge_step(left) is Mark.SKIP


@pytest.mark.parametrize(
    ("failed", "passed", "bad_from", "mark"),
    [
        (3, 2, 3, Mark.BAD),
        (2, 3, 3, Mark.GOOD),
        (1, 4, 1, Mark.BAD),
        (2, 2, 3, Mark.SKIP),
        (0, 5, 1, Mark.GOOD),
        (0, 4, 1, Mark.SKIP),
    ],
)
def test_a_flaky_cell_is_put_to_the_vote(failed: int, passed: int, bad_from: int, mark: Mark) -> None:
    cell = ended(*[HANG] * failed, *[None] * passed)
    assert vote(cell, None, bad_from=bad_from, of=5) is mark
    assert is_split(cell) is bool(failed and passed)


def test_failures_of_another_kind_have_no_vote() -> None:
    assert vote(ended(HANG, None, HANG, HANG), HANG, bad_from=3, of=5) is Mark.BAD
    assert vote(ended(HANG, None, CRASH, HANG), HANG, bad_from=3, of=5) is Mark.SKIP


def search(first_bad: int, length: int, cannot: frozenset[int], width: int) -> tuple[dict[int, Mark], int]:
    """Go through a whole search; what was tried, and in how many rounds."""
    marks: dict[int, Mark] = {}
    rounds = 0
    while steps := choose_steps(marks, length, width=width):
        assert len(steps) <= max(width, 2)
        assert not set(steps) & marks.keys(), "a step is tried twice"
        rounds += 1
        for step in steps:
            bad = Mark.BAD if step >= first_bad else Mark.GOOD
            marks[step] = Mark.SKIP if step in cannot else bad
    return marks, rounds


@given(st.data(), st.integers(2, 300), st.integers(1, 5))
def test_the_first_bad_one_is_found_whatever_cannot_be_told(
    data: st.DataObject, length: int, width: int
) -> None:
    first_bad = data.draw(st.integers(1, length - 1))
    cannot = data.draw(st.frozensets(st.integers(1, length - 2), max_size=length)) if length > 2 else set()
    marks, _ = search(first_bad, length, frozenset(cannot), width)
    border = find_border(marks, length)
    assert border is not None
    assert border.before < first_bad <= border.after
    assert set(border.between) <= set(cannot), "each that can be told was tried, or needs no trial"
    assert count_steps(marks, length, width=width) == 0


@given(st.data(), st.integers(2, 300), st.integers(1, 4))
def test_it_takes_no_more_rounds_than_parts_of_equal_size(
    data: st.DataObject, length: int, width: int
) -> None:
    first_bad = data.draw(st.integers(1, length - 1))
    _, rounds = search(first_bad, length, frozenset(), width)
    assert rounds <= 1 + ceil(log2(max(length - 1, 1)) / log2(width + 1)) + 1
    if width == 1:
        assert rounds <= 1 + ceil(log2(length - 1))


@given(st.data(), st.integers(40, 300))
def test_a_long_row_that_cannot_be_told_costs_few_steps(data: st.DataObject, length: int) -> None:
    """As with a branch that did not compile for weeks: a third of all, around the middle."""
    first_bad = data.draw(st.integers(1, length // 3 - 1))
    cannot = frozenset(range(length // 3, 2 * length // 3))
    marks, _ = search(first_bad, length, cannot, 1)
    skipped = sum(mark is Mark.SKIP for mark in marks.values())
    assert skipped <= ceil(log2(length)) + 1


def test_a_fix_is_found_as_a_fault_is() -> None:
    marks = {0: Mark.BAD, 9: Mark.GOOD, 4: Mark.BAD, 5: Mark.GOOD}
    border = find_border(marks, 10)
    assert border is not None
    assert (border.before, border.after, choose_steps(marks, 10)) == (4, 5, ())


def test_what_lies_behind_the_first_bad_one_does_not_count() -> None:
    """Where a fault went away and came again, the border is that of its first time."""
    border = find_border({0: Mark.GOOD, 4: Mark.BAD, 6: Mark.GOOD, 9: Mark.BAD}, 10)
    assert border is not None
    assert (border.before, border.after) == (0, 4)


@pytest.mark.parametrize(
    "marks",
    [{}, {0: Mark.GOOD, 9: Mark.GOOD}, {0: Mark.BAD, 9: Mark.BAD}, {0: Mark.SKIP, 9: Mark.BAD}],
)
def test_ends_that_do_not_differ_leave_nothing_to_find(marks: dict[int, Mark]) -> None:
    assert find_border(marks, 10) is None
    assert choose_steps(marks, 10) == (() if marks else (0, 9))


def test_a_row_of_one_is_tried_and_says_nothing() -> None:
    assert choose_steps({}, 1) == (0,)
    assert choose_steps({0: Mark.BAD}, 1) == ()
