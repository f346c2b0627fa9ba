"""From the settings of a run, as the journal keeps them, to what it is begun with."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from orchestrator.app.demand import GIB
from orchestrator.app.options import Exploring, Options
from orchestrator.cli import common
from orchestrator.execute.images import bootstrap
from orchestrator.execute.schedule.scheduler import Cancel
from orchestrator.execute.system.host import LocalHost
from orchestrator.record.settings import Settings


def make_choice(settings: Settings) -> common.SelectionOptions:
    """Return what the command line of a run chooses."""
    return common.SelectionOptions(
        matrix_file=Path(settings.matrix) if settings.matrix else None,
        profile=settings.profile,
        filters=settings.filters,
        ids=settings.cells,
        patch_files=settings.patches,
        replacements=settings.replacements,
        shard=settings.shard,
        pins_file=settings.pins_file,
        pins=settings.pins,
    )


def make_options(settings: Settings, out: Path, cpus: int, mirrors: Sequence[str]) -> Options:
    """Return the options of a run.

    :param mirrors: as they were given, with their passwords; else those of the settings.
    """
    return Options(
        profile=settings.profile,
        filters=settings.filters,
        out=out,
        store=Path(settings.store),
        remote_store=settings.remote_store,
        jobs=settings.jobs or cpus,
        memory=int((settings.memory or 0) * GIB),
        repeat=settings.repeat,
        confirm=settings.confirm,
        confirm_cells=settings.confirm_cells,
        confirm_minutes=settings.confirm_minutes,
        fail_on_flaky=settings.fail_on_flaky,
        evidence=settings.evidence,
        backtraces=settings.backtraces,
        mirrors=tuple(mirrors) or settings.mirrors,
        pins=settings.pins,
        keep=settings.keep,
        fail_fast=settings.fail_fast,
        allow_blocked=settings.allow_blocked,
        challenge_unsupported=settings.challenge_unsupported,
        emulated_build=settings.build == "emulated",
        remote_engine=common.is_engine_remote(),
        again=settings.again,
        settings=settings,
        series=settings.series,
        exploring=Exploring(pairwise=settings.pairwise, minutes=settings.budget_minutes)
        if settings.explain
        else None,
        proxies=bootstrap.find_proxies(LocalHost(), os.environ),
    )


def cancel_on_signals(cancel: Cancel) -> None:
    """Let Ctrl-C and the like end the run in good order."""

    def ask(_: int, __: FrameType | None) -> None:
        cancel.ask()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup means to go on
            signal.signal(number, ask)
