"""The smallest conjunctions that cover the failures and no pass: a search over bit sets. Pure.

It knows neither cells nor filters: a factor is a column of values, a box is a conjunction of conditions, and
which explanation is the best one is decided by its description length, in bits (docs/localisation.md).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from itertools import combinations
from math import comb, factorial, inf, log2
from operator import or_

Values = int
"""A set of values of one factor, as a bit set of their positions."""
Rows = int
"""A set of rows (cells), as a bit set."""
Box = tuple[tuple[int, Values], ...]
"""A conjunction: for some factors, sorted, the values that are allowed."""

LEVELS = 3
"""Conditions of a seed; growing may add more."""
NOISE_BITS, SUSPICION_BITS = 6.0, 20.0
"""What it costs to say at all that outcomes are noisy: where a cluster has passes, and where it is only the
failures outside that would be noise. That is an easy excuse."""
_UNEXPLAINED_BITS = 8.0
"""What a failure costs, beyond its name, that a model without noise leaves unexplained."""
_NOISE_RATE = 0.05
"""What is tried first; then what was found."""
_DENIED_BITS = 2.0
"""What ``!=`` costs beside ``=``: it speaks of values that were not tried."""
_CARE = 2.5
"""What a pass counts beside a failure while boxes are looked for one by one: a box that is too large and
takes in another fault would never be given up."""
_NEEDED_BITS = 4.0
"""What a condition has to save at least where there is noise."""
_MOST_CLUSTERS, _MOST_STRICT = 12, 6
"""Clusters that are looked for, with noise and without."""
_SEED_ROWS = 1500
_SEEDS_PER_SUBSET = 4
_SEEDS = 60
_SWEEPS = 6
_HARD = 1e9
_ORDERS = tuple(log2(factorial(count)) for count in range(10))
"""Conditions have no order: what saying it would cost."""
_SHARED_BITS = 0.9
"""What all failures together count that another box explains as well: it decides between equal boxes."""


@dataclass(frozen=True, kw_only=True)
class Factor:
    """One column. ``runs`` has every value once: those of one run have an order, ascending."""

    name: str
    masks: tuple[Rows, ...]
    """By value: the rows that have it."""
    unknown: Rows
    """The rows of which the value is not known: each may have any."""
    runs: tuple[tuple[int, ...], ...]
    surcharge: float = 0.0
    """Bits by which a condition on it is less welcome."""

    @property
    def full(self) -> Values:
        """Return all its values."""
        return (1 << len(self.masks)) - 1

    @property
    def term_bits(self) -> float:
        """Return what one term costs: which interval of which run it is, and that there may be another."""
        return 1 + log2(sum(len(run) * (len(run) + 1) // 2 for run in self.runs))

    @cached_property
    def column(self) -> Mapping[int, int]:
        """Return the value of each row of which it is known."""
        return {row: value for value, mask in enumerate(self.masks) for row in list_positions(mask)}

    def count_terms(self, values: Values) -> int:
        """Return of how many intervals a set of values consists."""
        count = 0
        for run in self.runs:
            inside = False
            for value in run:
                now = bool(values >> value & 1)
                count += now and not inside
                inside = now
        return count

    def find_rows(self, values: Values) -> Rows:
        """Return the rows that are known to have one of the values."""
        found = 0
        for value, mask in enumerate(self.masks):
            if values >> value & 1:
                found |= mask
        return found


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What a row counts, in bits."""

    fail: float
    passing: float


@dataclass(frozen=True, kw_only=True)
class BoxGoal:
    """What the next box is for: rows that others do not cover, and what each counts."""

    fails: Rows
    shared: Rows
    """Failures that another box covers."""
    passes: Rows
    weights: Weights

    @property
    def bonus(self) -> float:
        """Return what a shared failure counts."""
        return _SHARED_BITS / max(self.shared.bit_count(), 1)


@dataclass(frozen=True, kw_only=True)
class Model:
    """Boxes that explain the failures, and what they leave."""

    boxes: tuple[Box, ...]
    bits: float
    noisy: bool
    """Exceptions are taken for noise."""


@dataclass(kw_only=True)
class Space:
    """The rows of one question: which failed, which passed. All others are missing data."""

    factors: tuple[Factor, ...]
    failing: Rows
    passing: Rows
    _bits: dict[tuple[int, Values], float] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Keep what is asked often."""
        self.count = (self.failing | self.passing).bit_count()
        self._base = log2(max(len(self.factors), 2))
        self._all = self.failing | self.passing
        self._masks = [
            [(1 << value, mask | factor.unknown) for value, mask in enumerate(factor.masks)]
            for factor in self.factors
        ]
        self._terms = [factor.term_bits for factor in self.factors]

    def may_hold(self, box: Box) -> Rows:
        """Return the rows for which a box holds as far as is known."""
        rows = self._all
        for index, values in box:
            rows &= self.factors[index].find_rows(values) | self.factors[index].unknown
        return rows

    def holds(self, box: Box) -> Rows:
        """Return the rows for which a box is known to hold."""
        rows = self._all
        for index, values in box:
            rows &= self.factors[index].find_rows(values)
        return rows

    def find_covered(self, boxes: Iterable[Box]) -> Rows:
        """Return the rows for which any of several boxes may hold."""
        rows = 0
        for box in boxes:
            rows |= self.may_hold(box)
        return rows

    def measure_box(self, box: Box) -> float:
        """Return the description length of a box."""
        return sum(self.measure_condition(index, values) for index, values in box) - _ORDERS[min(len(box), 9)]

    def measure_condition(self, index: int, values: Values) -> float:
        """Return that of one condition: which factor, which values, or which others."""
        if (index, values) not in self._bits:
            factor = self.factors[index]
            said, denied = factor.count_terms(values), factor.count_terms(factor.full & ~values)
            terms = min(said * self._terms[index], denied * self._terms[index] + _DENIED_BITS)
            self._bits[index, values] = self._base + factor.surcharge + terms
        return self._bits[index, values]

    def measure(self, boxes: Sequence[Box], *, noisy: bool) -> float:
        """Return the description length of the failures by means of these boxes."""
        covered = self.find_covered(boxes)
        left, wrong = (self.failing & ~covered).bit_count(), (self.passing & covered).bit_count()
        model = sum(map(self.measure_box, boxes)) + len(boxes)
        if not noisy:
            return inf if wrong else model + left * self.unexplained_bits
        noise = NOISE_BITS if wrong else SUSPICION_BITS
        return model + noise + log2(self.count + 1) + log2(comb(self.count, left + wrong))

    @property
    def least_noisy(self) -> float:
        """Return the shortest description that a model with noise could have."""
        return NOISE_BITS + 2 * log2(self.count + 1) + self._base + 1

    @property
    def unexplained_bits(self) -> float:
        """Return what an unexplained failure costs where there is no noise."""
        return log2(self.count + 1) + _UNEXPLAINED_BITS

    def find_best_values(self, index: int, rest: Rows, wanted: BoxGoal) -> tuple[Values, float]:
        """Return the best condition on a factor beside others that hold for ``rest``, and its worth.

        All values mean: none.
        """
        fails, shared, passes = wanted.fails & rest, wanted.shared & rest, wanted.passes & rest
        factor, price = self.factors[index], self._terms[index]
        if not passes:
            return factor.full, wanted.weights.fail * fails.bit_count() + wanted.bonus * shared.bit_count()
        fail, bad, bonus = wanted.weights.fail, wanted.weights.passing, wanted.bonus
        scores = [
            fail * (fails & mask).bit_count() - bad * (passes & mask).bit_count() for mask in factor.masks
        ]
        if shared:
            scores = [
                score + bonus * (shared & mask).bit_count()
                for score, mask in zip(scores, factor.masks, strict=True)
            ]
        always = 0.0
        if unknown := factor.unknown:
            always = fail * (fails & unknown).bit_count() - bad * (passes & unknown).bit_count()
        whole = sum(scores)
        best, worth = factor.full, whole
        if min(scores) >= 0:
            return best, worth + always
        base = self._base + factor.surcharge
        for values, sum_ in (
            _find_best_intervals(factor.runs, scores, price),
            _drop_interval(
                factor.full,
                whole - _DENIED_BITS,
                _find_best_intervals(factor.runs, [-s for s in scores], price),
            ),
        ):
            if 0 < values < factor.full and sum_ - base > worth + 1e-9:
                best, worth = values, sum_ - base
        return best, worth + always

    def grow(self, box: Box, wanted: BoxGoal) -> tuple[Box, float]:
        """Return the best box that can be reached from a box by changing one condition at a time."""
        found = dict(box)
        order = [*found, *(i for i in range(len(self.factors)) if i not in found)]
        worth = self.weigh(box, wanted)
        for _ in range(_SWEEPS):
            before = worth
            for index in order:
                rest, bits = self._all, 0.0
                for other, values in found.items():
                    if other != index:
                        rest &= self._find_rows(other, values)
                        bits += self.measure_condition(other, values)
                values, gain = self.find_best_values(index, rest, wanted)
                now = gain - bits
                if now > worth + 1e-6:
                    worth = now
                    found.pop(index, None)
                    if values != self.factors[index].full:
                        found[index] = values
            if worth <= before + 1e-6:
                break
        return tuple(sorted(found.items())), worth

    def _find_rows(self, index: int, values: Values) -> Rows:
        found = 0
        for bit, mask in self._masks[index]:
            if values & bit:
                found |= mask
        return found

    def weigh(self, box: Box, wanted: BoxGoal) -> float:
        """Return how many bits a box saves."""
        rows = self.may_hold(box)
        return (
            wanted.weights.fail * (rows & wanted.fails).bit_count()
            + wanted.bonus * (rows & wanted.shared).bit_count()
            - wanted.weights.passing * (rows & wanted.passes).bit_count()
            - self.measure_box(box)
        )

    def proves(self, box: Box) -> bool:
        """Return whether two failures fit a box, and at least half of those that may fit are known to."""
        known, may = (rows & self.failing for rows in (self.holds(box), self.may_hold(box)))
        return bool(box) and may.bit_count() > 1 and 2 * known.bit_count() >= may.bit_count()


def _find_best_intervals(
    runs: Sequence[Sequence[int]], scores: Sequence[float], price: float
) -> tuple[Values, float]:
    """Return the intervals with the largest sum of scores, each at a price; at least one."""
    total, values, single, alone = 0.0, 0, -inf, 0
    for run in runs:
        out, inside = (0.0, 0), (-inf, 0)
        here, start = -inf, 0
        for value in run:
            score, bit = scores[value], 1 << value
            if here > 0:
                here, start = here + score, start | bit
            else:
                here, start = score, bit
            if here > single:
                single, alone = here, start
            enter = out[0] - price
            went_on = inside if inside[0] >= enter else (enter, out[1])
            inside = went_on[0] + score, went_on[1] | bit
            if inside[0] > out[0]:
                out = inside
        total, values = total + out[0], values | out[1]
    return (values, total) if values else (alone, single - price)


def _drop_interval(full: Values, whole: float, excluded: tuple[Values, float]) -> tuple[Values, float]:
    return full & ~excluded[0], whole + excluded[1]


def find_models(spaces: Sequence[Space]) -> list[Model]:
    """Return the explanation of each of several kinds of failure among the same rows.

    A pass among the failures of one kind is an exception there, and says nothing of another kind.
    """
    models = [find_model(space) for space in spaces]
    for position, space in enumerate(spaces):
        others = (spaces[i].find_covered(model.boxes) for i, model in enumerate(models) if i != position)
        elsewhere = reduce(or_, others, 0)
        if space.passing & elsewhere:
            rest = replace(space, passing=space.passing & ~elsewhere)
            models[position] = find_model(rest, noisy=models[position].noisy)
    return models


def find_model(space: Space, *, noisy: bool = False) -> Model:
    """Return the explanation of the failures with the shortest description.

    :param noisy: it is known that there are exceptions.
    """
    if noisy:
        return min(_find_noisy(space), key=lambda model: model.bits)
    strict = _find(space, Weights(fail=space.unexplained_bits, passing=_HARD), noisy=False)
    if not space.failing & ~space.find_covered(strict.boxes) and strict.bits < space.least_noisy:
        return strict
    return min(strict, *_find_noisy(space), key=lambda model: model.bits)


def _find_noisy(space: Space) -> Iterator[Model]:
    """Yield the best model with noise at a usual rate, then at the rate that this one leaves."""
    rate = _NOISE_RATE
    for _ in range(2):
        weight = log2((1 - rate) / rate)
        model = _find(space, Weights(fail=weight, passing=weight), noisy=True)
        yield model
        rate = min(max(_count_exceptions(space, model.boxes) / space.count, 1 / space.count), 0.3)


def _count_exceptions(space: Space, boxes: Sequence[Box]) -> int:
    covered = space.find_covered(boxes)
    return (space.failing & ~covered | space.passing & covered).bit_count()


def _find(space: Space, weights: Weights, *, noisy: bool) -> Model:
    boxes: list[Box] = []
    for care in (_CARE, 1.0) if noisy else (1.0,):
        careful = replace(weights, passing=care * weights.passing)
        while len(boxes) < (_MOST_CLUSTERS if noisy else _MOST_STRICT):
            wanted = _list_wanted(space, boxes, careful)
            box = _find_best_box(space, wanted) if wanted.fails.bit_count() > 1 else None
            if box is None:
                break
            boxes.append(box)
    boxes = _refine(space, boxes, weights, noisy=noisy)
    return Model(boxes=tuple(boxes), bits=space.measure(boxes, noisy=noisy), noisy=noisy)


def _list_wanted(space: Space, others: Sequence[Box], weights: Weights) -> BoxGoal:
    covered = space.find_covered(others)
    return BoxGoal(
        fails=space.failing & ~covered,
        shared=space.failing & covered,
        passes=space.passing & ~covered,
        weights=weights,
    )


def _find_best_box(space: Space, wanted: BoxGoal) -> Box | None:
    found: dict[Box, float] = {}
    for seed in _list_seeds(space, wanted):
        if any(_lies_in(seed, box) for box in found):
            continue
        box, worth = space.grow(seed, wanted)
        if worth > 0 and box not in found and space.proves(box):
            found[box] = worth
    return max(found, key=lambda box: (found[box], -len(box)), default=None)


def _lies_in(point: Box, box: Box) -> bool:
    at = dict(point)
    return all(at.get(index, 0) & values for index, values in box)


def _refine(space: Space, boxes: list[Box], weights: Weights, *, noisy: bool) -> list[Box]:
    """Grow each box again beside all others, and drop those that are not needed."""
    bits = space.measure(boxes, noisy=noisy)
    for _ in range(3):
        before = bits
        for position in range(len(boxes) - 1, -1, -1):
            others = boxes[:position] + boxes[position + 1 :]
            grown, _ = space.grow(boxes[position], _list_wanted(space, others, weights))
            trials = [others]
            if space.proves(grown):
                trials.append([*boxes[:position], grown, *boxes[position + 1 :]])
            for trial in trials:
                now = space.measure(trial, noisy=noisy)
                if now < bits - 1e-6:
                    boxes, bits = trial, now
                    break
        if bits >= before - 1e-6:
            break
    return _drop_needless(space, boxes, bits) if noisy else boxes


def _drop_needless(space: Space, boxes: list[Box], bits: float) -> list[Box]:
    """Leave out conditions that save next to nothing: with noise they only go around an exception or two."""
    for position, box in enumerate(boxes):
        for condition in box:
            trial = [
                *boxes[:position],
                tuple(one for one in boxes[position] if one != condition),
                *boxes[position + 1 :],
            ]
            now = space.measure(trial, noisy=True)
            if trial[position] and now < bits + _NEEDED_BITS:
                boxes, bits = trial, now
    return boxes


def _list_seeds(space: Space, wanted: BoxGoal) -> Iterator[Box]:
    """Return points (equalities) at which failures gather, the most promising first."""
    rows = _thin(wanted.fails, _SEED_ROWS)
    columns = [[factor.column.get(row, -1) for row in rows] for factor in space.factors]
    scored: list[tuple[float, Box]] = []
    for size in range(1, LEVELS + 1):
        for subset in combinations(range(len(space.factors)), size):
            points: Counter[tuple[int, ...]] = Counter(zip(*(columns[i] for i in subset), strict=True))
            for point, _ in points.most_common(_SEEDS_PER_SUBSET):
                if -1 in point:
                    continue
                box = tuple((i, 1 << value) for i, value in zip(subset, point, strict=True))
                scored.append((_weigh(space, box, wanted), box))
    scored.sort(key=lambda one: -one[0])
    return (box for _, box in scored[:_SEEDS])


def _weigh(space: Space, box: Box, wanted: BoxGoal) -> float:
    rows, weights = space.may_hold(box), wanted.weights
    fails, passes = (rows & wanted.fails).bit_count(), (rows & wanted.passes).bit_count()
    return fails * weights.fail - passes * min(weights.passing, 4 * weights.fail) - space.measure_box(box)


def list_positions(rows: Rows) -> list[int]:
    """Return the positions of the rows, ascending."""
    return [position for position, digit in enumerate(bin(rows)[:1:-1]) if digit == "1"]


def _thin(rows: Rows, most: int) -> list[int]:
    """Return positions, evenly thinned where there are too many."""
    found = list_positions(rows)
    return found[:: max(1, -(-len(found) // most))]
