"""What a browser needs to compare any two runs: short data of each, and the page that asks for it. Pure."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from orchestrator.analyse.change import Change
from orchestrator.analyse.compare import CAN_HAVE_A_SUSPECT
from orchestrator.analyse.nights import Flakiness
from orchestrator.record.model import Ingredient
from orchestrator.report.comparison import describe_flakiness
from orchestrator.site.news import read_state
from orchestrator.site.page_paths import name_cell_page, name_run_page
from orchestrator.site.pages import CHANGE_TITLES, Frame, Page, as_json, as_script, read_asset, replace_sides
from orchestrator.site.year import Night, Result, Year

Thing = tuple[object, ...]
"""An ingredient as a browser gets it."""


@dataclass(frozen=True, kw_only=True)
class Numbering:
    """A number for each cell, in the order in which they came: a new one changes none of the others."""

    numbers: Mapping[str, int]
    digests: tuple[str, ...]
    """Of the ids up to each number."""

    def make_key(self, night: Night) -> str:
        """Return a digest of the numbers that a night's cells have."""
        last = max((self.numbers[name] for name in night.results), default=-1)
        return self.digests[last] if last >= 0 else ""


def number_cells(year: Year) -> Numbering:
    """Return the numbers of a year's cells."""
    prefix, digests = hashlib.sha256(), []
    for name in year.points:
        prefix.update(name.encode("utf-8", "surrogatepass") + b"\0")
        digests.append(prefix.hexdigest())
    return Numbering(
        numbers={name: number for number, name in enumerate(year.points)}, digests=tuple(digests)
    )


def make_pairs(frame: Frame, numbers: Numbering) -> Iterator[Page]:
    """Return the page that compares any two runs, and the data of each run."""
    year = frame.year
    yield Page(
        path="compare.html", make=partial(frame.render, "compare.html.j2", "compare.html", nights=year.nights)
    )
    told = {
        "runs": [
            {"id": night.id, "day": night.day, "page": name_run_page(night.id)} for night in year.nights
        ],
        "cells": [[name, name_cell_page(name), *point[1:]] for name, point in year.points.items()],
        "changes": [
            [change, CHANGE_TITLES[change], replace_sides(change.meaning), change in CAN_HAVE_A_SUSPECT]
            for change in Change
        ],
    }
    yield Page(path="compare.json", make=lambda: as_json(told))
    yield Page(path="compare-data.js", make=lambda: as_script("compare", told))
    yield Page(path="compare.js", make=lambda: read_asset("site/compare.js"))
    list_things = cache(lambda number: [_shorten(one) for one in sorted(year.sets[number])])
    for number, night in enumerate(year.nights):
        tell = partial(_tell_run, night, numbers, frame.recall(number), year.sets.keys(), list_things)
        yield Page(
            path=name_run_page(night.id).removesuffix(".html") + ".js",
            make=partial(_write_script, night.id, tell),
            key=frame.make_key("pairs", night.key, numbers.make_key(night), *frame.recall(number).items()),
        )


def _write_script(run: str, tell: Callable[[], dict[str, Any]]) -> bytes:
    return as_script("run", run, tell())


def _tell_run(
    night: Night,
    numbers: Numbering,
    flaky: Mapping[str, Flakiness],
    known: AbstractSet[int],
    list_things: Callable[[int], Sequence[Thing]],
) -> dict[str, Any]:
    """Return how the cells of a night ended, what they were made of, and whose alarm is a flaky cell's."""
    return {
        **tell_ends(night, numbers),
        **_tell_made(night, numbers, known, list_things),
        "flaky": [[numbers.numbers[name], describe_flakiness(one)] for name, one in flaky.items()],
    }


def tell_ends(night: Night, numbers: Numbering) -> dict[str, Any]:
    """Return how the cells of a night ended: each end once, with the numbers of its cells."""
    ends: dict[tuple[object, ...], tuple[Result, list[int]]] = {}
    for name, result in night.results.items():
        key = (
            result.outcome,
            result.reason,
            result.verdict,
            result.alarm,
            result.passed > 0,
            result.failed > 0,
            result.failures,
        )
        ends.setdefault(key, (result, []))[1].append(numbers.numbers[name])
    return {
        "ends": [{**_tell_end(result), "cells": cells} for result, cells in ends.values()],
        "parts": [list(part) for part in sorted(night.parts)],
    }


def _tell_end(result: Result) -> dict[str, Any]:
    state = read_state(result)
    assert state is not None  # noqa: S101 - there is a result
    return {
        "outcome": result.outcome,
        "reason": result.reason,
        "verdict": result.verdict,
        "alarm": result.alarm,
        "fails": state.fails,
        "alarms": state.alarms,
        "tested": state.tested,
        "flaky": state.flaky,
        "failed": state.failed > 0,
        "failures": state.failures,
    }


def _shorten(one: Ingredient) -> Thing:
    """Return a thing with so much of its digest as tells it from others."""
    return (*one[:3], _shorten_digest(one.digest), int(one.built_in))


def _shorten_digest(digest: str) -> str:
    return digest.removeprefix("sha256:")[:16]


def _tell_made(
    night: Night, numbers: Numbering, known: AbstractSet[int], list_things: Callable[[int], Sequence[Thing]]
) -> dict[str, Any]:
    """Return what the cells of a night were made of: each thing and each set of things once.

    Of each cell ``made`` has its number, those of its two sets, and that of its build in ``builds``.
    """
    things: dict[Thing, int] = {}
    sets: dict[int, int] = {}
    told: list[list[int]] = []
    builds: dict[str, int] = {}
    made = []
    for name, result in night.results.items():
        if result.made is None or not known >= {*result.made}:  # another process wrote between two queries
            continue
        for number in result.made:
            if number not in sets:
                sets[number] = len(told)
                told.append([things.setdefault(one, len(things)) for one in list_things(number)])
        build = builds.setdefault(_shorten_digest(result.build), len(builds))
        made.append([numbers.numbers[name], *(sets[number] for number in result.made), build])
    return {"things": [*things], "sets": told, "builds": [*builds], "made": made}
