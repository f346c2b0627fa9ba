"""From cells to a verified DAG of actions. Pure: the same cells and versions give the same plan."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from graphlib import CycleError, TopologicalSorter

from orchestrator.arch import Arch
from orchestrator.errors import MatrixctlError, SourceUnreachableError
from orchestrator.matrix import capabilities
from orchestrator.matrix.catalog import Catalog, Source
from orchestrator.matrix.model import Cell, HaproxyValue, TlsValue
from orchestrator.plan.action import Action, Recipe
from orchestrator.plan.digest import digest
from orchestrator.plan.render import Renderer

PREFIX = "/opt/matrixctl"
_FALLBACK_SECONDS = {"image": 30.0, "source": 5.0, "tls": 120.0, "haproxy": 60.0, "probe": 4.0}
"""Estimates where this machine has no own figure yet; see docs/performance.md."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The DAG, in a deterministic order in which each action stands after what it needs."""

    actions: Mapping[str, Action]
    cells: Mapping[str, Cell]

    def graph(self, kinds: Iterable[str] | None = None) -> dict[str, tuple[str, ...]]:
        """Key -> the keys it needs, of all actions or of some kinds only."""
        chosen = {k: a for k, a in self.actions.items() if kinds is None or a.kind in set(kinds)}
        return {key: tuple(need for need in action.needs if need in chosen) for key, action in chosen.items()}


@dataclass(frozen=True, kw_only=True)
class Planner:
    """What a plan depends on besides the cells.

    ``packages`` maps a build container's architecture to its packages and their versions; empty before
    the toolchain image exists, and then builds have no digest yet.
    """

    host: Arch
    catalog: Catalog
    renderer: Renderer
    packages: Mapping[str, Mapping[str, str]]
    emulated_build: bool = False
    _relevant: dict[tuple[str, str, bool], tuple[tuple[str, str], ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Answers of ``_packages``: builds are many, pairs of compiler and target few."""

    def plan(self, cells: Sequence[Cell]) -> Plan:
        """:raises MatrixctlError: where the result breaks an invariant (a fault of this module)."""
        actions: dict[str, Action] = {}
        sessions: dict[tuple[str, str, str], list[Cell]] = {}
        for cell in cells:
            sessions.setdefault((cell.arch.name, cell.haproxy.name, cell.tls.name), []).append(cell)
        for group in sessions.values():
            self._add_session(actions, group)
        served: dict[str, list[str]] = {}
        for action in reversed(list(actions.values())):
            # A set: two that need the same third one often serve the same cells.
            mine = action.cells or tuple(sorted(set(served.get(action.key, ()))))
            for need in action.needs:
                served.setdefault(need, []).extend(mine)
            if not action.cells:
                actions[action.key] = action.model_copy(update={"cells": mine})
        made = Plan(actions=actions, cells={cell.id: cell for cell in cells})
        verify(made)
        return made

    def _add_session(self, actions: dict[str, Action], group: Sequence[Cell]) -> None:
        first = group[0]
        target = first.arch.arch
        cells = tuple(cell.id for cell in group)
        build = self._add_build(actions, first.haproxy, first.tls, target, cells)
        images = (self._image(actions, "runtime", target), self._image(actions, "client", self.host))
        name = build_name(first)
        _add(
            actions,
            Action(
                key=f"probe:{name}",
                kind="probe",
                name=name,
                needs=(build, *images),
                cells=cells,
            ),
        )

    def _add_build(
        self,
        actions: dict[str, Action],
        haproxy: HaproxyValue,
        tls: TlsValue,
        target: Arch,
        cells: tuple[str, ...],
    ) -> str:
        parents: tuple[str, ...] = ()
        if tls.source != "distro":
            parents = (self._add_tls(actions, tls, target),)
        return self._compile(
            actions,
            kind="haproxy",
            name=f"haproxy-{haproxy.name}--{tls.name}--{target.name}",
            component=(haproxy.family, haproxy.version),
            target=target,
            template="build/haproxy.sh.j2",
            haproxy=haproxy,
            tls=tls,
            parents=parents,
            cells=tuple(sorted(cells)),
        )

    def _add_tls(self, actions: dict[str, Action], tls: TlsValue, target: Arch) -> str:
        return self._compile(
            actions,
            kind="tls",
            name=f"{tls.name}--{target.name}",
            component=(tls.family, tls.version),
            target=target,
            template=f"build/{tls.family}.sh.j2",
            haproxy=None,
            tls=tls,
            parents=(),
        )

    def _compile(
        self,
        actions: dict[str, Action],
        *,
        kind: str,
        name: str,
        component: tuple[str, str],
        target: Arch,
        template: str,
        haproxy: HaproxyValue | None,
        tls: TlsValue,
        parents: tuple[str, ...],
        cells: tuple[str, ...] = (),
    ) -> str:
        key = f"{kind}:{name}"
        if key in actions:
            return key
        compiler = target if self.emulated_build else self.host
        fetched = self._source(actions, *component)
        toolchain = self._image(
            actions, "toolchain" if compiler == self.host else "emulated-toolchain", compiler
        )
        source = actions[fetched].source
        known = self.renderer.has(template)
        recipe = (
            None
            if source is None or not known
            else Recipe(
                template=template,
                source=source,
                target=target,
                compiler_arch=compiler,
                haproxy=haproxy,
                tls=tls,
                flags=capabilities.make_flags(haproxy, tls) if haproxy else (),
                prefix=f"{PREFIX}/{tls.name}",
                packages=self._packages(
                    compiler, target, distro_tls=haproxy is not None and tls.source == "distro"
                ),
            )
        )
        ancestors = tuple(actions[parent].digest for parent in parents)
        _add(
            actions,
            Action.model_validate(
                {
                    "key": key,
                    "kind": kind,
                    "name": name,
                    "needs": (*parents, fetched, toolchain),
                    "cells": cells,
                    "recipe": recipe,
                    "problem": "" if known else f"matrixctl has no recipe for {component[0]} ({template})",
                    "digest": self._digest(kind, recipe, ancestors),
                }
            ),
        )
        return key

    def _digest(self, kind: str, recipe: Recipe | None, parents: tuple[str | None, ...]) -> str | None:
        if recipe is None or not recipe.packages or None in parents:
            return None
        inputs = {
            "recipe": self._template_text(recipe.template),
            "source": recipe.source.sha256,
            "strip": recipe.source.strip,
            "file": recipe.source.file,
            "flags": recipe.flags,
            "configure": recipe.tls.configure_flags if recipe.haproxy is None else (),
            "version": recipe.haproxy.version if recipe.haproxy else recipe.tls.version,
            "tls": recipe.tls.name,
            "prefix": recipe.prefix,
            "host": recipe.compiler_arch.name,
            "target": recipe.target.name,
            "packages": recipe.packages,
        }
        return digest(kind, inputs, tuple(parent for parent in parents if parent is not None))

    def _template_text(self, template: str) -> str:
        return _template_text(self.renderer, template)

    def _packages(self, compiler: Arch, target: Arch, *, distro_tls: bool) -> tuple[tuple[str, str], ...]:
        key = (compiler.name, target.name, distro_tls)
        if key not in self._relevant:
            known = self.packages.get(compiler.name, {})
            self._relevant[key] = relevant_packages(known, compiler, target, distro_tls=distro_tls)
        return self._relevant[key]

    def _source(self, actions: dict[str, Action], component: str, version: str) -> str:
        key = f"source:{component}-{version}"
        if key not in actions:
            source, problem = self._find(component, version)
            _add(
                actions,
                Action(
                    key=key,
                    kind="source",
                    name=f"{component}-{version}",
                    digest=source and source.sha256,
                    source=source,
                    problem=problem,
                ),
            )
        return key

    def _find(self, component: str, version: str) -> tuple[Source | None, str]:
        try:
            source = self.catalog.find(component, version)
        except SourceUnreachableError as error:
            return None, str(error)
        return source, source.blocked or ""

    def _image(self, actions: dict[str, Action], image: str, arch: Arch) -> str:
        name = f"{image}-{arch.name}"
        key = f"image:{name}"
        if key not in actions:
            # The runtime's root and the emulated toolchain are assembled in a container of the toolchain.
            needs = (
                () if image in {"toolchain", "client"} else (self._image(actions, "toolchain", self.host),)
            )
            _add(actions, Action(key=key, kind="image", name=name, image=image, arch=arch.name, needs=needs))
        return key


def build_name(cell: Cell) -> str:
    """The name of the HAProxy build that a cell shares with others."""
    return f"haproxy-{cell.haproxy.name}--{cell.tls.name}--{cell.arch.name}"


def _add(actions: dict[str, Action], action: Action) -> None:
    actions[action.key] = action


@cache
def _template_text(renderer: Renderer, template: str) -> str:
    return renderer.source(template)


_TOOLS = re.compile(r"(gcc|cpp|binutils)(-[0-9]+)?-(?P<gnu>[a-z0-9-]+-linux-gnu[a-z0-9]*)")
_LIBRARIES = ("libc6-dev", "libcrypt-dev", "linux-libc-dev", "libgcc-14-dev")


def relevant_packages(
    packages: Mapping[str, str], compiler: Arch, target: Arch, *, distro_tls: bool
) -> tuple[tuple[str, str], ...]:
    """The packages that decide what a compile yields: compiler, binutils, libc, development files.

    ``packages`` maps ``name`` (of the image's own architecture) or ``name:arch`` to a version. A cross
    compiler has its libc in packages of their own, as in ``libc6-dev-arm64-cross``.
    """
    wanted = (*_LIBRARIES, "libssl-dev") if distro_tls else _LIBRARIES
    suffix = "" if compiler == target else f":{target.name}"
    names = {*(f"{name}{suffix}" for name in wanted), *(f"{name}-{target.name}-cross" for name in _LIBRARIES)}
    gnu = target.gnu.replace("_", "-")
    return tuple(
        (name, version)
        for name, version in sorted(packages.items())
        if name in names or ((tool := _TOOLS.fullmatch(name)) and tool["gnu"] == gnu)
    )


def verify(plan: Plan) -> None:
    """The invariants of a plan: every need exists, no cycle, every cell is probed exactly once."""
    probed = [cell for action in plan.actions.values() if action.kind == "probe" for cell in action.cells]
    early = _early(plan)
    missing = early - set(plan.actions)
    faults = []
    if missing:
        faults.append(f"needed and not planned: {', '.join(sorted(missing))}")
    if len(probed) != len(set(probed)) or set(probed) != set(plan.cells):
        faults.append("a cell is probed twice or never")
    if early - missing:
        faults.append(_cycle(plan) or f"planned after what needs it: {', '.join(sorted(early - missing))}")
    if faults:
        raise MatrixctlError("The plan is broken; this is a fault of matrixctl.", details="\n".join(faults))


def _early(plan: Plan) -> set[str]:
    """What is needed before it stands in the plan; where there is none, there is no cycle either."""
    seen: set[str] = set()
    early: set[str] = set()
    for key, action in plan.actions.items():
        early.update(need for need in action.needs if need not in seen)
        seen.add(key)
    return early


def _cycle(plan: Plan) -> str | None:
    try:
        TopologicalSorter(plan.graph()).prepare()
    except CycleError as error:
        return f"a cycle: {' -> '.join(error.args[1])}"
    return None


Known = Callable[[str, str], float | None]
"""Kind and name of an action -> seconds that it last took on this machine, or ``None``."""


def expected(kind: str, name: str, known: Known) -> float:
    """Seconds that an action will take: this machine's own last figure, else a default of its kind."""
    return known(kind, name) or _FALLBACK_SECONDS[kind]


def estimate(plan: Plan, cached: Iterable[str], known: Known) -> dict[str, float]:
    """Seconds per action that is still to be done."""
    there = set(cached)
    return {
        key: expected(action.kind, action.name, known)
        for key, action in plan.actions.items()
        if key not in there
    }
