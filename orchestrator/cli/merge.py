"""``matrixctl merge``."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import click

from orchestrator.app.first_record import make_cell
from orchestrator.app.merge import merge_runs, read_parts
from orchestrator.arch import ARCHES
from orchestrator.cli import common
from orchestrator.cli.closing import write_closing
from orchestrator.cli.group import leave
from orchestrator.cli.log import show_log
from orchestrator.errors import Exit, MatrixctlError, UsageError
from orchestrator.matrix import patches
from orchestrator.plan.shards import parse, split
from orchestrator.record.merge import Missing
from orchestrator.record.merge_parts import Part, find_missing
from orchestrator.record.settings import Settings
from orchestrator.report.text import flatten


@click.command(epilog="Example: matrixctl merge shards/* --out reports/20261128-020000-7f3a")
@click.argument("folders", metavar="DIR...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The merged run's own folder; a new one.",
)
@click.option(
    "--matrix",
    "matrix_file",
    type=click.Path(path_type=Path),
    help="The matrix file of the runs, for the cells of a missing shard [default: as the runs say].",
)
def merge(folders: Sequence[Path], *, out: Path, matrix_file: Path | None) -> None:
    """Make one run of the runs of a selection's shards.

    Such a run is that of `run --shard K/N`. Each DIR is a run's folder, or one that holds exactly one.
    The merged run is read like any other. A shard that is missing, was cut off or was given twice leaves
    cells that are not judged.

    Exit codes: as of `run`, and 4 where a shard is not whole.
    """
    with show_log(lambda text: common.say(flatten(text))):
        parts = read_parts(folders)
        missing = tuple(_find_cells(parts, find_missing(parts), matrix_file))
        record = merge_runs(parts, missing, out)
    for line in write_closing(record, out):
        common.errors.print(line)
    leave(Exit.HARNESS if record.run.exit_code is None else record.run.exit_code)


def _find_cells(parts: Sequence[Part], shards: Sequence[str], matrix_file: Path | None) -> Iterator[Missing]:
    """Yield each missing shard with its cells, which no record has: the same selection is made again."""
    settings = parts[0].past.start.settings
    why = "no run says how it was begun"
    if shards and settings is not None:
        try:
            selection = _select(settings, parts[0].record.run.matrix_digest, matrix_file)
            yield from _cut(selection, shards, settings)
        except MatrixctlError as error:
            why = error.brief
        else:
            return
    yield from (Missing(shard=shard, cells=None, why=why) for shard in shards)


def _cut(selection: common.SelectedCells, shards: Sequence[str], settings: Settings) -> tuple[Missing, ...]:
    """Return the shards with their cells.

    :raises MatrixctlError: where there are no such shards, or a patch cannot be read.
    """
    given = [patches.parse(_place_patch(settings, text)) for text in settings.patches]
    cut = {of: split(selection.cells, of) for of in {parse(shard)[1] for shard in shards}}
    found = []
    for shard in shards:
        number, of = parse(shard)
        if len(cut[of]) < of:
            raise UsageError(f"the cells cannot be cut into {of} shards, only into {len(cut[of])}")
        made = cut[of][number - 1]
        mine, runner = set(made.cells), ARCHES[made.runner]
        cells = patches.apply_patches([cell for cell in selection.cells if cell.id in mine], given)
        records = (make_cell(cell, runner, settings.again, selection.expectations, None) for cell in cells)
        found.append(Missing(shard=shard, cells=tuple(records)))
    return tuple(found)


def _select(settings: Settings, digest: str, matrix_file: Path | None) -> common.SelectedCells:
    """Return the whole selection that was cut into shards.

    :raises MatrixctlError: where it cannot be made again.
    """
    choice = common.SelectionOptions(
        matrix_file=None,
        profile=settings.profile,
        filters=settings.filters,
        ids=settings.cells,
        patch_files=(),
        replacements=settings.replacements,
        pins=settings.pins,
    )
    for path in [matrix_file] if matrix_file else _list_matrices(settings):
        with suppress(MatrixctlError):  # another matrix, or a tree of it is not here
            found = replace(choice, matrix_file=path).select(settings.today, None, settings.mirrors)
            if found.matrix.digest == digest:
                return found
    raise UsageError("no matrix file with the digest of the runs is at hand; --matrix names it")


def _list_matrices(settings: Settings) -> Iterator[Path]:
    if settings.matrix:
        yield Path(settings.folder, settings.matrix)
        yield Path(settings.matrix)
    yield common.find_matrix(None)


def _place_patch(settings: Settings, text: str) -> str:
    component, _, file = text.partition("=")
    there = Path(settings.folder, file)
    return f"{component}={there if there.is_file() else file}"
