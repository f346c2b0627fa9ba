"""Which cells to run next: the fewest whose outcome tells several explanations apart. Pure."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations, islice

from orchestrator.analyse.attributes import Attributes, predict
from orchestrator.analyse.search import Rows, positions
from orchestrator.analyse.table import MISSING, Table, names_of
from orchestrator.matrix import capabilities
from orchestrator.matrix.model import AXES, Cell
from orchestrator.matrix.select import Named
from orchestrator.record.model import Axes, CellRecord

Hypothesis = dict[str, frozenset[str]]
"""A conjunction: by attribute, the values that are allowed."""

_STARTS, _CANDIDATES, _SMALL, _NEIGHBOURS = 12, 4000, 60, 12
"""Failing cells from which one goes; combinations that are looked at; those of which all subsets are tried;
neighbours that are named."""


def find_deciding(table: Table, cells: Rows, hypotheses: Sequence[Hypothesis]) -> tuple[str, ...]:
    """Return words for ``matrixctl run``, one cell each; empty where nothing can be told apart.

    :param hypotheses: the explanation first, then the others: each is to be told from the first.
    """
    if not hypotheses[1:]:
        return ()
    told: dict[frozenset[int], str] = {}
    for axes, words in islice(_candidates(table, cells), _CANDIDATES):
        apart = tell_apart(table, axes, hypotheses)
        if apart and apart not in told:
            told[apart] = words
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
        for axes in _neighbours(table, cell.axes)
        if is_possible(axes) and not has_run(table, axes)
    ]
    return tuple(found[:_NEIGHBOURS])


def has_run(table: Table, axes: Axes) -> bool:
    """Return whether the cell with these values has a result."""
    row = table.by_names.get(names_of(axes))
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


def _candidates(table: Table, cells: Rows) -> Iterator[tuple[Axes, str]]:
    """Yield the cells that were not run: those of the run itself, then neighbours of the failing ones."""
    for row in table.rows:
        if row.end == MISSING and is_possible(row.cell.axes):
            yield row.cell.axes, shlex.join(["--cell", row.cell.id])
    seen = set(table.by_names)
    starts = [table.rows[i].cell.axes for i in islice(positions(cells), _STARTS)]
    near = list(_new_neighbours(table, starts, seen))
    for axes in chain(near, _new_neighbours(table, near, seen)):
        yield axes, write_words(table, axes)


def _new_neighbours(table: Table, starts: Sequence[Axes], seen: set[tuple[str, ...]]) -> Iterator[Axes]:
    """Yield the neighbours of several cells that are possible and were not seen yet."""
    for axes in starts:
        for other in _neighbours(table, axes):
            names = names_of(other)
            if names not in seen:
                seen.add(names)
                if is_possible(other):
                    yield other


def _neighbours(table: Table, axes: Axes) -> Iterator[Axes]:
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
    """Return the words that choose a cell of the matrix, whether the run had it or not.

    They name every axis: where a run was of one value alone, its matrix may have more.
    """
    row = table.by_names.get(names_of(axes))
    if row is not None:
        return shlex.join(["--cell", row.cell.id])
    return shlex.join(word for axis in AXES for word in ("--filter", f"{axis}={getattr(axes, axis).name}"))


def is_possible(axes: Axes) -> bool:
    """Return whether nothing declares that the cell cannot be."""
    cell = Cell(id="", **{axis: getattr(axes, axis) for axis in AXES})
    try:
        return capabilities.unsupported(cell) is None
    except (KeyError, StopIteration):  # an architecture, client or family that only the record knows
        return False
