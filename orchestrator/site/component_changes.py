"""What cells were made of, night by night, and what of it changed. Pure."""

from collections.abc import Sequence
from functools import cache

from orchestrator.analyse.ingredients import Difference, Thing, compare_cells, read_sets
from orchestrator.site.year import Result, Year

_TOLD = 10
"""Changes of one night that are told of a cell."""


class ComponentChanges:
    """Compares what cells of a year were made of; each pair of sets once, since many cells share them."""

    def __init__(self, year: Year) -> None:
        """Take the year."""
        self._sets = year.sets
        self._compare = cache(self._compare_pair)
        self._words: dict[int, tuple[tuple[Difference, ...], tuple[str, ...]]] = {}

    def differ(self, was: Result, now: Result) -> tuple[Difference, ...] | None:
        """Return what changed of that which a cell depends on; ``None`` where it is not known."""
        if was.made is None or now.made is None:
            return None
        (shared, own), (shared_now, own_now) = was.made, now.made
        if own != own_now:
            return self._compare((shared, own), was.build, (shared_now, own_now), now.build)
        if shared == shared_now and was.build == now.build:
            return ()
        return self._compare((shared,), was.build, (shared_now,), now.build)

    def tell(self, was: Result, now: Result) -> tuple[str, ...] | None:
        """Return the same in words, a few of them; ``None`` where it is not known."""
        found = self.differ(was, now)
        if found is None:
            return None
        if id(found) not in self._words:  # kept with its words, so none other has its id
            words = [describe(difference) for difference in found[:_TOLD]]
            more = [f"and {len(found) - _TOLD} more"] if len(found) > _TOLD else []
            self._words[id(found)] = found, (*words, *more)
        return self._words[id(found)][1]

    def _compare_pair(
        self, was: Sequence[int], was_build: str, now: Sequence[int], now_build: str
    ) -> tuple[Difference, ...] | None:
        if not {*was, *now} <= self._sets.keys():  # another process wrote between two queries
            return None
        one, other = ([self._sets[number] for number in numbers] for numbers in (was, now))
        return compare_cells(read_sets(one, was_build), read_sets(other, now_build))


def describe(difference: Difference) -> str:
    """Return one change in words: ``curl in client-amd64 8.14.1-2 \u2192 8.14.1-3``."""
    was, now = _describe_version(difference.was), _describe_version(difference.now)
    if was == now:  # the same version of other content
        was, now = _describe_digest(difference.was), _describe_digest(difference.now)
    return f"{difference.name}: {was} \u2192 {now}"


def _describe_version(thing: Thing | None) -> str:
    return "none" if thing is None else thing.version or _describe_digest(thing)


def _describe_digest(thing: Thing | None) -> str:
    return (thing.digest or "").removeprefix("sha256:")[:12] if thing else "none"
