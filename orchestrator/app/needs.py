"""What a selection needs of the store: as a key for a cache, and as a list that can be exported."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.app.actions.build import choose_caches
from orchestrator.arch import Arch
from orchestrator.execute.sources import unpinned
from orchestrator.execute.store.bundle import WantedItems
from orchestrator.execute.store.store import Store
from orchestrator.matrix.catalog import Catalog, Moving, Source
from orchestrator.matrix.expect import Expectations
from orchestrator.matrix.model import Cell
from orchestrator.matrix.pins import Pins
from orchestrator.plan.action import BuildAction, ImageAction, SourceAction
from orchestrator.plan.digest import compute_digest
from orchestrator.plan.planner import Planner, list_inputs
from orchestrator.plan.render import Renderer
from orchestrator.preview import Preview, find_runnable

_LOOK_S = 30
"""Seconds for one source that moves."""
_SHOWN = 32
"""Digits of each half of a key: enough for a name."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """``names``: what each wanted path is. ``unknown``: the actions that have no digest yet."""

    wanted: WantedItems
    names: Mapping[str, str]
    unknown: tuple[str, ...]


def find_needs(preview: Preview, *, caches: bool) -> Needs:
    """Return what the plan of a preview takes out of the store, or will put there.

    :param caches: with the compiler caches of its builds.
    """
    artifacts: dict[str, str] = {}
    sources: dict[tuple[str, str], str] = {}
    kept: set[str | None] = set()
    unknown: list[str] = []
    for action, state in ((step.action, step.state) for step in preview.steps):
        match action:
            case SourceAction(source=Source(sha256=str() as sha256, file=file)):
                sources[sha256, file] = action.key
            case BuildAction(digest=str() as found):
                artifacts[found] = action.key
                kept |= {choose_caches(action.recipe)[1]} if caches and action.recipe else set()
            case BuildAction() | SourceAction() if state != "blocked":
                unknown.append(action.key)
    wanted = WantedItems(
        artifacts=artifacts.keys(), sources=sources.keys(), caches=[name for name in kept if name]
    )
    names = {f"artifacts/{found}": key for found, key in artifacts.items()}
    names |= {f"sources/{sha256}/{file}": key for (sha256, file), key in sources.items()}
    names |= {f"ccache/{name}": f"compiler cache {name}" for name in wanted.caches}
    return Needs(wanted=wanted, names=names, unknown=tuple(unknown))


@dataclass(frozen=True, kw_only=True)
class KeyInputs:
    """What the first half of a key is made from, beside the cells."""

    host: Arch
    catalog: Catalog
    store: Store
    mirrors: Sequence[str]
    expectations: Expectations
    pins: Pins | None
    challenge_unsupported: bool


def make_key(cells: Sequence[Cell], inputs: KeyInputs, preview: Preview) -> str:
    """Return a key for what the cells need of the store: the same as long as they need the same.

    Its first half says what is asked for: recipes, flags, patches, sources, commits. It is known before an
    image is made. The second half, behind a dash, is that of the digests themselves, which have the versions
    of compiler and libc in them; it is there once all of them are known.
    """
    asked = compute_digest("store-key", {"needs": sorted(_list_asked(cells, inputs))})[:_SHOWN]
    needs = find_needs(preview, caches=False)
    if needs.unknown:
        return asked
    exact = compute_digest("store-key", {"needs": sorted(needs.wanted.paths)})
    return f"{asked}-{exact[:_SHOWN]}"


def _list_asked(cells: Sequence[Cell], inputs: KeyInputs) -> Iterator[str]:
    """Yield a digest for each source and build that is asked for, without the toolchain's versions."""
    runnable = find_runnable(
        cells,
        inputs.host,
        expectations=inputs.expectations,
        challenge_unsupported=inputs.challenge_unsupported,
    )
    planner = Planner(host=inputs.host, catalog=inputs.catalog, renderer=Renderer(), packages={})
    moved = {
        key: _stand_in(action.moving, inputs)
        for key, action in planner.plan(runnable).actions.items()
        if isinstance(action, SourceAction) and action.moving
    }
    for action in replace(planner, moved=moved).plan(runnable).actions.values():
        match action:
            case SourceAction(source=Source() as source):
                yield compute_digest("source", {"sha256": source.sha256, "file": source.file})
            case BuildAction() if action.recipe:
                yield compute_digest(action.kind, list_inputs(action.recipe, planner.renderer))
            case ImageAction() if action.extra:
                yield compute_digest(
                    "image", {"image": action.image, "arch": action.arch, "extra": action.extra}
                )


def _stand_in(what: Moving, inputs: KeyInputs) -> Source:
    """Return a source that stands for what a place is at now: a commit is known before its tar is made."""
    at = inputs.pins.find(what) if inputs.pins else ""
    at = at or unpinned.resolve(
        what, store=inputs.store, mirrors=inputs.mirrors, deadline=time.monotonic() + _LOOK_S
    )
    return Source(component=what.component, version=what.version, file="", sha256=at, strip=1, origins=())
