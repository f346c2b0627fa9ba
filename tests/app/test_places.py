"""The scheduler with both pools: actions that are done here, and those that the workers of a cluster do."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from engine_run import MATRIX, PACKAGES, Programs
from fake_host import FakeHost
from fakes import FakeEngine, action
from test_cluster import Lab, make_machine, wait_for

from orchestrator import bounds
from orchestrator.app.actions import Actions, build
from orchestrator.app.actions.probe import Probing
from orchestrator.app.cluster.dispatch import ClusterActions, connect_cluster
from orchestrator.app.cluster.perform import Listener, read_evidence
from orchestrator.app.context import Context
from orchestrator.app.executor import Executor
from orchestrator.app.ledger import Ledger
from orchestrator.app.opening import make_context
from orchestrator.app.options import Options
from orchestrator.app.selftests import SelfTests
from orchestrator.errors import BuildError, EngineLostError
from orchestrator.execute.schedule.order import Order
from orchestrator.execute.schedule.pool import Failure
from orchestrator.execute.schedule.scheduler import Cancel, schedule
from orchestrator.execute.store.store import Store
from orchestrator.outcome import Reason
from orchestrator.plan.action import Action
from orchestrator.plan.plan import Plan
from orchestrator.probe.certificates import Certificates
from orchestrator.record.journal import ActionChanged

EVERYTHING: Any = None
"""What builds never ask for."""


@dataclass
class Place:
    """Does builds that are played, one at once: in this process, or on the one worker of a cluster."""

    folder: Path
    lab: Lab | None
    plays: Callable[[Context, Action], None] = lambda _context, _action: None
    ran: list[str] = field(default_factory=list)
    cancel: Cancel = field(default_factory=Cancel)
    blocked: dict[str, Failure] = field(default_factory=dict)
    machines: int = 0
    events: list[ActionChanged] = field(default_factory=list)

    def play(self, context: Context, made: Action, *_: object) -> str:
        """Stand for ``build.do``, on whatever machine."""
        self.ran.append(made.key)
        self.plays(context, made)
        return "succeeded"

    def add(self) -> None:
        """Start a worker with one CPU."""
        assert self.lab
        self.machines += 1
        folder = self.folder / f"machine-{self.machines}"
        machine, _ = make_machine(folder, f"file://{self.folder}/there", Programs(), PACKAGES)
        machine.cpus = 1
        lab, before = self.lab, len(self.lab.scheduler.workers)
        lab.add(machine, folder)
        wait_for(lambda: len(lab.scheduler.workers) == before + 1)

    def lose(self) -> None:
        """Lose what does the action that asks: the engine here, or its worker."""
        if self.lab is None:
            raise EngineLostError("the engine is gone")
        (first,) = self.lab.scheduler.workers
        self.add()
        self.lab.drop(first)

    def go(self, actions: Sequence[Action], seconds: Mapping[str, float] | None = None) -> dict[str, Failure]:
        """Do the actions, and return the failures."""
        if self.lab is None:
            return self._go(actions, Actions, {}, seconds or {})
        self.add()
        with connect_cluster(self.lab.address, None) as cluster:
            return self._go(actions, ClusterActions, {"cluster": cluster}, seconds or {})

    def _go(
        self,
        actions: Sequence[Action],
        kind: Callable[..., Actions],
        more: Mapping[str, Any],
        seconds: Mapping[str, float],
    ) -> dict[str, Failure]:
        context = self._make_context()
        plan = Plan(actions={one.key: one for one in actions}, cells={})
        ledger = Ledger(
            recorder=context.recorder,
            selftests=SelfTests(recorder=context.recorder),
            store=context.store,
            cancel=context.cancel,
            fail_fast=False,
            confirm=0,
            new_cell=EVERYTHING,
            plan=plan,
            load=None,
        )
        probing = Probing(
            certificates=EVERYTHING,
            declared=EVERYTHING,
            record_attempt=EVERYTHING,
            record_selftest=EVERYTHING,
            keep_version=EVERYTHING,
            is_due=EVERYTHING,
            find_rounds=EVERYTHING,
            settle=EVERYTHING,
            record_traced=EVERYTHING,
        )
        here = kind(
            context=context,
            sources=cast("Any", SimpleNamespace(moved={}, find_path=None)),
            emulators=EVERYTHING,
            probing=probing,
            **more,
        )
        executor = Executor(context=context, ledger=ledger, do=here.do)
        failures = schedule(
            actions,
            pool=here.make_pool(plan, executor.execute),
            order=Order(actions, lambda one: seconds.get(one.key, 1)),
            blocked=lambda one, why: self.blocked.update({one.key: why}),
            failed={},
            cancel=self.cancel,
            grace=30,
        )
        heard = cast("Listener", context.recorder).events
        self.events = [one for one in heard if isinstance(one, ActionChanged)]
        return failures

    def _make_context(self) -> Context:
        options = Options(
            profile="full",
            filters=(),
            out=self.folder,
            store=self.folder / "store",
            jobs=1,
            certificates=lambda: Certificates(ca=b"", server=b""),
            here=FakeHost(),
        )
        folder = self.folder / "run"
        folder.mkdir()
        made = make_context(
            folder,
            FakeEngine(),
            MATRIX,
            options,
            store=Store(options.store),
            past=None,
            listen=lambda _: None,
            cancel=self.cancel,
        )
        return replace(made, recorder=Listener(folder))


def build_of(key: str, *needs: str) -> Action:
    return action(key, *needs, kind="haproxy", source="")


@pytest.fixture(params=["here", "cluster"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    lab = Lab() if request.param == "cluster" else None
    made = Place(tmp_path, lab)
    monkeypatch.setattr(build, "do", made.play)
    yield made
    if lab:
        lab.close()


def test_actions_are_done_in_the_order_of_the_schedule(place: Place) -> None:
    seconds = {"tls": 1, "haproxy": 60, "slow": 30, "p": 4, "q": 4}
    needs = {"tls": (), "haproxy": ("tls",), "p": ("haproxy",), "slow": (), "q": ("slow",)}
    order: list[str] = []
    lock, at_once = threading.Lock(), 0

    def alone(_: Context, made: Action) -> None:
        nonlocal at_once
        with lock:
            at_once += 1
            assert at_once == 1
            order.append(made.key)
        time.sleep(0.01)
        with lock:
            at_once -= 1

    place.plays = alone
    assert place.go([build_of(key, *needs[key]) for key in needs], seconds) == {}
    assert order == place.ran
    assert sorted(order) == sorted(needs)
    assert "slow" in order[:2], "a cluster is sent two at once"
    assert all(order.index(need) < order.index(key) for key in needs for need in needs[key])


def test_a_failure_blocks_its_dependents(place: Place) -> None:
    def fail(_: Context, made: Action) -> None:
        if made.key == "a":
            raise BuildError("a broke")

    place.plays = fail
    failures = place.go([build_of("a"), build_of("b", "a"), build_of("c", "b"), build_of("d")])
    assert sorted(place.ran) == ["a", "d"]
    assert {key: (one.action, one.reason) for key, one in failures.items()} == dict.fromkeys(
        "abc", ("a", Reason.BUILD_FAILED)
    )
    assert place.blocked.keys() == {"b", "c"}


def test_a_cancellation_ends_what_runs_and_starts_nothing(place: Place) -> None:
    told = []

    def interrupt(context: Context, _: Action) -> None:
        place.cancel.ask()
        wait_for(context.cancel)  # of a worker that is another one
        told.append(context.cancel())
        raise BuildError("its container was taken away")

    place.plays = interrupt
    place.go([build_of("a"), build_of("b", "a"), build_of("c", "b")])
    assert place.ran == ["a"]
    assert told == [True]
    assert [one.action.status for one in place.events] == ["running", "interrupted"]
    assert place.blocked == {}


def test_what_was_lost_is_done_again(place: Place) -> None:
    losses = iter([place.lose])

    def lose_once(_: Context, made: Action) -> None:
        for lose in losses if made.key == "a" else ():
            lose()
            time.sleep(0.1)

    place.plays = lose_once
    assert place.go([build_of("a"), build_of("b", "a")]) == {}
    assert place.ran == ["a", "a", "b"]
    assert place.events[-1].action.status == "succeeded"


def test_evidence_that_is_too_much_to_send_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "SENT", 10)
    (tmp_path / "cells").mkdir()
    for name, length in (("a", 6), ("b", 5), ("c", 4)):
        (tmp_path / "cells" / name).write_bytes(b"x" * length)
    (tmp_path / "cells" / "d").symlink_to("/etc/passwd")
    left_out = b"(not sent: 5 bytes; a task sends at most 10 of evidence)\n"
    assert dict(read_evidence(tmp_path)) == {"cells/a": b"x" * 6, "cells/b": left_out, "cells/c": b"x" * 4}
