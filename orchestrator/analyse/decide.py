"""Which cells to run next: the fewest whose outcome tells several explanations apart. Pure."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain, combinations, islice, pairwise

from orchestrator.analyse.attributes import Attributes, predict
from orchestrator.analyse.search import Rows, list_positions
from orchestrator.analyse.table import MISSING, Table, list_names
from orchestrator.matrix import capabilities
from orchestrator.matrix.model import AXES, Cell
from orchestrator.matrix.select import Named
from orchestrator.record.model import Axes, CellRecord

Hypothesis = dict[str, frozenset[str]]
"""A conjunction: by attribute, the values that are allowed."""

_STARTS, _CANDIDATES, _SMALL, _NEIGHBOURS = 12, 4000, 60, 12
"""Failing cells from which one goes; combinations that are looked at; those of which all subsets are tried;
neighbours that are named."""
_FIXING = {"--patch", "--pins"}
"""Options of ``run`` that hold for the matrix as it is: beside these a cell has to be a declared one."""


def find_deciding(table: Table, cells: Rows, hypotheses: Sequence[Hypothesis]) -> tuple[str, ...]:
    """Return words for ``matrixctl run``, one cell each; empty where nothing can be told apart.

    :param hypotheses: the explanation first, then the others: each is to be told from the first.
    """
    if not hypotheses[1:]:
        return ()
    told: dict[frozenset[int], str] = {}
    for axes in islice(_list_candidates(table, cells), _CANDIDATES):
        apart = tell_apart(table, axes, hypotheses)
        if apart and apart not in told:
            told[apart] = write_words(table, axes)
    return _cover(told)


def tell_apart(table: Table, axes: Axes, hypotheses: Sequence[Hypothesis]) -> frozenset[int]:
    """Return which of the other explanations the outcome of a cell tells from the first, by number from 0."""
    known = predict(axes, host=table.rows[0].cell.execution.host_arch)
    first, *others = (_holds(one, known) for one in hypotheses)
    if first is None:
        return frozenset()
    return frozenset(i for i, said in enumerate(others) if said is not None and said != first)


def find_neighbours(table: Table, cell: CellRecord) -> tuple[str, ...]:
    """Return words for the cells that differ from one on one axis alone and were not run."""
    found = [
        write_words(table, axes)
        for axes in _list_neighbours(table, cell.axes)
        if is_possible(axes) and not has_run(table, axes)
    ]
    return tuple(found[:_NEIGHBOURS])


def has_run(table: Table, axes: Axes) -> bool:
    """Return whether the cell with these values has a result."""
    row = table.by_names.get(list_names(axes))
    return row is not None and row.end != MISSING


def _cover(told: Mapping[frozenset[int], str]) -> tuple[str, ...]:
    """Return the fewest cells that tell all apart that can be told apart at all."""
    wanted = frozenset().union(*told) if told else frozenset()
    keys = sorted(told, key=lambda key: -len(key))[:_SMALL]
    for size in (1, 2, 3):
        for chosen in combinations(keys, size):
            if frozenset().union(*chosen) == wanted:
                return tuple(told[key] for key in chosen)
    picked, left = [], wanted
    while left:
        best = max(told, key=lambda key: len(key & left))
        picked.append(told[best])
        left -= best
    return tuple(picked)


def _list_candidates(table: Table, cells: Rows) -> Iterator[Axes]:
    """Yield the cells that were not run: those of the run itself, then neighbours of the failing ones."""
    for row in table.rows:
        if row.end == MISSING and is_possible(row.cell.axes):
            yield row.cell.axes
    seen = set(table.by_names)
    starts = [table.rows[i].cell.axes for i in islice(list_positions(cells), _STARTS)]
    near = list(_list_new_neighbours(table, starts, seen))
    yield from chain(near, _list_new_neighbours(table, near, seen))


def _list_new_neighbours(table: Table, starts: Sequence[Axes], seen: set[tuple[str, ...]]) -> Iterator[Axes]:
    """Yield the neighbours of several cells that are possible and were not seen yet."""
    for axes in starts:
        for other in _list_neighbours(table, axes):
            names = list_names(other)
            if names not in seen:
                seen.add(names)
                if is_possible(other):
                    yield other


def _list_neighbours(table: Table, axes: Axes) -> Iterator[Axes]:
    for axis in AXES:
        for name, value in table.all_values[axis].items():
            if name != getattr(axes, axis).name:
                yield axes.model_copy(update={axis: value})


def _holds(hypothesis: Hypothesis, known: Attributes | dict[str, Named | None]) -> bool | None:
    """Return whether it says that a cell fails; ``None`` where that is not known."""
    said: bool | None = True
    for name, allowed in hypothesis.items():
        value = known[name]
        if value is None:
            said = None
        elif value.name not in allowed:
            return False
    return said


def write_words(table: Table, axes: Axes) -> str:
    """Return the words with which ``matrixctl run`` runs one cell, whether the matrix declares it or not.

    They begin with the options of the run: without its matrix and sources they would mean another cell. They
    name every axis: where a run was of one value alone, its matrix may have more.
    """
    row = table.by_names.get(list_names(axes))
    if row is not None:
        return shlex.join([*_list_options(row.cell), "--cell", row.cell.id])
    options = _list_options(table.rows[0].cell)
    replaced = _list_replaced(options)
    values = [
        word
        for axis in AXES
        for word in ("--filter" if axis in replaced else "--with", f"{axis}={getattr(axes, axis).name}")
    ]
    return shlex.join([*options, *values])


def _list_replaced(options: Sequence[str]) -> AbstractSet[str]:
    """Return the axes on which ``--with`` would change what the options of a run mean."""
    if _FIXING & {*options}:
        return {*AXES}
    return {value.partition("=")[0] for option, value in pairwise(options) if option == "--with"}


def _list_options(cell: CellRecord) -> list[str]:
    """Return the options of the run that made the cell what it is, as its reproducer has them."""
    try:
        words = shlex.split(cell.reproducer)
    except ValueError:  # a record that another program wrote
        return []
    known = words[:2] == ["matrixctl", "run"] and "--cell" in words
    return words[2 : words.index("--cell")] if known else []


def is_possible(axes: Axes) -> bool:
    """Return whether nothing declares that the cell cannot be."""
    cell = Cell(id="", **{axis: getattr(axes, axis) for axis in AXES})
    try:
        return capabilities.find_unsupported(cell) is None
    except (KeyError, StopIteration):  # an architecture, client or family that only the record knows
        return False
