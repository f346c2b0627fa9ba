"""One run, from the plan to the report."""

import secrets
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.app.options import Options
from orchestrator.app.planned import action_record, planned_cell, planned_record
from orchestrator.app.work import Work
from orchestrator.arch import ARCHES, Arch, by_machine
from orchestrator.errors import Exit, MatrixctlError
from orchestrator.execute import process
from orchestrator.execute.docker_engine import DockerEngine
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
from orchestrator.outcome import Outcome, Reason, exit_code
from orchestrator.plan.action import Action
from orchestrator.plan.plan import Plan, Planner, build_name
from orchestrator.plan.render import Renderer
from orchestrator.probe.judge import Judged, with_attempt
from orchestrator.probe.prober import Told
from orchestrator.record import journal
from orchestrator.record.journal import Event
from orchestrator.record.model import ActionStatus, Build, RunRecord, utc_now
from orchestrator.record.recorder import Recorder
from orchestrator.report import html, junit

_SHUTDOWN = 20.0
"""Seconds that a cancelled run waits for what cannot be told to stop."""


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
    host = by_machine(engine.info().arch)
    store = Store(options.store, say=say)
    renderer = Renderer(options.overlay)
    recorder = Recorder(folder, listen=listen, finish=_report)
    shop = Workshop(
        client=engine.client,
        host=LocalHost(),
        arch=host,
        say=say,
        proxies=options.proxies,
        limit=matrix.limits.image,
    )
    begun = _Run(
        matrix=matrix,
        cells=cells,
        engine=engine,
        planner=Planner(
            host=host,
            catalog=catalog,
            renderer=renderer,
            packages={},
            emulated_build=options.emulated_build,
        ),
        work=Work(
            run_id=run_id,
            host=host,
            engine=engine,
            store=store,
            images=ImageSet(shop=shop, targets=tuple(ARCHES.values())),
            renderer=renderer,
            limits=matrix.limits,
            options=options,
            recorder=recorder,
            say=say,
            cancel=cancel,
        ),
    )
    with store.in_use():
        return begun.go(), folder


def _toolchains(planner: Planner, cells: Sequence[Cell]) -> list[tuple[str, Arch]]:
    """The images whose packages decide the digests of the builds of these cells."""
    if not planner.emulated_build:
        return [("toolchain", planner.host)] if cells else []
    arches = {cell.arch.name: cell.arch.arch for cell in cells}.values()
    return [("toolchain" if arch == planner.host else "emulated-toolchain", arch) for arch in arches]


def _runnable(cells: Sequence[Cell], options: Options) -> list[Cell]:
    """The cells that are not declared to be impossible, or all if the declaration is challenged."""
    if options.challenge_unsupported:
        return list(cells)
    return [cell for cell in cells if capabilities.unsupported(cell) is None]


def _report(record: RunRecord, folder: Path) -> None:
    write_atomically(folder / "junit.xml", junit.render(record).encode())
    write_atomically(folder / "index.html", html.render(record).encode())


@dataclass(kw_only=True)
class _Run:
    """What a run was handed, and the plan, which it makes twice."""

    matrix: Matrix
    cells: Sequence[Cell]
    engine: DockerEngine
    planner: Planner
    work: Work
    plan: Plan = field(default_factory=lambda: Plan(actions={}, cells={}))
    started: float = field(default_factory=time.monotonic)

    @property
    def id(self) -> str:
        return self.work.run_id

    @property
    def host(self) -> Arch:
        return self.planner.host

    @property
    def options(self) -> Options:
        return self.work.options

    @property
    def recorder(self) -> Recorder:
        return self.work.recorder

    @property
    def cancel(self) -> Cancel:
        return self.work.cancel

    def go(self) -> RunRecord:
        """From the plan to the report."""
        chosen = _runnable(self.cells, self.options)
        self.plan = self.planner.plan(chosen)
        cells = [planned_cell(cell, self.host, self.options) for cell in self.cells]
        begin = planned_record(
            self.id,
            matrix=self.matrix,
            cells=cells,
            plan=self.plan,
            engine=self.engine.info(),
            options=self.options,
        )
        with self.recorder, self._reaped():
            self.recorder.emit(journal.RunStarted(record=begin))
            try:
                self._judge_unsupported()
                failed = self._schedule({"image", "source"}, {})
                self._learn_versions(chosen, failed)
                self._schedule({"tls", "haproxy", "probe"}, failed)
            except MatrixctlError as error:  # what was judged stays, and the journal gets its end
                self.work.say(str(error))
                self._finish(error.brief)
            else:
                self._finish()
            return self.recorder.record()

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
            arch.name: self.work.images.packages(name, arch)
            for name, arch in _toolchains(self.planner, cells)
            if f"image:{name}-{arch.name}" not in failed
        }
        self.planner = replace(self.planner, packages=packages)
        self.plan = self.planner.plan(cells)
        used = {package for a in self.plan.actions.values() if a.recipe for package in a.recipe.packages}
        for name, version in sorted(used):
            self.work.component("package", name, version, None, "toolchain image")

    def _finish(self, broke: str = "") -> None:
        record = self.recorder.record()
        interrupted = self.cancel() and not self.cancel.fail_fast
        code = exit_code((cell.outcome for cell in record.cells), allow_blocked=self.options.allow_blocked)
        left = record.run.planned - record.run.judged
        unjudged = f"{left} of {record.run.planned} cells were not judged" if left else ""
        self.recorder.emit(
            journal.RunFinished(
                status="interrupted" if interrupted else "finished",
                finished_at=utc_now(),
                duration_s=time.monotonic() - self.started,
                exit_code=Exit.INTERRUPTED if interrupted else code,
                message="; ".join(said for said in (broke, unjudged) if said),
            )
        )

    # One action.

    def _execute(self, action: Action) -> Failure | None:
        started = time.monotonic()
        self._action(action, "running")
        try:
            status = self.work.do(action, self.plan, self._told)
        except Exception as error:  # noqa: BLE001 - an unknown error ends one action, never the run
            return self._failed(action, error, time.monotonic() - started)
        took = time.monotonic() - started
        if status == "succeeded":
            self.work.store.record_duration(action.kind, action.name, took)
        self._action(action, status, duration_s=took)
        return None

    def _failed(self, action: Action, error: Exception, took: float) -> Failure:
        failure = failure_of(action, error)
        if self.cancel():  # its container was taken away: that says nothing of the action
            self._action(action, "interrupted", duration_s=took)
            return failure
        text = str(error)
        if not isinstance(error, MatrixctlError) and failure.reason is Reason.INTERNAL:
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
            if self.recorder.cell(key) is not None:
                continue  # judged before the session broke: that stands
            self._judged(self.plan.cells[key], judged, evidence=(log,) if log else ())

    # The record.

    def _told(self, cell: Cell, judged: Judged, told: Told) -> None:
        self._judged(cell, judged, told=told, evidence=told.evidence)

    def _judged(
        self, cell: Cell, judged: Judged, *, told: Told | None = None, evidence: tuple[str, ...] = ()
    ) -> None:
        build = self.plan.actions.get(f"haproxy:{build_name(cell)}")
        record = with_attempt(
            self.recorder.cell(cell.id) or planned_cell(cell, self.host, self.options),
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
        self, action: Action, status: ActionStatus, *, duration_s: float | None = None, message: str = ""
    ) -> None:
        record = action_record(action, status, duration_s=duration_s, message=message)
        self.recorder.emit(
            journal.ActionChanged(action=record.model_copy(update={"log": self._log_of(action)}))
        )

    def _log_of(self, action: Action | None) -> str | None:
        """The action's log, copied beside the report, where there is one."""
        if action is None or action.kind not in {"tls", "haproxy"} or action.digest is None:
            return None
        log, path = (
            self.work.store.log(action.digest),
            self.recorder.folder / "actions" / f"{action.name}.log",
        )
        if not log.exists():
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, log.read_bytes())
        return str(path.relative_to(self.recorder.folder))

    # What runs beside the run.

    @contextmanager
    def _reaped(self) -> Iterator[None]:
        """Nothing that bears the run's label outlives it; what a cancelled run has started ends at once."""
        over = threading.Event()

        def reap() -> None:
            while not over.wait(0.2):
                if self.cancel():
                    process.end_all()
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
            if self.cancel():  # an image that is being made, too, and nobody waits for its thread
                self.engine.sweep_own()
        except MatrixctlError as error:
            self.work.say(f"could not remove what is left of {self.id}: {error.brief}")
