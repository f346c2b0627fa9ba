"""The stage of a run that explains what it sees, asks for the cells that would tell more, and runs them."""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace

from orchestrator.analyse.explain import Explanation
from orchestrator.analyse.exploring import choose_next, choose_start
from orchestrator.app import stages
from orchestrator.app.first_record import make_action
from orchestrator.app.stages import Run, Stage
from orchestrator.matrix.model import Cell
from orchestrator.phrases import join_names
from orchestrator.plan.plan import Plan
from orchestrator.record.interrupted_run import PastRun
from orchestrator.record.journal import CellsAsked, ExplorationEnded

_log = logging.getLogger(__name__)

ROUND: tuple[Stage, ...] = (
    stages.keep_patches,
    stages.judge_unsupported,
    stages.fetch,
    stages.plan_with_digests,
    stages.build_and_probe,
)
"""What is done for the cells that are asked for; what was done for others is not done again."""
_MINUTE = 60


def divide(run: Run, past: PastRun | None) -> Run:
    """Return the run with the cells that it begins with, or had, and the others in reserve."""
    exploring = run.context.options.exploring
    if exploring is None:
        return replace(run, reserve=())
    cells, reserve = list(run.cells), list(run.reserve)
    if exploring.pairwise and (runnable := [cell for cell in cells if run.is_runnable(cell)]):
        first = {cell.id for cell in choose_start(runnable)}
        cells, reserve = (
            [cell for cell in run.cells if (cell.id in first) is is_first] for is_first in (True, False)
        )
    asked = {cell.id for cell in past.record.cells} if past else set()
    cells += [cell for cell in reserve if cell.id in asked]
    return replace(run, cells=cells, reserve=[cell for cell in reserve if cell.id not in asked])


def explore(run: Run) -> Run:
    """Ask for cells and run them, until nothing is left to ask or the time is over; write down why."""
    exploring = run.context.options.exploring
    if exploring is None:
        return run
    while not run.context.cancel():
        record = run.context.recorder.make_record()
        # What is declared impossible tells nothing.
        unasked = [run.ledger.new_cell(cell) for cell in run.reserve if run.is_runnable(cell)]
        wanted, found = choose_next(record, unasked)
        _log.info("%s", _tell(found))
        by_id = {cell.id: cell for cell in run.reserve}
        cells = [by_id[name] for name in wanted]
        affordable = _fit(run, cells, exploring.minutes)
        if not affordable:
            end = _explain_end(found, wanted, exploring.minutes)
            left = tuple(cell.id for cell in run.reserve)
            run.context.recorder.emit(ExplorationEnded(end=end, left=left))
            break
        run = _ask(run, affordable)
        for stage in ROUND:
            run = stage(run)
    return run


def _tell(found: Explanation) -> str:
    told = [f"{one.reason or one.outcome}: {' '.join(one.when)}" for one in found.clusters]
    told += [f"unexplained: {join_names(found.unexplained)}"] if found.unexplained else []
    return "; ".join(told) or "nothing fails so far"


def _explain_end(found: Explanation, wanted: Sequence[str], minutes: float | None) -> str:
    """Return why no more cells are asked for, and what cannot be told yet."""
    if wanted:
        what = "1 cell more" if len(wanted) == 1 else f"{len(wanted)} cells more"
        end = f"the {minutes:g} minutes would not do for {what}: {join_names(wanted)}"
    elif found.clusters:
        end = "each explanation was tried from all sides that there are cells for"
    elif found.failing:
        end = "no cell is left that would tell more"
    else:
        end = "no cell fails"
    doubt = [one for one in found.clusters if one.alternatives or one.confounded]
    told = [f"{' '.join(one.when)} has explanations beside it that fit as well" for one in doubt]
    if found.unexplained:
        told.append(f"no combination explains {join_names(found.unexplained)}")
    return "; ".join((end, *told))


def _ask(run: Run, cells: Sequence[Cell]) -> Run:
    """Return the run with cells of its reserve; all of them have to run."""
    chosen = {cell.id for cell in cells}
    run = replace(
        run,
        cells=(*run.cells, *cells),
        waiting=cells,
        reserve=[cell for cell in run.reserve if cell.id not in chosen],
    )
    run.ledger.cells += cells
    plan = run.ledger.plan = run.make_plan(run.planner)
    asked = CellsAsked(
        cells=tuple(run.ledger.new_cell(cell) for cell in cells),
        actions=tuple(make_action(action, "waiting") for action in plan.actions.values()),
    )
    run.context.recorder.emit(asked)
    return run


def _fit(run: Run, cells: Sequence[Cell], minutes: float | None) -> list[Cell]:
    """Return the cells, in their order, that can be run in the time that is left, as far as is known."""
    if minutes is None:
        return list(cells)
    left = minutes * _MINUTE - (time.monotonic() - run.started)
    fitting: list[Cell] = []
    for cell in cells:
        if _estimate(run, run.planner.plan([*fitting, cell])) <= left:
            fitting.append(cell)
    return fitting


def _estimate(run: Run, plan: Plan) -> float:
    """Return how long the actions of a plan take that were not done, one after another."""
    return sum(
        stages.estimate(run, action)
        for action in plan.actions.values()
        if action.kind == "probe" or action.key not in run.done
    )
