"""``matrixctl render``."""

import time
from collections.abc import Sequence
from pathlib import Path

import click

from orchestrator.cli import common
from orchestrator.cli.outfolder import find_old, replace_files
from orchestrator.execute.sources import unpinned
from orchestrator.execute.sources.unpinned import ResolvedSource
from orchestrator.execute.store.store import Store
from orchestrator.matrix.catalog import Moving
from orchestrator.preview import find_engine, make_package_finder
from orchestrator.reproduce import planned_folders
from orchestrator.reproduce.folder import SCRIPT


@click.command(epilog="Example: matrixctl render --filter haproxy=distro --out by-hand")
@common.pinned
@common.take_selection
@common.matrix_sources
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="A new or empty folder, or one that matrixctl made.",
)
def render(
    selection: common.SelectedCells,
    *,
    store: Path | None,
    mirrors: Sequence[str],
    sources: Sequence[Path],
    out: Path,
) -> None:
    """Write all files that a run would use, to rerun it by hand.

    That needs docker alone. Unsupported cells are among it, to prove that they are. Prints the script of
    each build.
    """
    old = find_old(out)
    engine, host = find_engine()
    limits, package = selection.matrix.limits, make_package_finder(engine, host)

    def bring(what: Moving) -> ResolvedSource:
        kept = Store(store or common.find_default_store())
        deadline = time.monotonic() + limits.fetch
        at = selection.pins.find(what) if selection.pins else ""
        return unpinned.fetch(what, store=kept, mirrors=mirrors, deadline=deadline, package=package, at=at)

    made = planned_folders.render(selection.cells, common.read_catalog(sources), limits, host, bring)
    replace_files(out, old, made.folder)
    for problem in made.left_out:
        common.say(problem)
    for name in made.builds:
        click.echo(out / name / SCRIPT)
