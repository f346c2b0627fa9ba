"""``matrixctl shell``."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from orchestrator.app.shell import ROLES, Means, Role, open_shell
from orchestrator.arch import find_arch
from orchestrator.cli import common, complete
from orchestrator.cli.log import show_log
from orchestrator.cli.repro import find_sources, run_of
from orchestrator.errors import UsageError
from orchestrator.execute.engine.engine import connect
from orchestrator.execute.images import bootstrap
from orchestrator.execute.images.imageset import ImageSet
from orchestrator.execute.images.workshop import Workshop
from orchestrator.execute.store.store import Store
from orchestrator.execute.system.host import LocalHost
from orchestrator.record.find import find_cell, find_folder
from orchestrator.record.interrupted_run import read_past
from orchestrator.reproduce.finished import replan


@click.command(epilog="Example: matrixctl shell openssl-distro--TLS_CHACHA20 client")
@click.argument("cell", shell_complete=complete.judged_cells)
@click.argument("role", type=click.Choice(ROLES), default="server")
@run_of
@common.reports_folder
@common.of_series
@common.store_folder
@common.mirror_places
@common.matrix_sources
def shell(
    cell: str,
    role: Role,
    *,
    run: str,
    out: Path | None,
    series: str | None,
    store: Path | None,
    mirrors: Sequence[str],
    sources: Sequence[Path],
) -> None:
    """Open a container of CELL as RUN had it.

    It is that of its server (HAProxy runs), its client, or its build. CELL is an id, or a part that no
    other has. Ctrl-D ends the shell and removes the container. Without a terminal the commands come from
    stdin. The exit code is the shell's.
    """
    past = read_past(find_folder(run, out or common.find_default_out(), series=series))
    found = find_cell(past.record, cell)
    kept = Store(store or common.find_default_store())
    again = replan(past, found, common.read_catalog([*find_sources(past), *sources]), kept)
    engine = connect()
    host = find_arch(engine.describe().arch)
    if host != again.host:
        raise UsageError(
            f"the run was on {again.host.name}, and this engine is on {host.name}",
            resolution=f"Run the cell here: {found.reproducer}",
        )
    here = LocalHost()
    shop = Workshop(
        engine=engine,
        host=here,
        arch=host,
        proxies=bootstrap.find_proxies(here, os.environ),
        store=kept,
        limit=again.limits.image,
    )
    means = Means(engine=engine, images=ImageSet(shop=shop), store=kept, mirrors=tuple(mirrors))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    with show_log(common.say):
        code = open_shell(means, role, again, found, past.record)
    raise SystemExit(code)


def _end(number: int, _: FrameType | None) -> NoReturn:
    """End by the way that removes what was made, also where the terminal is gone."""
    raise SystemExit(128 + number)
