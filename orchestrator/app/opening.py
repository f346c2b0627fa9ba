"""The begin of a run: it is composed, planned, and held against the run that it may go on with."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator.app import output
from orchestrator.app.actions import Actions
from orchestrator.app.actions.probe import Probing
from orchestrator.app.context import Context
from orchestrator.app.emulators import Emulators
from orchestrator.app.first_record import make_action, make_cell, make_record, make_rules
from orchestrator.app.inputs import keep_inputs
from orchestrator.app.ledger import Ledger
from orchestrator.app.options import Options
from orchestrator.app.reaper import reap
from orchestrator.app.resume import digest_files, find_inputs, refuse_changes
from orchestrator.app.selftests import SelfTests
from orchestrator.app.sources import Sources
from orchestrator.app.stages import Run
from orchestrator.arch import ARCHES, find_arch
from orchestrator.execute.engine.engine import Engine
from orchestrator.execute.images.imageset import ImageSet
from orchestrator.execute.images.workshop import Workshop
from orchestrator.execute.schedule.scheduler import Cancel
from orchestrator.execute.store.store import Store
from orchestrator.execute.system.load import LoadMeter
from orchestrator.matrix.catalog import Catalog
from orchestrator.matrix.expect import Expectations
from orchestrator.matrix.model import Cell, Matrix
from orchestrator.plan.plan import Plan
from orchestrator.plan.planner import Planner
from orchestrator.plan.render import Renderer
from orchestrator.record.interrupted_run import PastRun
from orchestrator.record.journal import Event, RunResumed, RunStarted
from orchestrator.record.model import RunRecord
from orchestrator.record.recorder import Recorder
from orchestrator.record.settings import Inputs


def make_context(
    folder: Path,
    engine: Engine,
    matrix: Matrix,
    options: Options,
    *,
    store: Store,
    past: PastRun | None,
    listen: Callable[[Event], None],
    cancel: Cancel,
) -> Context:
    """Return the means of a run; nothing is begun yet."""
    host = find_arch(engine.describe().arch)
    shop = Workshop(
        engine=engine,
        host=options.here,
        arch=host,
        proxies=options.proxies,
        store=store,
        limit=matrix.limits.image,
    )
    recorder = Recorder(
        folder,
        listen=output.guard_listener(listen, folder),
        finish=output.write_reports,
        broke=lambda: cancel.ask(fail_fast=True),
        before=past.events if past else (),
    )
    return Context(
        run_id=past.record.run.id if past else folder.name,
        host=host,
        engine=engine,
        store=store,
        images=ImageSet(shop=shop),
        renderer=Renderer(options.overlay),
        limits=matrix.limits,
        options=options,
        recorder=recorder,
        cancel=cancel,
    )


def make_run(
    context: Context,
    matrix: Matrix,
    cells: Sequence[Cell],
    catalog: Catalog,
    *,
    expectations: Expectations,
    actions: Callable[..., Actions],
) -> Run:
    """Return a run of all cells; nothing is planned yet.

    :raises RecordError: if what it was begun with cannot be kept in its folder.
    """
    options, recorder = context.options, context.recorder
    emulators = Emulators(host=context.host, natives=options.natives, remote=options.remote_engine)
    again = keep_inputs(recorder, matrix, options.settings) if options.settings else options.again
    ledger = Ledger(
        recorder=recorder,
        selftests=SelfTests(recorder=recorder),
        store=context.store,
        cancel=context.cancel,
        fail_fast=options.fail_fast,
        confirm=options.confirm,
        load=None if options.elsewhere else LoadMeter(),
        new_cell=lambda cell: make_cell(
            cell, context.find_host(cell), again, expectations, emulators.find_version(cell)
        ),
    )
    sources = Sources(
        store=context.store,
        recorder=recorder,
        mirrors=options.mirrors,
        limit=context.limits.fetch,
        pools=context.images.list_debian_pools,
        package=lambda arch: context.images.read_haproxy(ARCHES[arch]),
        pins=options.pins,
    )
    probing = Probing(
        certificates=options.certificates(),
        declared=expectations.find_declared,
        record_attempt=ledger.record_attempt,
        record_selftest=ledger.selftests.record_output,
        keep_version=ledger.keep_version,
        is_due=ledger.is_due,
        find_rounds=ledger.find_rounds,
        settle=ledger.settle,
        record_traced=ledger.record_traced,
    )
    return Run(
        context=context,
        ledger=ledger,
        matrix=matrix,
        expectations=expectations,
        cells=cells,
        planner=Planner(
            host=context.host,
            catalog=catalog,
            renderer=context.renderer,
            packages={},
            emulated_build=options.emulated_build,
            natives=options.natives,
        ),
        sources=sources,
        actions=actions(context=context, sources=sources, emulators=emulators, probing=probing),
    )


def open_run(run: Run, past: PastRun | None) -> tuple[Run, RunStarted | RunResumed]:
    """Plan the cells; return the first event, of a new run or of the part that goes on.

    :raises UsageError: where what ``past`` began with has changed.
    """
    context, ledger = run.context, run.ledger
    run = replace(run, waiting=run.cells)
    ledger.cells = list(run.cells)
    plan = ledger.plan = run.make_plan(run.planner)
    now = find_inputs(_plan_all(run) if run.reserve else plan, context.options.overlay)
    record = make_record(
        context.run_id,
        matrix=run.matrix,
        cells=[ledger.new_cell(cell) for cell in run.cells],
        rules=make_rules(run.expectations, run.cells),
        plan=plan,
        engine=context.engine.describe(),
        options=context.options,
        tool_digest=digest_files(now),
        selected=len(run.cells) + len(run.reserve),
    )
    if past is None:
        return run, RunStarted(record=record, settings=context.options.settings, inputs=now)
    return _resume(run, past, record, now)


def _plan_all(run: Run) -> Plan:
    """Return the plan of all cells, those that may be asked for as well."""
    return run.planner.plan([cell for cell in (*run.cells, *run.reserve) if run.is_runnable(cell)])


def _resume(run: Run, past: PastRun, record: RunRecord, now: Inputs) -> tuple[Run, RunResumed]:
    """Plan the cells that have no verdict yet."""
    ledger = run.ledger
    refuse_changes(past, record, now, lost=lambda: _pin_sources(run, past))
    past.remove_half_written()
    ledger.selftests.remember(past.record.selftests)
    ledger.cut.update(set(past.last) - past.standing)
    run = replace(run, waiting=[cell for cell in run.cells if cell.id not in past.standing])
    plan = ledger.plan = run.make_plan(run.planner)
    actions = tuple(make_action(action, "waiting") for action in plan.actions.values())
    return run, RunResumed(stood=len(past.standing), actions=actions)


def _pin_sources(run: Run, past: PastRun) -> Sequence[str]:
    """Ask for the sources that move before the run goes on, so that it may be refused; Ctrl-C ends that."""
    if not past.pins:
        return ()
    with reap(run.context):
        return run.sources.pin(past.pins, cancel=run.context.cancel)


def find_start(past: PastRun | None) -> float:
    """Return when the run began, of ``time.monotonic()``, without the time in which it was cut off."""
    return time.monotonic() - (past.spent_s if past else 0.0)
