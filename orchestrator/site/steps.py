"""Where a series of measurements takes a lasting step: change points. Pure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import median

_SHORTEST = 5
"""Nights on each side of a step: fewer are an accident."""
_SURE = 5.0
"""How many times its standard error the difference of two means has to be."""
_LARGE = math.log(1.2)
"""A step of less than a fifth is of no interest."""
_NORMAL = 0.6745
"""The median of the absolute values of a standard normal distribution."""


@dataclass(frozen=True, kw_only=True)
class StepChange:
    """A lasting change. Times are in seconds."""

    night: int
    """The number of the first night after it."""
    was: float
    now: float


def find_steps(values: Sequence[float | None]) -> tuple[StepChange, ...]:
    """Return the change points of a series of times, one a night; ``None`` where there is none.

    Binary segmentation on the logarithms (Scott and Knott 1974): the split whose two sides differ most,
    measured against noise that is taken from the differences of neighbours, which a step hardly moves.
    """
    at = [number for number, value in enumerate(values) if value is not None and value > 0]
    logs = [math.log(value) for value in values if value is not None and value > 0]
    if len(logs) < 2 * _SHORTEST:
        return ()
    spread = median(abs(one - other) for one, other in pairwise(logs))
    noise = max(spread / _NORMAL / math.sqrt(2), 1e-3)
    sums = [0.0, *accumulate(logs)]
    cuts = sorted(_split(sums, 0, len(logs), noise))
    edges = [0, *cuts, len(logs)]
    means = [math.exp((sums[b] - sums[a]) / (b - a)) for a, b in pairwise(edges)]
    return tuple(
        StepChange(night=at[cut], was=was, now=now)
        for cut, was, now in zip(cuts, means, means[1:], strict=False)
    )


def _split(sums: Sequence[float], first: int, end: int, noise: float) -> Iterator[int]:
    length, best, cut = end - first, _SURE, 0
    for middle in range(first + _SHORTEST, end - _SHORTEST + 1):
        left, right = middle - first, end - middle
        gap = abs((sums[end] - sums[middle]) / right - (sums[middle] - sums[first]) / left)
        score = gap * math.sqrt(left * right / length) / noise
        if gap > _LARGE and score > best:
            best, cut = score, middle
    if cut:
        yield cut
        yield from _split(sums, first, cut, noise)
        yield from _split(sums, cut, end, noise)
