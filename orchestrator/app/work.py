"""Does one action: make an image, fetch a source, compile, probe."""

import hashlib
import re
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator import internal
from orchestrator.app.demand import BUILD_MEMORY, SELFTEST_MEMORY
from orchestrator.app.options import Options
from orchestrator.app.planned import qemu_version
from orchestrator.app.selftests import SelfTests
from orchestrator.app.sources import Sources
from orchestrator.arch import ARCHES, Arch
from orchestrator.errors import MatrixctlError, PrerequisiteError, RecordError
from orchestrator.execute.compile import Compile, compile_once
from orchestrator.execute.engine.archive import member
from orchestrator.execute.engine.engine import WORK, Engine
from orchestrator.execute.images.imageset import ImageSet
from orchestrator.execute.schedule.scheduler import Cancel
from orchestrator.execute.store.store import Store
from orchestrator.matrix import capabilities, patches
from orchestrator.matrix.catalog import Moving
from orchestrator.matrix.expect import Expectations
from orchestrator.matrix.model import Cell, Limits
from orchestrator.outcome import REASONS, Reason
from orchestrator.plan.action import Action, Recipe
from orchestrator.plan.plan import Plan, runtime_image
from orchestrator.plan.render import Renderer
from orchestrator.probe.certificates import Certificates
from orchestrator.probe.judge import Judged
from orchestrator.probe.prober import Images, JudgedCell, Prober, Told
from orchestrator.probe.proof import Bench, cannot, contradictions, prove
from orchestrator.probe.session import Raw
from orchestrator.record import journal
from orchestrator.record.model import ActionStatus, ClientProof, utc_now
from orchestrator.record.recorder import Recorder

_EMULATED_COMPILER = 15
"""A compiler under QEMU is about ten times slower (docs/performance.md); its limit grows by this."""

_NOTABLE = {
    "client": {
        *("curl", "libcurl4t64", "libssl3t64", "libnghttp3-9"),
        *("ngtcp2-client", "libgnutls30t64", "libngtcp2-16"),
    },
    "runtime": {"libc6", "libssl3t64"},
    "emulated-runtime": {"libc6", "libssl3t64"},
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
    expectations: Expectations
    options: Options
    recorder: Recorder
    say: Callable[[str], None]
    cancel: Cancel
    certificates: Certificates
    selftests: SelfTests
    sources: Sources
    _emulators: dict[str, str] = field(default_factory=dict)
    _proofs: tuple[ClientProof, ...] | None = None
    _proving: threading.Lock = field(default_factory=threading.Lock)

    def do(self, action: Action, plan: Plan, judged: JudgedCell) -> ActionStatus:
        """Do it, or find it done; ``judged`` is told of each cell that a probe judges.

        :raises MatrixctlError: as ``failures`` translates it into an outcome.
        """
        match action.kind:
            case "image":
                return self._image(action)
            case "source":
                return self.sources.fetch(action)
            case "probe":
                return self._probe(action, plan, judged)
            case "tls" | "haproxy":
                return self._compile(action, plan)
            case "selftest":
                return self._selftest(action, plan)

    def keep_patches(self, cells: Sequence[Cell]) -> None:
        """Copy every patch beside the report and write it down.

        :raises ChecksumMismatchError: where one has changed since it was read.
        """
        for patch, components in patches.of_cells(cells).items():
            self.recorder.keep(f"patches/{patch.name}", patches.content(patch))
            self.recorder.component("patch", patch.name, ", ".join(components), patch.sha256, patch.path)

    def _image(self, action: Action) -> ActionStatus:
        arch = ARCHES[action.arch]
        image = self.images.get(action.image, arch)
        for made in (self.images.get("base", self.host), image):
            name = f"{made.name}-{made.target}"
            self.recorder.component("image", name, made.tag, made.digest or made.id, made.origin)
        self._notable_packages(action.image, arch)
        if action.image == "emulated-toolchain":
            version = qemu_version(arch, self.options) or "unknown"
            self.recorder.component(
                "emulator",
                f"qemu-{arch.qemu} of the compilers",
                version,
                None,
                "binfmt_misc of the engine's host",
            )
        if action.image == "emulated-runtime":
            package = self.images.packages(action.image, arch)["qemu-user"]
            version = re.sub(r"^\d+:|[+-].*$", "", package)  # Debian's 1:10.0.13+ds-0 is QEMU's 10.0.13
            self._emulators[arch.name] = version
            self.recorder.component(
                "emulator", f"qemu-{arch.qemu}", version, None, f"qemu-user {package} of the image"
            )
        return "succeeded" if image.new else "cached"

    def emulator(self, cell: Cell) -> str | None:
        """The version of the QEMU that runs a cell's server, once its image is there."""
        return self._emulators.get(cell.arch.name) if cell.emulated_on(self.host) else None

    def _notable_packages(self, image: str, arch: Arch) -> None:
        """What answers and what asks: the runtime's libraries and the client's."""
        wanted = _NOTABLE.get(image)
        if wanted is None:
            return
        # Beside an emulator lie the libraries of the host's own architecture, which only its shell uses.
        suffix = "" if arch == self.host else f":{arch.name}"
        for name, version in self.images.packages(image, arch).items():
            if name in {f"{one}{suffix}" for one in wanted}:
                self.recorder.component(
                    "package", f"{name} in {image}-{arch.name}", version, None, f"{image} image"
                )

    def _compile(self, action: Action, plan: Plan) -> ActionStatus:
        if action.problem:
            raise PrerequisiteError(action.problem)
        recipe, digest = action.recipe, action.digest
        if recipe is None or digest is None:
            raise MatrixctlError(f"{action.name} has no recipe; this is a fault of matrixctl.")
        if self.store.artifact(digest) is not None:
            return "cached"
        needs = [plan.actions[need] for need in action.needs]
        parents = [self._library(need) for need in needs if need.kind == "tls"]
        emulated = recipe.compiler_arch != self.host
        image = self.images.get("emulated-toolchain" if emulated else "toolchain", recipe.target)
        values = {"work": WORK, **{name: getattr(recipe, name) for name in type(recipe).model_fields}}
        source = next(need for need in needs if need.kind == "source")
        caches, kept = compiler_caches(recipe, source.moving)
        task = Compile(
            name=f"matrixctl-{self.run_id}-{action.kind}-{secrets.token_hex(3)}",
            run_id=self.run_id,
            digest=digest,
            image=image.tag,
            platform=recipe.compiler_arch.platform,
            script=self.renderer.render(recipe.template, values),
            source_file=recipe.source.file,
            source=self.sources.path(source),
            patches=recipe.patches,
            parents=tuple(parents),
            output=action.kind,
            caches=caches,
            kept_cache=kept,
            jobs=self.options.jobs,
            memory_bytes=BUILD_MEMORY,
            timeout=self.limits.build * (_EMULATED_COMPILER if emulated else 1),
            keep=self.options.keep,
        )
        return self._made(task)

    def _selftest(self, action: Action, plan: Plan) -> ActionStatus:
        recipe, digest = action.selftest, action.digest
        if recipe is None or digest is None:
            raise MatrixctlError(f"{action.name} has no recipe; this is a fault of matrixctl.")
        if self.store.artifact(digest) is not None:
            return "cached"
        library = next((plan.actions[need] for need in action.needs if need.startswith("tls:")), None)
        emulated = recipe.compiler_arch != self.host
        values = {"work": WORK, "target": recipe.target, "tls": recipe.tls}
        task = Compile(
            name=f"matrixctl-{self.run_id}-selftest-{secrets.token_hex(3)}",
            run_id=self.run_id,
            digest=digest,
            image=self.images.get("emulated-toolchain" if emulated else "toolchain", recipe.target).tag,
            platform=recipe.compiler_arch.platform,
            script=self.renderer.render(recipe.template, values),
            source_file="",
            source=None,
            patches=(),
            parents=(self._library(library),) if library is not None else (),
            output="selftest",
            caches=(),
            kept_cache=None,
            jobs=1,
            memory_bytes=SELFTEST_MEMORY,
            timeout=self.limits.build * (_EMULATED_COMPILER if emulated else 1),
            keep=self.options.keep,
        )
        return self._made(task)

    def _library(self, action: Action) -> Path:
        """Without it the compiler would find the toolchain's own, and what came of it would bear our digest.

        :raises MatrixctlError: where it was lost since its action ended.
        """
        artifact = self.store.artifact(action.digest) if action.digest else None
        if artifact is None:
            raise MatrixctlError(
                f"the artifact of {action.name} is gone from the store",
                resolution="Run again: it is built anew. Does something else remove files there?",
            )
        return artifact.path

    def _made(self, task: Compile) -> ActionStatus:
        made = compile_once(self.engine, self.store, task, self.say)
        return "succeeded" if made.meta.get("name") == task.name else "cached"  # else another run made it

    def _probe(self, action: Action, plan: Plan, judged: JudgedCell) -> ActionStatus:
        cells = [plan.cells[key] for key in action.cells]
        first, runtime = cells[0], runtime_image(cells[0], self.host)
        if first.execution.cpu:  # the image itself was proved on the default one
            self.images.prove_cpu(runtime, first.arch.arch, capabilities.cpu_model(first, self.host))
        prober = Prober(
            engine=self.engine,
            host=self.host,
            renderer=self.renderer,
            limits=self.limits,
            certificates=self.certificates,
            run_id=self.run_id,
            folder=self.recorder.folder,
            cpus=self.options.jobs,
            repeat=self.options.repeat,
            keep=self.options.keep,
            declared=self.expectations.declared,
            cancelled=self.cancel,
            judged=judged,
            broken=self.recorder.give_up,
            selftest=self._selftest_program(action, plan),
            selftested=self._selftested,
        )
        images = Images(
            server=self.images.get(runtime, first.arch.arch).tag,
            client=self.images.get("client", self.host).tag,
        )
        haproxy = self._haproxy(action, plan)
        proofs = self._proved(plan, images.client)
        able = []
        for cell in cells:
            problem = cannot(cell, proofs)
            if problem is None:
                able.append(cell)
            else:
                judged(cell, _client_cannot(problem), Told(why="first", started_at=utc_now(), duration_s=0.0))
        if able:
            prober.probe(able, haproxy, images)
        return "interrupted" if self.cancel() else "succeeded"

    def _selftested(self, cells: Sequence[Cell], raw: Raw) -> None:
        """What the self-test said; to misread that is no reason to lose the session."""
        try:
            self.selftests.told(cells, raw)
        except RecordError:
            raise
        except Exception as error:  # noqa: BLE001 - it comes from a container
            self.say(f"the self-test could not be read: {internal.kept(self.recorder.folder, error)}")

    def _selftest_program(self, action: Action, plan: Plan) -> bytes | None:
        built = next((plan.actions[need].digest for need in action.optional), None)
        artifact = self.store.artifact(built) if built else None
        return member([artifact.path.read_bytes()], "selftest") if artifact else None

    def _proved(self, plan: Plan, image: str) -> tuple[ClientProof, ...]:
        """What the run's clients can do; the first session waits for it, the others find it."""
        with self._proving:
            if self._proofs is None:
                bench = Bench(
                    engine=self.engine,
                    renderer=self.renderer,
                    limits=self.limits,
                    name=f"matrixctl-{self.run_id}-proof-{secrets.token_hex(3)}",
                    run_id=self.run_id,
                    image=image,
                    platform=self.host.platform,
                    keep=self.options.keep,
                )
                self._proofs = prove(bench, plan.cells.values())
                self.recorder.emit(journal.ClientsProved(clients=self._proofs))
                for message in contradictions(self._proofs):
                    self.say(message)
            return self._proofs

    def _haproxy(self, action: Action, plan: Plan) -> bytes:
        build = next(plan.actions[need] for need in action.needs if need.startswith("haproxy:"))
        artifact = self.store.artifact(build.digest or "")
        if artifact is None:
            raise MatrixctlError(f"The artifact of {build.name} is gone from the store.")
        return member([artifact.path.read_bytes()], "haproxy")


def _client_cannot(message: str) -> Judged:
    reason = Reason.CLIENT_CANNOT_OFFER
    return Judged(outcome=REASONS[reason].outcome, reason=reason, message=message)


def compiler_caches(recipe: Recipe, moving: Moving | None) -> tuple[tuple[str, ...], str | None]:
    """Names of the compiler caches that a build may read, the first there is, and of the one it may fill.

    Whoever wrote a patch or a tree can run anything in its build, and so put any object under any key of the
    cache. So a patched build fills none, and what comes from a place that moves fills one of its own.
    """
    common = f"{recipe.source.component}-{recipe.compiler_arch.name}-{recipe.target.name}"
    own = common if moving is None else f"{common}-{hashlib.sha256(str(moving).encode()).hexdigest()[:12]}"
    return tuple(dict.fromkeys((own, common))), None if recipe.patches else own
