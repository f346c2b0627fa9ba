"""One run, from the plan to the report."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.app import stages
from orchestrator.app.actions import Actions
from orchestrator.app.backtraces import take_backtraces
from orchestrator.app.confirm import confirm_alarms
from orchestrator.app.ending import close_run
from orchestrator.app.explore import divide, explore
from orchestrator.app.leftovers import remove_leftovers
from orchestrator.app.opening import find_start, make_context, make_run, open_run
from orchestrator.app.options import Options
from orchestrator.app.reaper import reap
from orchestrator.app.resume import explain_nothing_left
from orchestrator.app.stages import Run, Stage
from orchestrator.app.traces import take_traces
from orchestrator.errors import RecordError
from orchestrator.execute.engine.engine import Engine
from orchestrator.execute.schedule.scheduler import Cancel
from orchestrator.execute.store.shared import open_store
from orchestrator.matrix.catalog import Catalog
from orchestrator.matrix.expect import Expectations
from orchestrator.matrix.model import Cell, Matrix
from orchestrator.record import journal
from orchestrator.record.interrupted_run import PastRun, read_past
from orchestrator.record.journal import Event
from orchestrator.record.model import RunRecord
from orchestrator.record.runs import begin

STAGES: tuple[Stage, ...] = (
    stages.keep_patches,
    stages.judge_unsupported,
    stages.fetch,
    stages.plan_with_digests,
    stages.build_and_probe,
    explore,
    confirm_alarms,
    take_traces,
    take_backtraces,
)
"""What is done between the first event and the last."""


def run_matrix(
    matrix: Matrix,
    cells: Sequence[Cell],
    catalog: Catalog,
    engine: Engine,
    options: Options,
    *,
    expectations: Expectations,
    listen: Callable[[Event], None],
    cancel: Cancel,
    reserve: Sequence[Cell] = (),
    resume: Path | None = None,
    actions: Callable[..., Actions] = Actions,
) -> tuple[RunRecord, Path]:
    """Run the cells; return the record, and the folder in which it lies with its report.

    :param reserve: cells that a run that explores may ask for beside these.
    :param resume: the folder of a run of these very cells that was cut off and is to go on.
    :param actions: makes what does the actions.
    :raises NothingSelectedError: where nothing is left of it to go on with.
    :raises UsageError: where what it began with has changed, or another process writes to it.
    :raises MatrixctlError: where not even a record could be begun.
    """
    store = open_store(options.store, options.remote_store, write=options.elsewhere)
    folder = resume or begin(options.out, datetime.now(UTC))
    with journal.hold(folder):
        past = read_past(folder) if resume is not None else None
        context = make_context(
            folder, engine, matrix, options, store=store, past=past, listen=listen, cancel=cancel
        )
        run = make_run(context, matrix, cells, catalog, expectations=expectations, actions=actions)
        run = replace(run, reserve=reserve)
        resumed = context.run_id if past else ""
        remove_leftovers(engine, context.store, folder.parent, resumed=resumed)
        with context.store.in_use():
            return _go(run, past), folder


def _go(run: Run, past: PastRun | None) -> RunRecord:
    """Open the run, go through its stages, close it."""
    context, started = run.context, find_start(past)
    if past and past.over:
        with context.recorder:  # the process may have died before it wrote the report
            raise explain_nothing_left(past)
    run, opening = open_run(divide(replace(run, started=started), past), past)
    with context.recorder, reap(context):
        context.recorder.emit(opening)
        try:
            for stage in STAGES:
                run = stage(run)
        except RecordError:  # there is nowhere to write an end to
            raise
        except Exception as error:  # noqa: BLE001 - what was judged stays, and the journal gets its end
            close_run(context, run.ledger, started, error)
        else:
            close_run(context, run.ledger, started)
        return context.recorder.make_record()
