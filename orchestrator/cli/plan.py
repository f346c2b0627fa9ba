"""``matrixctl plan``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from orchestrator.cli import common
from orchestrator.cli.table import add_row, fits, make_table, make_text, show
from orchestrator.execute.store.store import Store
from orchestrator.preview import Preview, PreviewedAction, find_engine, preview
from orchestrator.report import units

_STATES = {
    "present": ("there", "green"),
    "todo": ("to do", ""),
    "unknown": ("unknown", "yellow"),
    "blocked": ("blocked", "red"),
}


@click.command(epilog="Example: matrixctl plan --profile quick")
@common.pinned
@common.take_selection
@common.matrix_sources
@common.challenge_unsupported
@common.take_format("table", "json")
def plan(
    selection: common.SelectedCells,
    *,
    store: Path | None,
    mirrors: Sequence[str],
    sources: Sequence[Path],
    challenge_unsupported: bool,
    form: str,
) -> None:
    """Show what a run would do, and how long that would take.

    Makes nothing, and needs no container engine: without one, or without the toolchain image, it is not
    known yet which builds the store has.
    """
    common.warn_of_sources(sources, selection.matrix)
    engine, host = find_engine()
    found = preview(
        selection.cells,
        common.read_catalog(sources),
        Store(store or common.find_default_store()),
        engine,
        host,
        expectations=selection.expectations,
        mirrors=mirrors,
        pins=selection.pins,
        challenge_unsupported=challenge_unsupported,
    )
    if form == "json":
        click.echo(common.as_json(_make_json(found)))
    else:
        _print_table(found)


def _make_json(found: Preview) -> dict[str, Any]:
    return {
        "cells": found.cells,
        "unsupported": found.unsupported,
        "estimate_s": round(found.seconds, 1),
        "estimate_from_defaults_s": round(found.default_seconds, 1),
        "notes": _list_notes(found),
        "actions": [_describe_action(step) for step in found.steps],
    }


def _describe_action(step: PreviewedAction) -> dict[str, Any]:
    action = step.action
    return {
        "key": action.key,
        "kind": action.kind,
        "name": action.name,
        "digest": action.digest,
        "needs": list(action.needs),
        "cells": list(action.cells),
        "state": step.state,
        "problem": action.problem or None,
        "origin": step.origin or None,
        "estimate_s": step.seconds,
        "estimate_from": None if step.seconds is None else "store" if step.own else "default",
    }


def _print_table(found: Preview) -> None:
    full = _make_table(found.steps, digests=True)
    show(full if fits(full) else _make_table(found.steps, digests=False), *map(make_text, _list_notes(found)))


def _make_table(steps: Sequence[PreviewedAction], *, digests: bool) -> Table:
    columns = ["#", "kind", "name", *(["digest"] if digests else []), "needs", "cells", "state", "s"]
    made = make_table(*columns, gap=2 if digests else 1)
    for title in ("#", "cells", "s"):
        made.columns[columns.index(title)].justify = "right"
    numbers = {step.action.key: str(number) for number, step in enumerate(steps, start=1)}
    for step in steps:
        action, (state, style) = step.action, _STATES[step.state]
        values = {
            "#": make_text(numbers[action.key]),
            "kind": make_text(action.kind),
            "name": make_text(action.name),
            "digest": make_text((action.digest or "")[:12], "dim"),
            "needs": make_text(" ".join(numbers[need] for need in action.needs)),
            "cells": make_text(str(len(action.cells))),
            "state": make_text(state, style),
            "s": make_text("" if step.seconds is None else f"{'' if step.own else '~'}{step.seconds:.0f}"),
        }
        add_row(made, *(values[column] for column in columns))
    return made


def _list_notes(found: Preview) -> list[str]:
    """Return what holds for the plan as a whole, a sentence each."""
    more = f"; {found.unsupported} more are unsupported and need nothing" if found.unsupported else ""
    count = f"{len(found.arches)} architectures: " if len(found.arches) > 1 else ""
    where = f" on {count}{', '.join(found.arches)}" if found.arches else ""
    notes = [f"{units.format_count(found.cells, 'cell')}{where}{more}."]
    if not found.engine:
        notes.append("No Docker engine answers, so digests and images are unknown: see `matrixctl doctor`.")
    elif not found.toolchain:
        notes.append("A toolchain image does not exist yet, so the digests of its builds are unknown.")
    notes += [f"{step.action.name.partition(' ')[0]}: {step.origin}" for step in found.steps if step.origin]
    broken = [step.action for step in found.steps if step.action.problem]
    notes += [f"{one.name} cannot be obtained: {'; '.join(one.problem.splitlines())}" for one in broken]
    unknown = any(step.state == "unknown" for step in found.steps)
    notes.append(
        f"Estimate: {'at most ' if unknown else ''}{units.format_duration(found.seconds)},"
        " one action after another;"
        f" {units.format_duration(found.seconds - found.default_seconds)} of it measured on this machine,"
        f" {units.format_duration(found.default_seconds)} by defaults (~)."
    )
    return notes
