"""What may run at once: CPUs and memory of the engine's host, and a limit per lane. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What one action may take while it runs. An action of a ``lane`` counts against that lane's limit."""

    cpus: int = 1
    memory: int = 0
    """Bytes: the sum of the memory limits of its containers."""
    lane: str = ""

    @property
    def is_elsewhere(self) -> bool:
        """Return whether it takes nothing of this machine, and so no room of what waits here."""
        return not self.cpus and not self.memory


@dataclass(kw_only=True)
class Slots:
    """The capacity of the machine, and how much of it is taken.

    An action that asks for more than there is gets all of it, and runs alone. A lane may have no limit.
    """

    cpus: int
    memory: int
    lanes: Mapping[str, int] = field(default_factory=dict)
    _cpus: int = field(init=False, default=0)
    _memory: int = field(init=False, default=0)
    _running: Counter[str] = field(init=False, default_factory=Counter)

    @property
    def most(self) -> int:
        """Return how many actions fit at once, whatever they demand, where those of no CPU have a lane."""
        return max(self.cpus, 1) + sum(self.lanes.values())

    def has_room(self, demand: Demand) -> bool:
        """Return whether there is room for it now."""
        cpus, memory = self._cap(demand)
        return (
            self._cpus + cpus <= self.cpus
            and self._memory + memory <= self.memory
            and not self.is_full(demand.lane)
        )

    def is_full(self, lane: str) -> bool:
        """Return whether a lane has reached its limit, even if the machine has room."""
        return lane in self.lanes and self._running[lane] >= self.lanes[lane]

    def take(self, demand: Demand) -> None:
        self._count(demand, 1)

    def give_back(self, demand: Demand) -> None:
        self._count(demand, -1)

    def _count(self, demand: Demand, sign: int) -> None:
        cpus, memory = self._cap(demand)
        self._cpus += sign * cpus
        self._memory += sign * memory
        self._running[demand.lane] += sign

    def _cap(self, demand: Demand) -> tuple[int, int]:
        return min(demand.cpus, self.cpus), min(demand.memory, self.memory)
