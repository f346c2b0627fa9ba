"""Makes the plan: the actions that the cells need, each once. Same cells and versions, same plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from orchestrator.arch import Arch
from orchestrator.errors import SourceUnreachableError
from orchestrator.matrix import capabilities
from orchestrator.matrix.catalog import Catalog, Source, moving
from orchestrator.matrix.model import Cell, HaproxyValue, Software, TlsValue
from orchestrator.plan.action import PREFIX, Action, Recipe, SelfTestRecipe
from orchestrator.plan.digest import digest, relevant_packages
from orchestrator.plan.plan import Plan, runtime_image, session_name, verify
from orchestrator.plan.render import Renderer


@dataclass(frozen=True, kw_only=True)
class Planner:
    """What a plan depends on besides the cells.

    ``packages`` maps a target to the packages of the toolchain that compiles for it, and their versions;
    without its toolchain's a build has no digest yet.
    """

    host: Arch
    catalog: Catalog
    renderer: Renderer
    packages: Mapping[str, Mapping[str, str]]
    emulated_build: bool = False
    moved: Mapping[str, Source] = field(default_factory=dict)
    _relevant: dict[tuple[str, str, bool], tuple[tuple[str, str], ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Answers of ``_packages``: builds are many, pairs of compiler and target few."""

    def plan(self, cells: Sequence[Cell]) -> Plan:
        """:raises MatrixctlError: where the result breaks an invariant (a fault of this module)."""
        actions: dict[str, Action] = {}
        sessions: dict[str, list[Cell]] = {}
        for cell in cells:
            sessions.setdefault(session_name(cell), []).append(cell)
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
        build = self._add_build(actions, first.haproxy, first.tls, target)
        # What somebody else built holds a library that is not ours to test.
        foreign = first.haproxy.source == "prebuilt" and first.tls.source != "distro"
        tests = () if foreign else (self._add_selftest(actions, first.tls, target),)
        runtime = self._image(actions, runtime_image(first, self.host), target)
        images = (runtime, self._image(actions, "client", self.host))
        name = session_name(first)
        _add(
            actions,
            Action(
                key=f"probe:{name}",
                kind="probe",
                name=name,
                needs=(build, *tests, *images),
                optional=tests,
                cells=cells,
            ),
        )

    def _add_build(
        self,
        actions: dict[str, Action],
        haproxy: HaproxyValue,
        tls: TlsValue,
        target: Arch,
    ) -> str:
        parents: tuple[str, ...] = ()
        prebuilt = haproxy.source == "prebuilt"
        if tls.source != "distro" and not prebuilt:
            parents = (self._add_tls(actions, tls, target),)
        return self._compile(
            actions,
            kind="haproxy",
            name=f"haproxy-{haproxy.name}--{tls.name}--{target.name}",
            target=target,
            template=f"build/{'prebuilt' if prebuilt else 'haproxy'}.sh.j2",
            haproxy=haproxy,
            tls=tls,
            parents=parents,
        )

    def _add_tls(self, actions: dict[str, Action], tls: TlsValue, target: Arch) -> str:
        return self._compile(
            actions,
            kind="tls",
            name=f"{tls.name}--{target.name}",
            target=target,
            template=f"build/{tls.family}.sh.j2",
            haproxy=None,
            tls=tls,
            parents=(),
        )

    def _add_selftest(self, actions: dict[str, Action], tls: TlsValue, target: Arch) -> str:
        name = f"selftest--{tls.name}--{target.name}"
        key = f"selftest:{name}"
        if key in actions:
            return key
        parents = (self._add_tls(actions, tls, target),) if tls.source != "distro" else ()
        toolchain = self._image(actions, self.toolchain(target), target)
        compiler = target if self.emulated_build else self.host
        recipe = SelfTestRecipe(
            template="build/selftest.sh.j2",
            target=target,
            compiler_arch=compiler,
            tls=tls,
            packages=self._packages(compiler, target, distro_tls=not parents),
        )
        _add(
            actions,
            Action(
                key=key,
                kind="selftest",
                name=name,
                needs=(*parents, toolchain),
                selftest=recipe,
                digest=self._selftest_digest(recipe, tuple(actions[parent].digest for parent in parents)),
            ),
        )
        return key

    def _selftest_digest(self, recipe: SelfTestRecipe, parents: tuple[str | None, ...]) -> str | None:
        if not recipe.packages or None in parents:
            return None
        inputs = {
            "recipe": _template_text(self.renderer, recipe.template),
            "host": recipe.compiler_arch.name,
            "target": recipe.target.name,
            "packages": recipe.packages,
        }
        return digest("selftest", inputs, tuple(parent for parent in parents if parent is not None))

    def _compile(
        self,
        actions: dict[str, Action],
        *,
        kind: str,
        name: str,
        target: Arch,
        template: str,
        haproxy: HaproxyValue | None,
        tls: TlsValue,
        parents: tuple[str, ...],
    ) -> str:
        key = f"{kind}:{name}"
        if key in actions:
            return key
        compiler = target if self.emulated_build else self.host
        software = haproxy or tls
        fetched = self._source(actions, software, target)
        toolchain = self._image(actions, self.toolchain(target), target)
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
                patches=software.patches,
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
                    "recipe": recipe,
                    "problem": "" if known else f"matrixctl has no recipe for {software.family} ({template})",
                    "digest": self._digest(kind, recipe, ancestors),
                }
            ),
        )
        return key

    def _digest(self, kind: str, recipe: Recipe | None, parents: tuple[str | None, ...]) -> str | None:
        if recipe is None or not recipe.packages or None in parents:
            return None
        inputs = {
            "recipe": _template_text(self.renderer, recipe.template),
            "source": recipe.source.sha256,
            "strip": recipe.source.strip,
            "file": recipe.source.file,
            "flags": recipe.flags,
            "configure": recipe.tls.configure_flags if recipe.haproxy is None else (),
            "version": recipe.haproxy.version if recipe.haproxy else recipe.tls.version,
            "tls": recipe.tls.name,
            "prefix": recipe.prefix,
            "patches": [patch.sha256 for patch in recipe.patches],
            "host": recipe.compiler_arch.name,
            "target": recipe.target.name,
            "packages": recipe.packages,
        }
        return digest(kind, inputs, tuple(parent for parent in parents if parent is not None))

    def _packages(self, compiler: Arch, target: Arch, *, distro_tls: bool) -> tuple[tuple[str, str], ...]:
        key = (compiler.name, target.name, distro_tls)
        if key not in self._relevant:
            known = self.packages.get(target.name, {})
            self._relevant[key] = relevant_packages(known, compiler, target, distro_tls=distro_tls)
        return self._relevant[key]

    def _source(self, actions: dict[str, Action], software: Software, target: Arch) -> str:
        name = f"{software.family}-{software.version}"
        one = moving(software, target.name)
        key = f"source:{name}" if one is None else f"source:{name} {one}"
        if key in actions:
            return key
        if one is None:
            source, problem = self._find(software.family, software.version)
        else:
            source, problem = self.moved.get(key), ""
        _add(
            actions,
            Action(
                key=key,
                kind="source",
                name=name if one is None else f"{name} {one}",
                digest=source and source.sha256,
                source=source,
                moving=one,
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

    def toolchain(self, target: Arch) -> str:
        """The name of the image that compiles for ``target``: of the host's architecture, or of its own."""
        return "emulated-toolchain" if self.emulated_build and target != self.host else "toolchain"

    def _image(self, actions: dict[str, Action], image: str, arch: Arch) -> str:
        name = f"{image}-{arch.name}"
        key = f"image:{name}"
        if key not in actions:
            # A foreign target's toolchain grows from the host's; the runtime's root and the emulated
            # toolchain are assembled in a container of it.
            grown = image != "client" and key != f"image:toolchain-{self.host.name}"
            needs = (self._image(actions, "toolchain", self.host),) if grown else ()
            _add(actions, Action(key=key, kind="image", name=name, image=image, arch=arch.name, needs=needs))
        return key


def _add(actions: dict[str, Action], action: Action) -> None:
    actions[action.key] = action


@cache
def _template_text(renderer: Renderer, template: str) -> str:
    return renderer.text(template)
