"""The stages of a run between its first and its last event: each takes a run and returns the next."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from orchestrator.app.actions import Actions
from orchestrator.app.context import Context
from orchestrator.app.executor import Executor
from orchestrator.app.ledger import Ledger
from orchestrator.app.sources import Sources
from orchestrator.arch import ARCHES
from orchestrator.execute.schedule.order import Order
from orchestrator.execute.schedule.pool import Failure, is_idle
from orchestrator.execute.schedule.scheduler import schedule
from orchestrator.matrix import capabilities, patches
from orchestrator.matrix.expect import Expectations
from orchestrator.matrix.model import Cell, Matrix, Patch
from orchestrator.outcome import Reason
from orchestrator.plan.action import Action, BuildAction, ImageAction, ProbeAction, make_key
from orchestrator.plan.plan import Plan, estimate_action
from orchestrator.plan.planner import Planner
from orchestrator.probe import backtrace, trace_attempt
from orchestrator.probe.judge import conclude

_EARLY = frozenset({"image", "source"})
"""What has to be there before the builds' digests are known."""
_LATE = frozenset({"tls", "haproxy", "selftest", "probe"})

_SHUTDOWN = 20.0
"""Seconds that a cancelled run waits for what cannot be told to stop."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run between two stages.

    :ivar cells: all of the run's.
    :ivar started: when it began, of ``time.monotonic()``, without the time in which it was cut off.
    :ivar waiting: those without a verdict; a run that goes on has verdicts from before.
    :ivar reserve: cells that are none of the run's yet, and may be asked for.
    :ivar failed: why actions failed, by their keys.
    :ivar done: the keys of the actions that were done and are not to be done again; probes are none of them.
    """

    context: Context
    ledger: Ledger
    matrix: Matrix
    expectations: Expectations
    cells: Sequence[Cell]
    planner: Planner
    sources: Sources
    actions: Actions
    started: float = 0.0
    waiting: Sequence[Cell] = ()
    reserve: Sequence[Cell] = ()
    failed: Mapping[str, Failure] = field(default_factory=dict)
    done: frozenset[str] = frozenset()

    def is_runnable(self, cell: Cell) -> bool:
        """Whether the cell is probed: it may be declared impossible, or there is no machine for it."""
        if capabilities.find_emulator_lack(cell, self.context.find_host(cell)) is not None:
            return False
        return self.context.options.challenge_unsupported or self.expectations.is_run(cell)

    @property
    def chosen(self) -> list[Cell]:
        """The cells that are still to be probed."""
        return [cell for cell in self.waiting if self.is_runnable(cell)]

    @property
    def untraced(self) -> list[Cell]:
        """The cells that are to be run again to see what they do, in that order."""
        cells, evidence = {cell.id: cell for cell in self.cells}, self.context.options.evidence
        if evidence == "none":
            return []
        found = trace_attempt.choose(self.context.recorder.make_record().cells, every=evidence == "all")
        return [cells[key] for key in found if key in cells]

    @property
    def crashed(self) -> list[Cell]:
        """The cells whose server crashed, and that are still to be run again under gdb."""
        if not self.context.options.backtraces:
            return []
        records = ((cell, self.context.recorder.find_cell(cell.id)) for cell in self.cells)
        return [cell for cell, made in records if made and not made.backtrace and backtrace.is_crash(made)]

    @property
    def unfinished(self) -> list[Cell]:
        """The cells that were judged before, and that one of the last stages still needs."""
        waiting = {cell.id for cell in self.waiting}
        judged = [cell for cell in self.cells if cell.id not in waiting]
        again = {cell.id for cell in (*self.untraced, *self.crashed)} if judged else set()
        return [cell for cell in judged if cell.id in again or self.ledger.is_due(cell)]

    def make_plan(self, planner: Planner) -> Plan:
        """Return the plan of the cells that are left; what those need that are probed again is part of it."""
        unfinished = self.unfinished
        plan = planner.plan([*self.chosen, *unfinished])
        return plan.drop_probes({cell.id for cell in unfinished})


Stage = Callable[[Run], Run]


def keep_patches(run: Run) -> Run:
    """Copy every patch beside the report and write it down.

    :raises ChecksumMismatchError: where one has changed since it was read.
    """
    recorder = run.context.recorder
    for patch, components in patches.list_patches(run.cells).items():
        recorder.keep(f"patches/{patch.name}", patches.read_content(patch))
        used_by = _find_patched(run.ledger.plan, patch)
        recorder.add_component(
            "patch", patch.name, ", ".join(components), patch.sha256, patch.path, used_by=used_by
        )
    return run


def _find_patched(plan: Plan, patch: Patch) -> list[str]:
    """Return the builds that the patch goes into. A source that moves has no recipe to ask, yet."""
    found = set()
    for cell in plan.cells.values():
        build = plan.find_build(cell)
        if isinstance(build, BuildAction):
            patches_of = {build.key: cell.haproxy.patches, build.library: cell.tls.patches}
            found |= {key for key, mine in patches_of.items() if key and patch in mine}
    return sorted(found)


def judge_unsupported(run: Run) -> Run:
    """Judge the cells that are declared impossible and are not tried."""
    for cell in run.waiting:
        declared = capabilities.find_unsupported(cell, run.context.find_host(cell))
        if declared is not None and not run.is_runnable(cell):
            run.ledger.record_attempt(cell, conclude(Reason(declared.reason), declared.message))
    return run


def fetch(run: Run) -> Run:
    """Make the images and fetch the sources."""
    return _schedule(run, _EARLY, later=_LATE)


def plan_with_digests(run: Run) -> Run:
    """Plan again, since the exact versions of the toolchains are known now: they are part of the digests."""
    if run.context.cancel():
        return run
    before = run.ledger.plan.actions.values()
    toolchains = {action.toolchain for action in before if isinstance(action, BuildAction)} - set(run.failed)
    found = {
        action: run.context.images.read_packages(action.image, ARCHES[action.arch], action.extra)
        for action in before
        if isinstance(action, ImageAction) and (action.key in toolchains or _is_own_toolchain(run, action))
    }
    planner = replace(
        run.planner,
        packages={action.arch: packages for action, packages in found.items() if not action.extra},
        variants={action.key: packages for action, packages in found.items() if action.extra},
        moved=run.sources.moved,
    )
    plan = run.ledger.plan = run.make_plan(planner)
    for (name, version), builds in sorted(_find_packages(plan).items()):
        run.context.recorder.add_component("package", name, version, None, "toolchain image", used_by=builds)
    return replace(run, planner=planner)


def _is_own_toolchain(run: Run, action: ImageAction) -> bool:
    """Whether it is the plain toolchain of the host, against which those with further packages are held."""
    own = (action.image, action.arch, action.extra) == ("toolchain", run.context.host.name, ())
    return own and action.key not in run.failed


def _find_packages(plan: Plan) -> dict[tuple[str, str], list[str]]:
    """Return the packages of the toolchains, each with the builds of libraries and HAProxy that use it."""
    found: dict[tuple[str, str], list[str]] = {}
    for action in plan.actions.values():
        if isinstance(action, BuildAction) and action.recipe and action.kind != "selftest":
            for package in action.recipe.packages:
                found.setdefault(package, []).append(action.key)
    return found


def build_and_probe(run: Run) -> Run:
    """Compile what the cells need, and probe them."""
    return _schedule(run, _LATE)


def _schedule(run: Run, kinds: AbstractSet[str], *, later: AbstractSet[str] = frozenset()) -> Run:
    """Run the actions of these kinds that were not tried yet; return the run with all failures.

    :param later: kinds that are run after these; what they need most goes first.
    """
    left = [
        action
        for action in run.ledger.plan.actions.values()
        if action.kind in kinds | later and (action.kind == "probe" or action.key not in run.done)
    ]
    chosen = [action for action in left if action.kind in kinds]
    failed = schedule_actions(run, chosen, left)
    return replace(run, failed=failed, done=run.done | {action.key for action in chosen})


def schedule_actions(run: Run, actions: Sequence[Action], left: Sequence[Action]) -> Mapping[str, Failure]:
    """Run these actions; return all failures of the run.

    :param left: all that is left to do, from which the order follows.
    """
    context, ledger = run.context, run.ledger
    executor = Executor(context=context, ledger=ledger, do=run.actions.do)
    pool = run.actions.make_pool(ledger.plan, executor.execute)
    return schedule(
        actions,
        pool=pool,
        order=Order(left, lambda action: estimate(run, action), width=pool.width),
        blocked=ledger.record_blocked,
        failed=run.failed,
        cancel=context.cancel,
        grace=_SHUTDOWN,
    )


@contextmanager
def lift_fail_fast(run: Run) -> Iterator[None]:
    """Let a run that ``--fail-fast`` ended do what is in this block: look at its failure.

    Not where an action did not end in time, nor where the work is done elsewhere: there it stays cancelled.
    """
    if run.context.options.elsewhere or not is_idle():
        yield
        return
    with run.context.cancel.lifted():
        yield


def probe_alone(
    run: Run, cell: Cell, purpose: str, *, rounds: tuple[str, ...] = (), traced: bool = False
) -> Failure | None:
    """Probe one cell that was judged once more; return why that failed, or nothing.

    A cell whose build is not in the plan is not probed.

    :param purpose: what the action's name begins with.
    :param rounds: as ``ProbeAction.rounds``, and ``traced`` likewise.
    """
    build = run.ledger.plan.find_build(cell)
    if build is None:
        return None
    name = f"{purpose}--{cell.id}"
    key = make_key("probe", name)
    action = ProbeAction(key=key, name=name, build=build.key, cells=(cell.id,), rounds=rounds, traced=traced)
    return schedule_actions(run, [action], [action]).get(key)


def estimate(run: Run, action: Action) -> float:
    """Return how many seconds the action will take; none where the store has it."""
    if run.context.has(action):
        return 0.0
    return estimate_action(action, run.context.store.find_duration)
