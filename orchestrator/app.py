"""Joins matrix, plan, execute, probe and record into a run: the one module that sees them all."""

import os
import platform
import secrets
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from orchestrator import __version__
from orchestrator.arch import ARCHES, Arch, by_machine
from orchestrator.errors import Exit, MatrixctlError, SourceUnreachableError
from orchestrator.execute import emulation, sources
from orchestrator.execute.archive import member
from orchestrator.execute.compile import Compile, compile_once
from orchestrator.execute.docker_engine import DockerEngine
from orchestrator.execute.engine import WORK
from orchestrator.execute.failures import failure_of
from orchestrator.execute.host import LocalHost
from orchestrator.execute.images import Workshop
from orchestrator.execute.imageset import ImageSet
from orchestrator.execute.scheduler import Cancel, Failure, schedule
from orchestrator.execute.store import Store
from orchestrator.files import write_atomically
from orchestrator.matrix import capabilities
from orchestrator.matrix.catalog import Catalog
from orchestrator.matrix.model import Cell, Matrix
from orchestrator.outcome import Outcome, Reason, Verdict, exit_code
from orchestrator.plan.action import Action
from orchestrator.plan.plan import Plan, Planner, build_name
from orchestrator.plan.render import Renderer
from orchestrator.probe import certificates
from orchestrator.probe.certificates import Certificates
from orchestrator.probe.judge import Judged, with_attempt
from orchestrator.probe.prober import Images, Prober, Told
from orchestrator.record import journal
from orchestrator.record.journal import Event
from orchestrator.record.model import (
    ActionRecord,
    Axes,
    Build,
    CellRecord,
    Component,
    Execution,
    Host,
    RunInfo,
    RunRecord,
    utc_now,
)
from orchestrator.record.recorder import Recorder
from orchestrator.report import html, junit

_SHUTDOWN = 20.0
"""Seconds that a cancelled run waits for what cannot be told to stop."""
_BUILD_MEMORY = 4 << 30
_EMULATED_COMPILER = 15
"""A compiler under QEMU is about ten times slower (docs/performance.md); its limit grows by this."""

Status = Literal["waiting", "running", "succeeded", "cached", "failed", "blocked", "interrupted"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a person may choose of a run; the command line has the defaults."""

    profile: str
    filters: tuple[str, ...]
    out: Path
    store: Path
    jobs: int
    repeat: int = 1
    mirrors: tuple[str, ...] = ()
    keep: bool = False
    fail_fast: bool = False
    allow_blocked: bool = False
    challenge_unsupported: bool = False
    emulated_build: bool = False
    remote_engine: bool = False
    proxies: Mapping[str, str] = field(default_factory=dict)
    overlay: Path | None = None
    """Templates that replace ours, for tests that plant a fault."""
    certificates: Callable[[], Certificates] = certificates.make


def run(
    matrix: Matrix,
    cells: Sequence[Cell],
    catalog: Catalog,
    engine: DockerEngine,
    options: Options,
    *,
    listen: Callable[[Event], None],
    say: Callable[[str], None],
    cancel: Cancel,
) -> tuple[RunRecord, Path]:
    """Run the cells; the record, and the folder in which it lies with its report.

    :raises MatrixctlError: where not even a record could be begun.
    """
    run_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    folder = options.out / run_id
    begun = _Run(
        id=run_id,
        matrix=matrix,
        cells=cells,
        engine=engine,
        options=options,
        say=say,
        cancel=cancel,
        recorder=Recorder(folder, listen=listen, finish=_report),
        store=Store(options.store, say=say),
        images=image_set(engine, options.proxies, say),
        planner=planner(engine, catalog, options),
    )
    with begun.store.in_use():
        return begun.go(), folder


def image_set(engine: DockerEngine, proxies: Mapping[str, str], say: Callable[[str], None]) -> ImageSet:
    """The images that runs on this engine share."""
    arch = by_machine(engine.info().arch)
    shop = Workshop(client=engine.client, host=LocalHost(), arch=arch, say=say, proxies=proxies)
    return ImageSet(shop=shop, targets=tuple(ARCHES.values()))


def planner(engine: DockerEngine, catalog: Catalog, options: Options) -> Planner:
    """A planner that does not know the toolchain's versions yet."""
    return Planner(
        host=by_machine(engine.info().arch),
        catalog=catalog,
        renderer=Renderer(options.overlay),
        packages={},
        emulated_build=options.emulated_build,
    )


def toolchains(planner: Planner, cells: Sequence[Cell]) -> list[tuple[str, Arch]]:
    """The images whose packages decide the digests of the builds of these cells."""
    if not planner.emulated_build:
        return [("toolchain", planner.host)] if cells else []
    arches = {cell.arch.name: cell.arch.arch for cell in cells}.values()
    return [("toolchain" if arch == planner.host else "emulated-toolchain", arch) for arch in arches]


def runnable(cells: Sequence[Cell], options: Options) -> list[Cell]:
    """The cells that are not declared to be impossible, or all if the declaration is challenged."""
    if options.challenge_unsupported:
        return list(cells)
    return [cell for cell in cells if capabilities.unsupported(cell) is None]


def _report(record: RunRecord, folder: Path) -> None:
    write_atomically(folder / "junit.xml", junit.render(record).encode())
    write_atomically(folder / "index.html", html.render(record).encode())


@dataclass(kw_only=True)
class _Run:
    """One run: what it was handed, and what it learns on the way."""

    id: str
    matrix: Matrix
    cells: Sequence[Cell]
    engine: DockerEngine
    options: Options
    say: Callable[[str], None]
    cancel: Cancel
    recorder: Recorder
    store: Store
    images: ImageSet
    planner: Planner
    plan: Plan = field(default_factory=lambda: Plan(actions={}, cells={}))
    fetched: dict[str, Path] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @property
    def host(self) -> Arch:
        return self.planner.host

    def go(self) -> RunRecord:
        """From the plan to the report."""
        chosen = runnable(self.cells, self.options)
        self.plan = self.planner.plan(chosen)
        with self.recorder, self._reaped():
            self.recorder.emit(journal.RunStarted(record=self._planned()))
            self._judge_unsupported()
            failed = self._schedule({"image", "source"}, {})
            self._learn_versions(chosen, failed)
            self._schedule({"tls", "haproxy", "probe"}, failed)
            self._finish()
            return self.recorder.record()

    def _planned(self) -> RunRecord:
        return RunRecord(
            schema_version=1,
            run=RunInfo(
                id=self.id,
                status="running",
                started_at=utc_now(),
                finished_at=None,
                duration_s=None,
                tool_version=__version__,
                matrix_digest=self.matrix.digest,
                profile=self.options.profile,
                filters=self.options.filters,
                host=local_host(),
                engine=self.engine.info(),
                planned=len(self.cells),
                judged=0,
                exit_code=None,
                message="",
            ),
            components=(),
            actions=tuple(_action_record(action, "waiting") for action in self.plan.actions.values()),
            cells=tuple(self._planned_cell(cell) for cell in self.cells),
        )

    def _planned_cell(self, cell: Cell) -> CellRecord:
        native = cell.arch.arch == self.host
        return CellRecord(
            id=cell.id,
            axes=Axes.model_validate(cell.axes),
            outcome=None,
            reason=None,
            message="not judged",
            verdict=Verdict.NOT_JUDGED,
            attempts=(),
            execution=Execution(
                mode="native" if native else "emulated",
                host_arch=self.host.name,
                qemu_version=None if native else self._qemu(cell.arch.arch),
                cpu_features=(),
            ),
            build=Build(name=build_name(cell), digest=None),
            observations=None,
            attestation=None,
            evidence=(),
            duration_s=None,
            reproducer=f"matrixctl run --cell {cell.id}",
        )

    def _judge_unsupported(self) -> None:
        for cell in self.cells:
            declared = capabilities.unsupported(cell)
            if declared is not None and not self.options.challenge_unsupported:
                reason = Reason(declared.reason)
                self._judged(
                    cell, Judged(outcome=Outcome.UNSUPPORTED, reason=reason, message=declared.message)
                )

    def _schedule(self, kinds: set[str], failed: Mapping[str, Failure]) -> dict[str, Failure]:
        return schedule(
            [action for action in self.plan.actions.values() if action.kind in kinds],
            slots=self.options.jobs,
            weight=lambda action: self.options.jobs if action.kind in {"tls", "haproxy"} else 1,
            execute=self._execute,
            blocked=self._blocked,
            failed=failed,
            cancel=self.cancel,
            grace=_SHUTDOWN,
        )

    def _learn_versions(self, cells: Sequence[Cell], failed: Mapping[str, Failure]) -> None:
        """Plan again, now with digests: the toolchain's exact versions are known."""
        if self.cancel():
            return
        packages = {
            arch.name: self.images.packages(name, arch)
            for name, arch in toolchains(self.planner, cells)
            if f"image:{name}-{arch.name}" not in failed
        }
        self.planner = replace(self.planner, packages=packages)
        self.plan = self.planner.plan(cells)
        used = {package for a in self.plan.actions.values() if a.recipe for package in a.recipe.packages}
        for name, version in sorted(used):
            self._component("package", name, version, None, "toolchain image")

    def _finish(self) -> None:
        record = self.recorder.record()
        interrupted = self.cancel() and not self.cancel.fail_fast
        code = exit_code((cell.outcome for cell in record.cells), allow_blocked=self.options.allow_blocked)
        left = record.run.planned - record.run.judged
        self.recorder.emit(
            journal.RunFinished(
                status="interrupted" if interrupted else "finished",
                finished_at=utc_now(),
                duration_s=time.monotonic() - self.started,
                exit_code=Exit.INTERRUPTED if interrupted else code,
                message=f"{left} of {record.run.planned} cells were not judged" if left else "",
            )
        )

    # One action.

    def _execute(self, action: Action) -> Failure | None:
        started = time.monotonic()
        self._action(action, "running")
        try:
            status = self._do(action)
        except Exception as error:  # noqa: BLE001 - an unknown error ends one action, never the run
            return self._failed(action, error, time.monotonic() - started)
        took = time.monotonic() - started
        if status == "succeeded":
            self.store.record_duration(action.kind, action.name, took)
        self._action(action, status, duration_s=took)
        return None

    def _do(self, action: Action) -> Status:
        match action.kind:
            case "image":
                return self._image(action)
            case "source":
                return self._fetch(action)
            case "probe":
                return self._probe(action)
            case "tls" | "haproxy":
                return self._compile(action)

    def _failed(self, action: Action, error: Exception, took: float) -> Failure:
        failure = failure_of(action, error)
        if self.cancel():  # its container was taken away: that says nothing of the action
            self._action(action, "interrupted", duration_s=took)
            return failure
        text = str(error)
        if not isinstance(error, MatrixctlError):
            path = self.recorder.folder / f"internal-{secrets.token_hex(3)}.txt"
            write_atomically(path, "".join(traceback.format_exception(error)).encode())
            text = f"{error!r}; the traceback is in {path.name}, please report it"
        self._action(action, "failed", duration_s=took, message=text)
        self._fail_cells(action, failure)
        return failure

    def _blocked(self, action: Action, cause: Failure) -> None:
        self._action(action, "blocked", message=cause.message)
        self._fail_cells(action, cause)

    def _fail_cells(self, action: Action, failure: Failure) -> None:
        if action.kind != "probe" or self.cancel():
            return
        log = self._log_of(self.plan.actions.get(failure.action))
        judged = Judged(outcome=failure.outcome, reason=failure.reason, message=failure.message)
        for key in action.cells:
            self._judged(self.plan.cells[key], judged, evidence=(log,) if log else ())

    def _image(self, action: Action) -> Status:
        arch = ARCHES[action.arch]
        image = self.images.get(action.image, arch)
        for made in (self.images.get("base", self.host), image):
            name = f"{made.name}-{made.arch}"
            self._component("image", name, made.tag, made.digest or made.id, made.origin)
        if action.image == "runtime" and arch != self.host:
            version = self._qemu(arch) or "unknown"
            self._component(
                "emulator", f"qemu-{arch.qemu}", version, None, "binfmt_misc of the engine's host"
            )
        return "succeeded" if image.new else "cached"

    def _fetch(self, action: Action) -> Status:
        source = action.source
        if source is None or action.problem:
            raise SourceUnreachableError(action.problem)
        held = source.sha256 is not None and self.store.source(source.sha256, source.file) is not None
        got = sources.fetch(
            source,
            store=self.store,
            mirrors=self.options.mirrors,
            deadline=time.monotonic() + self.matrix.limits.fetch,
            say=self.say,
            apt_bases=self.images.debian_pools(),
        )
        self.fetched[action.key] = got.path
        self._component("source", source.component, source.version, got.sha256, got.origin)
        return "cached" if held else "succeeded"

    def _compile(self, action: Action) -> Status:
        recipe, digest = action.recipe, action.digest
        if recipe is None or digest is None:
            raise MatrixctlError(f"{action.name} has no recipe; this is a fault of matrixctl.")
        if self.store.artifact(digest) is not None:
            return "cached"
        needs = [self.plan.actions[need] for need in action.needs]
        parents = [self.store.artifact(need.digest) for need in needs if need.kind == "tls" and need.digest]
        emulated = recipe.compiler_arch != self.host
        image = self.images.get("emulated-toolchain" if emulated else "toolchain", recipe.compiler_arch)
        values = {"work": WORK, **{name: getattr(recipe, name) for name in type(recipe).model_fields}}
        task = Compile(
            name=f"matrixctl-{self.id}-{action.kind}-{secrets.token_hex(3)}",
            run_id=self.id,
            digest=digest,
            image=image.tag,
            platform=recipe.compiler_arch.platform,
            script=self.planner.renderer.render(recipe.template, values),
            source_file=recipe.source.file,
            source=next(self.fetched[need.key] for need in needs if need.kind == "source"),
            parents=tuple(parent.path for parent in parents if parent is not None),
            output=action.kind,
            ccache=f"{recipe.source.component}-{recipe.compiler_arch.name}-{recipe.target.name}",
            jobs=self.options.jobs,
            memory_bytes=_BUILD_MEMORY,
            timeout=self.matrix.limits.build * (_EMULATED_COMPILER if emulated else 1),
            keep=self.options.keep,
        )
        compile_once(self.engine, self.store, task, self.say)
        return "succeeded"

    def _probe(self, action: Action) -> Status:
        cells = [self.plan.cells[key] for key in action.cells]
        prober = Prober(
            engine=self.engine,
            host=self.host,
            renderer=self.planner.renderer,
            limits=self.matrix.limits,
            certificates=self.options.certificates(),
            run_id=self.id,
            folder=self.recorder.folder,
            cpus=self.options.jobs,
            repeat=self.options.repeat,
            keep=self.options.keep,
            challenge=self.options.challenge_unsupported,
            cancelled=self.cancel,
            judged=self._told,
        )
        images = Images(
            server=self.images.get("runtime", cells[0].arch.arch).tag,
            client=self.images.get("client", self.host).tag,
        )
        prober.probe(cells, self._haproxy(action), images)
        return "interrupted" if self.cancel() else "succeeded"

    def _haproxy(self, action: Action) -> bytes:
        build = next(self.plan.actions[need] for need in action.needs if need.startswith("haproxy:"))
        artifact = self.store.artifact(build.digest or "")
        if artifact is None:
            raise MatrixctlError(f"The artifact of {build.name} is gone from the store.")
        return member([artifact.path.read_bytes()], "haproxy")

    # The record.

    def _told(self, cell: Cell, judged: Judged, told: Told) -> None:
        self._judged(cell, judged, told=told, evidence=told.evidence)

    def _judged(
        self, cell: Cell, judged: Judged, *, told: Told | None = None, evidence: tuple[str, ...] = ()
    ) -> None:
        build = self.plan.actions.get(f"haproxy:{build_name(cell)}")
        record = with_attempt(
            self.recorder.cell(cell.id) or self._planned_cell(cell),
            judged,
            why=told.why if told else "first",
            started_at=told.started_at if told else utc_now(),
            duration_s=told.duration_s if told else 0.0,
            evidence=evidence,
            features=told.features if told else None,
        ).model_copy(update={"build": Build(name=build_name(cell), digest=build.digest if build else None)})
        self.recorder.emit(journal.CellJudged(cell=record))
        if self.options.fail_fast and record.outcome in {Outcome.FAIL, Outcome.MISBUILT}:
            self.cancel.ask(fail_fast=True)

    def _action(
        self, action: Action, status: Status, *, duration_s: float | None = None, message: str = ""
    ) -> None:
        record = _action_record(action, status, duration_s=duration_s, message=message)
        self.recorder.emit(
            journal.ActionChanged(action=record.model_copy(update={"log": self._log_of(action)}))
        )

    def _log_of(self, action: Action | None) -> str | None:
        """The action's log, copied beside the report, where there is one."""
        if action is None or action.kind not in {"tls", "haproxy"} or action.digest is None:
            return None
        log, path = self.store.log(action.digest), self.recorder.folder / "actions" / f"{action.name}.log"
        if not log.exists():
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, log.read_bytes())
        return str(path.relative_to(self.recorder.folder))

    def _component(
        self,
        kind: Literal["image", "source", "package", "emulator"],
        name: str,
        version: str,
        digest: str | None,
        origin: str,
    ) -> None:
        component = Component(kind=kind, name=name, version=version, digest=digest, origin=origin)
        self.recorder.emit(journal.ComponentResolved(component=component))

    def _qemu(self, arch: Arch) -> str | None:
        return emulation.qemu_version(LocalHost(), arch, remote=self.options.remote_engine)

    # What runs beside the run.

    @contextmanager
    def _reaped(self) -> Iterator[None]:
        """Nothing that bears the run's label outlives it; what a cancelled run has started ends at once."""
        over = threading.Event()

        def reap() -> None:
            while not over.wait(0.2):
                if self.cancel():
                    self._sweep()

        # Between two containers, too, `matrixctl clean` has to see that somebody is at work.
        self.engine.create_volume(f"matrixctl-{self.id}", self.id)
        thread = threading.Thread(target=reap, name="reap", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self._sweep()

    def _sweep(self) -> None:
        if self.options.keep:
            return
        try:
            self.engine.sweep(self.id)
        except MatrixctlError as error:
            self.say(f"could not remove what is left of {self.id}: {error.brief}")


def _action_record(
    action: Action, status: Status, *, duration_s: float | None = None, message: str = ""
) -> ActionRecord:
    return ActionRecord(
        digest=action.digest,
        kind=action.kind,
        name=action.name,
        status=status,
        duration_s=duration_s,
        log=None,
        message=message,
    )


def local_host() -> Host:
    """The machine of the orchestrator."""
    names = os.uname()
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        system = names.sysname
    return Host(
        arch=names.machine,
        system=system,
        kernel=names.release,
        cpus=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
    )
