"""Runs in simulated time: known optima of small graphs, and what the order owes to them."""

import pytest
from fakes import action
from hypothesis import given
from hypothesis import strategies as st

from bench.simulation import find_bound, list_actions, read_recorded, simulate
from orchestrator.execute.schedule.order import Order
from orchestrator.execute.schedule.pool import Failure
from orchestrator.outcome import Outcome, Reason
from orchestrator.plan.action import Action

CHAIN = [action("a"), action("b", "a"), action("c", "b")]
DIAMOND = [action("a"), action("b", "a"), action("c", "a"), action("d", "b", "c")]
BESIDE = [*(action(f"x{number}") for number in range(4)), action("a"), action("b", "a")]
"""Four short results and a long chain; with two workers the chain decides when it is begun at once."""
TAKES = {"a": 1.0, "b": 8.0, "c": 3.0, "d": 2.0}


def seconds(one: Action) -> float:
    return TAKES.get(one.key, 2.0)


@pytest.mark.parametrize(
    ("actions", "workers", "optimum"),
    [
        ([], 3, 0),
        (CHAIN, 1, 12),
        (CHAIN, 1000, 12),
        (DIAMOND, 1, 14),
        (DIAMOND, 2, 11),
        ([action(f"x{number}") for number in range(7)], 2, 8),
        (BESIDE, 1, 17),
        (BESIDE, 2, 9),
        (BESIDE, 6, 9),
    ],
)
def test_the_optimum_is_reached(actions: list[Action], workers: int, optimum: float) -> None:
    assert simulate(actions, seconds, workers).makespan == optimum
    assert find_bound(actions, seconds, workers) <= optimum


def test_what_is_sent_ahead_is_not_overtaken_any_more() -> None:
    """Each worker has the next action before it asks; what becomes ready meanwhile waits for those."""
    assert simulate(BESIDE, seconds, 2, room=4).makespan == 11


def test_where_one_is_done_at_a_time_the_first_result_comes_first() -> None:
    ended = simulate(BESIDE, seconds, 1).ended
    assert list(ended) == ["x0", "x1", "x2", "x3", "a", "b"]


def test_what_is_urgent_goes_first_and_no_more_when_it_is_not() -> None:
    order = Order(BESIDE, seconds, width=2)
    assert order.rank("a") < order.rank("x0")
    order.note_done("a")
    assert order.rank("b") < order.rank("x0")
    order.note_done("b")
    assert order.rank("x0") < order.rank("x1")
    calm = Order([*BESIDE, *(action(f"y{number}") for number in range(9))], seconds, width=2)
    assert calm.rank("x0") < calm.rank("a")


def test_work_that_is_lost_makes_the_rest_urgent_and_is_not_urgent_itself() -> None:
    long = [action("s"), action("t", "s"), *BESIDE]
    order = Order(long, lambda one: {"s": 1, "t": 30}.get(one.key, seconds(one)), width=2)
    assert order.rank("x0") < order.rank("a")
    order.note_lost("s")
    assert order.rank("a") < order.rank("x0") < order.rank("t")


def test_a_failure_blocks_in_simulated_time_as_well() -> None:
    def fail(one: Action) -> Failure | None:
        if one.key != "b":
            return None
        return Failure(outcome=Outcome.FAIL, reason=Reason.BUILD_FAILED, message="", action="b")

    assert simulate(DIAMOND, seconds, 2, execute=fail).ended == {"a": 1, "c": 4, "b": 9}


@given(
    takes=st.lists(st.integers(0, 9), min_size=8, max_size=8),
    needs=st.lists(st.sets(st.integers(0, 7)), min_size=8, max_size=8),
    workers=st.integers(1, 9),
)
def test_no_run_ends_before_the_bound_nor_idles_for_long(
    takes: list[int], needs: list[set[int]], workers: int
) -> None:
    """A schedule that never idles takes at most twice the optimum (Graham, 1966)."""
    actions = [
        action(f"n{number}", *(f"n{need}" for need in sorted(needs[number]) if need < number))
        for number in range(8)
    ]
    run = simulate(actions, lambda one: takes[int(one.key[1:])], workers)
    bound = find_bound(actions, lambda one: takes[int(one.key[1:])], workers)
    assert len(run.ended) == 8
    assert bound <= run.makespan <= 2 * bound


def test_the_nightly_profile_comes_near_the_bound() -> None:
    actions, recorded = list_actions("nightly"), read_recorded()
    for workers in (12, 64):
        bound = find_bound(actions, recorded, workers)
        assert bound / simulate(actions, recorded, workers, room=2 * workers).makespan >= 0.9
