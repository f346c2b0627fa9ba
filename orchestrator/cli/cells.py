"""``matrixctl cells``."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import click
from rich.table import Table

from orchestrator.cli import common
from orchestrator.cli.table import cell as shown
from orchestrator.cli.table import fits, show, table
from orchestrator.matrix import capabilities
from orchestrator.matrix.model import AXES, DEFAULTS, AxisValue, Cell, Unsupported


@click.command()
@common.selecting
@common.output("table", "json", "ids")
def cells(selection: common.Selection, *, form: str) -> None:
    """Show the cells that the matrix expands to and the filters leave."""
    forms: dict[str, Callable[[Sequence[Cell]], None]] = {"table": _table, "json": _json, "ids": _ids}
    forms[form](selection.cells)


def _ids(chosen: Sequence[Cell]) -> None:
    click.echo("\n".join(cell.id for cell in chosen))


def _json(chosen: Sequence[Cell]) -> None:
    known: dict[int, Any] = {}  # many cells share few records

    def record(value: AxisValue) -> Any:
        if id(value) not in known:
            known[id(value)] = value.model_dump(mode="json")
        return known[id(value)]

    entries = []
    for cell in chosen:
        entry: dict[str, Any] = {
            "id": cell.id,
            "axes": {axis: record(value) for axis, value in cell.axes.items()},
        }
        if declared := capabilities.unsupported(cell):
            entry["unsupported"] = {"reason": declared.reason, "message": declared.message}
        entries.append(entry)
    click.echo(json.dumps(entries, indent=1))


def _table(chosen: Sequence[Cell]) -> None:
    declared = [capabilities.unsupported(cell) for cell in chosen]
    wide = _rows(chosen, declared, ids=True)
    notes = {one.message: one.reason for one in declared if one}
    show(
        wide if fits(wide) else _rows(chosen, declared, ids=False),
        *(shown(f"{reason}: {message}", "dim") for message, reason in notes.items()),
        shown(f"{len(chosen)} cells, {sum(one is not None for one in declared)} of them unsupported"),
    )


def _rows(chosen: Sequence[Cell], declared: Sequence[Unsupported | None], *, ids: bool) -> Table:
    """An axis that is at its default everywhere is left out, as it is in the ids."""
    axes = [
        axis
        for axis in AXES
        if axis not in DEFAULTS or any(cell.axes[axis] != DEFAULTS[axis] for cell in chosen)
    ]
    columns = [*(["id"] if ids else []), *axes, *(["unsupported"] if any(declared) else [])]
    made = table(*columns, gap=2 if ids else 1)
    for cell, one in zip(chosen, declared, strict=True):
        values = {axis: cell.axes[axis].name for axis in axes}
        values |= {"id": cell.id, "unsupported": one.reason if one else ""}
        made.add_row(*(shown(values[column], "dim" if one else "") for column in columns))
    return made
