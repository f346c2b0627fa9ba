"""The scheduler: order, slots, blocking to a fixpoint, cancelling, and no deadlock whatever fails."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.execute.scheduler import Cancel, Failure, schedule
from orchestrator.outcome import Outcome, Reason
from orchestrator.plan.action import Action, Kind


def action(key: str, *needs: str, kind: Kind = "source") -> Action:
    return Action(key=key, kind=kind, name=key, needs=needs)


def failure(key: str) -> Failure:
    return Failure(outcome=Outcome.FAIL, reason=Reason.BUILD_FAILED, message=f"{key} broke", action=key)


class Bench:
    """Runs actions, records what ran and how much at once; ``fails`` do fail."""

    def __init__(
        self, *, slots: int = 1, fails: Sequence[str] = (), weights: Mapping[str, int] | None = None
    ) -> None:
        self.slots, self.fails, self.weights = slots, set(fails), weights or {}
        self.ran: list[str] = []
        self.blocked: dict[str, Failure] = {}
        self.ended: set[str] = set()
        self.used = self.most = 0
        self.cancel = Cancel()
        self.doing: Callable[[Action], None] = lambda _: None
        self._lock = threading.Lock()

    def weight(self, one: Action) -> int:
        return self.weights.get(one.key, 1)

    def execute(self, one: Action) -> Failure | None:
        weight = min(self.weight(one), self.slots)
        with self._lock:
            assert not set(one.needs) - self.ended, "it was started before what it needs"
            self.ran.append(one.key)
            self.used += weight
            self.most = max(self.most, self.used)
        try:
            self.doing(one)
        finally:
            with self._lock:
                self.used -= weight
                self.ended.add(one.key)
        return failure(one.key) if one.key in self.fails else None

    def run(
        self,
        actions: Sequence[Action],
        *,
        failed: Mapping[str, Failure] | None = None,
        grace: float = 5.0,
    ) -> dict[str, Failure]:
        return schedule(
            actions,
            slots=self.slots,
            weight=self.weight,
            execute=self.execute,
            blocked=lambda one, cause: self.blocked.update({one.key: cause}),
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


def test_results_come_first_and_compiles_last() -> None:
    bench = Bench()
    kinds: tuple[Kind, ...] = ("tls", "haproxy", "image", "source", "probe")
    bench.run([action(kind, kind=kind) for kind in kinds])
    assert bench.ran == ["probe", "source", "image", "haproxy", "tls"]


def test_among_equals_the_plans_order_holds() -> None:
    bench = Bench()
    bench.run([action(key) for key in "zmab"])
    assert bench.ran == list("zmab")


def test_a_probe_that_becomes_ready_overtakes_a_compile_that_waits() -> None:
    bench = Bench()
    bench.run([action("x", kind="haproxy"), action("y", kind="haproxy"), action("p", "x", kind="probe")])
    assert bench.ran == ["x", "p", "y"]


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
    assert bench.ran == ["a", "c"]
    assert failures["a"].reason is Reason.INTERNAL
    assert "a: ZeroDivisionError('nobody foresaw it')" in failures["a"].message
    assert bench.blocked == {"b": failures["a"]}


def test_after_a_cancellation_nothing_new_starts_and_what_runs_is_waited_for() -> None:
    bench = Bench()
    bench.doing = lambda _: bench.cancel.ask()
    assert bench.run([action("a"), action("b"), action("c", "a")]) == {}
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
        assert time.monotonic() - started < 5
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


KINDS: tuple[Kind, ...] = ("probe", "source", "image", "haproxy", "tls")


@st.composite
def graphs(draw: st.DrawFn) -> list[Action]:
    """Any DAG of up to twelve actions: each needs some of those before it."""
    actions: list[Action] = []
    for number in range(draw(st.integers(0, 12))):
        needs = draw(st.lists(st.sampled_from([a.key for a in actions]), unique=True)) if actions else []
        actions.append(action(f"n{number}", *needs, kind=draw(st.sampled_from(KINDS))))
    return draw(st.permutations(actions))


@settings(max_examples=150, deadline=2000)
@given(data=st.data(), actions=graphs(), slots=st.integers(1, 4))
def test_whatever_fails_each_action_ends_in_exactly_one_way(
    data: st.DataObject, actions: list[Action], slots: int
) -> None:
    keys = [one.key for one in actions]
    some = st.sets(st.sampled_from(keys)) if keys else st.just(set[str]())
    fails, raises = data.draw(some, "fails"), data.draw(some, "raises")
    weights = {key: data.draw(st.integers(1, 6)) for key in keys}
    bench = Bench(slots=slots, fails=sorted(fails), weights=weights)

    def maybe_raise(one: Action) -> None:
        if one.key in raises:
            raise OSError(one.key)

    bench.doing = maybe_raise
    failures = bench.run(actions)
    assert sorted([*bench.ran, *bench.blocked]) == sorted(keys)
    assert bench.most <= slots
    by_key = {one.key: one for one in actions}
    broken = (fails | raises) & set(bench.ran)
    assert set(failures) == broken | set(bench.blocked)
    for key, cause in failures.items():
        assert cause.action in broken
        assert key in broken or any(cause is failures.get(need) for need in by_key[key].needs)
    for key in bench.ran:
        assert not set(by_key[key].needs) & set(failures)


@settings(max_examples=50, deadline=3000)
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
