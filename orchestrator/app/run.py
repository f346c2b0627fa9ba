"""One run, from the plan to the report."""

import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.app.demand import budget, demand
from orchestrator.app.ending import finish
from orchestrator.app.executor import Executor
from orchestrator.app.guards import guarded, unbreakable, write_reports
from orchestrator.app.ledger import Ledger
from orchestrator.app.options import Options
from orchestrator.app.planned import action_record, planned_record, rules
from orchestrator.app.reaper import reaped
from orchestrator.app.resume import inputs, nothing_left, refuse_changes
from orchestrator.app.selftests import SelfTests
from orchestrator.app.sources import Sources
from orchestrator.app.tidy import tidy
from orchestrator.app.work import Work
from orchestrator.arch import Arch, by_machine
from orchestrator.errors import RecordError
from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.execute.images.imageset import ImageSet
from orchestrator.execute.images.workshop import Workshop
from orchestrator.execute.schedule.order import Order
from orchestrator.execute.schedule.scheduler import Cancel, Failure, schedule
from orchestrator.execute.schedule.slots import Demand, Slots
from orchestrator.execute.store.store import Store
from orchestrator.execute.system.host import LocalHost
from orchestrator.matrix import capabilities
from orchestrator.matrix.catalog import Catalog
from orchestrator.matrix.expect import Expectations
from orchestrator.matrix.model import Cell, Matrix
from orchestrator.outcome import Outcome, Reason
from orchestrator.plan.action import Action
from orchestrator.plan.plan import expected
from orchestrator.plan.planner import Planner
from orchestrator.plan.render import Renderer
from orchestrator.probe.judge import Judged
from orchestrator.record import journal
from orchestrator.record.journal import Event, RunResumed, RunStarted
from orchestrator.record.model import RunRecord
from orchestrator.record.past import Past, read_past
from orchestrator.record.recorder import Recorder
from orchestrator.record.runs import begin

_EARLY = frozenset({"image", "source"})
"""What has to be there before the builds' digests are known."""
_LATE = frozenset({"tls", "haproxy", "selftest", "probe"})

_SHUTDOWN = 20.0
"""Seconds that a cancelled run waits for what cannot be told to stop."""


def run(
    matrix: Matrix,
    cells: Sequence[Cell],
    catalog: Catalog,
    engine: DockerEngine,
    options: Options,
    *,
    expectations: Expectations,
    listen: Callable[[Event], None],
    say: Callable[[str], None],
    cancel: Cancel,
    resume: Path | None = None,
) -> tuple[RunRecord, Path]:
    """Run the cells; the record, and the folder in which it lies with its report.

    :param resume: the folder of a run of these very cells that was cut off and is to go on.
    :raises NothingSelectedError: where nothing is left of it to go on with.
    :raises UsageError: where what it began with has changed, or another process writes to it.
    :raises MatrixctlError: where not even a record could be begun.
    """
    folder = resume or begin(options.out, datetime.now(UTC))
    with journal.held(folder):
        before = read_past(folder, say=say) if resume is not None else None
        run_id = before.record.run.id if before else folder.name
        host = by_machine(engine.info().arch)
        store = Store(options.store, say=say)
        renderer = Renderer(options.overlay)
        say = unbreakable(say)
        recorder = Recorder(
            folder,
            listen=guarded(listen, folder, say),
            finish=write_reports,
            broke=lambda: cancel.ask(fail_fast=True),
            before=before.events if before else (),
        )
        shop = Workshop(
            client=engine.client,
            host=LocalHost(),
            arch=host,
            say=say,
            proxies=options.proxies,
            wheels=store.images / "wheels",
            lock=store.lock,
            limit=matrix.limits.image,
        )
        images = ImageSet(shop=shop)
        begun = _Run(
            past=before,
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
                images=images,
                renderer=renderer,
                limits=matrix.limits,
                expectations=expectations,
                options=options,
                recorder=recorder,
                say=say,
                cancel=cancel,
                certificates=options.certificates(),
                selftests=SelfTests(recorder=recorder),
                sources=Sources(
                    store=store,
                    recorder=recorder,
                    mirrors=options.mirrors,
                    limit=matrix.limits.fetch,
                    pools=images.debian_pools,
                    say=say,
                ),
            ),
        )
        tidy(engine.client, store, folder.parent, say, resumed=run_id if before else "")
        with store.in_use():
            return begun.go(), folder


def _toolchains(planner: Planner, cells: Sequence[Cell]) -> list[tuple[str, Arch]]:
    """The images whose packages decide the digests of the builds of these cells."""
    arches = {cell.arch.name: cell.arch.arch for cell in cells}.values()
    return [(planner.toolchain(arch), arch) for arch in arches]


@dataclass(kw_only=True)
class _Run:
    """What a run was handed, and the ledger that it fills. ``past``: the run that goes on."""

    past: Past | None
    matrix: Matrix
    cells: Sequence[Cell]
    engine: DockerEngine
    planner: Planner
    work: Work
    ledger: Ledger = field(init=False)
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.ledger = Ledger(work=self.work)

    def go(self) -> RunRecord:
        """From the plan to the report."""
        if self.past and self.past.over:
            with self.work.recorder:  # it may have died before its report was written
                raise nothing_left(self.past)
        standing = self.past.standing if self.past else frozenset()
        todo = [cell for cell in self.cells if cell.id not in standing]
        chosen = [cell for cell in todo if self._runs(cell)]
        opening = self._opening(chosen)
        recorder = self.work.recorder
        with recorder, reaped(self.engine, self.work):
            recorder.emit(opening)
            try:
                self.work.keep_patches(self.cells)
                self._judge_unsupported(todo)
                failed = self._schedule(_EARLY, {}, later=_LATE)
                self._learn_versions(chosen, failed)
                self._schedule(_LATE, failed)
            except RecordError:  # there is nowhere to write an end to
                raise
            except Exception as error:  # noqa: BLE001 - what was judged stays, and the journal gets its end
                finish(self.ledger, self.cells, self.started, error)
            else:
                finish(self.ledger, self.cells, self.started)
            return recorder.record()

    def _opening(self, chosen: Sequence[Cell]) -> RunStarted | RunResumed:
        """The first event, once it is clear that the run can begin, or go on with the chosen cells."""
        plan = self.ledger.plan = self.planner.plan([cell for cell in self.cells if self._runs(cell)])
        cells = [self.ledger.planned(cell) for cell in self.cells]
        begin = planned_record(
            self.work.run_id,
            matrix=self.matrix,
            cells=cells,
            rules=rules(self.work.expectations, self.cells),
            plan=plan,
            engine=self.engine.info(),
            options=self.work.options,
        )
        now, past = inputs(plan, self.work.options.overlay), self.past
        if past is None:
            return RunStarted(record=begin, settings=self.work.options.settings, inputs=now)
        refuse_changes(past, begin, now, lost=lambda: self._pinned(past))
        past.remove_half_written()
        self.work.selftests.remember(past.record.selftests)
        self.ledger.cut = set(past.last) - past.standing
        self.started -= past.spent_s
        plan = self.ledger.plan = self.planner.plan(chosen)
        waiting = tuple(action_record(action, "waiting") for action in plan.actions.values())
        return RunResumed(stood=len(past.standing), actions=waiting)

    def _pinned(self, past: Past) -> Sequence[str]:
        """Asked before the run goes on, so that it may be refused; Ctrl-C ends the asking."""
        if not past.pins:
            return ()
        with reaped(self.engine, self.work):
            return self.work.sources.pin(past.pins, cancel=self.work.cancel)

    def _judge_unsupported(self, cells: Sequence[Cell]) -> None:
        for cell in cells:
            declared = capabilities.unsupported(cell)
            if declared is not None and not self._runs(cell):
                reason = Reason(declared.reason)
                self.ledger.judged(
                    cell, Judged(outcome=Outcome.UNSUPPORTED, reason=reason, message=declared.message)
                )

    def _runs(self, cell: Cell) -> bool:
        if capabilities.emulator_cannot(cell) is not None:  # there is nothing to run it on
            return False
        return self.work.options.challenge_unsupported or self.work.expectations.runs(cell)

    def _schedule(
        self, kinds: AbstractSet[str], failed: Mapping[str, Failure], *, later: AbstractSet[str] = frozenset()
    ) -> dict[str, Failure]:
        left = [action for action in self.ledger.plan.actions.values() if action.kind in kinds | later]
        executor = Executor(engine=self.engine, work=self.work, ledger=self.ledger)
        return schedule(
            [action for action in left if action.kind in kinds],
            slots=self._slots(),
            demand=self._demand,
            order=Order(left, self._seconds),
            execute=executor.execute,
            blocked=self.ledger.blocked,
            failed=failed,
            cancel=self.work.cancel,
            grace=_SHUTDOWN,
        )

    def _slots(self) -> Slots:
        memory = self.work.options.memory or budget(self.engine.memory)
        return Slots(cpus=self.work.options.jobs, memory=memory, lanes=self.matrix.limits.sessions)

    def _demand(self, action: Action) -> Demand:
        if self._held(action):
            return Demand()
        return demand(action, self.ledger.plan.cells, self.work.options.jobs)

    def _seconds(self, action: Action) -> float:
        store = self.work.store
        return 0.0 if self._held(action) else expected(action.kind, action.name, store.known_duration)

    def _held(self, action: Action) -> bool:
        """Whether the store has what it would compile, so that it takes nothing."""
        return action.kind != "source" and action.digest is not None and self.work.store.has(action.digest)

    def _learn_versions(self, cells: Sequence[Cell], failed: Mapping[str, Failure]) -> None:
        """Plan again, now with digests: the toolchain's exact versions are known."""
        if self.work.cancel():
            return
        packages = {
            arch.name: self.work.images.packages(name, arch)
            for name, arch in _toolchains(self.planner, cells)
            if f"image:{name}-{arch.name}" not in failed
        }
        self.planner = replace(self.planner, packages=packages, moved=self.work.sources.moved)
        plan = self.ledger.plan = self.planner.plan(cells)
        used = {package for a in plan.actions.values() if a.recipe for package in a.recipe.packages}
        for name, version in sorted(used):
            self.work.recorder.component("package", name, version, None, "toolchain image")
