"""Runs the actions of a plan in the order of its graph, with slots for CPUs.

It knows nothing of what an action does: it is handed a function. A failed action blocks its
dependents to a fixpoint; one that raises what nobody expected does the same and the run goes on.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

from orchestrator.outcome import Outcome, Reason
from orchestrator.plan.action import Action

_PRIORITY = {"probe": 0, "source": 1, "image": 2, "haproxy": 3, "tls": 4}
"""Results first: a probe session takes seconds, a compile minutes."""
_POLL = 0.2


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
    """Asked for by Ctrl-C or ``--fail-fast``."""

    fail_fast: bool = False
    _event: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> bool:
        return self._event.is_set()

    def ask(self, *, fail_fast: bool = False) -> None:
        """Nothing new starts from now on; the first asker's reason counts."""
        if not self._event.is_set():
            self.fail_fast = fail_fast
        self._event.set()


Execute = Callable[[Action], Failure | None]
Blocked = Callable[[Action, Failure], None]


def schedule(
    actions: Sequence[Action],
    *,
    slots: int,
    weight: Callable[[Action], int],
    execute: Execute,
    blocked: Blocked,
    failed: Mapping[str, Failure],
    cancel: Cancel,
    grace: float,
) -> dict[str, Failure]:
    """Run all actions; the failures, by key.

    :param slots: how much may run at once; ``weight`` says what an action takes (capped at ``slots``).
    :param failed: failures of earlier actions that stand in ``needs`` but not among ``actions``.
    :param blocked: told of each action that is not run, with the failure that blocks it.

    Once ``cancel`` is asked for nothing new starts; what runs is waited for, ``grace`` seconds at most.
    """
    by_key = {action.key: action for action in actions}
    order = {key: position for position, key in enumerate(by_key)}
    sorter = TopologicalSorter({a.key: [n for n in a.needs if n in by_key] for a in actions})
    sorter.prepare()
    failures = dict(failed)
    ready: list[str] = []
    running: dict[Future[Failure | None], str] = {}
    free = slots
    pool = ThreadPoolExecutor(max_workers=max(slots, 1), thread_name_prefix="action")
    patience = Patience(cancel, grace)
    try:
        while sorter.is_active() and not (cancel() and (not running or patience.over())):
            ready = sorted(
                [*ready, *sorter.get_ready()], key=lambda key: (_PRIORITY[by_key[key].kind], order[key])
            )
            for key in list(ready):
                action = by_key[key]
                cause = next((failures[need] for need in action.needs if need in failures), None)
                if cause is not None:
                    failures[key] = cause
                    ready.remove(key)
                    blocked(action, cause)
                    sorter.done(key)
                elif not cancel() and (need := min(weight(action), slots)) <= free:
                    free -= need
                    ready.remove(key)
                    running[pool.submit(execute, action)] = key
            done, _ = wait(running, timeout=_POLL, return_when=FIRST_COMPLETED)
            for future in done:
                key = running.pop(future)
                free += min(weight(by_key[key]), slots)
                failure = _result(future, key)
                if failure is not None:
                    failures[key] = failure
                sorter.done(key)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return failures


def _result(future: Future[Failure | None], key: str) -> Failure | None:
    error = future.exception()
    if error is None:
        return future.result()
    return Failure(outcome=Outcome.ERROR, reason=Reason.INTERNAL, message=f"{key}: {error!r}", action=key)


class Patience:
    """How long a cancelled run still waits: a download or an image build cannot be told to stop."""

    def __init__(self, cancel: Cancel, grace: float) -> None:
        self._cancel, self._grace, self._since = cancel, grace, 0.0

    def over(self) -> bool:
        """True once ``grace`` seconds have passed since the cancellation was first seen."""
        if not self._cancel():
            return False
        self._since = self._since or time.monotonic()
        return time.monotonic() - self._since > self._grace
