"""Which action leads soonest to a result. Pure.

A result is an action that no other needs: in a plan, a probe session. The cost of a result is what its
chain of actions still takes, one after another; an action ranks by the cheapest result that it serves.
Where many actions are done at once, this alone would begin the longest chain last, and all would wait for
it. So what is urgent goes first: what the rest of the work, shared out evenly, would not outlast.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from graphlib import TopologicalSorter

from orchestrator.plan.action import Action


class Order:
    """Ranks the actions of a plan while they are done.

    Among equals the plan's order holds. Costs are whole milliseconds: sums of them do not depend on the
    order in which actions end.

    :param width: how many actions are done at once; where it is one, none is urgent.
    :ivar version: another number once the rank of any action that is not done has changed.
    """

    def __init__(
        self, actions: Iterable[Action], seconds: Callable[[Action], float], *, width: int = 1
    ) -> None:
        plan = {action.key: action for action in actions}
        self._position = {key: place for place, key in enumerate(plan)}
        self._cost = {key: round(1000 * seconds(action)) for key, action in plan.items()}
        self._serves: dict[str, list[str]] = {key: [] for key in plan}
        self._blocks: dict[str, list[str]] = {key: [] for key in plan}
        for key, action in plan.items():
            for need in list_required(action):
                self._blocks.setdefault(need, []).append(key)
        self._left: dict[str, float] = {}
        for result in plan.keys() - {need for action in plan.values() for need in action.needs}:
            chain = _find_chain(plan, result)
            self._left[result] = sum(self._cost[key] for key in chain)
            for key in chain:
                self._serves[key].append(result)
        self._width, self._tail, self._open = width, _measure_tails(plan, self._cost), set(plan)
        self._work = sum(self._cost.values())
        self._calm = sorted(self._tail.values()) if width > 1 else []
        self.version = 0

    def rank(self, key: str) -> tuple[float, float, int]:
        """Return the sort key: smaller is earlier. An action that leads to no result comes last."""
        cost = min((self._left[result] for result in self._serves[key]), default=math.inf)
        urgent = cost < math.inf and self._width > 1 and self._tail[key] * self._width >= self._work
        return -self._tail[key] if urgent else 0, cost, self._position[key]

    def note_done(self, key: str) -> None:
        """Note that the action is done: its results cost less now."""
        self._forget(key)
        for result in self._serves[key]:
            self._left[result] -= self._cost[key]
            self.version += result in self._open

    def note_lost(self, key: str) -> None:
        """Note that the action failed: results that need it are no longer possible."""
        seen, reached = {key}, [key]
        while reached:
            now = reached.pop()
            if now in self._left:
                self._left[now] = math.inf
            new = [one for one in self._blocks.get(now, ()) if one not in seen]
            seen.update(new)
            reached += new
        for one in seen & self._open:
            self._forget(one)
        self.version += 1

    def _forget(self, key: str) -> None:
        """Take the action out of the work that is left."""
        self._open.remove(key)
        self._work -= self._cost[key]
        while self._calm and self._calm[-1] * self._width >= self._work:
            self._calm.pop()
            self.version += 1


def list_required(action: Action) -> list[str]:
    """Return the needs without which the action cannot be done."""
    return [need for need in action.needs if need not in action.optional]


def _measure_tails(plan: Mapping[str, Action], cost: Mapping[str, int]) -> dict[str, int]:
    """Return what each action and the longest chain after it take, one after another."""
    tails = dict(cost)
    graph = {key: [need for need in action.needs if need in plan] for key, action in plan.items()}
    for key in reversed([*TopologicalSorter(graph).static_order()]):
        for need in graph[key]:
            tails[need] = max(tails[need], cost[need] + tails[key])
    return tails


def _find_chain(plan: Mapping[str, Action], result: str) -> set[str]:
    """Return the result and all its direct and indirect needs."""
    chain, reached = {result}, [result]
    while reached:
        new = {need for need in plan[reached.pop()].needs if need in plan} - chain
        chain |= new
        reached += new
    return chain
