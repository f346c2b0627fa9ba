"""How well the nightly profile is cut into shards: a simulation with the planner's estimates, no clock."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from math import floor, fsum

from bench.figures import Section, check_target
from orchestrator import resources
from orchestrator.matrix.expand import expand
from orchestrator.matrix.load import load
from orchestrator.matrix.model import Cell
from orchestrator.matrix.select import find_filters, select
from orchestrator.plan.shards import NATIVE, SETUP_SECONDS, BuildWithCells, list_builds, split

TARGET = 1.15
MOST = 64
"""Runners."""
_SHOWN = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
_BUILDS = 8
"""Builds on one runner, up to which all ways to fill it are tried; beyond, the work's sum is near enough."""
_OPTIMUM = (
    "The optimum: each runner pays its own set-up and each library that it uses, builds stay whole, and run"
    " natively where there is such a runner. The figure is at most that, and near it: builds of one library"
    " count as the quickest of them."
)

Group = tuple[int, int, int]
"""A library's seconds, those of its quickest build, and how many builds it has."""
State = tuple[tuple[Group, int], ...]
"""How often there is each kind of group."""


def measure(profile: str = "nightly", most: int = MOST) -> Section:
    """Cut the profile for each number of runners, and hold the longest shard against the optimum."""
    matrix = load(resources.find_root() / "matrix.yaml")
    every = expand(matrix)
    return make_section(select(every, find_filters(matrix, profile), known=every), profile, most)


def make_section(cells: Sequence[Cell], profile: str, most: int) -> Section:
    """Return the table for some numbers of runners; the notes are of all of them."""
    builds = list_builds(cells)
    libraries = {build.library for build in builds if build.library}
    bounds = _list_bounds(cells, most)
    rows, ratios, again = [], {}, {}
    for number in range(1, most + 1):
        shards = split(cells, number)
        longest = max(shard.seconds for shard in shards)
        ratios[number] = longest / bounds[number]
        again[number] = sum(len(shard.libraries) for shard in shards) - len(libraries)
        if number in _SHOWN:
            figures = (f"{longest / 60:.1f}", f"{bounds[number] / 60:.1f}", f"{ratios[number]:.3f}")
            rows.append((f"{number}", *figures, f"{again[number]}"))
    worst = max(ratios, key=lambda number: ratios[number])
    return Section(
        key="shards",
        title="Shards",
        header=(
            "runners",
            "longest shard (min)",
            "optimum, at least (min)",
            "ratio",
            "libraries built again",
        ),
        rows=tuple(rows),
        notes=(
            (
                f"Profile {profile}: {len(cells)} cells, {len(builds)} HAProxy builds, none of them"
                f" twice, and {len(libraries)} builds of libraries."
            ),
            check_target(
                f"Longest shard against the optimum, the worst of 1 to {most} runners ({worst})",
                ratios[worst],
                TARGET,
                "times",
            ),
            _OPTIMUM,
        ),
    )


def _list_bounds(cells: Sequence[Cell], most: int) -> dict[int, float]:
    """Return, for each number of runners, seconds that no cut can fall short of."""
    builds = list_builds(cells)
    kinds = [[build for build in builds if build.runner == runner] for runner in NATIVE]
    first, *others = [_Bound(one) for one in kinds if one]
    alone = _Bound(list_builds(cells, NATIVE[:1]))
    if not others:
        return {number: SETUP_SECONDS + first.find(number) for number in range(1, most + 1)}
    (second,) = others
    return {
        number: SETUP_SECONDS
        + (
            alone.find(1)
            if number == 1
            else min(max(first.find(mine), second.find(number - mine)) for mine in range(1, number))
        )
        for number in range(1, most + 1)
    }


class _Bound:
    """The least time for builds on so many runners of one kind, or a bit less."""

    def __init__(self, builds: Sequence[BuildWithCells]) -> None:
        groups: dict[str, list[BuildWithCells]] = {}
        for build in builds:
            groups.setdefault(build.library, []).append(build)
        self._groups = list(groups.values())
        self._longest = max(build.seconds + build.library_seconds for build in builds)
        self._large = max(build.seconds for build in builds) / 2
        self._found: dict[int, float] = {}
        self._counted: dict[int, int] = {}

    def find(self, runners: int) -> float:
        """Return seconds that no cut for so many runners can fall short of."""
        if runners not in self._found:
            least = max(self._longest, self._spread(runners))
            low = floor(least)
            if low <= 2 * _BUILDS * self._large:
                low = _find_first(low, lambda limit: self._count(limit) <= runners)
            self._found[runners] = max(least, low)
        return self._found[runners]

    def _spread(self, runners: int) -> float:
        """Return the least limit within which the work fits, each library on as many runners as it takes."""

        def fits(limit: float) -> bool:
            total = 0.0
            for group in self._groups:
                library, work = group[0].library_seconds, fsum(build.seconds for build in group)
                copies = -(-work // (limit - library)) if library else 1
                total += work + copies * library
            return total <= runners * limit

        return _find_first(floor(self._longest), fits) - 1 if not fits(self._longest) else self._longest

    def _count(self, limit: int) -> int:
        """Return the fewest runners that stay within the limit, if all is as quick as the quickest."""
        if limit not in self._counted:
            self._counted[limit] = count_runners(self._simplify(), limit)
        return self._counted[limit]

    def _simplify(self) -> list[Group]:
        """Return the libraries; of what needs none, small builds are left out: they fit anywhere."""
        found = []
        for group in self._groups:
            kept = [one.seconds for one in group if one.library or one.seconds > self._large]
            if kept:
                found.append((floor(group[0].library_seconds), floor(min(kept)), len(kept)))
        return found


def _find_first(low: int, is_enough: Callable[[int], bool]) -> int:
    """Return the least number from ``low`` on that is enough; all above it are."""
    if is_enough(low):
        return low
    step = 1
    while not is_enough(low + step):
        step *= 2
    high = low + step
    low += step // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def count_runners(groups: Sequence[Group], limit: int) -> int:
    """Return the fewest runners on which all builds end within a limit; exact, by all ways to fill each."""

    @cache
    def count(state: State) -> int:
        return 1 + min(map(count, set(_fill(state, limit)))) if state else 0

    return count(tuple(sorted(Counter(groups).items())))


def _fill(state: State, limit: int) -> Iterator[State]:
    """Yield what is left after each way to fill one runner to which no more could be added."""

    def choose(number: int, room: int, rest: Counter[Group]) -> Iterator[tuple[int, Counter[Group]]]:
        if number == len(state):
            yield room, rest
            return
        group, there = state[number]
        for used, left in _take(group, there, group[2], room):
            yield from choose(number + 1, room - used, rest + left)

    for room, rest in choose(0, limit, Counter()):
        if all(library + seconds > room for library, seconds, _ in rest):
            yield tuple(sorted(rest.items()))


def _take(group: Group, there: int, most: int, room: int) -> Iterator[tuple[int, Counter[Group]]]:
    """Yield the seconds and the rest of each way to take builds of libraries of one kind."""
    library, seconds, builds = group
    yield 0, Counter({group: there} if there else {})
    if not there:
        return
    for taken in range(min(most, builds), 0, -1):
        cost = library + taken * seconds
        if cost <= room:
            left = Counter({(library, seconds, builds - taken): 1} if taken < builds else {})
            for more, rest in _take(group, there - 1, taken, room - cost):
                yield cost + more, left + rest
