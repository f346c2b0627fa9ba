"""A plan: a verified DAG of actions, and how long it will take. Pure."""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter

from orchestrator.arch import Arch
from orchestrator.errors import MatrixctlError
from orchestrator.matrix.model import DEFAULTS, Cell, ClientValue, ExecutionValue, name_haproxy
from orchestrator.plan.action import Action, BuildAction, ProbeAction, make_key

FALLBACK_SECONDS = {
    "image": 30.0,
    "source": 5.0,
    "tls": 120.0,
    "haproxy": 60.0,
    "selftest": 5.0,
    "probe": 4.0,
}
"""Estimates where this machine has no own figure yet; see docs/performance.md."""
UNPACK_SECONDS = 2.0
"""Of a HAProxy that is not compiled here."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The DAG, in a deterministic order in which each action stands after what it needs."""

    actions: Mapping[str, Action]
    cells: Mapping[str, Cell]

    def make_graph(self, kinds: Iterable[str] | None = None) -> dict[str, tuple[str, ...]]:
        """Return key -> the keys it needs, of all actions or of some kinds only."""
        chosen = {k: a for k, a in self.actions.items() if kinds is None or a.kind in set(kinds)}
        return {key: tuple(need for need in action.needs if need in chosen) for key, action in chosen.items()}

    def drop_probes(self, cells: AbstractSet[str]) -> "Plan":
        """Return the plan without the probes of these cells; what they need stays."""
        actions: dict[str, Action] = {}
        for key, action in self.actions.items():
            left = tuple(cell for cell in action.cells if cell not in cells)
            if not isinstance(action, ProbeAction):
                actions[key] = action
            elif left:
                actions[key] = action.model_copy(update={"cells": left})
        return replace(self, actions=actions)

    def find_build(self, cell: Cell) -> Action | None:
        """Return the action that builds the cell's HAProxy, or ``None`` where none is planned."""
        return self.actions.get(make_key("haproxy", name_build(cell)))


def name_build(cell: Cell) -> str:
    """Return the name of the HAProxy build that a cell shares with others."""
    return f"{name_haproxy(cell.haproxy.name)}--{cell.tls.name}--{cell.arch.name}"


def name_session(cell: Cell) -> str:
    """Return the name of the probe session that a cell shares: one build, CPU and client image."""
    return name_session_of(name_build(cell), cell.execution, cell.client)


def name_session_of(build: str, cpu: ExecutionValue, client: ClientValue) -> str:
    """Return the name of the probe session of a build, by the build's name, on a CPU and with a client."""
    on_cpu = build + (f"--{cpu.name}" if cpu != DEFAULTS["execution"] else "")
    return on_cpu + (f"--{client.name}" if client.is_own else "")


def choose_runtime_image(cell: Cell, host: Arch) -> str:
    """Return the image in which a cell's server runs: one with an emulator where it does not run natively."""
    return "emulated-runtime" if cell.is_emulated_on(host) else "runtime"


def choose_package_image(target: Arch, host: Arch) -> str:
    """Return the image that has Debian's own HAProxy for ``target``: the one in which servers of it run."""
    return "runtime" if target == host else "emulated-runtime"


def verify(plan: Plan) -> None:
    """Check the invariants of a plan: every need exists, no cycle, every cell is probed exactly once.

    :raises MatrixctlError: where one does not hold (a fault of matrixctl).
    """
    probed = [cell for action in plan.actions.values() if action.kind == "probe" for cell in action.cells]
    early = _find_early(plan)
    missing = early - set(plan.actions)
    faults = []
    if missing:
        faults.append(f"needed and not planned: {', '.join(sorted(missing))}")
    if len(probed) != len(set(probed)) or set(probed) != set(plan.cells):
        faults.append("a cell is probed twice or never")
    if early - missing:
        faults.append(
            _find_cycle(plan) or f"planned after what needs it: {', '.join(sorted(early - missing))}"
        )
    if faults:
        raise MatrixctlError("The plan is broken; this is a fault of matrixctl.", details="\n".join(faults))


def _find_early(plan: Plan) -> set[str]:
    """Return the needs that stand after what needs them, or nowhere; without any there is no cycle either."""
    seen: set[str] = set()
    early: set[str] = set()
    for key, action in plan.actions.items():
        early.update(need for need in action.needs if need not in seen)
        seen.add(key)
    return early


def _find_cycle(plan: Plan) -> str | None:
    try:
        TopologicalSorter(plan.make_graph()).prepare()
    except CycleError as error:
        return f"a cycle: {' -> '.join(error.args[1])}"
    return None


Known = Callable[[str, str], float | None]
"""Kind and name of an action -> seconds that it last took on this machine, or ``None``."""


def estimate_seconds(kind: str, name: str, known: Known, *, compiles: bool = True) -> float:
    """Return the seconds that an action takes: this machine's own last figure, else a default of its kind."""
    return known(kind, name) or (FALLBACK_SECONDS[kind] if compiles else UNPACK_SECONDS)


def estimate_action(action: Action, known: Known) -> float:
    """Return the seconds that an action of a plan will take; see ``estimate_seconds``."""
    compiles = not isinstance(action, BuildAction) or action.compiles
    return estimate_seconds(action.kind, action.name, known, compiles=compiles)


def estimate(plan: Plan, cached: Iterable[str], known: Known) -> dict[str, float]:
    """Return the seconds of each action that is still to be done."""
    there = set(cached)
    return {key: estimate_action(action, known) for key, action in plan.actions.items() if key not in there}
