"""Matrices with planted faults: seeded, with noise and holes, and what is known to be true of each."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import product
from operator import or_

from orchestrator.analyse.search import Box, Factor, Rows, Space

MOST = 3_000
"""Cells; of a larger product so many are drawn."""
LEAST_CELLS = 5
"""Failing cells of its own below which a fault counts for nothing."""
ORDERED = (0, 1)
"""Axes whose values have an order, as versions have."""
_REASONS = 2
_MISSING = 0.3
_RANGE, _SET = 0.6, 0.25
"""How often a condition on an ordered axis is a range, and one on another axis a set of two values."""

Point = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A conjunction: by axis, the values that are allowed; and how its cells fail."""

    conditions: tuple[tuple[int, frozenset[int]], ...]
    reason: int

    def holds(self, point: Point) -> bool:
        """Return whether a cell has the fault."""
        return all(point[axis] in values for axis, values in self.conditions)

    @property
    def box(self) -> Box:
        """Return it as the search writes it."""
        return tuple((axis, sum(1 << value for value in values)) for axis, values in self.conditions)


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A matrix: ``ends`` has the reason of each cell that failed, ``None`` for each that passed."""

    sizes: tuple[int, ...]
    points: tuple[Point, ...]
    faults: tuple[Fault, ...]
    ends: tuple[int | None, ...]

    @cached_property
    def reasons(self) -> tuple[int, ...]:
        """Return the kinds of failure that were planted."""
        return tuple(sorted({fault.reason for fault in self.faults}))

    @cached_property
    def spaces(self) -> tuple[Space, ...]:
        """Return what is to be explained, one for each kind of failure."""
        factors = tuple(self._make_factor(axis) for axis in range(len(self.sizes)))
        passing = _make_bits(end is None for end in self.ends)
        return tuple(
            Space(factors=factors, failing=_make_bits(end == reason for end in self.ends), passing=passing)
            for reason in self.reasons
        )

    def _make_factor(self, axis: int) -> Factor:
        size = self.sizes[axis]
        return Factor(
            name=f"axis{axis}",
            masks=tuple(_make_bits(point[axis] == value for point in self.points) for value in range(size)),
            unknown=0,
            runs=(tuple(range(size)),) if axis in ORDERED else tuple((value,) for value in range(size)),
        )


@dataclass(frozen=True, kw_only=True)
class Score:
    """How well the boxes that were found are the faults that were planted."""

    found: int
    of: int
    strange: int
    """Boxes that are no fault."""

    @property
    def exact(self) -> bool:
        """Return whether all faults were found and nothing else."""
        return self.found == self.of and not self.strange


def plant(seed: int, *, noise: float, most: int = MOST) -> Planted:
    """Return the matrix of a seed; ``noise`` is the share of cells whose outcome is turned round."""
    chance = random.Random(seed)  # noqa: S311 - a seeded table, no secret
    sizes, points = _draw_cells(chance, most)
    faults = _draw_faults(chance, sizes, points)
    reasons = [fault.reason for fault in faults]
    ends: list[int | None] = [next((f.reason for f in faults if f.holds(point)), None) for point in points]
    for position, end in enumerate(ends):
        if chance.random() < noise:
            ends[position] = chance.choice(reasons) if end is None else None
    return Planted(sizes=tuple(sizes), points=tuple(points), faults=tuple(faults), ends=tuple(ends))


def judge(planted: Planted, found: Sequence[Sequence[Box]]) -> Score:
    """Compare, kind by kind, what was found with what was planted.

    A box is a fault if it holds for the same cells and has no condition more. Cells that another fault
    covers as well say nothing and are left out.
    """
    hits = of = strange = 0
    for reason, space, boxes in zip(planted.reasons, planted.spaces, found, strict=True):
        good: set[int] = set()
        for fault in (fault for fault in planted.faults if fault.reason == reason):
            others = (space.may_hold(one.box) for one in planted.faults if one is not fault)
            own = ~reduce(or_, others, 0)
            rows = space.may_hold(fault.box) & own
            same = [
                position
                for position, box in enumerate(boxes)
                if space.may_hold(box) & own == rows and len(box) <= len(fault.conditions)
            ]
            good.update(same)
            if (rows & space.failing).bit_count() >= LEAST_CELLS:
                of += 1
                hits += bool(same)
        strange += len(boxes) - len(good)
    return Score(found=hits, of=of, strange=strange)


def _draw_cells(chance: random.Random, most: int) -> tuple[list[int], list[Point]]:
    """Return 5 to 7 axes of 2 to 12 values, and the cells without up to 30 % of them."""
    sizes = [chance.randint(2, 12) for _ in range(chance.randint(5, 7))]
    count = reduce(lambda one, other: one * other, sizes)
    if count <= most:
        points: Iterable[Point] = product(*map(range, sizes))
    else:
        points = sorted({tuple(map(chance.randrange, sizes)) for _ in range(most)})
    keep = 1 - chance.random() * _MISSING
    return sizes, [point for point in points if chance.random() < keep]


def _draw_faults(chance: random.Random, sizes: Sequence[int], points: Sequence[Point]) -> list[Fault]:
    """Return 1 to 3 faults of 1 to 3 conditions, each of 5 cells or more and of half of all at most.

    Two faults of one reason on the same axes would be one fault with a set of values.
    """
    faults: list[Fault] = []
    count = chance.randint(1, 3)
    while len(faults) < count:
        axes = sorted(chance.sample(range(len(sizes)), chance.randint(1, 3)))
        conditions = tuple((axis, _draw_values(chance, axis, sizes[axis])) for axis in axes)
        fault = Fault(conditions=conditions, reason=chance.randrange(_REASONS))
        size = sum(map(fault.holds, points))
        twin = any(one.reason == fault.reason and [a for a, _ in one.conditions] == axes for one in faults)
        if LEAST_CELLS <= size <= len(points) / 2 and not twin:
            faults.append(fault)
    return faults


def _draw_values(chance: random.Random, axis: int, size: int) -> frozenset[int]:
    if axis in ORDERED and chance.random() < _RANGE:
        low = chance.randrange(size)
        high = chance.randrange(low, size)
        if high - low < size - 1:
            return frozenset(range(low, high + 1))
    elif axis not in ORDERED and size > _REASONS + 1 and chance.random() < _SET:
        return frozenset(chance.sample(range(size), 2))
    return frozenset({chance.randrange(size)})


def _make_bits(flags: Iterable[bool]) -> Rows:
    return int("".join("1" if flag else "0" for flag in [*flags][::-1]) or "0", 2)
