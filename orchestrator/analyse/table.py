"""The cells of one or several runs as a table: what each is and how it ended, ready for the search. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from orchestrator.analyse.attributes import FACTORS, Attributes, Tests, choose, describe, index_tests
from orchestrator.analyse.conditions import order_values
from orchestrator.analyse.search import Factor, Rows
from orchestrator.errors import UsageError
from orchestrator.matrix.model import AXES, AxisValue
from orchestrator.matrix.select import Named
from orchestrator.outcome import FAILURES, Outcome, Reason, Verdict, correct_verdict
from orchestrator.phrases import join_names, quote
from orchestrator.record.model import Axes, CellRecord, RunRecord, is_intermittent

FailureKind = tuple[Outcome, Reason | None]
"""Failures that are explained together."""
PASS, MISSING = "pass", "missing"

_DERIVED_BITS = 2.0
"""An axis is preferred to a derived attribute: a person can set it."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One cell, over all runs."""

    cell: CellRecord
    """As it ended in the first run in which it failed, else passed, else at all."""
    end: FailureKind | str
    """How it failed in any run; else ``pass`` if it passed in one; else ``missing``."""
    mixed: bool
    """It failed in some attempts or runs, and passed in others."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """The rows, with a column for each attribute."""

    rows: tuple[Row, ...]
    attributes: tuple[Attributes, ...]

    @cached_property
    def ran(self) -> Rows:
        """Return the rows that say something: they passed or failed."""
        return _make_bits([row.end != MISSING for row in self.rows])

    @cached_property
    def passing(self) -> Rows:
        """Return those that passed."""
        return _make_bits([row.end == PASS for row in self.rows])

    @cached_property
    def kinds(self) -> Mapping[FailureKind, Rows]:
        """Return the failures, by outcome and reason, the largest kind first."""
        found: dict[FailureKind, list[int]] = {}
        for position, row in enumerate(self.rows):
            if isinstance(row.end, tuple):
                found.setdefault(row.end, []).append(position)
        order = sorted(found, key=lambda kind: (-len(found[kind]), str(kind)))
        return {kind: sum(1 << position for position in found[kind]) for kind in order}

    @cached_property
    def values(self) -> Mapping[str, Mapping[str, Named]]:
        """Return the values of each attribute among the cells that ran, by name."""
        found: dict[str, dict[str, Named]] = {name: {} for name in (*AXES, *FACTORS)}
        for row, attributes in zip(self.rows, self.attributes, strict=True):
            if row.end != MISSING:
                for name, values in found.items():
                    value = attributes[name]
                    if value is not None and value.name not in values:
                        values[value.name] = value
        return found

    @cached_property
    def factors(self) -> tuple[Factor, ...]:
        """Return the columns that vary, each once: axes come before attributes that follow from them."""
        made: list[Factor] = []
        seen = set()
        for factor in self.columns.values():
            parts = frozenset(factor.masks) | {factor.unknown}
            if len(factor.masks) > 1 and parts not in seen:
                made.append(factor)
                seen.add(parts)
        return tuple(made)

    @cached_property
    def columns(self) -> Mapping[str, Factor]:
        """Return all columns, by name."""
        return {name: self._make_factor(name) for name in (*AXES, *FACTORS)}

    @cached_property
    def by_names(self) -> Mapping[tuple[str, ...], Row]:
        """Return the rows by the names of their values on the axes."""
        return {list_names(row.cell.axes): row for row in self.rows}

    @cached_property
    def all_values(self) -> Mapping[str, Mapping[str, AxisValue]]:
        """Return the values of each axis among all cells, those that did not run as well."""
        return {
            axis: {value.name: value for row in self.rows for value in (getattr(row.cell.axes, axis),)}
            for axis in AXES
        }

    def _make_factor(self, name: str) -> Factor:
        values = list(self.values[name])
        index = {value: position for position, value in enumerate(values)}
        size = (len(self.rows) + 7) // 8
        columns = [bytearray(size) for _ in values]
        unknown = bytearray(size)
        for position, (row, attributes) in enumerate(zip(self.rows, self.attributes, strict=True)):
            if row.end != MISSING:
                value = attributes[name]
                column = unknown if value is None else columns[index[value.name]]
                column[position >> 3] |= 1 << (position & 7)
        return Factor(
            name=name,
            masks=tuple(int.from_bytes(column, "little") for column in columns),
            unknown=int.from_bytes(unknown, "little"),
            runs=tuple(
                tuple(index[one] for one in ordered.names) for ordered in order_values(self.values[name])
            ),
            surcharge=0.0 if name in AXES else _DERIVED_BITS,
        )


def list_names(axes: Axes) -> tuple[str, ...]:
    """Return the names of a cell's values, in the order of the axes."""
    return tuple(getattr(axes, axis).name for axis in AXES)


def make_table(records: Sequence[RunRecord]) -> Table:
    """Return the cells of all runs; the first run is the one to be explained.

    :raises UsageError: where a cell's id means something else in another run.
    """
    found: dict[tuple[str, int], list[tuple[CellRecord, Tests]]] = {}
    for record in records:
        tests = index_tests(record.selftests)
        often: Counter[str] = Counter()  # a foreign record may have an id twice
        for cell in record.cells:
            known = found.setdefault((cell.id, often[cell.id]), [])
            often[cell.id] += 1
            if known:
                _refuse_other(records, known[0][0], record, cell)
            known.append((cell, tests))
    rows, attributes = [], []
    for cells in found.values():
        row, position = _make_row([cell for cell, _ in cells])
        rows.append(row)
        attributes.append(describe(*cells[position]))
    return Table(rows=tuple(rows), attributes=tuple(attributes))


def pick(table: Table, positions: Iterable[int]) -> Table:
    """Return the table with some of its rows."""
    chosen = list(positions)
    return Table(
        rows=tuple(table.rows[i] for i in chosen), attributes=tuple(table.attributes[i] for i in chosen)
    )


def keep_cells(record: RunRecord, filters: Sequence[str]) -> RunRecord:
    """Return the record with the cells that match every filter, which asks of what was seen as well.

    Its exit code and message stay: they are of the whole run.

    :raises UsageError: for a bad filter, or one with a value that no cell has.
    :raises NothingSelectedError: if no cell is left.
    """
    table = make_table([record])
    rows = [row.cell for row in table.rows]
    chosen = {rows[position].id for position in choose(rows, table.attributes, filters)}
    cells = tuple(cell for cell in record.cells if cell.id in chosen)
    judged = sum(cell.outcome is not None for cell in cells)
    counts = {"planned": len(cells), "judged": judged, "filters": (*record.run.filters, *filters)}
    return record.model_copy(update={"cells": cells, "run": record.run.model_copy(update=counts)})


def _make_row(cells: Sequence[CellRecord]) -> tuple[Row, int]:
    ends = [_find_end(cell) for cell in cells]
    fails = [position for position, end in enumerate(ends) if isinstance(end, tuple)]
    passes = [position for position, end in enumerate(ends) if end == PASS]
    position = (fails or passes or [0])[0]
    mixed = bool(fails and passes) or any(map(is_intermittent, cells))
    return Row(cell=cells[position], end=ends[position], mixed=mixed), position


def _find_end(cell: CellRecord) -> FailureKind | str:
    if cell.outcome in FAILURES:
        return cell.outcome, cell.reason
    passed = (
        cell.outcome is Outcome.PASS and correct_verdict(cell.outcome, cell.verdict) is not Verdict.NOT_JUDGED
    )
    return PASS if passed else MISSING


def _refuse_other(
    records: Sequence[RunRecord], known: CellRecord, record: RunRecord, cell: CellRecord
) -> None:
    other = [axis for axis in AXES if getattr(known.axes, axis) != getattr(cell.axes, axis)]
    if other:
        raise UsageError(
            f"the cell {quote(cell.id)} is not the same one in these runs: its {join_names(other)} differs",
            details=f"runs: {join_names([one.run.id for one in records])}",
            resolution=f"Leave out {record.run.id}, or compare the runs: matrixctl compare BASE HEAD.",
        )


def _make_bits(flags: Sequence[bool]) -> Rows:
    return int("".join("1" if flag else "0" for flag in reversed(flags)) or "0", 2)
