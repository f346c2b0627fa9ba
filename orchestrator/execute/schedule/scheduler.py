"""Runs the actions of a plan in the order of its graph, within the slots of the machine.

It knows nothing of what an action does: it is handed a function. A failed action blocks its
dependents to a fixpoint; an unexpected exception does the same, and the run goes on.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

from orchestrator.execute.schedule.order import Order, required
from orchestrator.execute.schedule.slots import Demand, Slots
from orchestrator.outcome import Outcome, Reason
from orchestrator.plan.action import Action

THREADS = "action"
"""How the names of the threads begin that do actions."""
_POLL = 0.2
_PASSES = 8
"""How many later ones may overtake an action for which there is no room yet: then all wait for it."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an action did not succeed, in the words of the outcome table."""

    outcome: Outcome
    reason: Reason
    message: str
    action: str
    """Key of the action that failed first."""


@dataclass(kw_only=True)
class Cancel:
    """The request to stop, by Ctrl-C or ``--fail-fast``."""

    fail_fast: bool = False
    _event: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> bool:
        return self._event.is_set()

    def ask(self, *, fail_fast: bool = False) -> None:
        """Ask the run to stop: nothing new starts. The first reason counts."""
        if not self._event.is_set():
            self.fail_fast = fail_fast
        self._event.set()


Execute = Callable[[Action], Failure | None]
Blocked = Callable[[Action, Failure], None]


def schedule(
    actions: Sequence[Action],
    *,
    slots: Slots,
    demand: Callable[[Action], Demand],
    order: Order,
    execute: Execute,
    blocked: Blocked,
    failed: Mapping[str, Failure],
    cancel: Cancel,
    grace: float,
) -> dict[str, Failure]:
    """Run all actions and return the failures by key.

    :param demand: what an action takes of ``slots`` while it runs.
    :param order: knows the actions; of those that are ready, it says which goes first.
    :param failed: failures of earlier actions that are in ``needs`` but not in ``actions``.
    :param blocked: called with each action that is not run and the failure that blocks it.

    After a cancel nothing new starts; running actions get at most ``grace`` seconds to end.
    """
    made = _Schedule(
        actions={action.key: action for action in actions},
        slots=slots,
        demand=demand,
        order=order,
        execute=execute,
        blocked=blocked,
        failures=dict(failed),
        cancel=cancel,
        patience=Patience(cancel, grace),
        pool=ThreadPoolExecutor(max_workers=max(slots.cpus, 1), thread_name_prefix=THREADS),
    )
    made.run()
    return made.failures


@dataclass(kw_only=True)
class _Schedule:
    actions: Mapping[str, Action]
    slots: Slots
    demand: Callable[[Action], Demand]
    order: Order
    execute: Execute
    blocked: Blocked
    failures: dict[str, Failure]
    cancel: Cancel
    patience: "Patience"
    pool: ThreadPoolExecutor
    _ready: set[str] = field(default_factory=set)
    _running: dict[Future[Failure | None], tuple[str, Demand]] = field(default_factory=dict)
    """What runs, and what it took: asked again, it might demand something else."""
    _passed: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._sorter = TopologicalSorter(
            {key: [need for need in one.needs if need in self.actions] for key, one in self.actions.items()}
        )
        self._sorter.prepare()
        for key, action in self.actions.items():
            if self._cause(action) is not None:
                self.order.lost(key)

    def run(self) -> None:
        try:
            while self._sorter.is_active() and not self._over():
                self._block()
                self._start()
                self._collect()
        finally:
            self.pool.shutdown(wait=False, cancel_futures=True)

    def _over(self) -> bool:
        return self.cancel() and (not self._running or self.patience.over())

    def _cause(self, action: Action) -> Failure | None:
        return next((self.failures[need] for need in required(action) if need in self.failures), None)

    def _block(self) -> None:
        """Collect the actions that are ready, and block those that can no longer be done."""
        while new := self._sorter.get_ready():
            for key in new:
                action = self.actions[key]
                cause = self._cause(action)
                if cause is None:
                    self._ready.add(key)
                else:
                    self._fail(key, _report_blocked(self.blocked, action, cause))
                    self._sorter.done(key)

    def _start(self) -> None:
        """Start the actions that there is room for, the earliest result first.

        Actions that fit may overtake one without room, so that no CPU is idle, but only a limited number
        of times. An action whose lane is full waits for its own lane and delays no other action.
        """
        waiting: list[str] = []
        all_wait = False
        for key in sorted(self._ready, key=self.order.rank):
            if self.cancel() or all_wait:
                return
            demand = self.demand(self.actions[key])
            if self.slots.fit(demand):
                self._passed.update(waiting)
                all_wait = any(map(self._passed_enough, waiting))
                self._ready.remove(key)
                self.slots.take(demand)
                self._running[self.pool.submit(self.execute, self.actions[key])] = key, demand
            elif not self.slots.full(demand.lane):
                waiting.append(key)
                all_wait = self._passed_enough(key)

    def _passed_enough(self, key: str) -> bool:
        return self._passed[key] >= _PASSES

    def _collect(self) -> None:
        done, _ = wait(self._running, timeout=_POLL, return_when=FIRST_COMPLETED)
        for future in done:
            key, demand = self._running.pop(future)
            self.slots.give_back(demand)
            failure = _result(future, key)
            if failure is None:
                self.order.done(key)
            else:
                self._fail(key, failure)
            self._sorter.done(key)

    def _fail(self, key: str, failure: Failure) -> None:
        self.failures[key] = failure
        self.order.lost(key)


def _report_blocked(blocked: Blocked, action: Action, cause: Failure) -> Failure:
    """Report a blocked action and return its cause; if the report fails, return that error instead."""
    try:
        blocked(action, cause)
    except Exception as error:  # noqa: BLE001 - whatever a listener raises
        return _internal(action.key, error)
    return cause


def _result(future: Future[Failure | None], key: str) -> Failure | None:
    error = future.exception()
    return future.result() if error is None else _internal(key, error)


def _internal(key: str, error: BaseException) -> Failure:
    return Failure(outcome=Outcome.ERROR, reason=Reason.INTERNAL, message=f"{key}: {error!r}", action=key)


class Patience:
    """How long a cancelled run still waits: a download or an image build cannot be stopped."""

    def __init__(self, cancel: Cancel, grace: float) -> None:
        self._cancel, self._grace, self._since = cancel, grace, 0.0

    def over(self) -> bool:
        """Return true if ``grace`` seconds have passed since the cancellation was first seen."""
        if not self._cancel():
            return False
        self._since = self._since or time.monotonic()
        return time.monotonic() - self._since > self._grace
