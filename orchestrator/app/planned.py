"""The record of a run as it stands before anything was done."""

import os
import platform
import shlex
from collections.abc import Sequence
from functools import cache

from orchestrator import __version__
from orchestrator.app.options import Options
from orchestrator.arch import ARCHES, Arch
from orchestrator.execute import emulation
from orchestrator.execute.host import LocalHost
from orchestrator.matrix.model import Cell, Matrix
from orchestrator.outcome import Verdict
from orchestrator.plan.action import Action
from orchestrator.plan.plan import Plan, build_name
from orchestrator.record.model import (
    ActionRecord,
    ActionStatus,
    Axes,
    Build,
    CellRecord,
    EngineInfo,
    Execution,
    Host,
    RunInfo,
    RunRecord,
    utc_now,
)


def planned_record(
    run_id: str,
    *,
    matrix: Matrix,
    cells: Sequence[CellRecord],
    plan: Plan,
    engine: EngineInfo,
    options: Options,
) -> RunRecord:
    """Every cell and action, none of them judged or done."""
    return RunRecord(
        schema_version=1,
        run=RunInfo(
            id=run_id,
            status="running",
            started_at=utc_now(),
            finished_at=None,
            duration_s=None,
            tool_version=__version__,
            matrix_digest=matrix.digest,
            profile=options.profile,
            filters=options.filters,
            host=local_host(),
            engine=engine,
            planned=len(cells),
            judged=0,
            exit_code=None,
            message="",
        ),
        components=(),
        actions=tuple(action_record(action, "waiting") for action in plan.actions.values()),
        cells=tuple(cells),
    )


def planned_cell(cell: Cell, host: Arch, options: Options) -> CellRecord:
    """A cell that is not judged. ``host`` is the architecture of the engine's machine."""
    native = cell.arch.arch == host
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
            host_arch=host.name,
            qemu_version=None if native else qemu_version(cell.arch.arch, options),
            cpu_features=(),
        ),
        build=Build(name=build_name(cell), digest=None),
        observations=None,
        attestation=None,
        evidence=(),
        duration_s=None,
        reproducer=shlex.join(["matrixctl", "run", *options.again, "--cell", cell.id]),
    )


def qemu_version(arch: Arch, options: Options) -> str | None:
    """Of the emulator that runs ``arch``; ``None`` where a remote engine's cannot be asked."""
    return _qemu_version(arch.name, options.remote_engine)


@cache
def _qemu_version(arch: str, remote: bool) -> str | None:
    return emulation.qemu_version(LocalHost(), ARCHES[arch], remote=remote)


def action_record(
    action: Action, status: ActionStatus, *, duration_s: float | None = None, message: str = ""
) -> ActionRecord:
    """What is written down of an action; its log is added where there is one."""
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
