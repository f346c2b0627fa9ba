"""What each action may take of the engine's host while it runs; docs/scheduling.md says it to people."""

from collections.abc import Mapping

from orchestrator.execute.schedule.slots import Demand
from orchestrator.matrix import capabilities
from orchestrator.matrix.model import Cell
from orchestrator.plan.action import Action, BuildAction, BuildKind, ImageAction, ProbeAction, SourceAction
from orchestrator.probe import session

GIB = 1 << 30
"""Bytes."""
BUILD_MEMORY = 4 * GIB
SMALL_MEMORY = GIB
"""To compile the self-test, which is one file, or to unpack a HAProxy."""
_IMAGE_MEMORY = GIB
"""Of a package installation; nothing holds it to that."""
_RESERVE = 8
"""The part of the host's memory that is left to everything else: one in so many."""


def find_budget(memory: int) -> int:
    """Return what containers may take at once, in bytes, of all that the engine's host has."""
    return memory - memory // _RESERVE


def find_demand(action: Action, cells: Mapping[str, Cell], jobs: int) -> Demand:
    """Return what an action takes: a compile all jobs, everything else, unpacking included, one.

    A download takes none of the host's memory.

    :param cells: the plan's, by id.
    """
    match action:
        case BuildAction():
            return find_build_demand(action.kind, compiles=action.compiles, jobs=jobs)
        case ImageAction():
            return Demand(memory=_IMAGE_MEMORY)
        case SourceAction():
            return Demand()
        case ProbeAction():
            first = cells[action.cells[0]]
            asan = capabilities.has_asan(first.haproxy, first.tls)
            return Demand(memory=session.count_memory(len(action.cells), asan=asan), lane=first.arch.name)


def find_build_demand(kind: BuildKind, *, compiles: bool, jobs: int) -> Demand:
    """Return what a build takes; its container is allowed no more."""
    if kind == "selftest" or not compiles:
        return Demand(memory=SMALL_MEMORY)
    return Demand(cpus=jobs, memory=BUILD_MEMORY)
