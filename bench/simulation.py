"""A run in simulated time: the real scheduler, order and pool, with workers whose clock is a number."""

import heapq
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from graphlib import TopologicalSorter
from math import fsum
from pathlib import Path
from statistics import median
from typing import Any, cast

from orchestrator import resources
from orchestrator.arch import ARCHES
from orchestrator.execute.schedule.order import Order
from orchestrator.execute.schedule.pool import Execute, Failure, Pool
from orchestrator.execute.schedule.scheduler import Cancel, schedule
from orchestrator.execute.schedule.slots import Demand, Slots
from orchestrator.matrix.catalog import Catalog
from orchestrator.matrix.expand import expand
from orchestrator.matrix.load import load
from orchestrator.matrix.select import find_filters, select
from orchestrator.plan.action import Action
from orchestrator.plan.plan import estimate_action
from orchestrator.plan.planner import Planner
from orchestrator.plan.render import Renderer

RECORDED = Path(__file__).with_name("durations.json")
"""Seconds by kind and name, as a store writes them: of the builds and probes of CI, on two CPUs."""
Seconds = Callable[[Action], float]


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """When each action of a run ended, in seconds from its begin."""

    ended: Mapping[str, float]

    @property
    def makespan(self) -> float:
        """Return when the last action ended."""
        return max(self.ended.values(), default=0.0)


class _Clock:
    """So many workers, each of which does one thing at once, first come, first served."""

    def __init__(self, workers: int, seconds: Seconds) -> None:
        self.now = 0.0
        self.ended: dict[str, float] = {}
        self._free, self._seconds = workers, seconds
        self._queue: deque[tuple[Execute, Action, Future[Failure | None]]] = deque()
        self._running: list[tuple[float, int, Execute, Action, Future[Failure | None]]] = []
        self._number = 0

    def submit(self, execute: Execute, action: Action) -> Future[Failure | None]:
        """Take an action in place of a pool of threads."""
        future: Future[Failure | None] = Future()
        self._queue.append((execute, action, future))
        self._start()
        return future

    def _start(self) -> None:
        while self._free and self._queue:
            execute, action, future = self._queue.popleft()
            self._free -= 1
            self._number += 1
            end = self.now + self._seconds(action)
            heapq.heappush(self._running, (end, self._number, execute, action, future))

    def go_on(self) -> None:
        """Let the next action end, and all that end at the same time."""
        if not self._running:
            return
        self.now = self._running[0][0]
        while self._running and self._running[0][0] == self.now:
            _, _, execute, action, future = heapq.heappop(self._running)
            self._free += 1
            self.ended[action.key] = self.now
            future.set_result(execute(action))
        self._start()

    def shutdown(self, **_: Any) -> None:
        """Do nothing: there are no threads to end."""


class _Pool(Pool):
    def as_completed(self, timeout: float) -> Any:
        cast("_Clock", self._threads).go_on()
        return super().as_completed(timeout)


def simulate(
    actions: Sequence[Action],
    seconds: Seconds,
    workers: int,
    *,
    room: int | None = None,
    estimate: Seconds | None = None,
    execute: Execute = lambda _: None,
) -> Simulation:
    """Return how a run of the actions would go.

    :param seconds: how long an action takes.
    :param room: how many actions are sent at once; ``None``: as many as there are workers.
    :param estimate: how long the order believes that it takes; ``None``: it knows.
    """
    clock = _Clock(workers, seconds)
    pool = _Pool(slots=Slots(cpus=room or workers, memory=0), demand=lambda _: Demand(), execute=execute)
    pool._threads = cast("Any", clock)  # noqa: SLF001 - the one thing that is not the real one
    schedule(
        actions,
        pool=pool,
        order=Order(actions, estimate or seconds, width=room or workers),
        blocked=lambda _action, _why: None,
        failed={},
        cancel=Cancel(),
        grace=0,
    )
    return Simulation(ended=clock.ended)


def find_bound(actions: Sequence[Action], seconds: Seconds, workers: int) -> float:
    """Return seconds that no order can fall short of: the longest chain, or all work shared out evenly."""
    by_key = {action.key: action for action in actions}
    needs = {key: [need for need in one.needs if need in by_key] for key, one in by_key.items()}
    end: dict[str, float] = {}
    for key in TopologicalSorter(needs).static_order():
        end[key] = max((end[need] for need in needs[key]), default=0.0) + seconds(by_key[key])
    return max(max(end.values(), default=0.0), fsum(map(seconds, actions)) / workers)


def list_actions(profile: str) -> list[Action]:
    """Return what workers do in a run of a profile: its builds and probes."""
    matrix = load(resources.find_root() / "matrix.yaml")
    every = expand(matrix)
    cells = select(every, find_filters(matrix, profile), known=every)
    planner = Planner(host=ARCHES["amd64"], catalog=Catalog(sources={}), renderer=Renderer(), packages={})
    return [one for one in planner.plan(cells).actions.values() if one.kind not in {"image", "source"}]


def read_recorded(path: Path = RECORDED) -> Seconds:
    """Return how long actions took; one that is not recorded takes the median of its kind."""
    recorded: dict[str, dict[str, float]] = json.loads(path.read_text())
    typical = {kind: median(names.values()) for kind, names in recorded.items()}
    return lambda one: recorded[one.kind].get(one.name, typical[one.kind])


def guess(action: Action) -> float:
    """Return what a run knows of an action that no store has a figure of."""
    return estimate_action(action, lambda *_: None)
