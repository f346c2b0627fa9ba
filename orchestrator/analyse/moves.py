"""Cells that moved: one vanished, and exactly one came that is the same but for a version. Pure.

``templates/site/compare.js`` has the same rule; tests/site/moves.json holds both to it.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

VERSIONED = ("haproxy", "tls")
"""The axes whose values have a version."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """The vanished cell, by its id; the axis whose version alone is another one now; that version."""

    old: str
    axis: str
    was: str
    now: str


def find_moves(
    gone: Iterable[tuple[str, T]],
    new: Iterable[tuple[str, T]],
    look: Callable[[T, str], tuple[Hashable, str]],
    axes: Sequence[str] = VERSIONED,
) -> dict[str, Move]:
    """Return the cells that moved, by the id of the new one.

    Only where each is the one that fits the other: of several it is not known which became which.

    :param gone: vanished cells by id; ``new``: those that came.
    :param look: gives, of a cell and an axis, all but that axis's name and version, and that version.
    """
    near: dict[Hashable, list[tuple[str, str]]] = {}
    for name, cell in new:
        for axis in axes:
            rest, version = look(cell, axis)
            near.setdefault((axis, rest), []).append((name, version))
    found: dict[str, list[tuple[str, Move]]] = {}
    wanted: dict[str, int] = {}
    for old, cell in gone:
        for axis in axes:
            rest, was = look(cell, axis)
            for name, now in near.get((axis, rest), ()):
                if was != now:
                    found.setdefault(old, []).append((name, Move(old=old, axis=axis, was=was, now=now)))
                    wanted[name] = wanted.get(name, 0) + 1
    single = (fits[0] for fits in found.values() if len(fits) == 1)
    return {name: move for name, move in single if wanted[name] == 1}
