"""Cells over the nights; one whose version moved is the cell that it was before. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.analyse.moves import Move
from orchestrator.site.news import find_moves
from orchestrator.site.year import Result, Year


@dataclass(frozen=True, kw_only=True)
class Track:
    """A cell over the nights, together with the cells that it was before a version moved."""

    name: str
    results: tuple[Result | None, ...]
    moves: Mapping[int, Move]
    """By the number of the first night under the newer id."""


def follow(year: Year) -> Mapping[str, Track]:
    """Return each cell, by its id, with what it was under another one before a version of it moved."""
    moves: dict[str, tuple[int, Move]] = {}
    for number in range(1, len(year.nights)):
        base, head = year.nights[number - 1], year.nights[number]
        if base.results.keys() != head.results.keys():
            moves |= {name: (number, move) for name, move in find_moves(base, head).items()}
    return {name: _follow_one(year, name, moves) for name in year.tracks}


def _follow_one(year: Year, cell: str, moves: Mapping[str, tuple[int, Move]]) -> Track:
    if cell not in moves:
        return Track(name=cell, results=year.tracks[cell], moves={})
    name, results = cell, list(year.tracks[cell])
    found: dict[int, Move] = {}
    end = len(results)
    while name in moves and moves[name][0] < end:  # always further back, so it comes to an end
        end, move = moves[name]
        found[end] = move
        name = move.old
        older = year.tracks[name][:end]
        results[:end] = [mine or other for mine, other in zip(results[:end], older, strict=True)]
    return Track(name=cell, results=tuple(results), moves=found)
