"""Which cells a run was asked for, as one line for each report."""

from collections.abc import Iterable, Iterator, Sequence

from orchestrator.matrix.model import CipherValue
from orchestrator.matrix.select import FULL
from orchestrator.record.model import RunInfo, RunRecord

_NAMED = 3
"""Cells, and values of an axis, that are named before a number stands for the rest."""


def describe(record: RunRecord) -> str:
    """Return how many cells the run has, of how many, and the options that chose them.

    As in ``1 of 448 cells: --cell ID``, or ``all 448 cells``.
    """
    run = record.run
    options = " ".join(_list_options(run))
    total = run.selection.of if run.selection else None
    if total == run.planned and not options:
        return "the one cell" if total == 1 else f"all {total} cells"
    counted = f"{run.planned} of {total}" if total else str(run.planned)
    noun = "cell" if (total or run.planned) == 1 else "cells"
    return f"{counted} {noun}: {options}" if options else f"{counted} {noun}"


def find_command(run: RunInfo) -> str:
    """Return the command line with which the run was begun; empty where the record does not have it."""
    return run.selection.command if run.selection else ""


def _list_options(run: RunInfo) -> Iterator[str]:
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


def tell_tested(record: RunRecord) -> str:
    """Return what the run is about in one sentence: of an axis with few values all, of others how many."""
    axes = [cell.axes for cell in record.cells]
    if not axes:
        return ""
    haproxy = _list("HAProxy version", (one.haproxy.name for one in axes), before="HAProxy ")
    tls = _list("TLS library", (one.tls.name for one in axes))
    arches = _list("architecture", (one.arch.name for one in axes))
    suites = _list_suites([one.cipher for one in axes])
    clients = _list("client", (one.client.name for one in axes))
    return f"HTTP/3 by {haproxy} with {tls}, on {arches}: {suites}, asked by {clients}."


def _list_suites(ciphers: Sequence[CipherValue]) -> str:
    named = [one.name for one in ciphers if one.suite]
    chosen = [_list("cipher suite", named)] if named else []
    return " and ".join([*chosen, "the default suite"] if len(named) < len(ciphers) else chosen)


def _list(noun: str, values: Iterable[str], *, before: str = "") -> str:
    """Return names, or how many there are."""
    names = list(dict.fromkeys(values))
    if len(names) > _NAMED:
        plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
        return f"{len(names)} {plural}"
    *first, last = names
    return before + (f"{', '.join(first)} and {last}" if first else last)
