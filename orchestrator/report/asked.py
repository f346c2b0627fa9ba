"""Which cells a run was asked for, as one line for each report."""

from collections.abc import Iterator

from orchestrator.matrix.select import FULL
from orchestrator.record.model import RunInfo, RunRecord

_NAMED = 3
"""Cells that are named before it says "and N more"."""


def describe(record: RunRecord) -> str:
    """Return how many cells the run has, of how many, and the options that chose them.

    As in ``1 of 448 cells: --cell ID``, or ``all 448 cells``.
    """
    run = record.run
    options = " ".join(_options(run))
    total = run.selection.of if run.selection else None
    if total == run.planned and not options:
        return "the one cell" if total == 1 else f"all {total} cells"
    counted = f"{run.planned} of {total}" if total else str(run.planned)
    noun = "cell" if (total or run.planned) == 1 else "cells"
    return f"{counted} {noun}: {options}" if options else f"{counted} {noun}"


def command(run: RunInfo) -> str:
    """Return the command line with which the run was begun; empty where the record does not have it."""
    return run.selection.command if run.selection else ""


def _options(run: RunInfo) -> Iterator[str]:
    if run.profile and not (run.profile == FULL and run.selection):
        yield f"--profile {run.profile}"
    for one in run.filters:
        yield f"--filter {one}"
    if run.selection is None:
        return
    cells = run.selection.cells
    for one in cells[:_NAMED]:
        yield f"--cell {one}"
    if len(cells) > _NAMED:
        yield f"and {len(cells) - _NAMED} more"
    if run.selection.shard:
        yield f"--shard {run.selection.shard}"
