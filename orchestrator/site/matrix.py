"""The matrix of the last night: any two axes against the rest, with state and age. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from orchestrator.matrix.model import AXES
from orchestrator.report import summary
from orchestrator.report.grid import COLUMNS, CROWD, ROWS
from orchestrator.site.night import count_tones, find_since, tally
from orchestrator.site.page_paths import name_cell_page
from orchestrator.site.pages import TONE_TITLES, Frame, Page, as_json, as_script, read_asset
from orchestrator.site.year import TONES, Point, Result, find_tone


@dataclass(frozen=True, kw_only=True)
class MatrixEntry:
    """A cell in the matrix. ``age``: nights for which it has ended like this, the last one included."""

    result: Result
    age: int
    whole: bool
    """It ended so in each of the nights that are shown: it may be older than that."""

    @property
    def name(self) -> str:
        """Return its id."""
        return self.result.point.id


@dataclass(frozen=True, kw_only=True)
class MatrixField:
    """One field: no cell, one, or several, the worst first."""

    entries: tuple[MatrixEntry, ...]

    @property
    def tally(self) -> tuple[tuple[str, int], ...]:
        """Return how many cells there are of each tone."""
        return tally(count_tones(entry.result for entry in self.entries))


@dataclass(frozen=True, kw_only=True)
class MatrixLine:
    """A row: its names, and the fields of the columns."""

    names: tuple[str, ...]
    fields: tuple[MatrixField, ...]


@dataclass(frozen=True, kw_only=True)
class MatrixGrid:
    """Columns lie together by the first of their names, rows by theirs."""

    columns: tuple[tuple[str, ...], ...]
    lines: tuple[MatrixLine, ...]
    inside: tuple[str, ...]

    @property
    def dense(self) -> bool:
        """Return whether there are so many columns that fields are narrow."""
        return len(self.columns) > CROWD

    @property
    def heads(self) -> Mapping[str, int]:
        """Return the first names of the columns, each with the number of its columns."""
        found: dict[str, int] = {}
        for first, *_ in self.columns:
            found[first] = found.get(first, 0) + 1
        return found


def list_entries(frame: Frame) -> tuple[MatrixEntry, ...]:
    """Return the cells of the last night."""
    last = frame.year.last.results
    return tuple(_make_entry(result, frame.tracks[name].results) for name, result in last.items())


def _make_entry(result: Result, track: Sequence[Result | None]) -> MatrixEntry:
    first = find_since(track)
    return MatrixEntry(result=result, age=len(track) - first, whole=first == 0)


def rank(entry: MatrixEntry) -> tuple[int, int, int]:
    """Return a key that sorts the worst first, and of those alike the newest."""
    return (*summary.rank(entry.result), entry.age)


def draw_grid(
    entries: Iterable[MatrixEntry], rows: Sequence[str] = ROWS, columns: Sequence[str] = COLUMNS
) -> MatrixGrid:
    """Return a grid, both sides in the order in which the matrix declares their values."""
    every = tuple(entries)
    ranks = {axis: {name: n for n, name in enumerate(list_values(axis, every))} for axis in AXES}

    def read_names(point: Point, axes: Sequence[str]) -> tuple[str, ...]:
        return tuple(getattr(point, axis) for axis in axes)

    def sort(keys: Iterable[tuple[str, ...]], axes: Sequence[str]) -> list[tuple[str, ...]]:
        return sorted(keys, key=lambda one: [ranks[a][name] for a, name in zip(axes, one, strict=True)])

    slots: dict[tuple[str, ...], dict[tuple[str, ...], list[MatrixEntry]]] = {}
    for entry in every:
        point = entry.result.point
        slots.setdefault(read_names(point, rows), {}).setdefault(read_names(point, columns), []).append(entry)
    across = sort({column for row in slots.values() for column in row}, columns)
    return MatrixGrid(
        columns=tuple(across),
        lines=tuple(
            MatrixLine(
                names=names,
                fields=tuple(
                    MatrixField(entries=tuple(sorted(slots[names].get(column, ()), key=rank)))
                    for column in across
                ),
            )
            for names in sort(slots, rows)
        ),
        inside=tuple(
            axis for axis in AXES if axis not in (*rows, *columns) and len(list_values(axis, every)) > 1
        ),
    )


def list_values(axis: str, entries: Iterable[MatrixEntry]) -> tuple[str, ...]:
    """Return the names on an axis, in the order of their first appearance."""
    return tuple(dict.fromkeys(getattr(entry.result.point, axis) for entry in entries))


def make_matrix(frame: Frame) -> Iterator[Page]:
    """Return the page of the matrix, its data and its script."""
    entries = list_entries(frame)
    yield Page(
        path="matrix.html",
        make=partial(
            frame.render,
            "matrix.html.j2",
            "matrix.html",
            overdue=frame.overdue,
            grid=draw_grid(entries),
            tones=tally(count_tones(entry.result for entry in entries)),
            total=len(entries),
            night=frame.year.last,
        ),
    )
    data = _tell(entries)
    yield Page(path="matrix.json", make=lambda: as_json(data))
    yield Page(path="matrix-data.js", make=lambda: as_script("matrix", data))
    yield Page(path="matrix.js", make=lambda: read_asset("site/filter.js") + read_asset("site/matrix.js"))


def _tell(entries: Sequence[MatrixEntry]) -> dict[str, Any]:
    """Return what the script needs of each cell, as numbers into short lists."""
    axes = {axis: list_values(axis, entries) for axis in AXES}
    index = {axis: {name: n for n, name in enumerate(found)} for axis, found in axes.items()}
    tones = list(TONES)
    reasons = list(dict.fromkeys(entry.result.reason or "" for entry in entries))
    families: dict[str, dict[str, list[str | None]]] = {"haproxy": {}, "tls": {}, "client": {}}
    for entry in entries:
        point = entry.result.point
        families["haproxy"][point.haproxy] = ["haproxy", point.haproxy_version]
        families["tls"][point.tls] = [point.tls_family, point.tls_version]
        families["client"][point.client] = [point.client_family, None]
    return {
        "axes": axes,
        "families": families,
        "states": summary.STATES,
        "titles": summary.TITLES,
        "tones": tones,
        "tone_titles": TONE_TITLES,
        "reasons": reasons,
        "rows": ROWS,
        "columns": COLUMNS,
        "crowd": CROWD,
        "cells": [
            [
                entry.name,
                name_cell_page(entry.name),
                [index[axis][getattr(entry.result.point, axis)] for axis in AXES],
                summary.STATES.index(summary.find_state(entry.result)),
                str(entry.result.verdict),
                tones.index(find_tone(entry.result)),
                reasons.index(entry.result.reason or ""),
                entry.age,
                int(entry.whole),
            ]
            for entry in entries
        ],
    }
