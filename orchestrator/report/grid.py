"""The default grid: rows are builds (HAProxy and TLS library), columns are ciphers within architectures."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.matrix.model import AXES
from orchestrator.record.model import CellRecord
from orchestrator.report import summary

ROWS = ("haproxy", "tls")
COLUMNS = ("arch", "cipher")
INSIDE = tuple(axis for axis in AXES if axis not in (*ROWS, *COLUMNS))
"""Axes whose values share a field."""
CROWD = 12
"""Columns from which on the fields are drawn narrow."""

MANY = 60
"""Rows above which builds that are all as expected are folded into a line per HAProxy."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: an architecture and a cipher."""

    arch: str
    cipher: str


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One field: no cell, one, or several (clients, CPUs), the worst first."""

    cells: tuple[CellRecord, ...]

    @property
    def tally(self) -> tuple[tuple[CellRecord, int], ...]:
        """Return how many cells look alike, with one of them; the worst first."""
        found: dict[tuple[int, int], list[CellRecord]] = {}
        for cell in self.cells:
            found.setdefault(summary.rank(cell), []).append(cell)
        return tuple((alike[0], len(alike)) for alike in found.values())


@dataclass(frozen=True, kw_only=True)
class GridRow:
    """One build's line, with the slots of every column."""

    haproxy: str
    tls: str
    slots: tuple[Slot, ...]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Columns lie together by architecture; rows lie together by HAProxy."""

    columns: tuple[Column, ...]
    rows: tuple[GridRow, ...]
    inside: tuple[str, ...]
    """Axes that tell the cells of one field apart."""
    emulated: frozenset[str]
    """Architectures of which all ran under QEMU: their head says so once."""

    @property
    def dense(self) -> bool:
        """Return whether there are so many columns that fields are narrow."""
        return len(self.columns) > CROWD

    @property
    def long(self) -> bool:
        """Return whether rows are many. Columns have then one width, which a browser lays out much sooner."""
        return len(self.rows) > MANY

    @property
    def arches(self) -> dict[str, int]:
        """Return every architecture with the number of its columns."""
        found: dict[str, int] = {}
        for column in self.columns:
            found[column.arch] = found.get(column.arch, 0) + 1
        return found


def make_grid(cells: Sequence[CellRecord]) -> Grid:
    """Return the grid of the cells, both sides in the order in which the matrix declares their values."""
    ranks = {axis: _rank_values(axis, cells) for axis in (*ROWS, *COLUMNS)}
    slots: dict[tuple[str, ...], dict[tuple[str, ...], list[CellRecord]]] = {}
    for cell in cells:
        slots.setdefault(_read_names(cell, ROWS), {}).setdefault(_read_names(cell, COLUMNS), []).append(cell)
    columns = _sort({column for row in slots.values() for column in row}, COLUMNS, ranks)
    return Grid(
        columns=tuple(Column(arch=arch, cipher=cipher) for arch, cipher in columns),
        rows=tuple(
            GridRow(
                haproxy=haproxy,
                tls=tls,
                slots=tuple(_make_slot(slots[haproxy, tls].get(c, ())) for c in columns),
            )
            for haproxy, tls in _sort(set(slots), ROWS, ranks)
        ),
        inside=tuple(axis for axis in INSIDE if len(list_values(axis, cells)) > 1),
        emulated=find_emulated(cells),
    )


def find_emulated(cells: Sequence[CellRecord]) -> frozenset[str]:
    """Return the architectures of which every cell that was tried ran under QEMU."""
    found: dict[str, set[bool]] = {}
    for cell in cells:
        if summary.is_tried(cell):
            found.setdefault(cell.axes.arch.name, set()).add(summary.is_emulated(cell))
    return frozenset(arch for arch, modes in found.items() if modes == {True})


def _make_slot(cells: Sequence[CellRecord]) -> Slot:
    return Slot(cells=tuple(sorted(cells, key=summary.rank)))


def list_values(axis: str, cells: Sequence[CellRecord]) -> tuple[str, ...]:
    """Return the names on an axis, in the order of their first appearance."""
    return tuple(dict.fromkeys(getattr(cell.axes, axis).name for cell in cells))


def _rank_values(axis: str, cells: Sequence[CellRecord]) -> dict[str, int]:
    return {name: index for index, name in enumerate(list_values(axis, cells))}


def _read_names(cell: CellRecord, axes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(getattr(cell.axes, axis).name for axis in axes)


def _sort(
    keys: set[tuple[str, ...]], axes: tuple[str, ...], ranks: dict[str, dict[str, int]]
) -> list[tuple[str, ...]]:
    return sorted(
        keys, key=lambda key: tuple(ranks[axis][name] for axis, name in zip(axes, key, strict=True))
    )
