"""From the cells of a run that explores its selection to the ones that it runs next. Pure."""

import shlex
from collections.abc import Mapping, Sequence

from orchestrator.analyse.attributes import ATTRIBUTES, Attributes, predict
from orchestrator.analyse.conditions import order_values
from orchestrator.analyse.explain import Cluster, Explanation, explain_table
from orchestrator.analyse.explore import Board, Claim, Condition, choose_cells, cover_pairs, list_beyond
from orchestrator.analyse.search import Rows
from orchestrator.analyse.table import MISSING, Row, Table, make_table
from orchestrator.matrix.model import AXES, Cell
from orchestrator.matrix.select import Named, find_names, parse
from orchestrator.record.model import CellRecord, RunRecord


def choose_start(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Return cells with each pair of values of two axes at least once, in their order."""
    axes = [_mask_values([cell.axes[axis].name for cell in cells]) for axis in AXES]
    chosen = cover_pairs([tuple(axis.values()) for axis in axes if len(axis) > 1], (1 << len(cells)) - 1)
    return tuple(cells[position] for position in sorted(chosen))


def add_unasked(record: RunRecord, unasked: Sequence[CellRecord]) -> Table:
    """Return the cells of a run, and behind them those that it could still run."""
    table = make_table([record])
    return Table(
        rows=(*table.rows, *(Row(cell=cell, end=MISSING, mixed=False) for cell in unasked)),
        attributes=(
            *table.attributes,
            *(predict(cell.axes, host=cell.execution.host_arch) for cell in unasked),
        ),
    )


def choose_next(
    record: RunRecord, unasked: Sequence[CellRecord], *, most: int = 32
) -> tuple[tuple[str, ...], Explanation]:
    """Return the ids of the cells to run next, and the explanation that asks for them.

    None are returned where every explanation was tried from all sides: as far as cells are left, each of its
    conditions is needed, and no other axis matters.

    :param unasked: the cells that may be run.
    """
    table = add_unasked(record, unasked)
    found = explain_table(table, run=record.run.id)
    first = len(table.rows) - len(unasked)
    left = ((1 << len(unasked)) - 1) << first
    position = {row.cell.id: number for number, row in enumerate(table.rows)}
    board = Board(
        axes=tuple(tuple(_mask_attribute(table, axis).values()) for axis in AXES),
        passing=table.passing,
        ran=table.ran,
        open=left,
    )
    built = {row.cell.build.name for row in table.rows[:first]}
    chosen = choose_cells(
        board,
        [_make_claim(table, cluster) for cluster in found.clusters],
        sum(1 << position[name] for name in found.unexplained),
        decisive=[bit for one in _list_decisive(found) if (bit := 1 << position.get(one, 0)) & left],
        likely=sum(1 << n for n, row in enumerate(table.rows) if row.cell.build.name in built) & left,
        most=most,
    )
    return tuple(table.rows[number].cell.id for number in chosen), found


def _list_decisive(found: Explanation) -> list[str]:
    """Return the ids of cells that would tell explanations apart."""
    words = [shlex.split(text) for cluster in found.clusters for text in cluster.decide]
    return [cell for *_, option, cell in words if option == "--cell"]


def _make_claim(table: Table, cluster: Cluster) -> Claim:
    return Claim(
        conditions=tuple(_make_condition(table, text) for text in cluster.when),
        failing=table.kinds[cluster.outcome, cluster.reason],
    )


def _make_condition(table: Table, text: str) -> Condition:
    """Return a filter of a cluster as what it says of all cells."""
    item = parse(text, ATTRIBUTES)
    masks = _mask_attribute(table, item.axis)
    values = _list_values(table.attributes, item.axis)
    order = list(masks)
    inside = find_names(item, values, strict=False)
    runs = [[order.index(name) for name in ordered.names] for ordered in order_values(values)]
    return Condition(
        inside=sum(masks[name] for name in inside),
        beyond=list_beyond(runs, list(masks.values()), [order.index(name) for name in inside]),
    )


def _list_values(attributes: Sequence[Attributes], name: str) -> dict[str, Named]:
    found = [one[name] for one in attributes]
    return {value.name: value for value in found if value is not None}


def _mask_attribute(table: Table, name: str) -> Mapping[str, Rows]:
    """Return the cells by value, as far as it is known of them."""
    found = [one[name] for one in table.attributes]
    return _mask_values([None if value is None else value.name for value in found])


def _mask_values(values: Sequence[str | None]) -> dict[str, Rows]:
    masks: dict[str, Rows] = {}
    for position, name in enumerate(values):
        if name is not None:
            masks[name] = masks.get(name, 0) | 1 << position
    return masks
