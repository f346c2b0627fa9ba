"""``matrixctl repro``."""

from collections.abc import Sequence
from pathlib import Path

import click

from orchestrator.cli import common, complete
from orchestrator.cli.outfolder import find_old, replace_files
from orchestrator.execute.store.store import Store
from orchestrator.record.find import LATEST, WHAT, find_cell, find_folder
from orchestrator.record.interrupted_run import PastRun, read_past
from orchestrator.reproduce import finished
from orchestrator.reproduce.folder import SCRIPT

run_of = click.option(
    "--run",
    "run",
    default=LATEST,
    show_default=True,
    shell_complete=complete.run_names,
    help=f"{WHAT[0].upper()}{WHAT[1:]}.",
)


@click.command(epilog="Example: matrixctl repro openssl-distro--TLS_CHACHA20 --out bug")
@click.argument("cell", shell_complete=complete.judged_cells)
@run_of
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="A new or empty folder, or one that matrixctl made.",
)
@click.option(
    "--reports",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the folders of runs are [default: reports].",
)
@common.of_series
@common.store_folder
@common.matrix_sources
def repro(
    cell: str,
    *,
    run: str,
    out: Path,
    reports: Path | None,
    series: str | None,
    store: Path | None,
    sources: Sequence[Path],
) -> None:
    """Write a folder that shows the failure of CELL elsewhere.

    CELL is an id, or a part that no other has. The folder needs no matrixctl: its README.md says what it
    needs, and can be attached to a report as it is. Prints the script's path.
    """
    past = read_past(find_folder(run, reports or common.find_default_out(), series=series))
    found = find_cell(past.record, cell)
    old = find_old(out)
    catalog = common.read_catalog([*find_sources(past), *sources])
    made = finished.reproduce(past, found, catalog, Store(store or common.find_default_store()))
    replace_files(out, old, made)
    if unlike := finished.find_unlike(past, found):
        common.say(unlike)
    click.echo(out / SCRIPT)


def find_sources(past: PastRun) -> list[Path]:
    """Return the sources files that the run was given and that are still there."""
    settings = past.start.settings
    files = [Path(settings.folder) / path for path in settings.sources] if settings else []
    return [path for path in files if path.is_file()]
