"""Joins matrix, plan, execute, probe and record into a run: the one module that sees them all."""

import os
import platform
import secrets
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_attempt, wait_exponential

from orchestrator import __version__
from orchestrator.arch import ARCHES, Arch, by_machine
from orchestrator.errors import Exit, MatrixctlError, SourceUnreachableError
from orchestrator.execute import emulation, sources
from orchestrator.execute.archive import member
from orchestrator.execute.compile import Compile, compile_once
from orchestrator.execute.docker_engine import DockerEngine
from orchestrator.execute.engine import WORK
from orchestrator.execute.failures import failure_of, reason_of
from orchestrator.execute.host import LocalHost
from orchestrator.execute.images import Workshop
from orchestrator.execute.imageset import ImageSet
from orchestrator.execute.scheduler import Cancel, Failure, schedule
from orchestrator.execute.store import Store
from orchestrator.files import write_atomically
from orchestrator.matrix import capabilities
from orchestrator.matrix.catalog import Catalog
from orchestrator.matrix.model import Cell, Matrix
from orchestrator.outcome import REASONS, Outcome, Verdict, exit_code
from orchestrator.plan.action import Action
from orchestrator.plan.plan import Plan, Planner, build_name
from orchestrator.plan.render import Renderer
from orchestrator.probe import cpu, session
from orchestrator.probe.attest import Binary, inspect
from orchestrator.probe.certificates import Certificates, make
from orchestrator.probe.files import scaled, session_files
from orchestrator.probe.judge import AGAIN, Judged, judge, with_attempt
from orchestrator.record import journal
from orchestrator.record.journal import Event, Journal, utc_now
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
)
from orchestrator.report import html, junit

HARNESS_TRIES = 3
"""How often a cell is probed while only the harness fails; a product failure is never tried again."""
_RENDER_EVERY = 3.0
_SHUTDOWN = 20.0
_BUILD_MEMORY = 4 << 30

Listen = Callable[[Event], None]
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
    certificates: Callable[[], Certificates] = make


def new_run_id() -> str:
    """Sorts by time, safe in file names, container names and URLs."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def run(
    matrix: Matrix,
    cells: Sequence[Cell],
    catalog: Catalog,
    engine: DockerEngine,
    options: Options,
    *,
    listen: Listen,
    say: Callable[[str], None],
    cancel: Cancel,
) -> tuple[RunRecord, Path]:
    """Run the cells; the record, and the folder in which it lies with its report.

    :raises MatrixctlError: where not even a record could be begun.
    """
    return _Run(matrix, cells, catalog, engine, options, listen, say, cancel).go()


class _Run:
    """One run. Its state is the journal; everything else here is handed in once and stays."""

    def __init__(
        self,
        matrix: Matrix,
        cells: Sequence[Cell],
        catalog: Catalog,
        engine: DockerEngine,
        options: Options,
        listen: Listen,
        say: Callable[[str], None],
        cancel: Cancel,
    ) -> None:
        self.id = new_run_id()
        self.folder = options.out / self.id
        self.matrix, self.cells, self.engine, self.options = matrix, cells, engine, options
        self.listen, self.say, self.cancel = listen, say, cancel
        self.started = time.monotonic()
        self.info = engine.info()
        self.host = by_machine(self.info.arch)
        self.local = LocalHost()
        self.store = Store(options.store, say=say)
        self.renderer = Renderer(options.overlay)
        self.certificates = options.certificates()
        shop = Workshop(
            client=engine.client, host=self.local, arch=self.host, say=say, proxies=options.proxies
        )
        self.images = ImageSet(shop=shop, targets=tuple(ARCHES.values()))
        self.planner = Planner(
            host=self.host,
            catalog=catalog,
            renderer=self.renderer,
            packages={},
            emulated_build=options.emulated_build,
        )
        self.fetched: dict[str, Path] = {}
        self.events: list[Event] = []
        self.lock = threading.Lock()
        self.binaries: dict[str, tuple[bytes, Binary]] = {}
        self.apt_bases = sources.apt_bases()

    # The run, from planning to the report.

    def go(self) -> tuple[RunRecord, Path]:
        runnable = self._runnable()
        first = self.planner.plan(runnable)
        self.folder.mkdir(parents=True)
        with Journal(self.folder / "journal.jsonl") as self.journal, self._rendered(), self._reaped():
            self._emit(journal.RunStarted(record=self._planned(first)))
            self._judge_unsupported()
            failed = self._schedule(first, {"image", "source"}, {})
            plan = self.planner.plan(runnable) if self.cancel() else self._resolved(runnable, failed)
            self._schedule(plan, {"tls", "haproxy", "probe"}, failed)
            record = self._finish()
        return record, self.folder

    def _runnable(self) -> list[Cell]:
        if self.options.challenge_unsupported:
            return list(self.cells)
        return [cell for cell in self.cells if capabilities.unsupported(cell) is None]

    def _planned(self, plan: Plan) -> RunRecord:
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
                engine=self.info,
                planned=len(self.cells),
                judged=0,
                exit_code=None,
                message="",
            ),
            components=(),
            actions=tuple(_action_record(action, "waiting") for action in plan.actions.values()),
            cells=tuple(self._planned_cell(cell) for cell in self.cells),
        )

    def _planned_cell(self, cell: Cell) -> CellRecord:
        arch = cell.arch.arch
        native = arch == self.host
        version = emulation.qemu_version(self.local, arch, remote=self.options.remote_engine)
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
                qemu_version=None if native else version,
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
        if self.options.challenge_unsupported:
            return
        for cell in self.cells:
            declared = capabilities.unsupported(cell)
            if declared is not None:
                reason = next(reason for reason in REASONS if reason == declared.reason)
                self._judged(
                    cell, Judged(outcome=Outcome.UNSUPPORTED, reason=reason, message=declared.message)
                )

    def _resolved(self, runnable: Sequence[Cell], failed: Mapping[str, Failure]) -> Plan:
        """The plan again, now with digests: the toolchain's exact versions are known."""
        packages = {}
        for name, arch in self._toolchains(runnable):
            if f"image:{name}-{arch.name}" not in failed:
                packages[arch.name] = self.images.packages(name, arch)
        self.planner = Planner(
            host=self.host,
            catalog=self.planner.catalog,
            renderer=self.renderer,
            packages=packages,
            emulated_build=self.options.emulated_build,
        )
        plan = self.planner.plan(runnable)
        self._record_packages(plan)
        return plan

    def _toolchains(self, cells: Sequence[Cell]) -> list[tuple[str, Arch]]:
        if not cells:
            return []
        if not self.options.emulated_build:
            return [("toolchain", self.host)]
        arches = {cell.arch.name: cell.arch.arch for cell in cells}.values()
        return [("toolchain" if a == self.host else "emulated-toolchain", a) for a in arches]

    def _record_packages(self, plan: Plan) -> None:
        used = {package for a in plan.actions.values() if a.recipe for package in a.recipe.packages}
        for name, version in sorted(used):
            self._component(kind="package", name=name, version=version, digest=None, origin="toolchain image")

    def _schedule(self, plan: Plan, kinds: set[str], failed: Mapping[str, Failure]) -> dict[str, Failure]:
        self.plan = plan
        return schedule(
            [action for action in plan.actions.values() if action.kind in kinds],
            slots=self.options.jobs,
            weight=lambda action: self.options.jobs if action.kind in {"tls", "haproxy"} else 1,
            execute=self._execute,
            blocked=self._blocked,
            failed=failed,
            cancel=self.cancel,
            grace=_SHUTDOWN,
        )

    def _finish(self) -> RunRecord:
        with self.lock:
            record = journal.fold(self.events)
        interrupted = self.cancel() and not self.cancel.fail_fast
        code = exit_code((cell.outcome for cell in record.cells), allow_blocked=self.options.allow_blocked)
        left = record.run.planned - record.run.judged
        message = f"{left} of {record.run.planned} cells were not judged" if left else ""
        self._emit(
            journal.RunFinished(
                status="interrupted" if interrupted else "finished",
                finished_at=utc_now(),
                duration_s=time.monotonic() - self.started,
                exit_code=Exit.INTERRUPTED if interrupted else code,
                message=message,
            )
        )
        with self.lock:
            return journal.fold(self.events)

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
        if self.cancel() and action.kind == "probe":
            status = "interrupted"
        self._action(action, status, duration_s=took)
        return None

    def _do(self, action: Action) -> Status:
        match action.kind:
            case "image":
                return self._image(action)
            case "source":
                return self._fetch(action)
            case "tls" | "haproxy":
                return self._compile(action)
            case "probe":
                return self._probe(action)

    def _failed(self, action: Action, error: Exception, took: float) -> Failure | None:
        failure = failure_of(action, error)
        if self.cancel():
            self._action(action, "interrupted", duration_s=took)
            return failure
        text = str(error)
        if not isinstance(error, MatrixctlError):
            path = self.folder / f"internal-{secrets.token_hex(3)}.txt"
            write_atomically(path, "".join(traceback.format_exception(error)).encode())
            text = f"{error!r}; the traceback is in {path.name}, please report it"
            self.say(f"{action.name}: {text}")
        self._action(action, "failed", duration_s=took, message=text)
        if action.kind not in {"image", "source"} or action.problem:
            self._fail_cells(action, failure)
        return failure

    def _blocked(self, action: Action, cause: Failure) -> None:
        self._action(action, "blocked", message=cause.message)
        if action.kind == "probe":
            self._fail_cells(action, cause)

    def _fail_cells(self, action: Action, failure: Failure) -> None:
        if action.kind != "probe" or self.cancel():
            return
        log = self._log_of(self.plan.actions.get(failure.action))
        for key in action.cells:
            judged = Judged(outcome=failure.outcome, reason=failure.reason, message=failure.message)
            self._judged(self.plan.cells[key], judged, evidence=(log,) if log else ())

    def _image(self, action: Action) -> Status:
        arch = ARCHES[action.arch]
        ref = self.images.get(action.image, arch)
        for made in (self.images.get("base", self.host), ref):
            self._component(
                kind="image",
                name=f"{made.name}-{made.arch}",
                version=made.tag,
                digest=made.digest or made.id,
                origin=made.origin,
            )
        if action.image == "runtime" and arch != self.host:
            version = emulation.qemu_version(self.local, arch, remote=self.options.remote_engine)
            self._component(
                kind="emulator",
                name=f"qemu-{arch.qemu}",
                version=version or "unknown",
                digest=None,
                origin="binfmt_misc of the engine's host",
            )
        return "succeeded"

    def _fetch(self, action: Action) -> Status:
        source = action.source
        if source is None or action.problem:
            raise SourceUnreachableError(action.problem)
        got = sources.fetch(
            source,
            store=self.store,
            mirrors=self.options.mirrors,
            deadline=time.monotonic() + self.matrix.limits.fetch,
            say=self.say,
            apt_bases=self.apt_bases,
        )
        self.fetched[action.key] = got.path
        self._component(
            kind="source", name=source.component, version=source.version, digest=got.sha256, origin=got.origin
        )
        return "succeeded"

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
        limits = self.matrix.limits
        task = Compile(
            name=self._container_name(action),
            run_id=self.id,
            digest=digest,
            image=image.tag,
            platform=recipe.compiler_arch.platform,
            script=self.renderer.render(recipe.template, values),
            source_file=recipe.source.file,
            source=next(self.fetched[need.key] for need in needs if need.kind == "source"),
            parents=tuple(parent.path for parent in parents if parent is not None),
            output=action.kind,
            ccache=f"{action.kind}-{recipe.source.component}-{recipe.compiler_arch.name}-{recipe.target.name}",
            jobs=self.options.jobs,
            memory_bytes=_BUILD_MEMORY,
            # A compiler under QEMU is about ten times slower: docs/performance.md.
            timeout=limits.build * (limits.emulated * 5 if emulated else 1),
            keep=self.options.keep,
        )
        compile_once(self.engine, self.store, task, self.say)
        return "succeeded"

    # A probe session, and its repetitions.

    def _probe(self, action: Action) -> Status:
        cells = [self.plan.cells[key] for key in action.cells]
        for number in range(self.options.repeat):
            why = "first" if number == 0 else f"repeat {number + 1}"
            self._probe_until_judged(action, cells, why)
        return "succeeded"

    def _probe_until_judged(self, action: Action, cells: list[Cell], why: str) -> None:
        """Probe; where only the harness failed, probe those cells again."""
        spoilt: dict[str, str] = {}

        def attempt() -> list[Cell]:
            pending = [cell for cell in cells if not tries.statistics.get("spoilt") or cell.id in spoilt]
            reasons = {cell.id: spoilt.get(cell.id) for cell in pending}
            spoilt.clear()
            self._attempt(
                action,
                pending,
                {key: f"{AGAIN}{said}" if said else why for key, said in reasons.items()},
                spoilt,
            )
            tries.statistics["spoilt"] = len(spoilt)
            return [cell for cell in pending if cell.id in spoilt]

        def give_up(state: RetryCallState) -> list[Cell]:
            return state.outcome.result() if state.outcome else []

        tries = Retrying(
            stop=stop_after_attempt(HARNESS_TRIES),
            wait=wait_exponential(multiplier=0.5, max=5),
            retry=retry_if_result(lambda left: bool(left) and not self.cancel()),
            retry_error_callback=give_up,
        )
        tries(attempt)

    def _attempt(
        self, action: Action, cells: Sequence[Cell], whys: Mapping[str, str], spoilt: dict[str, str]
    ) -> None:
        content, binary = self._binary(action)
        emulated = cells[0].arch.arch != self.host
        limits = scaled(self.matrix.limits, emulated=emulated)
        task = session.Session(
            name=self._container_name(action),
            run_id=self.id,
            server_image=self.images.get("runtime", cells[0].arch.arch).tag,
            server_platform=cells[0].arch.arch.platform,
            client_image=self.images.get("client", self.host).tag,
            client_platform=self.host.platform,
            haproxy=content,
            files=session_files(self.renderer, cells, limits, self.certificates),
            cells=len(cells),
            limits=limits,
            cpus=self.options.jobs,
            keep=self.options.keep,
        )
        by_id = {cell.id: cell for cell in cells}
        server: dict[str, Any] = {}
        started_at = utc_now()

        def on_line(raw: session.Raw) -> None:
            if raw.get("kind") == "server":
                server.update(raw)
                return
            cell = by_id.pop(raw["id"])
            declared = capabilities.unsupported(cell) if self.options.challenge_unsupported else None
            judged = judge(cell, binary, server, raw, declared)
            if judged.outcome is Outcome.ERROR:
                spoilt[cell.id] = judged.message
            evidence = self._evidence(cell, raw)
            features = _features(cell.arch.arch, server, emulated=emulated)
            self._judged(
                cell,
                judged,
                why=whys[cell.id],
                started_at=started_at,
                duration_s=float(raw["duration_s"]),
                evidence=evidence,
                features=features,
            )

        error: Exception | None = None
        try:
            session.run(self.engine, task, on_line)
        except MatrixctlError as caught:
            error = caught
        if self.cancel():
            return
        for cell in by_id.values():
            reason = reason_of(error or MatrixctlError(""))
            message = str(error) if error else "The probe driver said nothing of this cell."
            spoilt[cell.id] = message.splitlines()[0]
            judged = Judged(outcome=REASONS[reason].outcome, reason=reason, message=message)
            self._judged(cell, judged, why=whys[cell.id], started_at=started_at)

    def _binary(self, action: Action) -> tuple[bytes, Binary]:
        build = next(self.plan.actions[need] for need in action.needs if need.startswith("haproxy:"))
        if build.digest is None or (artifact := self.store.artifact(build.digest)) is None:
            raise MatrixctlError(f"The artifact of {build.name} is gone from the store.")
        content = member([artifact.path.read_bytes()], "haproxy")
        return content, inspect(content)

    def _evidence(self, cell: Cell, raw: session.Raw) -> tuple[str, ...]:
        folder = self.folder / "cells" / cell.id
        folder.mkdir(parents=True, exist_ok=True)
        kept = []
        for name, text in raw["files"].items():
            path = folder / Path(name).name
            path.write_text(text)
            kept.append(str(path.relative_to(self.folder)))
        return tuple(kept)

    # The journal.

    def _judged(
        self,
        cell: Cell,
        judged: Judged,
        *,
        why: str = "first",
        started_at: str | None = None,
        duration_s: float = 0.0,
        evidence: tuple[str, ...] = (),
        features: tuple[str, ...] | None = None,
    ) -> None:
        with self.lock:
            known = next(
                (
                    e.cell
                    for e in reversed(self.events)
                    if isinstance(e, journal.CellJudged) and e.cell.id == cell.id
                ),
                None,
            )
        record = with_attempt(
            known or self._planned_cell(cell),
            judged,
            why=why,
            started_at=started_at or utc_now(),
            duration_s=duration_s,
            evidence=evidence,
            features=features,
        )
        build = getattr(self, "plan", None) and self.plan.actions.get(f"haproxy:{build_name(cell)}")
        if build:
            record = record.model_copy(update={"build": Build(name=build.name, digest=build.digest)})
        self._emit(journal.CellJudged(cell=record))
        if self.options.fail_fast and record.outcome in {Outcome.FAIL, Outcome.MISBUILT}:
            self.say(f"{cell.id}: {record.reason}; stopping, as --fail-fast asks")
            self.cancel.ask(fail_fast=True)

    def _action(
        self, action: Action, status: Status, *, duration_s: float | None = None, message: str = ""
    ) -> None:
        record = _action_record(action, status, duration_s=duration_s, message=message)
        self._emit(journal.ActionChanged(action=record.model_copy(update={"log": self._log_of(action)})))

    def _log_of(self, action: Action | None) -> str | None:
        """The action's log, copied beside the report, where there is one."""
        if action is None or action.kind not in {"tls", "haproxy"} or action.digest is None:
            return None
        log, path = self.store.log(action.digest), self.folder / "actions" / f"{action.name}.log"
        if not log.exists():
            return None
        if not path.exists() or path.stat().st_size != log.stat().st_size:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, log.read_bytes())
        return str(path.relative_to(self.folder))

    def _component(
        self,
        *,
        kind: Literal["image", "source", "package", "emulator"],
        name: str,
        version: str,
        digest: str | None,
        origin: str,
    ) -> None:
        component = Component(kind=kind, name=name, version=version, digest=digest, origin=origin)
        self._emit(journal.ComponentResolved(component=component))

    def _emit(self, event: Event) -> None:
        with self.lock:
            self.journal.append(event)
            self.events.append(event)
        self.listen(event)

    def _container_name(self, action: Action) -> str:
        return f"matrixctl-{self.id}-{action.kind}-{secrets.token_hex(3)}"

    # What runs beside the run.

    @contextmanager
    def _rendered(self) -> Iterator[None]:
        """run.json is rendered from the journal at the start, every few seconds and at the end."""
        stop = threading.Event()

        def loop() -> None:
            while not stop.wait(_RENDER_EVERY):
                self._write_record()

        thread = threading.Thread(target=loop, name="render", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            record = self._write_record()
            if record is not None:
                write_atomically(self.folder / "index.html", html.render(record).encode())
                write_atomically(self.folder / "junit.xml", junit.render(record).encode())

    def _write_record(self) -> RunRecord | None:
        with self.lock:
            events = list(self.events)
        if not events:
            return None
        record = journal.fold(events)
        journal.write_run_json(record, self.folder / "run.json")
        return record

    @contextmanager
    def _reaped(self) -> Iterator[None]:
        """Nothing that bears the run's label outlives it; a cancelled run is reaped at once."""
        over = threading.Event()

        def reap() -> None:
            while not over.wait(0.2):
                if self.cancel() and not self.options.keep:
                    self._sweep()

        thread = threading.Thread(target=reap, name="reap", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            if not self.options.keep:
                self._sweep()

    def _sweep(self) -> None:
        try:
            self.engine.sweep(self.id)
        except MatrixctlError as error:
            self.say(f"could not remove what is left of {self.id}: {error.brief}")


def _features(arch: Arch, server: Mapping[str, Any], *, emulated: bool) -> tuple[str, ...]:
    if emulated:
        return cpu.of_emulator(arch, str(server.get("auxv", "")))
    return cpu.of_host(str(server.get("cpuinfo", "")))


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
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return Host(
        arch=names.machine,
        system=platform.freedesktop_os_release().get("PRETTY_NAME", names.sysname),
        kernel=names.release,
        cpus=os.cpu_count() or 1,
        memory_bytes=pages * size,
    )
