"""Expand a matrix into its cells: the product of the axes, less ``exclude``, and then ``include``.

Unlike on GitHub an include always adds: an axis that a file leaves out is at its default, so another value of
it in an include is another cell, and never changes one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product
from typing import Any

from orchestrator.matrix.model import AXES, DEFAULTS, REQUIRED, AxisValue, Cell, Matrix, name_haproxy

Names = tuple[str, ...]
"""One combination: a name for each axis of AXES."""

Excludes = dict[tuple[int, ...], dict[tuple[str | None, ...], int]]
"""The number of each exclude, by the places of its axes in AXES and its names there."""


@dataclass(frozen=True, kw_only=True)
class Idle:
    """Entries without effect, by their number. ``exclude`` has the reason of each."""

    exclude: Mapping[int, str]
    include: frozenset[int]


def expand(matrix: Matrix) -> tuple[Cell, ...]:
    """Return every cell of the matrix once, in the order of the axes, then of ``include``."""
    axes, include, exclude = list_names(matrix)
    values = index_values(matrix)
    cells = (_make_cell(names, values) for names in combine(axes, include, exclude))
    return tuple({cell.id: cell for cell in cells}.values())


def find_idle(
    axes: Mapping[str, Sequence[str]],
    include: Sequence[Mapping[str, str]],
    exclude: Sequence[Mapping[str, str]],
) -> Idle:
    """Return the entries of ``exclude`` and ``include`` that can be deleted: the cells would be the same.

    That is an entry that fits nothing, or repeats an earlier one; the earlier one counts.
    """
    declared = {axis: set(names) for axis, names in _complete(axes).items()}
    reasons: dict[int, str] = {}
    removed: Excludes = {}
    for number, entry in enumerate(exclude):
        strange = [f"{axis} {name}" for axis, name in entry.items() if name not in declared.get(axis, ())]
        before = _find_exclude([entry.get(axis) for axis in AXES], removed)
        if strange:
            reasons[number] = f"`axes` has no {strange[0]}, and an include is added after all excludes"
        elif before is not None:
            reasons[number] = f"exclude[{before}] does that already"
        else:
            _add_exclude(removed, number, entry)
    known: set[Names] = set()
    idle = []
    for number, entry in enumerate(include):
        names = _list_names(entry)
        original = all(name in declared.get(axis, ()) for axis, name in zip(AXES, names, strict=True))
        if names in known or (original and _find_exclude(names, removed) is None):
            idle.append(number)
        known.add(names)
    return Idle(exclude=reasons, include=frozenset(idle))


def make_cell_id(names: Mapping[str, str]) -> str:
    """Return the stable id of the cell with these names by axis.

    As in ``amd64--haproxy-3.0.11--openssl-distro--default``. An axis at its default is left out;
    elsewhere it is added as ``axis.name``.
    """
    parts = [name_haproxy(names[axis]) if axis == "haproxy" else names[axis] for axis in REQUIRED]
    parts += [f"{axis}.{names[axis]}" for axis, default in DEFAULTS.items() if names[axis] != default.name]
    return "--".join(parts)


def combine(
    axes: Mapping[str, Sequence[str]],
    include: Sequence[Mapping[str, str]],
    exclude: Sequence[Mapping[str, str]],
) -> Iterator[Names]:
    """Combine axes, excludes and includes, on names alone; a combination may come more than once.

    An exclude removes each combination of the axes that has all its names. An include is one more.
    """
    removed: Excludes = {}
    for number, entry in enumerate(exclude):
        _add_exclude(removed, number, entry)
    whole = _complete(axes)
    original = product(*(whole[axis] for axis in AXES)) if whole else iter(())
    left = (names for names in original if _find_exclude(names, removed) is None)
    return chain(left, map(_list_names, include))


def _add_exclude(removed: Excludes, number: int, entry: Mapping[str, str]) -> None:
    places = tuple(at for at, axis in enumerate(AXES) if axis in entry)
    removed.setdefault(places, {}).setdefault(tuple(entry[AXES[at]] for at in places), number)


def _find_exclude(names: Sequence[str | None], removed: Excludes) -> int | None:
    """Return the number of an exclude whose names are all among these; ``None`` without one."""
    for places, keys in removed.items():
        number = keys.get(tuple(names[at] for at in places))
        if number is not None:
            return number
    return None


def _complete(axes: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
    """Return the axes, those that the file leaves out at their default; none where it declares none."""
    return {axis: axes[axis] if axis in axes else (DEFAULTS[axis].name,) for axis in AXES} if axes else {}


def _list_names(entry: Mapping[str, str]) -> Names:
    return tuple(entry[axis] if axis in entry else DEFAULTS[axis].name for axis in AXES)


def list_names(
    matrix: Matrix,
) -> tuple[Mapping[str, Sequence[str]], Sequence[Mapping[str, str]], Sequence[Mapping[str, str]]]:
    """Return the axes, the includes and the excludes with names in place of values."""
    axes = {axis: [value.name for value in values] for axis, values in matrix.axes.items()}
    include, exclude = (
        [{axis: value.name for axis, value in entry.items()} for entry in entries]
        for entries in (matrix.include, matrix.exclude)
    )
    return axes, include, exclude


def index_values(matrix: Matrix) -> Mapping[str, Mapping[str, AxisValue]]:
    """Return the records by axis and name."""
    table: dict[str, dict[str, AxisValue]] = {axis: {} for axis in AXES}
    for axis, value in matrix.defaults.items():
        table[axis][value.name] = value
    for entry in matrix.include:
        for axis, value in entry.items():
            table[axis][value.name] = value
    for axis, values in matrix.axes.items():
        table[axis].update({value.name: value for value in values})
    return table


def _make_cell(names: Names, values: Mapping[str, Mapping[str, AxisValue]]) -> Cell:
    # A record under an axis' name is of that axis' type; only the table that is keyed by axis cannot say so.
    axes: dict[str, Any] = {axis: values[axis][name] for axis, name in zip(AXES, names, strict=True)}
    return Cell(id=make_cell_id({axis: value.name for axis, value in axes.items()}), **axes)
