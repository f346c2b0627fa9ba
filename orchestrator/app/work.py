"""Does one action: make an image, fetch a source, compile, probe."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from orchestrator.app.options import Options
from orchestrator.app.planned import qemu_version
from orchestrator.arch import ARCHES, Arch
from orchestrator.errors import MatrixctlError, PrerequisiteError, SourceUnreachableError
from orchestrator.execute import sources
from orchestrator.execute.archive import member
from orchestrator.execute.compile import Compile, compile_once
from orchestrator.execute.engine import WORK, Engine
from orchestrator.execute.imageset import ImageSet
from orchestrator.execute.scheduler import Cancel
from orchestrator.execute.store import Store
from orchestrator.matrix.model import Limits
from orchestrator.plan.action import Action
from orchestrator.plan.plan import Plan
from orchestrator.plan.render import Renderer
from orchestrator.probe.prober import Images, JudgedCell, Prober
from orchestrator.record import journal
from orchestrator.record.model import ActionStatus, Component
from orchestrator.record.recorder import Recorder

_BUILD_MEMORY = 4 << 30
_EMULATED_COMPILER = 15
"""A compiler under QEMU is about ten times slower (docs/performance.md); its limit grows by this."""

_NOTABLE = {
    "client": {"curl", "libcurl4t64", "libssl3t64", "libnghttp3-9"},
    "runtime": {"libc6", "libssl3t64"},
}
"""Packages of an image that decide what a cell shows; the toolchain's stand in the digests."""


@dataclass(kw_only=True)
class Work:
    """The means of a run. Safe for several threads: what is kept between actions is written once per key."""

    run_id: str
    host: Arch
    engine: Engine
    store: Store
    images: ImageSet
    renderer: Renderer
    limits: Limits
    options: Options
    recorder: Recorder
    say: Callable[[str], None]
    cancel: Cancel
    _fetched: dict[str, Path] = field(default_factory=dict)

    def do(self, action: Action, plan: Plan, judged: JudgedCell) -> ActionStatus:
        """Do it, or find it done; ``judged`` is told of each cell that a probe judges.

        :raises MatrixctlError: as ``failures`` translates it into an outcome.
        """
        match action.kind:
            case "image":
                return self._image(action)
            case "source":
                return self._fetch(action)
            case "probe":
                return self._probe(action, plan, judged)
            case "tls" | "haproxy":
                return self._compile(action, plan)

    def component(
        self,
        kind: Literal["image", "source", "package", "emulator"],
        name: str,
        version: str,
        digest: str | None,
        origin: str,
    ) -> None:
        """Write down an ingredient of the run."""
        component = Component(kind=kind, name=name, version=version, digest=digest, origin=origin)
        self.recorder.emit(journal.ComponentResolved(component=component))

    def _image(self, action: Action) -> ActionStatus:
        arch = ARCHES[action.arch]
        image = self.images.get(action.image, arch)
        for made in (self.images.get("base", self.host), image):
            name = f"{made.name}-{made.arch}"
            self.component("image", name, made.tag, made.digest or made.id, made.origin)
        self._notable_packages(action.image, arch)
        if action.image == "runtime" and arch != self.host:
            version = qemu_version(arch, self.options) or "unknown"
            self.component("emulator", f"qemu-{arch.qemu}", version, None, "binfmt_misc of the engine's host")
        return "succeeded" if image.new else "cached"

    def _notable_packages(self, image: str, arch: Arch) -> None:
        """What answers and what asks: the runtime's libraries and the client's."""
        wanted = _NOTABLE.get(image)
        for name, version in self.images.packages(image, arch).items() if wanted else ():
            if name.partition(":")[0] in (wanted or ()):
                self.component("package", f"{name} in {image}-{arch.name}", version, None, f"{image} image")

    def _fetch(self, action: Action) -> ActionStatus:
        source = action.source
        if source is None or action.problem:
            raise SourceUnreachableError(action.problem)
        held = source.sha256 is not None and self.store.source(source.sha256, source.file) is not None
        got = sources.fetch(
            source,
            store=self.store,
            mirrors=self.options.mirrors,
            deadline=time.monotonic() + self.limits.fetch,
            say=self.say,
            apt_bases=self.images.debian_pools(),
        )
        self._fetched[action.key] = got.path
        self.component("source", source.component, source.version, got.sha256, got.origin)
        return "cached" if held else "succeeded"

    def _compile(self, action: Action, plan: Plan) -> ActionStatus:
        if action.problem:
            raise PrerequisiteError(action.problem)
        recipe, digest = action.recipe, action.digest
        if recipe is None or digest is None:
            raise MatrixctlError(f"{action.name} has no recipe; this is a fault of matrixctl.")
        if self.store.artifact(digest) is not None:
            return "cached"
        needs = [plan.actions[need] for need in action.needs]
        parents = [self.store.artifact(need.digest) for need in needs if need.kind == "tls" and need.digest]
        emulated = recipe.compiler_arch != self.host
        image = self.images.get("emulated-toolchain" if emulated else "toolchain", recipe.compiler_arch)
        values = {"work": WORK, **{name: getattr(recipe, name) for name in type(recipe).model_fields}}
        task = Compile(
            name=f"matrixctl-{self.run_id}-{action.kind}-{secrets.token_hex(3)}",
            run_id=self.run_id,
            digest=digest,
            image=image.tag,
            platform=recipe.compiler_arch.platform,
            script=self.renderer.render(recipe.template, values),
            source_file=recipe.source.file,
            source=next(self._fetched[need.key] for need in needs if need.kind == "source"),
            parents=tuple(parent.path for parent in parents if parent is not None),
            output=action.kind,
            ccache=f"{recipe.source.component}-{recipe.compiler_arch.name}-{recipe.target.name}",
            jobs=self.options.jobs,
            memory_bytes=_BUILD_MEMORY,
            timeout=self.limits.build * (_EMULATED_COMPILER if emulated else 1),
            keep=self.options.keep,
        )
        compile_once(self.engine, self.store, task, self.say)
        return "succeeded"

    def _probe(self, action: Action, plan: Plan, judged: JudgedCell) -> ActionStatus:
        cells = [plan.cells[key] for key in action.cells]
        prober = Prober(
            engine=self.engine,
            host=self.host,
            renderer=self.renderer,
            limits=self.limits,
            certificates=self.options.certificates(),
            run_id=self.run_id,
            folder=self.recorder.folder,
            cpus=self.options.jobs,
            repeat=self.options.repeat,
            keep=self.options.keep,
            challenge=self.options.challenge_unsupported,
            cancelled=self.cancel,
            judged=judged,
        )
        images = Images(
            server=self.images.get("runtime", cells[0].arch.arch).tag,
            client=self.images.get("client", self.host).tag,
        )
        prober.probe(cells, self._haproxy(action, plan), images)
        return "interrupted" if self.cancel() else "succeeded"

    def _haproxy(self, action: Action, plan: Plan) -> bytes:
        build = next(plan.actions[need] for need in action.needs if need.startswith("haproxy:"))
        artifact = self.store.artifact(build.digest or "")
        if artifact is None:
            raise MatrixctlError(f"The artifact of {build.name} is gone from the store.")
        return member([artifact.path.read_bytes()], "haproxy")
