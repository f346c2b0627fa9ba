"""Make the plan: the actions that the cells need, each once. Same cells and versions, same plan."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from orchestrator.arch import Arch
from orchestrator.errors import SourceUnreachableError
from orchestrator.matrix import capabilities
from orchestrator.matrix import packages as needed
from orchestrator.matrix.catalog import Catalog, Source, find_moving_source
from orchestrator.matrix.model import Cell, ClientValue, HaproxyValue, Software, TlsValue
from orchestrator.plan.action import (
    PREFIX,
    Action,
    BuildAction,
    BuildKind,
    ImageAction,
    ProbeAction,
    Recipe,
    SourceAction,
    make_key,
)
from orchestrator.plan.digest import compute_digest, list_relevant_packages
from orchestrator.plan.plan import (
    Plan,
    choose_package_image,
    choose_runtime_image,
    name_build,
    name_session,
    verify,
)
from orchestrator.plan.render import Renderer


@dataclass(frozen=True, kw_only=True)
class Planner:
    """What a plan depends on besides the cells.

    ``packages`` maps a target to the packages of the toolchain that compiles for it, and their versions;
    without its toolchain's a build has no digest yet. ``variants`` has those of toolchains with packages that
    values of the matrix name, by the image's key.
    """

    host: Arch
    catalog: Catalog
    renderer: Renderer
    packages: Mapping[str, Mapping[str, str]]
    emulated_build: bool = False
    natives: AbstractSet[str] = frozenset()
    """As in ``Cell.find_host``."""
    moved: Mapping[str, Source] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    _relevant: dict[tuple[str, str, bool], tuple[tuple[str, str], ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Answers of ``_list_packages``: builds are many, pairs of compiler and target few."""

    def plan(self, cells: Sequence[Cell]) -> Plan:
        """:raises MatrixctlError: where the result breaks an invariant (a fault of this module)."""
        actions: dict[str, Action] = {}
        sessions: dict[str, list[Cell]] = {}
        for cell in cells:
            sessions.setdefault(name_session(cell), []).append(cell)
        for name, group in sessions.items():
            self._add_session(actions, name, group)
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

    def _add_session(self, actions: dict[str, Action], name: str, group: Sequence[Cell]) -> None:
        first = group[0]
        target = first.arch.arch
        # A prebuilt HAProxy has a library in it that is not ours to build or to test.
        foreign = first.haproxy.source == "prebuilt" and first.tls.source != "distro"
        library = "" if foreign else self._add_library(actions, first.tls, target)
        build = self._add_haproxy(actions, first, library)
        selftest = "" if foreign else self._add_selftest(actions, first.tls, target, library)
        tests = (selftest,) if selftest else ()
        extra = needed.list_runtime_packages(first.haproxy, first.tls)
        host = first.find_host(self.host, self.natives)
        runtime = self._add_image(actions, choose_runtime_image(first, host), target, extra)
        images = (runtime, self._add_client(actions, first.client, host))
        _add(
            actions,
            ProbeAction(
                key=make_key("probe", name),
                name=name,
                needs=(build, *tests, *images),
                optional=tests,
                cells=tuple(cell.id for cell in group),
                build=build,
                selftest=selftest,
            ),
        )

    def _add_client(self, actions: dict[str, Action], client: ClientValue, host: Arch) -> str:
        """Add the image of the clients; for the matrix' own client one that grows from it.

        :param host: of the machine that they run on. One that is not ours makes its images of its own.
        """
        ours = self._add_image(actions, "client", host)
        if not client.is_own:
            return ours
        name = f"client-{host.name} with {client.name}"
        key = make_key("image", name)
        # The packages of the archive are extracted in a container of the toolchain.
        extracted = client.source == "package" and host == self.host
        tools = (self._add_image(actions, "toolchain", self.host),) if extracted else ()
        _add(
            actions,
            ImageAction(
                key=key, name=name, image="client", arch=host.name, client=client, needs=(ours, *tools)
            ),
        )
        return key

    def _add_haproxy(self, actions: dict[str, Action], cell: Cell, library: str) -> str:
        haproxy, tls, target = cell.haproxy, cell.tls, cell.arch.arch
        return self._add_build(
            actions,
            "haproxy",
            name_build(cell),
            target,
            template=f"build/{'haproxy' if haproxy.is_compiled else 'prebuilt'}.sh.j2",
            software=haproxy,
            haproxy=haproxy,
            tls=tls,
            library=library if haproxy.is_compiled else "",
        )

    def _add_library(self, actions: dict[str, Action], tls: TlsValue, target: Arch) -> str:
        """Add the build of a library; return its key, or nothing for the distribution's own."""
        if tls.source == "distro":
            return ""
        template = f"build/{tls.family}.sh.j2"
        name = f"{tls.name}--{target.name}"
        return self._add_build(actions, "tls", name, target, template=template, software=tls, tls=tls)

    def _add_selftest(self, actions: dict[str, Action], tls: TlsValue, target: Arch, library: str) -> str:
        return self._add_build(
            actions,
            "selftest",
            f"selftest--{tls.name}--{target.name}",
            target,
            template="build/selftest.sh.j2",
            tls=tls,
            library=library,
        )

    def _add_build(
        self,
        actions: dict[str, Action],
        kind: BuildKind,
        name: str,
        target: Arch,
        *,
        template: str,
        tls: TlsValue,
        software: Software | None = None,
        haproxy: HaproxyValue | None = None,
        library: str = "",
    ) -> str:
        """Add what compiles ``software`` or, without it, what the template itself brings along."""
        key = make_key(kind, name)
        if key in actions:
            return key
        fetched = self._add_source(actions, software, target) if software else None
        compiles = haproxy is None or haproxy.is_compiled
        # What is only unpacked needs no compiler for its architecture, and takes none into its digest.
        served = target if compiles else self.host
        extra = needed.list_build_packages(haproxy, tls)
        toolchain = self._add_image(actions, self._choose_toolchain(served), served, extra)
        known = self.renderer.has(template)
        recipe = None
        if known and (fetched is None or fetched.source is not None):
            compiler = served if self.emulated_build else self.host
            distro_tls = tls.source == "distro"
            packages = (
                self._list_variant_packages(toolchain, compiler, target, distro_tls=distro_tls)
                if extra
                else self._list_packages(compiler, target, distro_tls=distro_tls)
            )
            recipe = Recipe(
                template=template,
                source=fetched and fetched.source,
                moving=fetched and fetched.moving,
                target=target,
                compiler_arch=compiler,
                haproxy=haproxy,
                tls=tls,
                flags=capabilities.list_make_flags(haproxy, tls) if haproxy else (),
                prefix=f"{PREFIX}/{tls.name}",
                patches=software.patches if software else (),
                packages=packages if compiles else (),
            )
        source = fetched.key if fetched else ""
        _add(
            actions,
            BuildAction(
                key=key,
                kind=kind,
                name=name,
                needs=tuple(need for need in (library, source, toolchain) if need),
                recipe=recipe,
                toolchain=toolchain,
                source=source,
                library=library,
                compiles=compiles,
                problem=""
                if known
                else f"matrixctl has no recipe for {(software or tls).family} ({template})",
                digest=recipe and self._compute_digest(kind, recipe, actions[library] if library else None),
            ),
        )
        return key

    def _compute_digest(self, kind: BuildKind, recipe: Recipe, library: Action | None) -> str | None:
        """Return ``None`` where the toolchain's versions or the library's digest are not known."""
        unknown = recipe.compiles and not recipe.packages
        if unknown or (library is not None and library.digest is None):
            return None
        inputs = list_inputs(recipe, self.renderer)
        return compute_digest(
            kind, inputs, (library.digest,) if library is not None and library.digest else ()
        )

    def _list_packages(
        self, compiler: Arch, target: Arch, *, distro_tls: bool
    ) -> tuple[tuple[str, str], ...]:
        key = (compiler.name, target.name, distro_tls)
        if key not in self._relevant:
            known = self.packages.get(target.name, {})
            self._relevant[key] = list_relevant_packages(known, compiler, target, distro_tls=distro_tls)
        return self._relevant[key]

    def _list_variant_packages(
        self, toolchain: str, compiler: Arch, target: Arch, *, distro_tls: bool
    ) -> tuple[tuple[str, str], ...]:
        """Return what is relevant of a toolchain with further packages, and all that these have brought."""
        known, plain = self.variants.get(toolchain, {}), self.packages.get(self.host.name, {})
        if not known or not plain:
            return ()
        own = list_relevant_packages(known, compiler, target, distro_tls=distro_tls)
        return tuple(sorted({*own, *(known.items() - plain.items())}))

    def _add_source(self, actions: dict[str, Action], software: Software, target: Arch) -> SourceAction:
        name = f"{software.family}-{software.version}"
        one = find_moving_source(software, target.name)
        name = name if one is None else f"{name} {one}"
        key = make_key("source", name)
        known = actions.get(key)
        if isinstance(known, SourceAction):
            return known
        if one is None:
            source, problem = self._find(software.family, software.version)
        else:
            source, problem = self.moved.get(key), ""
        made = SourceAction(
            key=key,
            name=name,
            digest=source and source.sha256,
            needs=self._add_package_image(actions, target) if one and one.kind == "distro" else (),
            source=source,
            moving=one,
            problem=problem,
        )
        _add(actions, made)
        return made

    def _add_package_image(self, actions: dict[str, Action], target: Arch) -> tuple[str, ...]:
        return (self._add_image(actions, choose_package_image(target, self.host), target),)

    def _find(self, component: str, version: str) -> tuple[Source | None, str]:
        try:
            source = self.catalog.find(component, version)
        except SourceUnreachableError as error:
            return None, str(error)
        return source, source.blocked or ""

    def _choose_toolchain(self, target: Arch) -> str:
        """Return the image that compiles for ``target``: of the host's architecture, or of its own."""
        return "emulated-toolchain" if self.emulated_build and target != self.host else "toolchain"

    def _add_image(
        self, actions: dict[str, Action], image: str, arch: Arch, extra: tuple[str, ...] = ()
    ) -> str:
        name = f"{image}-{arch.name}" + (f" with {', '.join(extra)}" if extra else "")
        key = make_key("image", name)
        if key not in actions:
            # A foreign target's toolchain grows from the host's; the runtime's root and the emulated
            # toolchain are assembled in a container of it, and so does one with further packages.
            # A runtime of another machine's is made there.
            away = image == "runtime" and arch != self.host
            own = (image, arch) == ("toolchain", self.host) and not extra
            grown = image != "client" and not away and not own
            needs = (self._add_image(actions, "toolchain", self.host),) if grown else ()
            _add(
                actions,
                ImageAction(key=key, name=name, image=image, arch=arch.name, extra=extra, needs=needs),
            )
        return key


def list_inputs(recipe: Recipe, renderer: Renderer) -> dict[str, object]:
    """Return what decides the output of a recipe, but for the library that it is linked with."""
    inputs: dict[str, object] = {
        "recipe": renderer.read_text(recipe.template),
        "host": recipe.compiler_arch.name,
        "target": recipe.target.name,
        "packages": recipe.packages,
    }
    if recipe.source is not None:
        inputs |= {
            "source": recipe.source.sha256,
            "strip": recipe.source.strip,
            "file": recipe.source.file,
            "flags": recipe.flags,
            "configure": recipe.tls.configure_flags if recipe.haproxy is None else (),
            "version": recipe.haproxy.version if recipe.haproxy else recipe.tls.version,
            "tls": recipe.tls.name,
            "prefix": recipe.prefix,
            "patches": [patch.sha256 for patch in recipe.patches],
        }
    return inputs


def _add(actions: dict[str, Action], action: Action) -> None:
    actions[action.key] = action
