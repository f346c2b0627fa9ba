"""Expand a matrix into its cells, with GitHub's meaning of ``include`` and ``exclude``.

Source: https://docs.github.com/en/actions/how-tos/write-workflows/choose-what-workflows-do/run-job-variations
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.matrix.model import AXES, DEFAULTS, REQUIRED, AxisValue, Cell, Matrix

# "3.0.11" alone says little in a list of file names.
_PREFIX = {"haproxy": "haproxy-"}

Names = list[str | None]
"""One combination: a name per axis of AXES, ``None`` where the axis is not given."""


@dataclass(frozen=True, kw_only=True)
class Combinations:
    """What the axes, ``exclude`` and ``include`` give. ``fresh`` has the index of the include behind each."""

    original: Sequence[Names]
    fresh: Sequence[tuple[int, Names]]


def expand(matrix: Matrix) -> tuple[Cell, ...]:
    """Return every cell of the matrix once, in the order of the axes, then of ``include``.

    :raises UsageError: if a combination that an ``include`` makes lacks a required axis.
    """
    combinations = combine(
        {axis: [value.name for value in values] for axis, values in matrix.axes.items()},
        [_names(entry) for entry in matrix.include],
        [_names(entry) for entry in matrix.exclude],
    )
    for number, names in combinations.fresh:
        if lacking := lacks(names):
            raise UsageError(f"include[{number}] makes a new combination without {', '.join(lacking)}")
    values = _values_by_name(matrix)
    fresh = (names for _, names in combinations.fresh)
    cells = (_cell(names, values) for names in chain(combinations.original, fresh))
    return tuple({cell.id: cell for cell in cells}.values())


def cell_id(names: Mapping[str, str]) -> str:
    """Return the stable id of the cell with these names by axis.

    As in ``amd64--haproxy-3.0.11--openssl-distro--default``. An axis at its default is left out;
    elsewhere it is added as ``axis.name``.
    """
    parts = [_PREFIX.get(axis, "") + names[axis] for axis in REQUIRED]
    parts += [f"{axis}.{names[axis]}" for axis, default in DEFAULTS.items() if names[axis] != default.name]
    return "--".join(parts)


def lacks(names: Names) -> tuple[str, ...]:
    """Return the required axes that a combination does not have."""
    return tuple(axis for axis, name in zip(AXES, names, strict=True) if name is None and axis in REQUIRED)


def combine(
    axes: Mapping[str, Sequence[str]],
    include: Sequence[Mapping[str, str]],
    exclude: Sequence[Mapping[str, str]],
) -> Combinations:
    """Combine axes, excludes and includes by GitHub's rules, on names alone.

    An exclude removes each combination that has all its names. Then each include is added to every original
    combination whose declared values it does not change (values that an earlier include added may change);
    an include that fits none becomes a combination of its own, which later includes leave alone.
    """
    removed = _by_axes(exclude)
    original = [
        list(names)
        for names in product(*(axes.get(axis, (None,)) for axis in AXES))
        if not any(tuple(names[at] for at in places) in keys for places, keys in removed.items())
    ]
    return Combinations(original=original, fresh=_include(original, include, declared=set(axes)))


def _include(
    original: Sequence[Names], include: Sequence[Mapping[str, str]], *, declared: set[str]
) -> list[tuple[int, Names]]:
    fresh: list[tuple[int, Names]] = []
    tables: dict[tuple[int, ...], Mapping[tuple[str | None, ...], Sequence[Names]]] = {}
    for number, entry in enumerate(include):
        places = tuple(at for at, axis in enumerate(AXES) if axis in entry and axis in declared)
        if places not in tables:
            tables[places] = _lookup(original, places)
        fits = tables[places].get(tuple(entry[AXES[at]] for at in places), ())
        for names, (at, axis) in product(fits, enumerate(AXES)):
            if axis in entry:
                names[at] = entry[axis]
        if not fits:
            fresh.append((number, [entry.get(axis) for axis in AXES]))
    return fresh


def _lookup(
    original: Iterable[Names], places: tuple[int, ...]
) -> Mapping[tuple[str | None, ...], Sequence[Names]]:
    """Return the combinations by their names at ``places``, so that an include need not look at all."""
    table: dict[tuple[str | None, ...], list[Names]] = defaultdict(list)
    for names in original:
        table[tuple(names[at] for at in places)].append(names)
    return table


def _by_axes(entries: Iterable[Mapping[str, str]]) -> Mapping[tuple[int, ...], set[tuple[str | None, ...]]]:
    table: dict[tuple[int, ...], set[tuple[str | None, ...]]] = defaultdict(set)
    for entry in entries:
        places = tuple(at for at, axis in enumerate(AXES) if axis in entry)
        table[places].add(tuple(entry[AXES[at]] for at in places))
    return table


def _names(entry: Mapping[str, AxisValue]) -> Mapping[str, str]:
    return {axis: value.name for axis, value in entry.items()}


def _values_by_name(matrix: Matrix) -> Mapping[str, Mapping[str | None, AxisValue]]:
    """Return the records by axis and name; a missing axis has its default under ``None``."""
    table: dict[str, dict[str | None, AxisValue]] = {axis: {} for axis in AXES}
    for entry in matrix.include:
        for axis, value in entry.items():
            table[axis][value.name] = value
    for axis, values in matrix.axes.items():
        table[axis].update({value.name: value for value in values})
    for axis, value in matrix.defaults.items():
        table[axis][None] = value
    return table


def _cell(names: Names, values: Mapping[str, Mapping[str | None, AxisValue]]) -> Cell:
    # A record under an axis' name is of that axis' type; only the table that is keyed by axis cannot say so.
    axes: dict[str, Any] = {axis: values[axis][name] for axis, name in zip(AXES, names, strict=True)}
    return Cell(id=cell_id({axis: value.name for axis, value in axes.items()}), **axes)
