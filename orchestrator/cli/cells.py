"""``matrixctl cells``."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from orchestrator.cli import common
from orchestrator.cli.table import add_row, fits, make_table, make_text, show
from orchestrator.matrix import capabilities
from orchestrator.matrix.model import AXES, DEFAULTS, AxisValue, Cell, Unsupported
from orchestrator.record.expected import find_expected
from orchestrator.record.model import Expected
from orchestrator.report import units
from orchestrator.report.expectations import describe_expected


@click.command(epilog="Example: matrixctl cells --filter 'haproxy<3.2' --format ids")
@common.take_selection
@common.matrix_sources
@common.take_format("table", "json", "ids")
def cells(selection: common.SelectedCells, *, sources: Sequence[Path], form: str, **_: object) -> None:
    """Show the cells of the matrix that the options select."""
    known = common.read_catalog(sources)
    forms: dict[str, Callable[[common.SelectedCells], None]] = {
        "table": _print_table,
        "json": _print_json,
        "ids": _print_ids,
    }
    forms[form](selection)
    common.warn(selection)
    common.warn_of_sources(sources, selection.matrix)
    common.warn_of_lacking(selection.cells, known)


def _print_ids(selection: common.SelectedCells) -> None:
    click.echo("\n".join(cell.id for cell in selection.cells))


def _print_json(selection: common.SelectedCells) -> None:
    known: dict[int, Any] = {}  # many cells share few records

    def record(value: AxisValue) -> Any:
        if id(value) not in known:
            known[id(value)] = value.model_dump(mode="json")
        return known[id(value)]

    entries = []
    for cell in selection.cells:
        entry: dict[str, Any] = {
            "id": cell.id,
            "axes": {axis: record(value) for axis, value in cell.axes.items()},
        }
        if declared := capabilities.find_unsupported(cell):
            entry["unsupported"] = {"reason": declared.reason, "message": declared.message}
        if rule := _find_rule(selection, cell):
            entry["expected"] = rule.model_dump(mode="json")
        entries.append(entry)
    click.echo(common.as_json(entries))


def _find_rule(selection: common.SelectedCells, cell: Cell) -> Expected | None:
    """Return what a rule expects of the cell; a declaration has its own column."""
    found = find_expected(cell, selection.expectations)
    return found if found and found.rule else None


def _print_table(selection: common.SelectedCells) -> None:
    chosen = selection.cells
    declared = [capabilities.find_unsupported(cell) for cell in chosen]
    ruled = [_find_rule(selection, cell) for cell in chosen]
    notes = _list_notes(declared, ruled, {rule.place: rule.seen for rule in selection.expectations.rules})
    wide = _make_table(chosen, declared, ruled)
    fitting = fits(wide)
    show(
        wide if fitting else _make_narrow_table(chosen, declared, ruled, list(notes)),
        *(
            make_text(text if fitting else f"[{number}] {text}", "dim")
            for number, text in enumerate(notes.values(), start=1)
        ),
        make_text(
            f"{units.format_count(len(chosen), 'cell')},"
            f" {len(chosen) - declared.count(None)} of them unsupported"
        ),
    )


def _list_notes(
    declared: Sequence[Unsupported | None], ruled: Sequence[Expected | None], seen: Mapping[str, str]
) -> Mapping[str, str]:
    """Return a sentence for each declaration and each rule, by the declaration's message or the rule's place.

    :param seen: when a rule was last seen to hold, by its place.
    """
    notes = {one.message: f"{one.reason}: {one.message}" for one in declared if one}
    rules = {one.rule: one for one in ruled if one}
    return notes | {
        place: (
            f"{place}: {describe_expected(one)}, because of {one.because};"
            f" last seen: {seen[place] or 'never'}"
        )
        for place, one in rules.items()
    }


def _find_axes(chosen: Sequence[Cell]) -> list[str]:
    """Return the axes, without those that are at their default in every cell: ids lack these, too."""
    return [
        axis
        for axis in AXES
        if axis not in DEFAULTS or any(cell.axes[axis] != DEFAULTS[axis] for cell in chosen)
    ]


def _make_narrow_table(
    chosen: Sequence[Cell],
    declared: Sequence[Unsupported | None],
    ruled: Sequence[Expected | None],
    notes: Sequence[str],
) -> Table:
    """Return a table without ids, with the numbers of the notes: a terminal is too narrow for more."""
    axes = _find_axes(chosen)
    made = make_table(*axes, *(["note"] if notes else []), gap=1)
    for cell, one, rule in zip(chosen, declared, ruled, strict=True):
        keys = [*([one.message] if one else []), *([rule.rule] if rule else [])]
        marks = " ".join(f"[{notes.index(key) + 1}]" for key in keys)
        style = "dim" if one and not rule else ""
        values = (*(cell.axes[axis].name for axis in axes), *([marks] if notes else []))
        add_row(made, *(make_text(value, style) for value in values))
    return made


def _make_table(
    chosen: Sequence[Cell], declared: Sequence[Unsupported | None], ruled: Sequence[Expected | None]
) -> Table:
    axes = _find_axes(chosen)
    extra = {"unsupported": any(declared), "expected": any(ruled)}
    columns = ["id", *axes, *(name for name, needed in extra.items() if needed)]
    made = make_table(*columns)
    for cell, one, rule in zip(chosen, declared, ruled, strict=True):
        values = {axis: cell.axes[axis].name for axis in axes}
        values |= {"id": cell.id, "unsupported": one.reason if one else ""}
        values["expected"] = f"{describe_expected(rule)} [{rule.rule}]" if rule else ""
        add_row(made, *(make_text(values[column], "dim" if one and not rule else "") for column in columns))
    return made
