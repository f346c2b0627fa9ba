"""``matrixctl run``."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import click

from orchestrator import app
from orchestrator.cli import common
from orchestrator.cli.progress import progress
from orchestrator.execute import bootstrap, docker_engine
from orchestrator.execute.host import LocalHost
from orchestrator.execute.scheduler import Cancel
from orchestrator.execute.store import Store


@click.command()
@common.selecting
@click.option(
    "--repeat", type=click.IntRange(1), default=1, show_default=True, help="Probe each cell N times."
)
@click.option(
    "--jobs", type=click.IntRange(1), default=None, help="Actions and compilers at once [default: CPUs]."
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first failing cell.")
@common.reports_folder
@common.store_folder
@click.option(
    "--mirror", "mirrors", multiple=True, envvar="MATRIXCTL_MIRROR", metavar="DIR_OR_URL", help="Asked first."
)
@common.matrix_sources
@click.option("--keep", is_flag=True, help="Keep containers and volumes for inspection.")
@click.option("--allow-blocked", is_flag=True, help="A cell without its source is no reason to fail.")
@click.option("--challenge-unsupported", is_flag=True, help="Run what is declared unsupported, too.")
@click.option(
    "--build",
    type=click.Choice(["cross", "emulated"]),
    default="cross",
    show_default=True,
    help="Cross-compile, or compile under QEMU.",
)
@click.option("--quiet", is_flag=True, help="Say nothing but errors and where the report is.")
@click.option("--json", "as_json", is_flag=True, help="Events as JSON Lines on stdout.")
def run(
    selection: common.Selection,
    *,
    repeat: int,
    jobs: int | None,
    fail_fast: bool,
    out: Path | None,
    store: Path | None,
    mirrors: Sequence[str],
    sources: Sequence[Path],
    keep: bool,
    allow_blocked: bool,
    challenge_unsupported: bool,
    build: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Build HAProxy for the selected cells and probe HTTP/3.

    Exit codes: 0 all passed, 1 a cell failed, 2 usage, 3 nothing selected, 4 the harness failed or a cell
    is blocked, 130 interrupted.
    """
    engine = docker_engine.connect()
    options = app.Options(
        profile=selection.profile,
        filters=selection.filters,
        out=out or common.default_out(),
        store=store or common.default_store(),
        jobs=jobs or engine.cpus,
        repeat=repeat,
        mirrors=tuple(mirrors),
        keep=keep,
        fail_fast=fail_fast,
        allow_blocked=allow_blocked,
        challenge_unsupported=challenge_unsupported,
        emulated_build=build == "emulated",
        remote_engine=not os.environ.get("DOCKER_HOST", "unix://").startswith("unix://"),
        again=_again(build=build, challenge=challenge_unsupported, sources=sources),
        proxies=bootstrap.proxies(LocalHost(), os.environ),
    )
    cancel = Cancel()
    _cancel_on_signals(cancel)
    known = Store(options.store).known_duration
    with progress(selection.cells, known=known, quiet=quiet, as_json=as_json) as view:
        record, folder = app.run(
            selection.matrix,
            selection.cells,
            common.catalog(sources),
            engine,
            options,
            listen=view.listen,
            say=view.say,
            cancel=cancel,
        )
    view.summary(record, folder)
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: after an interruption a download or an image build may still be on a thread, and
    # Python would wait for it.
    os._exit(record.run.exit_code or 0)


def _again(*, build: str, challenge: bool, sources: Sequence[Path]) -> tuple[str, ...]:
    """The options that decide what a cell is: a reproducer needs them, too."""
    given = click.get_current_context().params["matrix_file"]
    options = ["--matrix", str(given)] if given else []
    options += ["--build", build] if build != "cross" else []
    options += ["--challenge-unsupported"] if challenge else []
    options += [word for path in sources for word in ("--sources", str(path))]
    return tuple(options)


def _cancel_on_signals(cancel: Cancel) -> None:
    def ask(_: int, __: FrameType | None) -> None:
        cancel.ask()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup means to go on
            signal.signal(number, ask)
