"""Preview of a run: the plan, what of it the store already has, how long the rest takes.

Beside ``app`` a place that sees all rooms; it makes nothing and asks no registry; git alone is
asked which commit a branch is.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from orchestrator.arch import ARCHES, Arch, find_arch
from orchestrator.errors import EngineError, MatrixctlError
from orchestrator.execute.engine.engine import Engine, connect
from orchestrator.execute.images import image_content, own_client, workshop
from orchestrator.execute.images.workshop import ImageRef
from orchestrator.execute.sources import release, unpinned
from orchestrator.execute.sources.unpinned import Package, ResolvedSource, ResolvedSources
from orchestrator.execute.store.store import Store
from orchestrator.matrix import capabilities
from orchestrator.matrix.catalog import Catalog, Moving
from orchestrator.matrix.expect import Expectations
from orchestrator.matrix.model import Cell
from orchestrator.matrix.pins import Pins
from orchestrator.plan.action import Action, BuildAction, ImageAction, ProbeAction, SourceAction
from orchestrator.plan.plan import Plan, choose_package_image, estimate
from orchestrator.plan.planner import Planner
from orchestrator.plan.render import Renderer

_LOOK_S = 30
"""Seconds for one source that moves."""

ActionState = Literal["present", "todo", "unknown", "blocked"]
"""``unknown``: without an engine for an image; without the toolchain image, whose package versions are
part of the digest, for a build. ``blocked``: a source that it needs cannot be obtained."""


@dataclass(frozen=True, kw_only=True)
class PreviewedAction:
    """One action. ``seconds`` is ``None`` where nothing has to be done; ``own``: measured on this machine.

    ``origin``: what a source that moves is now, as in ``git: URL master -> COMMIT``.
    """

    action: Action
    state: ActionState
    seconds: float | None
    own: bool
    origin: str


@dataclass(frozen=True, kw_only=True)
class Preview:
    """``steps`` in an order in which each stands after what it needs."""

    steps: tuple[PreviewedAction, ...]
    cells: int
    arches: tuple[str, ...]
    """The architectures of the cells that are tried."""
    unsupported: int
    engine: bool
    toolchain: bool
    """Whether the toolchain images are there, so that builds have digests."""

    @property
    def seconds(self) -> float:
        """Return the seconds of all actions that are to be done, one after another."""
        return sum(step.seconds or 0 for step in self.steps)

    @property
    def default_seconds(self) -> float:
        """Return the part of ``seconds`` for which this machine has no figure of its own."""
        return sum(step.seconds or 0 for step in self.steps if not step.own)


def find_engine() -> tuple[Engine | None, Arch]:
    """Return the engine, if one answers, and its architecture; without one this machine's."""
    try:
        engine = connect()
        return engine, find_arch(engine.describe().arch)
    except EngineError:
        return None, find_arch(os.uname().machine)


def make_package_finder(engine: Engine | None, host: Arch) -> Package:
    """Return what gives Debian's own HAProxy out of the images that are here already.

    :param host: the architecture of the engine's machine.
    """

    def find(arch: str) -> tuple[str, bytes] | None:
        here = workshop.find_existing(engine, host, [ARCHES[arch]]) if engine else {}
        return _find_package(engine, host, arch, here)

    return find


def _find_package(
    engine: Engine | None, host: Arch, arch: str, here: Mapping[tuple[str, ...], ImageRef]
) -> tuple[str, bytes] | None:
    image = here.get((choose_package_image(ARCHES[arch], host), arch))
    return image_content.read_haproxy(engine, image) if engine and image else None


def preview(
    cells: Sequence[Cell],
    catalog: Catalog,
    store: Store,
    engine: Engine | None,
    host: Arch,
    *,
    expectations: Expectations,
    mirrors: Sequence[str],
    pins: Pins | None = None,
    challenge_unsupported: bool = False,
) -> Preview:
    """Plan the cells that a run would try: not what is declared impossible, unless a rule or you ask for it.

    Branches are resolved, trees and binaries read, and nothing of them kept.

    :param host: the architecture of the engine's machine.
    :param mirrors: as in a run; those on servers are asked by git alone.
    :param pins: what the sources that move are to stand at.
    :param challenge_unsupported: as in a run: what is declared impossible is tried as well.
    :raises MatrixctlError: where the engine or the store fails.
    """
    here = workshop.find_existing(engine, host, tuple(ARCHES.values())) if engine else {}
    runnable = find_runnable(
        cells, host, expectations=expectations, challenge_unsupported=challenge_unsupported
    )
    targets = {cell.arch.name for cell in runnable}
    packages = {
        target: image_content.read_packages(engine, toolchain)
        for target in {*targets, host.name}
        if engine and (toolchain := here.get(("toolchain", target))) is not None
    }
    planner = Planner(host=host, catalog=catalog, renderer=Renderer(), packages=packages)
    first = planner.plan(runnable)
    here |= _find_variants(first, engine, host, here)
    variants = {
        action.key: image_content.read_packages(engine, image)
        for action in first.actions.values()
        if engine and isinstance(action, ImageAction) and action.extra and action.image == "toolchain"
        if (image := here.get(_make_image_key(action))) is not None
    }
    planner = replace(planner, variants=variants)

    def look(what: Moving) -> ResolvedSource:
        deadline = time.monotonic() + _LOOK_S
        return unpinned.fetch(
            what,
            store=store,
            mirrors=mirrors,
            deadline=deadline,
            package=lambda arch: _find_package(engine, host, arch, here),
            at=pins.find(what) if pins else "",
            keep=False,
        )

    now = unpinned.bring_all(first.actions.values(), look)
    plan = replace(planner, moved=now.sources).plan(runnable)
    plan = _mark_lost(plan, {**now.lost, **_find_unreachable(plan, store, mirrors)})
    states = _find_states(plan, store, here if engine else None)
    return Preview(
        steps=_make_steps(plan, states, store, now),
        cells=len(runnable),
        arches=tuple(dict.fromkeys(cell.arch.name for cell in runnable)),
        unsupported=len(cells) - len(runnable),
        engine=engine is not None,
        toolchain=targets <= packages.keys(),
    )


def find_runnable(
    cells: Sequence[Cell], host: Arch, *, expectations: Expectations, challenge_unsupported: bool
) -> list[Cell]:
    """Return the cells that a run on such a machine would try."""
    possible = [cell for cell in cells if not capabilities.find_emulator_lack(cell, host)]
    return [cell for cell in possible if challenge_unsupported or expectations.is_run(cell)]


def _make_image_key(action: ImageAction) -> tuple[str, ...]:
    own = (action.client.name,) if action.client else ()
    return (action.image, action.arch, *own, *action.extra)


def _find_variants(
    plan: Plan, engine: Engine | None, host: Arch, here: Mapping[tuple[str, ...], ImageRef]
) -> Mapping[tuple[str, ...], ImageRef]:
    """Return the images with further packages, or with a client, that are here, of those the plan names."""
    if engine is None:
        return {}
    images = [action for action in plan.actions.values() if isinstance(action, ImageAction)]
    wanted = [(action.image, ARCHES[action.arch], action.extra) for action in images if action.extra]
    found = workshop.find_images(engine, host, wanted)
    ours = here.get(("client", host.name))
    for action in images:
        if action.client and ours and (image := own_client.find(engine, ours, action.client)) is not None:
            found[_make_image_key(action)] = image
    return found


def _find_unreachable(plan: Plan, store: Store, mirrors: Sequence[str]) -> Mapping[str, MatrixctlError]:
    """Return the tarballs, by their action's key, that neither the store nor any place can have."""
    lost: dict[str, MatrixctlError] = {}
    for key, action in plan.actions.items():
        if (
            isinstance(action, SourceAction)
            and action.moving is None
            and action.source
            and not action.problem
        ):
            try:
                release.look(action.source, store=store, mirrors=mirrors)
            except MatrixctlError as error:
                lost[key] = error
    return lost


def _mark_lost(plan: Plan, lost: Mapping[str, MatrixctlError]) -> Plan:
    """Return the plan, in which sources that cannot be downloaded are marked."""
    marked = {
        key: plan.actions[key].model_copy(update={"problem": str(error)}) for key, error in lost.items()
    }
    return replace(plan, actions={**plan.actions, **marked})


def _find_states(
    plan: Plan, store: Store, here: Mapping[tuple[str, ...], ImageRef] | None
) -> Mapping[str, ActionState]:
    states: dict[str, ActionState] = {}
    for key, action in plan.actions.items():
        if action.problem or any(
            states.get(need) == "blocked" for need in action.needs if need not in action.optional
        ):
            states[key] = "blocked"
        else:
            states[key] = _find_state(action, store, here)
    return states


def _find_state(action: Action, store: Store, here: Mapping[tuple[str, ...], ImageRef] | None) -> ActionState:
    match action:
        case ProbeAction():
            return "todo"
        case ImageAction():
            if here is None:
                return "unknown"
            return "present" if _make_image_key(action) in here else "todo"
        case SourceAction():
            source = action.source
            held = source and source.sha256 is not None and store.find_source(source.sha256, source.file)
            return "present" if held else "todo"
        case BuildAction():
            if action.digest is None:
                return "unknown"
            return "present" if store.find_artifact(action.digest) else "todo"


def _make_steps(
    plan: Plan, states: Mapping[str, ActionState], store: Store, now: ResolvedSources
) -> tuple[PreviewedAction, ...]:
    known = store.find_duration
    nothing_to_do = [key for key, state in states.items() if state in {"present", "blocked"}]
    seconds = estimate(plan, nothing_to_do, known)
    return tuple(
        PreviewedAction(
            action=action,
            state=states[key],
            seconds=seconds.get(key),
            own=key in seconds and known(action.kind, action.name) is not None,
            origin=now.moved[key].origin if key in now.moved else "",
        )
        for key, action in plan.actions.items()
    )
