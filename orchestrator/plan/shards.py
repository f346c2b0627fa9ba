"""Cuts a selection into shards for several machines, so that no HAProxy and few libraries are built twice.

From the matrix and fixed estimates alone: the machine that makes the list of shards and those that run them
come to the same answer. Pure.
"""

import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.errors import MatrixctlError, UsageError
from orchestrator.matrix.model import Cell
from orchestrator.plan.plan import FALLBACK_SECONDS, UNPACK_SECONDS, name_build

MOST = 256
"""Jobs that one matrix of GitHub Actions may have
(https://docs.github.com/actions: usage limits)."""
SETUP_SECONDS = 150.0
"""Until a fresh machine can build: Python's packages, the base, toolchain and client images."""
CELL_SECONDS = 0.6
"""Of a cell, beyond what its session takes; see docs/performance.md."""
NATIVE = ("amd64", "arm64")
"""Architectures for which there are hosted machines; the others run under QEMU on the first kind."""


@dataclass(frozen=True, kw_only=True)
class BuildWithCells:
    """A HAProxy build and the cells that are probed with it: they stay together."""

    name: str
    runner: str
    """The architecture of the machine that it runs on."""
    library: str
    """The library that is built for it; empty for the distribution's."""
    seconds: float
    """To build it and to probe its cells, without the library."""
    library_seconds: float
    cells: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Shard:
    """What one machine does. ``number`` counts from 1, ``of`` are all of them."""

    number: int
    of: int
    runner: str
    builds: tuple[BuildWithCells, ...]

    @property
    def cells(self) -> tuple[str, ...]:
        """Return the ids of its cells."""
        return tuple(cell for build in self.builds for cell in build.cells)

    @property
    def libraries(self) -> tuple[str, ...]:
        """Return the libraries that it builds, in their order."""
        return tuple(dict.fromkeys(build.library for build in self.builds if build.library))

    @property
    def seconds(self) -> float:
        """Return how long it takes, the set-up of its machine included."""
        return SETUP_SECONDS + _add_up(self.builds)


def list_builds(cells: Iterable[Cell], runners: Sequence[str] = NATIVE) -> tuple[BuildWithCells, ...]:
    """Return the builds of cells, in the order of the cells.

    :param runners: architectures of the machines that there are.
    """
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(name_build(cell), []).append(cell)
    return tuple(_make_build(name, group, runners) for name, group in groups.items())


def _make_build(name: str, cells: Sequence[Cell], runners: Sequence[str]) -> BuildWithCells:
    first = cells[0]
    arch, compiled = first.arch.name, first.haproxy.is_compiled
    library = f"{first.tls.name}--{arch}" if compiled and first.tls.source != "distro" else ""
    sessions = {cell.execution.name for cell in cells}
    building = FALLBACK_SECONDS["haproxy"] + FALLBACK_SECONDS["selftest"] if compiled else UNPACK_SECONDS
    return BuildWithCells(
        name=name,
        runner=arch if arch in runners else runners[0],
        library=library,
        seconds=building + len(sessions) * FALLBACK_SECONDS["probe"] + len(cells) * CELL_SECONDS,
        library_seconds=FALLBACK_SECONDS["tls"] if library else 0.0,
        cells=tuple(cell.id for cell in cells),
    )


def split(cells: Sequence[Cell], shards: int) -> tuple[Shard, ...]:
    """Cut cells into at most so many shards: no more than there are builds, and never above ``MOST``.

    :raises MatrixctlError: where a cell is not in exactly one shard (a fault of this module).
    """
    builds = list_builds(cells)
    shards = max(1, min(shards, len(builds), MOST))
    if shards < len({build.runner for build in builds}):
        builds = list_builds(cells, NATIVE[:1])
    parts = _cut(builds, shards)
    made = tuple(
        Shard(number=number, of=len(parts), runner=runner, builds=tuple(part))
        for number, (runner, part) in enumerate(parts, start=1)
    )
    _verify(cells, made)
    return made


def split_by_time(cells: Sequence[Cell], seconds: float) -> tuple[Shard, ...]:
    """Cut cells into the fewest shards of which none takes longer; where none is short enough, into most.

    There is at least one for each kind of machine, so that nothing is emulated that need not be.
    """
    least = len({build.runner for build in list_builds(cells)})
    most = len(split(cells, MOST))

    def is_short(shards: int) -> bool:
        return max(shard.seconds for shard in split(cells, shards)) <= seconds

    return split(cells, min(most, least + bisect_left(range(least, most + 1), True, key=is_short)))


def parse(text: str) -> tuple[int, int]:
    """Return K and N of ``K/N``, the K-th of N shards.

    :raises UsageError: where that names none.
    """
    found = re.fullmatch(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", text)
    number, of = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= of:
        raise UsageError(
            f"{text!r} names no shard", resolution="Write --shard K/N, as in --shard 1/4: the first of four."
        )
    return number, of


def take(cells: Sequence[Cell], text: str) -> tuple[Cell, ...]:
    """Return the cells of one shard.

    :param text: ``K/N``, the K-th of N shards.
    :raises UsageError: where there is no such shard.
    """
    number, of = parse(text)
    made = split(cells, of)
    if len(made) < of:
        raise UsageError(
            f"these cells cannot be cut into {of} shards, only into {len(made)}",
            details="A shard has at least one HAProxy build, and a matrix of GitHub Actions"
            f" at most {MOST} jobs.",
            resolution=f"Ask for --shard {min(number, len(made))}/{len(made)}, or let"
            " `matrixctl github matrix` make the list.",
        )
    mine = set(made[number - 1].cells)
    return tuple(cell for cell in cells if cell.id in mine)


# How a set of builds is cut.

_Part = list[BuildWithCells]
_HALVINGS = 10


def _cut(builds: Sequence[BuildWithCells], shards: int) -> list[tuple[str, _Part]]:
    """Return each shard's machine and builds."""
    by_runner: dict[str, list[BuildWithCells]] = {}
    for build in builds:
        by_runner.setdefault(build.runner, []).append(build)
    runners = sorted(by_runner, key=NATIVE.index)
    if not runners:
        return [(NATIVE[0], [])]
    shares, work = dict.fromkeys(runners, 1), {runner: _add_up(by_runner[runner]) for runner in runners}
    for _ in range(shards - len(runners)):  # one more for those that have most to do
        able = [one for one in runners if shares[one] < len(by_runner[one])]
        shares[max(able, key=lambda one: work[one] / shares[one])] += 1
    parts: Mapping[str, list[_Part]] = {
        runner: _balance(by_runner[runner], shares[runner]) for runner in runners
    }
    while better := _find_better_share(by_runner, parts):
        parts = better
    return [(runner, part) for runner in runners for part in parts[runner]]


def _find_better_share(
    builds: Mapping[str, Sequence[BuildWithCells]], parts: Mapping[str, list[_Part]]
) -> Mapping[str, list[_Part]] | None:
    """Return the parts with one machine of a quick kind given to the slowest, if the longest gets shorter.

    Work alone does not say how many machines a kind needs, since builds and libraries are not divisible.
    """
    slowest = max(parts, key=lambda runner: _find_longest(parts[runner]))
    givers = [runner for runner in parts if runner != slowest and len(parts[runner]) > 1]
    if not givers or len(parts[slowest]) == len(builds[slowest]):
        return None
    giver = min(givers, key=lambda runner: _find_longest(parts[runner]))
    less = _balance(builds[giver], len(parts[giver]) - 1)
    if _find_longest(less) >= _find_longest(parts[slowest]):
        return None
    more = _balance(builds[slowest], len(parts[slowest]) + 1)
    return (
        {**parts, giver: less, slowest: more} if _find_longest(more) < _find_longest(parts[slowest]) else None
    )


def _balance(builds: Sequence[BuildWithCells], shards: int) -> list[_Part]:
    """Return the builds in so many parts, the longest of them as short as packing and mending make it.

    As in MULTIFIT (https://doi.org/10.1137/0207001) a limit for all parts is sought by halving; what was
    packed is then mended by moves and exchanges.
    """
    found = [_mend(_deal(builds, shards))]
    low, high = max(build.seconds + build.library_seconds for build in builds), _find_longest(found[0])
    for _ in range(_HALVINGS):
        limit = (low + high) / 2
        packed = _pack(builds, shards, limit)
        if packed is None:
            low = limit
        else:
            high = min(limit, _find_longest(packed))
            found.append(_mend(packed))
    return min(found, key=lambda parts: (_find_longest(parts), math.fsum(map(_add_up, parts))))


def _deal(builds: Sequence[BuildWithCells], shards: int) -> list[_Part]:
    """Deal the builds, the longest first, each to the part that is then the shortest."""
    parts: list[_Part] = [[] for _ in range(shards)]
    for build in sorted(builds, key=lambda one: (-one.seconds, one.library, one.name)):
        min(parts, key=lambda part: (_add_up([*part, build]), len(part))).append(build)
    return _fill(parts)


def _pack(builds: Sequence[BuildWithCells], shards: int, limit: float) -> list[_Part] | None:
    """Pack the builds into parts that stay within a limit; ``None`` where that does not work out.

    The libraries with most to do come first, each in as few parts as can be; what needs none fills the rest.
    """
    parts: list[_Part] = [[] for _ in range(shards)]
    groups: dict[str, list[BuildWithCells]] = {}
    for build in sorted(builds, key=lambda one: (-one.seconds, one.name)):
        groups.setdefault(build.library, []).append(build)
    for library in sorted(groups, key=lambda one: (not one, -_add_up(groups[one]), one)):
        left = groups[library]
        while left:
            fits = [part for part in parts if _add_up([*part, *left]) <= limit] if library else []
            if fits:
                max(fits, key=_add_up).extend(left)
                break
            room = min(parts, key=_add_up)
            taken = [left[0]]
            for build in left[1:] if library else ():
                if _add_up([*room, *taken, build]) <= limit:
                    taken.append(build)
            room += taken
            if _add_up(room) > limit:
                return None
            left = [build for build in left if build not in taken]
    return _fill(parts)


def _fill(parts: list[_Part]) -> list[_Part]:
    """Leave no part empty: the longest gives a build away."""
    for part in parts:
        if not part:
            part.append(max((one for one in parts if len(one) > 1), key=_add_up).pop())
    return parts


def _mend(parts: list[_Part]) -> list[_Part]:
    """Move builds away from the longest part, or exchange them, as long as that makes it shorter."""
    while better := _find_better(parts):
        parts = better
    return parts


def _find_better(parts: list[_Part]) -> list[_Part] | None:
    """Return the parts with one move or exchange by which the longest gets shorter; ``None`` if none does."""
    worst = max(range(len(parts)), key=lambda number: _add_up(parts[number]))
    limit = _add_up(parts[worst])
    found: tuple[float, int, _Part, _Part] | None = None
    for number, other in enumerate(parts):
        if number == worst:
            continue
        for mine, theirs in _list_exchanges(parts[worst], other):
            longest = max(_add_up(mine), _add_up(theirs))
            if mine and longest < (found[0] if found else limit) - 1e-9:
                found = longest, number, mine, theirs
    if found is None:
        return None
    _, number, mine, theirs = found
    return [mine if i == worst else theirs if i == number else part for i, part in enumerate(parts)]


def _list_exchanges(part: _Part, other: _Part) -> Iterable[tuple[_Part, _Part]]:
    """Yield both parts after each way to move one build, all builds of a library, or to exchange two."""
    for library in dict.fromkeys(build.library for build in part):
        moved = [build for build in part if build.library == library]
        yield [build for build in part if build.library != library], [*other, *moved]
    for i, build in enumerate(part):
        rest = part[:i] + part[i + 1 :]
        yield rest, [*other, build]
        for j, back in enumerate(other):
            yield [*rest, back], [*other[:j], *other[j + 1 :], build]


def _add_up(builds: Sequence[BuildWithCells]) -> float:
    """Return the seconds for some builds on one machine: each library is built there once."""
    seconds, libraries = [], {}
    for build in builds:  # one walk: plans of a thousand builds ask for this millions of times
        seconds.append(build.seconds)
        libraries[build.library] = build.library_seconds
    return math.fsum([*seconds, *libraries.values()])


def _find_longest(parts: Sequence[_Part]) -> float:
    return max(map(_add_up, parts), default=0.0)


def _verify(cells: Sequence[Cell], shards: Sequence[Shard]) -> None:
    """Prove that each cell is in exactly one shard, and no build in two."""
    given = sorted(cell.id for cell in cells)
    builds = [build.name for shard in shards for build in shard.builds]
    if sorted(cell for shard in shards for cell in shard.cells) != given or len(set(builds)) < len(builds):
        raise MatrixctlError("The shards do not hold each cell once; this is a fault of matrixctl.")
