"""What each action may take of the engine's host while it runs; docs/scheduling.md says it to people."""

from collections.abc import Mapping

from orchestrator.execute.schedule.slots import Demand
from orchestrator.matrix import capabilities
from orchestrator.matrix.model import Cell
from orchestrator.plan.action import Action
from orchestrator.probe import session

BUILD_MEMORY = 4 << 30
SELFTEST_MEMORY = 1 << 30
"""To compile it; it is one file."""
_IMAGE_MEMORY = 1 << 30
"""Of a package installation; nothing holds it to that."""
_RESERVE = 8
"""The part of the host's memory that is left to everything else: one in so many."""


def budget(memory: int) -> int:
    """What containers may take at once, in bytes, of all that the engine's host has."""
    return memory - memory // _RESERVE


def demand(action: Action, cells: Mapping[str, Cell], jobs: int) -> Demand:
    """A compile takes all jobs; everything else takes one. A download takes none of the host's memory.

    :param cells: the plan's, by id.
    """
    match action.kind:
        case "tls" | "haproxy":
            return Demand(cpus=jobs, memory=BUILD_MEMORY)
        case "selftest":
            return Demand(memory=SELFTEST_MEMORY)
        case "image":
            return Demand(memory=_IMAGE_MEMORY)
        case "source":
            return Demand()
        case "probe":
            first = cells[action.cells[0]]
            asan = capabilities.has_asan(first.haproxy, first.tls)
            return Demand(memory=session.memory(len(action.cells), asan=asan), lane=first.arch.name)
