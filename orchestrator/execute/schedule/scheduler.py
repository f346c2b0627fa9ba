"""Runs the actions of a plan in the order of its graph, in a pool that has room for some at once.

It knows nothing of what an action does, nor where: it is handed a pool. A failed action blocks its
dependents to a fixpoint; an unexpected exception does the same, and the run goes on.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

from orchestrator.execute.schedule.order import Order, list_required
from orchestrator.execute.schedule.pool import Failure, Pool, make_internal_failure
from orchestrator.plan.action import Action

_POLL = 0.2


@dataclass(kw_only=True)
class Cancel:
    """The request to stop, by Ctrl-C or ``--fail-fast``."""

    fail_fast: bool = False
    _event: threading.Event = field(default_factory=threading.Event)
    _again: bool = False
    """Somebody asked once more, after ``--fail-fast`` had."""
    _held: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self) -> bool:
        return self._event.is_set()

    def ask(self, *, fail_fast: bool = False) -> None:
        """Ask the run to stop: nothing new starts. The first reason counts."""
        if not self._event.is_set():
            self.fail_fast = fail_fast
        self._again = self._again or not fail_fast
        self._event.set()

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Yield whether the run is to stop; that is not taken back before the end of this block."""
        with self._held:
            yield self()

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """Take back for this block what ``--fail-fast`` asked for, so that its failure can be looked at.

        What a person asks for, before or meanwhile, stays. Nothing of what was to stop may still run.
        """
        lift = self() and self.fail_fast and not self._again
        if lift:
            with self._held:  # it may take its time
                self._event.clear()
            if self._again:
                self._event.set()
        try:
            yield
        finally:
            if lift and not self():
                self.ask(fail_fast=True)


Blocked = Callable[[Action, Failure], None]


def schedule(
    actions: Sequence[Action],
    *,
    pool: Pool,
    order: Order,
    blocked: Blocked,
    failed: Mapping[str, Failure],
    cancel: Cancel,
    grace: float,
) -> dict[str, Failure]:
    """Run all actions and return the failures by key.

    :param pool: does the actions; it is closed in the end.
    :param order: knows the actions; of those that are ready, it says which goes first.
    :param failed: failures of earlier actions that are in ``needs`` but not in ``actions``.
    :param blocked: called with each action that is not run and the failure that blocks it.

    After a cancel nothing new starts; running actions get at most ``grace`` seconds to end.
    """
    made = _Schedule(
        actions={action.key: action for action in actions},
        pool=pool,
        order=order,
        blocked=blocked,
        failures=dict(failed),
        cancel=cancel,
        patience=Patience(cancel, grace),
    )
    made.run()
    return made.failures


@dataclass(kw_only=True)
class _Schedule:
    actions: Mapping[str, Action]
    pool: Pool
    order: Order
    blocked: Blocked
    failures: dict[str, Failure]
    cancel: Cancel
    patience: "Patience"
    _ready: list[Action] = field(default_factory=list)
    """The earliest result first, as long as the order has this version."""
    _version: int = -1

    def __post_init__(self) -> None:
        self._sorter = TopologicalSorter(
            {key: [need for need in one.needs if need in self.actions] for key, one in self.actions.items()}
        )
        self._sorter.prepare()
        for key, action in self.actions.items():
            if self._find_cause(action) is not None:
                self.order.note_lost(key)

    def run(self) -> None:
        try:
            while self._sorter.is_active() and not self._is_over():
                self._block()
                self._start()
                self._collect()
        finally:
            self.pool.close()

    def _is_over(self) -> bool:
        if not self.cancel():
            return False
        self.pool.cancel()
        return not self.pool.busy or self.patience.is_over()

    def _find_cause(self, action: Action) -> Failure | None:
        return next((self.failures[need] for need in list_required(action) if need in self.failures), None)

    def _block(self) -> None:
        """Collect the actions that are ready, and block those that can no longer be done."""
        while new := self._sorter.get_ready():
            for key in new:
                action = self.actions[key]
                cause = self._find_cause(action)
                if cause is None:
                    self._ready.append(action)
                    self._version = -1
                else:
                    self._fail(key, _report_blocked(self.blocked, action, cause))
                    self._sorter.done(key)

    def _start(self) -> None:
        """Start the actions that there is room for, the earliest result first."""
        if self._version != self.order.version:
            self._ready.sort(key=lambda action: self.order.rank(action.key))
            self._version = self.order.version
        for action in self.pool.submit(self._ready, stop=self.cancel):
            self._ready.remove(action)

    def _collect(self) -> None:
        for action, failure in self.pool.as_completed(_POLL):
            if failure is None:
                self.order.note_done(action.key)
            else:
                self._fail(action.key, failure)
            self._sorter.done(action.key)

    def _fail(self, key: str, failure: Failure) -> None:
        self.failures[key] = failure
        self.order.note_lost(key)


def _report_blocked(blocked: Blocked, action: Action, cause: Failure) -> Failure:
    """Report a blocked action and return its cause; if the report fails, return that error instead."""
    try:
        blocked(action, cause)
    except Exception as error:  # noqa: BLE001 - the border of an action that no executor does
        return make_internal_failure(action, error)
    return cause


class Patience:
    """How long a cancelled run still waits: a download or an image build cannot be stopped."""

    def __init__(self, cancel: Cancel, grace: float) -> None:
        self._cancel, self._grace, self._since = cancel, grace, 0.0

    def is_over(self) -> bool:
        """Return true if ``grace`` seconds have passed since the cancellation was first seen."""
        if not self._cancel():
            return False
        self._since = self._since or time.monotonic()
        return time.monotonic() - self._since > self._grace
