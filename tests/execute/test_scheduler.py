"""The scheduler: order, slots, blocking to a fixpoint, cancelling, and no deadlock whatever fails."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from graphlib import CycleError

import pytest
from fakes import action
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.execute.schedule.order import Order
from orchestrator.execute.schedule.pool import Failure, Pool
from orchestrator.execute.schedule.scheduler import Cancel, schedule
from orchestrator.execute.schedule.slots import Demand, Slots
from orchestrator.outcome import Outcome, Reason
from orchestrator.plan.action import Action, ActionKind


def failure(key: str) -> Failure:
    return Failure(outcome=Outcome.FAIL, reason=Reason.BUILD_FAILED, message=f"{key} broke", action=key)


def dawdle_in(slow: str) -> Callable[[Action], None]:
    return lambda one: time.sleep(0.05 if one.key == slow else 0)


class Bench:
    """Runs actions, records what ran and how much at once; ``fails`` do fail.

    ``weights`` are CPUs; ``demands`` say more of an action. Without ``seconds`` each takes one.
    """

    def __init__(
        self,
        *,
        slots: int = 1,
        fails: Sequence[str] = (),
        weights: Mapping[str, int] | None = None,
        demands: Mapping[str, Demand] | None = None,
        memory: int = 0,
        lanes: Mapping[str, int] | None = None,
        seconds: Mapping[str, float] | None = None,
    ) -> None:
        self.slots, self.memory, self.lanes = slots, memory, lanes or {}
        self.fails, self.seconds = set(fails), seconds or {}
        self.demands: dict[str, Demand] = {
            key: Demand(cpus=cpus) for key, cpus in (weights or {}).items()
        } | dict(demands or {})
        self.ran: list[str] = []
        self.blocked: dict[str, Failure] = {}
        self.ended: set[str] = set()
        self.used = self.most = self.used_memory = self.most_memory = 0
        self.in_lane: Counter[str] = Counter()
        self.most_in_lane: Counter[str] = Counter()
        self.cancel = Cancel()
        self.block: Callable[[Action, Failure], None] = lambda one, why: self.blocked.update({one.key: why})
        self.doing: Callable[[Action], None] = lambda _: None
        self._lock = threading.Lock()

    def demand(self, one: Action) -> Demand:
        return self.demands.get(one.key, Demand())

    def count(self, one: Action, sign: int) -> None:
        demand = self.demand(one)
        self.used += sign * min(demand.cpus, self.slots)
        self.used_memory += sign * min(demand.memory, self.memory)
        self.in_lane[demand.lane] += sign
        self.most = max(self.most, self.used)
        self.most_memory = max(self.most_memory, self.used_memory)
        self.most_in_lane |= self.in_lane

    def execute(self, one: Action) -> Failure | None:
        with self._lock:
            assert not set(one.needs) - self.ended, "it was started before what it needs"
            self.ran.append(one.key)
            self.count(one, 1)
        try:
            self.doing(one)
        finally:
            with self._lock:
                self.count(one, -1)
                self.ended.add(one.key)
        return failure(one.key) if one.key in self.fails else None

    def run(
        self,
        actions: Sequence[Action],
        *,
        failed: Mapping[str, Failure] | None = None,
        grace: float = 5.0,
        kind: type[Order] = Order,
    ) -> dict[str, Failure]:
        return schedule(
            actions,
            pool=Pool(
                slots=Slots(cpus=self.slots, memory=self.memory, lanes=self.lanes),
                demand=self.demand,
                execute=self.execute,
            ),
            order=kind(actions, lambda one: self.seconds.get(one.key, 1)),
            blocked=self.block,
            failed=failed or {},
            cancel=self.cancel,
            grace=grace,
        )


def test_every_action_runs_once_after_what_it_needs() -> None:
    bench = Bench(slots=4)
    diamond = [action("a"), action("b", "a"), action("c", "a"), action("d", "b", "c")]
    assert bench.run(list(reversed(diamond))) == {}
    assert bench.ran[0] == "a"
    assert bench.ran[-1] == "d"
    assert sorted(bench.ran) == ["a", "b", "c", "d"]


def test_no_actions_are_done_at_once() -> None:
    assert Bench().run([]) == {}


def test_many_that_are_ready_are_ranked_no_more_often_each_than_few() -> None:
    """Else a thousand that wait for room are ranked anew whenever one of them ends."""
    ranked = 0

    class Counting(Order):
        def rank(self, key: str) -> tuple[float, float, int]:
            nonlocal ranked
            ranked += 1
            return super().rank(key)

    bench = Bench(slots=2)
    bench.run([action(f"n{number}") for number in range(300)], kind=Counting)
    assert len(bench.ran) == 300
    assert ranked <= 2 * 300


def test_what_leads_soonest_to_a_result_comes_first() -> None:
    """The quick first step of a long chain waits for the slow only step of a short one."""
    bench = Bench(seconds={"tls": 1, "haproxy": 60, "slow": 30, "p": 4, "q": 4})
    bench.run(
        [action("tls"), action("haproxy", "tls"), action("p", "haproxy"), action("slow"), action("q", "slow")]
    )
    assert bench.ran == ["slow", "q", "tls", "haproxy", "p"]


def test_a_chain_that_was_begun_goes_on_before_a_new_one_of_the_same_cost() -> None:
    bench = Bench()
    bench.run([action("a"), action("x"), action("b", "a"), action("y", "x")])
    assert bench.ran == ["a", "b", "x", "y"]


def test_what_serves_no_result_any_more_comes_last() -> None:
    bench = Bench(fails=["source"], seconds={"tls": 5, "other": 50})
    bench.run(
        [action("source"), action("tls"), action("p", "source", "tls"), action("other"), action("q", "other")]
    )
    assert bench.ran == ["source", "other", "q", "tls"]


def test_disjoint_graphs_are_done_one_after_the_other_not_a_step_of_each() -> None:
    bench = Bench()
    bench.run(
        [
            action(f"{name}{step}", *([f"{name}{step - 1}"] if step else []))
            for step in range(3)
            for name in "ab"
        ]
    )
    assert bench.ran == ["a0", "a1", "a2", "b0", "b1", "b2"]


def test_a_loop_is_refused_before_anything_runs() -> None:
    bench = Bench()
    with pytest.raises(CycleError):
        bench.run([action("z"), action("a", "b"), action("b", "a")])
    assert bench.ran == []


def test_a_wide_graph_never_takes_more_memory_than_there_is() -> None:
    demands = {f"n{number}": Demand(memory=3) for number in range(9)} | {"n4": Demand(memory=70)}
    bench = Bench(slots=4, memory=7, demands=demands)
    bench.doing = lambda _: time.sleep(0.01)
    bench.run([action(f"n{number}") for number in range(9)])
    assert len(bench.ran) == 9
    assert bench.most_memory == 7
    assert bench.most == 2


def test_a_full_lane_holds_up_only_its_like() -> None:
    demands = {key: Demand(lane="s390x") for key in ("a", "b", "c")}
    bench, over = Bench(slots=2, demands=demands, lanes={"s390x": 1}), threading.Event()
    others = [f"z{number:02}" for number in range(20)]

    def until_the_others_ran(one: Action) -> None:
        if one.key == "a":
            assert over.wait(10)
        elif one.key == others[-1]:
            over.set()

    bench.doing = until_the_others_ran
    assert bench.run([action(key) for key in ("a", "b", "c", *others)]) == {}
    assert bench.ran == ["a", *others, "b", "c"]
    assert bench.most_in_lane["s390x"] == 1


def test_a_heavy_action_is_overtaken_by_light_ones_but_not_for_ever() -> None:
    light = [f"l{number:02}" for number in range(40)]
    bench = Bench(slots=2, weights={"heavy": 2}, seconds={"heavy": 0, "long": 0, **dict.fromkeys(light, 9)})
    enough = threading.Event()

    def keep_busy(one: Action) -> None:
        if one.key == "long":
            enough.wait(2)
        elif bench.ran.count("heavy") == 0 and len(bench.ran) > 30:
            enough.set()

    bench.doing = keep_busy
    bench.run([action("long"), action("heavy"), *(action(key) for key in light)])
    assert bench.ran.index("heavy") == 1 + 8


def test_what_takes_nothing_of_the_machine_overtakes_what_waits_for_room() -> None:
    """What workers do, as long as an image is made here."""
    away = [f"w{number:02}" for number in range(20)]
    bench = Bench(
        slots=2,
        weights={"here": 2},
        demands={key: Demand(cpus=0, lane="workers") for key in away},
        lanes={"workers": 4},
        seconds={"long": 0, "here": 0, **dict.fromkeys(away, 9)},
    )
    all_done = threading.Event()

    def wait_for_the_others(one: Action) -> None:
        if one.key == "long":
            all_done.wait(2)
        elif len(bench.ran) == 1 + len(away):
            all_done.set()

    bench.doing = wait_for_the_others
    assert bench.run([action("long"), action("here"), *(action(key) for key in away)]) == {}
    assert bench.ran[-1] == "here"
    assert sorted(bench.ran[:-1]) == ["long", *away]


def test_the_order_of_the_failures_and_of_who_is_blocked_is_not_that_of_the_end() -> None:
    """Two needs fail; whichever ends first, the blocked one names the same."""
    for slow in ("a", "b"):
        bench = Bench(slots=2, fails=["a", "b"])
        bench.doing = dawdle_in(slow)
        bench.run([action("a"), action("b"), action("c", "b", "a"), action("d", "c")])
        assert bench.blocked == {"c": failure("b"), "d": failure("b")}


def test_an_exception_while_a_blocked_one_is_told_costs_no_other_its_turn() -> None:
    bench, told = Bench(fails=["a"]), []

    def block(one: Action, _: Failure) -> None:
        told.append(one.key)
        if one.key == "b":
            raise ZeroDivisionError("nobody foresaw it")

    bench.block = block
    failures = bench.run([action("a"), action("b", "a"), action("c", "b"), action("d", "a"), action("e")])
    assert sorted(bench.ran) == ["a", "e"]
    assert sorted(told) == ["b", "c", "d"]
    assert failures["b"].reason is Reason.INTERNAL
    assert failures["c"] == failures["b"]
    assert failures["d"] == failure("a")


def test_among_equals_the_plans_order_holds() -> None:
    bench = Bench()
    bench.run([action(key) for key in "zmab"])
    assert bench.ran == list("zmab")


def test_independent_actions_run_at_once() -> None:
    bench = Bench(slots=2)
    meeting = threading.Barrier(2)

    def meet(_: Action) -> None:
        meeting.wait(timeout=10)

    bench.doing = meet
    assert bench.run([action("a"), action("b")]) == {}
    assert bench.most == 2


def test_slots_are_never_exceeded_and_a_heavy_action_runs_alone() -> None:
    bench = Bench(slots=2, weights={"heavy": 9, "b": 2})
    bench.doing = lambda _: time.sleep(0.01)
    bench.run([action(key) for key in ("a", "heavy", "b", "c", "d")])
    assert sorted(bench.ran) == ["a", "b", "c", "d", "heavy"]
    assert bench.most == 2


def test_a_failure_blocks_its_dependents_to_a_fixpoint_with_the_first_cause() -> None:
    bench = Bench(fails=["a"])
    actions = [action("a"), action("b", "a"), action("c", "b"), action("d", "c"), action("e")]
    failures = bench.run(actions)
    assert sorted(bench.ran) == ["a", "e"]
    assert bench.blocked == dict.fromkeys("bcd", failure("a"))
    assert failures == dict.fromkeys("abcd", failure("a"))


def test_of_two_causes_the_first_needed_is_named() -> None:
    bench = Bench(fails=["a", "b"])
    bench.run([action("a"), action("b"), action("c", "b", "a")])
    assert bench.blocked == {"c": failure("b")}


def test_an_earlier_failure_blocks_as_well() -> None:
    bench = Bench()
    bench.ended = {"image", "fine"}
    earlier = {"image": failure("image")}
    assert bench.run([action("a", "image"), action("b", "fine")], failed=earlier) == {
        "image": failure("image"),
        "a": failure("image"),
    }
    assert bench.blocked == {"a": failure("image")}


def test_an_action_that_raises_blocks_its_dependents_and_the_run_goes_on() -> None:
    bench = Bench()

    def raise_in_a(one: Action) -> None:
        if one.key == "a":
            raise ZeroDivisionError("nobody foresaw it")

    bench.doing = raise_in_a
    failures = bench.run([action("a"), action("b", "a"), action("c")])
    assert sorted(bench.ran) == ["a", "c"]
    assert failures["a"].reason is Reason.INTERNAL
    assert "a: ZeroDivisionError('nobody foresaw it')" in failures["a"].message
    assert bench.blocked == {"b": failures["a"]}


def test_after_a_cancellation_nothing_new_starts_and_what_runs_is_waited_for() -> None:
    bench = Bench()
    bench.doing = lambda _: bench.cancel.ask()
    assert bench.run([action("a"), action("b"), action("c", "b")]) == {}
    assert bench.ran == ["a"]
    assert bench.ended == {"a"}
    assert bench.blocked == {}


def test_nothing_starts_beside_what_still_runs_after_a_cancellation() -> None:
    bench, both = Bench(slots=2), threading.Barrier(2)

    def cancel_in_a(one: Action) -> None:
        both.wait(timeout=10)
        if one.key == "a":
            bench.cancel.ask()
        else:
            time.sleep(0.3)

    bench.doing = cancel_in_a
    bench.run([action("a"), action("b"), action("c")])
    assert sorted(bench.ran) == ["a", "b"]


def test_a_run_that_is_cancelled_before_it_begins_starts_nothing() -> None:
    bench = Bench()
    bench.cancel.ask()
    bench.run([action("a")])
    assert bench.ran == []


def test_the_failure_of_what_still_ran_is_kept() -> None:
    bench = Bench(fails=["a"])
    bench.doing = lambda _: bench.cancel.ask()
    assert bench.run([action("a"), action("b")]) == {"a": failure("a")}


def test_grace_lets_go_of_an_action_that_is_stuck() -> None:
    bench, over = Bench(slots=2), threading.Event()

    def stick(one: Action) -> None:
        bench.cancel.ask()
        if one.key == "stuck":
            over.wait(30)

    bench.doing = stick
    started = time.monotonic()
    try:
        bench.run([action("stuck"), action("quick")], grace=0.1)
        assert time.monotonic() - started < 25
        assert "stuck" not in bench.ended
    finally:
        over.set()


def test_the_first_who_cancels_says_why() -> None:
    first_fault = Cancel()
    first_fault.ask(fail_fast=True)
    first_fault.ask()
    assert first_fault()
    assert first_fault.fail_fast
    interrupted = Cancel()
    interrupted.ask()
    interrupted.ask(fail_fast=True)
    assert not interrupted.fail_fast


def test_fail_fast_is_lifted_for_a_block_and_a_person_is_not() -> None:
    fault = Cancel()
    fault.ask(fail_fast=True)
    with fault.lifted():
        assert not fault()
    assert fault()
    assert fault.fail_fast
    with fault.lifted():
        fault.ask()
    assert fault()
    assert not fault.fail_fast, "somebody ended what came after"
    twice = Cancel()
    twice.ask(fail_fast=True)
    twice.ask()
    for stopped in (twice, fault):
        with stopped.lifted():
            assert stopped()
    going_on = Cancel()
    with going_on.lifted():
        assert not going_on()
    assert not going_on()


def test_what_is_held_is_not_lifted_before_its_end() -> None:
    cancel, order = Cancel(), list[str]()
    cancel.ask(fail_fast=True)

    def lift() -> None:
        with cancel.lifted():
            order.append("lifted")

    with cancel.held() as stopping:
        assert stopping
        thread = threading.Thread(target=lift)
        thread.start()
        thread.join(0.1)
        order.append("swept")
    thread.join()
    assert order == ["swept", "lifted"]


def test_a_person_who_asks_while_it_is_about_to_be_lifted_is_heard() -> None:
    """The reaper may sweep for seconds, and what is lifted waits for it."""
    cancel, found = Cancel(), list[bool]()
    cancel.ask(fail_fast=True)

    def lift() -> None:
        with cancel.lifted():
            found.append(cancel())

    with cancel.held():
        thread = threading.Thread(target=lift)
        thread.start()
        thread.join(0.1)
        cancel.ask()
    thread.join()
    assert found == [True]
    assert cancel()


LANES = {"one": 1, "two": 2}
DEMANDS = st.builds(
    Demand,
    cpus=st.integers(1, 6),
    memory=st.integers(0, 8),
    lane=st.sampled_from(["", *LANES, "free"]),
)
KINDS: tuple[ActionKind, ...] = ("probe", "source", "image", "haproxy", "tls")


@st.composite
def graphs(draw: st.DrawFn) -> list[Action]:
    """Any DAG of up to twelve actions: each needs some of those before it."""
    actions: list[Action] = []
    for number in range(draw(st.integers(0, 12))):
        needs = draw(st.lists(st.sampled_from([a.key for a in actions]), unique=True)) if actions else []
        actions.append(action(f"n{number}", *needs, kind=draw(st.sampled_from(KINDS))))
    return draw(st.permutations(actions))


@settings(max_examples=settings().max_examples * 3 // 2)
@given(data=st.data(), actions=graphs(), slots=st.integers(1, 4))
def test_whatever_fails_each_action_ends_in_exactly_one_way(
    data: st.DataObject, actions: list[Action], slots: int
) -> None:
    keys = [one.key for one in actions]
    some = st.sets(st.sampled_from(keys)) if keys else st.just(set[str]())
    fails, raises = data.draw(some, "fails"), data.draw(some, "raises")
    demands = {key: data.draw(DEMANDS) for key in keys}
    seconds = {key: data.draw(st.floats(0, 1000)) for key in keys}
    pauses = data.draw(st.permutations(range(len(keys))), "the order in which they end, roughly")
    bench = Bench(slots=slots, memory=5, lanes=LANES, fails=sorted(fails), demands=demands, seconds=seconds)

    def maybe_raise(one: Action) -> None:
        time.sleep(pauses[keys.index(one.key)] / 10_000)
        if one.key in raises:
            raise OSError(one.key)

    bench.doing = maybe_raise
    failures = bench.run(actions)
    assert sorted([*bench.ran, *bench.blocked]) == sorted(keys)
    assert bench.most <= slots
    assert bench.most_memory <= 5
    assert all(bench.most_in_lane[lane] <= limit for lane, limit in LANES.items())
    by_key = {one.key: one for one in actions}
    broken = (fails | raises) & set(bench.ran)
    assert set(failures) == broken | set(bench.blocked)
    for key, cause in failures.items():
        assert cause.action in broken
        assert key in broken or any(cause is failures.get(need) for need in by_key[key].needs)
    for key in bench.ran:
        assert not set(by_key[key].needs) & set(failures)


@settings(max_examples=settings().max_examples // 2)
@given(actions=graphs(), slots=st.integers(1, 3), after=st.integers(0, 5))
def test_a_cancellation_at_any_moment_ends_the_run(actions: list[Action], slots: int, after: int) -> None:
    bench = Bench(slots=slots)

    def count(_: Action) -> None:
        if len(bench.ran) > after:
            bench.cancel.ask()

    bench.doing = count
    assert bench.run(actions) == {}
    assert len(bench.ran) <= after + slots
    assert set(bench.ran) == bench.ended


@pytest.mark.parametrize("slots", [0, 1])
def test_one_slot_is_the_least(slots: int) -> None:
    bench = Bench(slots=slots)
    bench.run([action("a"), action("b", "a")])
    assert bench.ran == ["a", "b"]


@pytest.mark.timeout(20)
def test_what_was_taken_is_given_back_though_it_would_demand_less_now() -> None:
    """A compile demands all CPUs until the store has what it makes."""
    bench = Bench(slots=4, weights={"build": 4, "next": 4})
    bench.doing = lambda one: bench.demands.update({one.key: Demand()})
    bench.count = lambda *_: None  # type: ignore[method-assign]
    assert bench.run([action("build"), action("next", "build")]) == {}
    assert bench.ran == ["build", "next"]
