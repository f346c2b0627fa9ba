"""Where actions run, several at once: in threads, within the slots of the machine."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from orchestrator.execute.schedule.slots import Demand, Slots
from orchestrator.outcome import Outcome, Reason
from orchestrator.plan.action import Action

THREADS = "action"
"""How the names of the threads begin that do actions."""
_ENDING = 2.0
"""Seconds that a thread has to end after its last action."""
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


Execute = Callable[[Action], Failure | None]


@dataclass(kw_only=True)
class Pool:
    """Does actions, as many at once as there is room for. It knows nothing of their order.

    :ivar demand: what an action takes of ``slots`` while it runs.
    :ivar execute: does an action, in a thread of its own; one that a worker does is waited for there.
    :ivar width: how many compiles there is room for at once.
    :ivar end: tells what runs elsewhere to end; may take its time.
    """

    slots: Slots
    demand: Callable[[Action], Demand]
    execute: Execute
    width: int = 1
    end: Callable[[], None] = lambda: None
    _running: dict[Future[Failure | None], Action] = field(init=False, default_factory=dict)
    _demands: dict[str, Demand] = field(init=False, default_factory=dict)
    """Of what was ready: asked again, it might demand something else, and asking may take its time."""
    _asked: Counter[Demand] = field(init=False, default_factory=Counter)
    """How many that are ready have each demand; there are few."""
    _passed: Counter[str] = field(init=False, default_factory=Counter)
    _cancelled: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=self.slots.most + 1, thread_name_prefix=THREADS)

    @property
    def busy(self) -> bool:
        """Whether anything runs."""
        return bool(self._running)

    def submit(self, ready: Sequence[Action], *, stop: Callable[[], bool] = lambda: False) -> list[Action]:
        """Start the actions that there is room for, the first ones first; return those.

        :param stop: asked before each; true: start no more.

        Actions that fit may overtake one without room, so that no CPU is idle, but only a limited number
        of times. An action whose lane is full waits for its own lane and delays no other action; one that
        is done elsewhere delays none, and waits for none.
        """
        started: list[Action] = []
        waiting: list[str] = []
        all_wait = False
        self._find_demands(ready)
        left = +self._asked
        for action in ready:
            demand = self._demands[action.key]
            if stop() or not any(self._has_room(one, all_wait=all_wait) for one in left):
                break
            left[demand] -= 1
            if not left[demand]:
                del left[demand]
            if self._has_room(demand, all_wait=all_wait):
                self._asked[demand] -= 1
                self.slots.take(demand)
                self._running[self._threads.submit(self.execute, action)] = action
                started.append(action)
                if not demand.is_elsewhere:
                    self._passed.update(waiting)
                    all_wait = any(map(self._has_waited_enough, waiting))
            elif not self.slots.is_full(demand.lane):
                waiting.append(action.key)
                all_wait = all_wait or self._has_waited_enough(action.key)
        return started

    def _has_room(self, demand: Demand, *, all_wait: bool) -> bool:
        """Return whether there is room for it, where what needs this machine may have to wait."""
        return self.slots.has_room(demand) and (demand.is_elsewhere or not all_wait)

    def _find_demands(self, ready: Sequence[Action]) -> None:
        for action in ready:
            if action.key not in self._demands:
                demand = self._demands[action.key] = self.demand(action)
                self._asked[demand] += 1

    def _has_waited_enough(self, key: str) -> bool:
        return self._passed[key] >= _PASSES

    def as_completed(self, timeout: float) -> Iterator[tuple[Action, Failure | None]]:
        """Yield what has ended, each with its failure; wait so many seconds for the first.

        What an action raised is a failure, too.
        """
        done, _ = wait(self._running, timeout=timeout, return_when=FIRST_COMPLETED)
        for future in done:
            action = self._running.pop(future)
            self.slots.give_back(self._demands.pop(action.key))
            error = future.exception()
            yield action, future.result() if error is None else make_internal_failure(action, error)

    def cancel(self) -> None:
        """Tell what runs to end; it is not waited for."""
        if not self._cancelled:
            self._cancelled = True
            self._threads.submit(self.end)  # the one thread more: whom it tells may hang

    def close(self) -> None:
        """Let go of the threads; what still runs is left to itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def is_idle() -> bool:
    """Return whether no action runs; one that a cancelled schedule did not wait for may still do so."""
    threads = [one for one in threading.enumerate() if one.name.startswith(THREADS)]
    until = time.monotonic() + _ENDING
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


def make_internal_failure(action: Action, error: BaseException) -> Failure:
    """Return the failure for an error that is a fault of ours."""
    return Failure(
        outcome=Outcome.ERROR,
        reason=Reason.INTERNAL,
        message=f"{action.key}: {error!r}",
        action=action.key,
    )
