"""Which few cells to run, of many, so that what fails is explained: a pairwise start, then more. Pure.

It knows cells as bits only: docs/localisation.md says what is asked, and how few cells it takes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from heapq import heapify, heapreplace
from itertools import combinations, pairwise
from operator import and_, or_

from orchestrator.analyse.search import Rows, list_positions

Axis = tuple[Rows, ...]
"""By value: all cells that have it."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One condition of an explanation."""

    inside: Rows
    """The cells that satisfy it."""
    beyond: tuple[Rows, ...]
    """Groups of cells that do not, of each of which one should pass: see ``list_beyond``."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """An explanation: where all conditions hold, cells fail in one way."""

    conditions: tuple[Condition, ...]
    failing: Rows
    """The cells that fail in that way, anywhere."""

    @cached_property
    def inside(self) -> Rows:
        """Return the cells for which it says that they fail."""
        return reduce(and_, (one.inside for one in self.conditions))


@dataclass(frozen=True, kw_only=True)
class Board:
    """All cells of a selection, and what is known of them."""

    axes: tuple[Axis, ...]
    passing: Rows
    ran: Rows
    """The cells that passed or failed."""
    open: Rows
    """The cells that were not run, and can be."""


def cover_pairs(axes: Sequence[Axis], cells: Rows) -> tuple[int, ...]:
    """Return cells in which each pair of values of two axes that any cell has comes at least once.

    Greedy: the cell with the most pairs that are new goes first, the earlier of two.
    """
    values = [_index(axis, cells) for axis in axes]
    pairs = list(combinations(range(len(axes)), 2)) or [(0, 0)]

    def list_pairs(cell: int) -> list[tuple[int, int, int, int]]:
        return [(i, j, values[i].get(cell, -1), values[j].get(cell, -1)) for i, j in pairs]

    covered: set[tuple[int, int, int, int]] = set()
    # A gain never grows, so what was a cell's when it was last asked is a bound.
    bounds = [(-len(pairs), cell) for cell in list_positions(cells)]
    heapify(bounds)
    chosen = []
    while bounds:
        bound, cell = bounds[0]
        gain = -sum(pair not in covered for pair in list_pairs(cell))
        if gain == bound == 0:
            break
        if gain == bound:
            chosen.append(cell)
            covered.update(list_pairs(cell))
            gain = 0
        heapreplace(bounds, (gain, cell))
    return tuple(chosen)


def _index(axis: Axis, cells: Rows) -> dict[int, int]:
    return {cell: value for value, mask in enumerate(axis) for cell in list_positions(mask & cells)}


def choose_cells(
    board: Board,
    claims: Sequence[Claim],
    alone: Rows,
    *,
    decisive: Sequence[Rows] = (),
    likely: Rows = 0,
    most: int = 32,
) -> tuple[int, ...]:
    """Return the cells to run next; none where nothing is left to ask.

    :param alone: failing cells that no claim explains.
    :param decisive: open cells, each of which would tell explanations apart.
    :param likely: cells that cost less than others; they decide between equal ones.
    :param most: how many at once.
    """
    wanted = [need for need in (*decisive, *_list_needs(board, claims, alone)) if need]
    chosen: list[int] = []
    while wanted and len(chosen) < most:
        best = max(_choose_candidates(wanted), key=lambda cell: _weigh(cell, wanted, likely))
        chosen.append(best)
        wanted = [need for need in wanted if not need >> best & 1]
    return tuple(sorted(chosen))


_LOOKED_AT = 64
"""Cells of a need that are compared."""
_PATIENCE = 2
"""Cells of a place that failed in another way, and so tell nothing: then it is given up."""


def _choose_candidates(wanted: Sequence[Rows]) -> list[int]:
    """Return cells that meet one of the needs that are hardest to meet."""
    return list_positions(min(wanted, key=int.bit_count))[:_LOOKED_AT]


def _weigh(cell: int, wanted: Sequence[Rows], likely: Rows) -> tuple[int, int, int]:
    return sum(need >> cell & 1 for need in wanted), likely >> cell & 1, -cell


def _list_needs(board: Board, claims: Sequence[Claim], alone: Rows) -> Iterator[Rows]:
    """Yield sets of open cells: of each, one should be run."""
    for number, claim in enumerate(claims):
        others = [one.inside for position, one in enumerate(claims) if position != number]
        elsewhere = reduce(or_, others, 0)
        for where in (*_list_borders(claim), *_list_parts(board, claim)):
            yield _ask(board, claim, where, elsewhere)
    for cell in list_positions(alone):
        yield from _list_neighbours(board, cell)


def _list_borders(claim: Claim) -> Iterator[Rows]:
    """Yield the cells beyond one condition alone: a pass there shows that it is needed."""
    for condition in claim.conditions:
        rest = reduce(and_, (one.inside for one in claim.conditions if one is not condition), -1)
        for group in condition.beyond:
            yield rest & group


def _list_parts(board: Board, claim: Claim) -> Iterator[Rows]:
    """Yield the cells inside with each value of each axis: a failure there shows that it does not matter."""
    for axis in board.axes:
        for mask in axis:
            yield claim.inside & mask


def _ask(board: Board, claim: Claim, where: Rows, elsewhere: Rows) -> Rows:
    """Return the open cells of a place of which nothing is known; none if something is."""
    own = where & ~elsewhere
    if own & (board.passing | board.open):
        where = own  # what another claim explains as well tells nothing of this one
    if where & (board.passing | claim.failing) or (where & board.ran).bit_count() >= _PATIENCE:
        return 0
    return where & board.open


def _list_neighbours(board: Board, cell: int) -> Iterator[Rows]:
    """Yield, for each axis, the open cells that differ from a cell on that axis alone."""
    own = [next((mask for mask in axis if mask >> cell & 1), 0) for axis in board.axes]
    for number, axis in enumerate(board.axes):
        rest = reduce(and_, (mask for position, mask in enumerate(own) if position != number), -1)
        near = rest & ~own[number] & reduce(or_, axis, 0)
        yield 0 if near & board.passing else near & board.open


def list_beyond(
    runs: Sequence[Sequence[int]], masks: Sequence[Rows], inside: Iterable[int]
) -> tuple[Rows, ...]:
    """Return the groups of cells beyond a condition, for ``Condition.beyond``.

    Where values have an order those next to a border speak for the ones behind them, and of a row that lies
    outside as a whole, its ends.

    :param runs: the values of the axis, by position: those of one run have an order.
    :param masks: by value, the cells that have it.
    :param inside: the values that satisfy the condition.
    """
    chosen, groups = set(inside), []
    for run in runs:
        if not chosen & set(run):
            groups += list(dict.fromkeys((run[0], run[-1])))
            continue
        for one, other in pairwise(run):
            if (one in chosen) != (other in chosen):
                groups.append(other if one in chosen else one)
    return tuple(masks[value] for value in dict.fromkeys(groups))
