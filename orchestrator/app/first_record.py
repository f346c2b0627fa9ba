"""The record of a run as it stands before anything was done."""

import os
import platform
import shlex
from collections.abc import Sequence

from orchestrator import __version__
from orchestrator.app.options import Options
from orchestrator.arch import Arch
from orchestrator.matrix import capabilities
from orchestrator.matrix.expand import expand
from orchestrator.matrix.expect import Expectations
from orchestrator.matrix.model import Cell, Matrix
from orchestrator.outcome import Verdict
from orchestrator.plan.action import Action
from orchestrator.plan.plan import Plan, name_build
from orchestrator.record.expected import find_expected
from orchestrator.record.model import (
    ActionRecord,
    ActionStatus,
    Axes,
    Build,
    CellRecord,
    EngineInfo,
    Execution,
    Exploration,
    Host,
    Rule,
    RunInfo,
    RunRecord,
    Selection,
    Span,
    utc_now,
)


def make_record(
    run_id: str,
    *,
    matrix: Matrix,
    cells: Sequence[CellRecord],
    rules: Sequence[Rule],
    plan: Plan,
    engine: EngineInfo,
    options: Options,
    tool_digest: str,
    selected: int,
) -> RunRecord:
    """Return the record of a run: every cell and action, none of them judged or done.

    :param selected: how many cells a run that explores has to choose from.
    """
    exploring = options.exploring
    return RunRecord(
        schema_version=3,
        run=RunInfo(
            id=run_id,
            status="running",
            started_at=utc_now(),
            finished_at=None,
            duration_s=None,
            tool_version=__version__,
            tool_digest=tool_digest,
            matrix_digest=matrix.digest,
            profile=options.profile,
            filters=options.filters,
            host=describe_local_host(),
            engine=engine,
            planned=len(cells),
            judged=0,
            exit_code=None,
            message="",
            series=options.series,
            fail_on_flaky=options.fail_on_flaky,
            limits=matrix.limits,
            exploration=exploring
            and Exploration(
                start="pairwise" if exploring.pairwise else "all",
                budget_minutes=exploring.minutes,
                selected=selected,
                rounds=(),
                end="",
                left=(),
            ),
            selection=Selection(
                cells=options.settings.cells if options.settings else (),
                options=options.again,
                of=len(expand(matrix)),
                shard=options.settings.shard if options.settings else "",
                command=options.settings.command if options.settings else "",
            ),
        ),
        components=(),
        actions=tuple(make_action(action, "waiting") for action in plan.actions.values()),
        cells=tuple(cells),
        rules=tuple(rules),
    )


def make_cell(
    cell: Cell, host: Arch, again: Sequence[str], expectations: Expectations, qemu: str | None
) -> CellRecord:
    """Return the record of a cell that is not judged.

    :param host: the architecture of the engine's machine.
    :param again: as ``Options.again``.
    :param qemu: the version of the emulator that runs the cell's server, if one does and it is known.
    """
    return CellRecord(
        id=cell.id,
        axes=Axes.model_validate(cell.axes),
        outcome=None,
        reason=None,
        message="not judged",
        verdict=Verdict.NOT_JUDGED,
        attempts=(),
        execution=Execution(
            mode="emulated" if cell.is_emulated_on(host) else "native",
            host_arch=host.name,
            qemu_version=qemu,
            cpu_model=capabilities.find_cpu_model(cell, host) or None,
            cpu_features=(),
        ),
        build=Build(name=name_build(cell), digest=None),
        expected=find_expected(cell, expectations, host),
        observations=None,
        attestation=None,
        evidence=(),
        duration_s=None,
        reproducer=shlex.join(["matrixctl", "run", *again, "--cell", cell.id]),
    )


def make_rules(expectations: Expectations, cells: Sequence[Cell]) -> tuple[Rule, ...]:
    """Return every rule of the matrix, as it stands with the cells of this run."""
    return tuple(
        Rule(
            place=rule.place,
            when=rule.when,
            outcome=rule.outcome,
            reason=rule.reason,
            cipher=rule.cipher,
            because=rule.because,
            until=rule.until,
            stale=expectations.explain_stale(rule, cells),
            met=met,
            seen=rule.seen,
        )
        for rule, met in zip(expectations.rules, expectations.met, strict=True)
    )


def make_action(
    action: Action,
    status: ActionStatus,
    *,
    started_at: str | None = None,
    duration_s: float | None = None,
    message: str = "",
) -> ActionRecord:
    """Return the record of an action, without its log.

    :param started_at: when it began, in UTC; ``None`` where it did not.
    """
    span = started_at and Span(started_at=started_at, duration_s=duration_s, status=status)
    return ActionRecord(
        digest=action.digest,
        kind=action.kind,
        name=action.name,
        status=status,
        duration_s=duration_s,
        log=None,
        message=message,
        needs=action.needs,
        spans=(span,) if span else (),
    )


def describe_local_host() -> Host:
    """Describe the machine of the orchestrator."""
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
