"""What a browser needs to compare any two runs: short data of each, and the page that asks for it. Pure."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from orchestrator.analyse.change import Change
from orchestrator.site.names import cell_page, run_page
from orchestrator.site.news import state_of
from orchestrator.site.pages import CHANGE_TITLES, Frame, Page, as_json, as_script, asset, plain_sides
from orchestrator.site.year import Night, Result, Year


@dataclass(frozen=True, kw_only=True)
class Numbering:
    """A number for each cell, in the order in which they came: a new one changes none of the others."""

    numbers: Mapping[str, int]
    digests: tuple[str, ...]
    """Of the ids up to each number."""

    def key(self, night: Night) -> str:
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
        "runs": [{"id": night.id, "day": night.day, "page": run_page(night.id)} for night in year.nights],
        "cells": [[name, cell_page(name), *point[1:]] for name, point in year.points.items()],
        "changes": [[change, CHANGE_TITLES[change], plain_sides(change.meaning)] for change in Change],
    }
    yield Page(path="compare.json", make=lambda: as_json(told))
    yield Page(path="compare-data.js", make=lambda: as_script("compare", told))
    yield Page(path="compare.js", make=lambda: asset("site/compare.js"))
    for night in year.nights:
        yield Page(
            path=run_page(night.id).removesuffix(".html") + ".js",
            make=partial(_script, night, numbers),
            key=frame.key("pairs", night.digest, numbers.key(night)),
        )


def _script(night: Night, numbers: Numbering) -> bytes:
    return as_script("run", night.id, tell_ends(night, numbers))


def tell_ends(night: Night, numbers: Numbering) -> dict[str, Any]:
    """Return how the cells of a night ended: each end once, with the numbers of its cells."""
    ends: dict[str, dict[str, Any]] = {}
    for name, result in night.results.items():
        end = _end(result)
        ends.setdefault(repr(end), {**end, "cells": []})["cells"].append(numbers.numbers[name])
    return {"ends": list(ends.values()), "parts": [list(part) for part in sorted(night.parts)]}


def _end(result: Result) -> dict[str, Any]:
    state = state_of(result)
    assert state is not None  # noqa: S101 - there is a result
    return {
        "outcome": result.outcome,
        "reason": result.reason,
        "verdict": result.verdict,
        "fails": state.fails,
        "alarms": state.alarms,
        "tested": state.tested,
        "flaky": state.flaky,
        "failures": state.failures,
    }
