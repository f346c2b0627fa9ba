"""Which action leads soonest to a result, on named shapes."""

import math

from fakes import action
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.execute.schedule.order import Order

DIAMOND = [action("a"), action("b", "a"), action("c", "a"), action("d", "b", "c")]
SECONDS = {"a": 1.0, "b": 20.0, "c": 300.0, "d": 4000.0}


def ranked(order: Order, *keys: str) -> list[str]:
    return sorted(keys, key=order.rank)


def test_all_of_a_diamond_costs_the_whole_of_it_and_counts_the_top_once() -> None:
    order = Order(DIAMOND, lambda one: SECONDS[one.key])
    assert [order.rank(one.key) for one in DIAMOND] == [(0, 4_321_000, place) for place in range(4)]


def test_what_is_done_brings_its_results_nearer() -> None:
    order = Order([*DIAMOND, action("z")], lambda one: SECONDS.get(one.key, 4320))
    assert ranked(order, "a", "z") == ["z", "a"]
    order.note_done("a")
    assert order.rank("b") == (0, 4_320_000, 1)
    assert ranked(order, "b", "z") == ["b", "z"]  # as dear now, and first in the plan


def test_a_shared_action_ranks_by_the_cheapest_result_that_it_serves() -> None:
    shared = [action("tls"), action("dear", "tls"), action("cheap", "tls"), action("other")]
    order = Order(shared, lambda one: {"tls": 10, "dear": 90, "cheap": 5, "other": 20}[one.key])
    assert ranked(order, "tls", "other", "dear", "cheap") == ["tls", "cheap", "other", "dear"]


def test_what_cannot_lead_to_a_result_any_more_comes_last() -> None:
    order = Order(DIAMOND, lambda _: 1)
    order.note_lost("b")
    assert order.rank("c") == (0, math.inf, 2)
    order.note_done("c")
    assert order.rank("c") == (0, math.inf, 2)


def test_an_optional_need_that_fails_loses_nothing() -> None:
    plan = [action("a"), action("s"), action("p", "a", "s", optional=("s",))]
    order = Order(plan, lambda _: 1)
    order.note_lost("s")
    assert order.rank("a") == (0, 3000, 0)


def test_needs_outside_the_plan_cost_nothing() -> None:
    order = Order([action("a", "done-before")], lambda _: 1)
    assert order.rank("a") == (0, 1000, 0)
    order.note_lost("done-before")
    assert order.rank("a") == (0, math.inf, 0)


@given(st.permutations(["n0", "n1", "n2", "n3"]), st.lists(st.floats(0, 1e5), min_size=5, max_size=5))
def test_the_rank_does_not_depend_on_the_order_in_which_others_ended(
    ended: list[str], seconds: list[float]
) -> None:
    keys = ["n0", "n1", "n2", "n3"]
    plan = [*(action(key) for key in keys), action("p", *keys)]
    order, same = (Order(plan, lambda one: seconds[int(one.key[1:] or 4)]) for _ in range(2))
    for mine, theirs in zip(ended, keys, strict=True):
        order.note_done(mine)
        same.note_done(theirs)
    assert order.rank("p") == same.rank("p")
