"""What a run would do, seen beforehand: the plan, what of it is there already, how long the rest takes.

Beside ``app`` a place that sees all rooms; it makes nothing and asks no registry.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.arch import ARCHES, Arch, by_machine
from orchestrator.errors import EngineError
from orchestrator.execute import docker_engine, images
from orchestrator.execute.docker_engine import DockerEngine
from orchestrator.execute.images import ImageRef
from orchestrator.execute.store import Store
from orchestrator.matrix import capabilities
from orchestrator.matrix.catalog import Catalog
from orchestrator.matrix.model import Cell
from orchestrator.plan.action import Action
from orchestrator.plan.plan import Plan, Planner, estimate
from orchestrator.plan.render import Renderer

State = Literal["present", "todo", "unknown", "blocked"]
"""``unknown``: without an engine for an image; without the toolchain image, whose package versions are
part of the digest, for a build. ``blocked``: its source, or that of something it needs, cannot be had."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One action. ``seconds`` is ``None`` where nothing has to be done; ``own``: measured on this machine."""

    action: Action
    state: State
    seconds: float | None
    own: bool


@dataclass(frozen=True, kw_only=True)
class Preview:
    """``steps`` in an order in which each stands after what it needs."""

    steps: tuple[Step, ...]
    cells: int
    unsupported: int
    engine: bool
    toolchain: bool
    """Whether the toolchain image is there, so that builds have digests."""

    @property
    def seconds(self) -> float:
        """All that is to be done, one after another."""
        return sum(step.seconds or 0 for step in self.steps)

    @property
    def default_seconds(self) -> float:
        """The part of ``seconds`` for which this machine has no figure of its own."""
        return sum(step.seconds or 0 for step in self.steps if not step.own)


def engine_here() -> tuple[DockerEngine | None, Arch]:
    """The engine, if one answers, and its architecture; without one this machine's."""
    try:
        engine = docker_engine.connect()
        return engine, by_machine(engine.info().arch)
    except EngineError:
        return None, by_machine(os.uname().machine)


def preview(
    cells: Sequence[Cell], catalog: Catalog, store: Store, engine: DockerEngine | None, host: Arch
) -> Preview:
    """Plan the cells that are not declared impossible.

    :param host: the architecture of the engine's machine.
    :raises MatrixctlError: where the engine or the store fails.
    """
    here = images.existing(engine.client, host, tuple(ARCHES.values())) if engine else {}
    toolchain = here.get(("toolchain", host.name))
    packages = {host.name: images.packages(engine.client, toolchain)} if engine and toolchain else {}
    runnable = [cell for cell in cells if capabilities.unsupported(cell) is None]
    plan = Planner(host=host, catalog=catalog, renderer=Renderer(), packages=packages).plan(runnable)
    states = _states(plan, store, here if engine else None)
    return Preview(
        steps=_steps(plan, states, store),
        cells=len(runnable),
        unsupported=len(cells) - len(runnable),
        engine=engine is not None,
        toolchain=toolchain is not None,
    )


def _states(plan: Plan, store: Store, here: Mapping[tuple[str, str], ImageRef] | None) -> Mapping[str, State]:
    states: dict[str, State] = {}
    for key, action in plan.actions.items():
        if action.problem or any(states.get(need) == "blocked" for need in action.needs):
            states[key] = "blocked"
        else:
            states[key] = _state(action, store, here)
    return states


def _state(action: Action, store: Store, here: Mapping[tuple[str, str], ImageRef] | None) -> State:
    match action.kind:
        case "probe":
            return "todo"
        case "image" if here is None:
            return "unknown"
        case "image":
            return "present" if (action.image, action.arch) in (here or {}) else "todo"
        case "source" if action.source is not None and action.source.sha256 is not None:
            held = store.source(action.source.sha256, action.source.file)
            return "present" if held else "todo"
    if action.digest is None:
        return "unknown"
    return "present" if store.artifact(action.digest) else "todo"


def _steps(plan: Plan, states: Mapping[str, State], store: Store) -> tuple[Step, ...]:
    known = store.known_duration
    nothing_to_do = [key for key, state in states.items() if state in {"present", "blocked"}]
    seconds = estimate(plan, nothing_to_do, known)
    return tuple(
        Step(
            action=action,
            state=states[key],
            seconds=seconds.get(key),
            own=key in seconds and known(action.kind, action.name) is not None,
        )
        for key, action in plan.actions.items()
    )
