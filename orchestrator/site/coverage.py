"""What was not judged: never, for how long, and what stood in the way. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from orchestrator.outcome import REASONS, Verdict
from orchestrator.site.news import is_tested
from orchestrator.site.page_paths import name_cell_page
from orchestrator.site.pages import Frame, Page, as_json
from orchestrator.site.state import describe_end
from orchestrator.site.year import Result, RuleHistory, Year


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A cell that the last night did not judge. ``last``: the day that last did, or empty."""

    cell: str
    result: Result
    last: str
    nights: int
    """Nights since then that had the cell; all of them where it was never judged."""


@dataclass(frozen=True, kw_only=True)
class Wall:
    """Cells behind one and the same thing that stands in the way."""

    title: str
    meaning: str
    result: Result
    gaps: tuple[Gap, ...]


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """The last night's cells: how many were judged, and those that were not."""

    judged: int
    total: int
    never: tuple[Gap, ...]
    """Not judged in any of the nights, though nothing says that they are impossible."""
    stale: tuple[Gap, ...]
    walls: tuple[Wall, ...]
    """By what stands in the way, the most cells first."""
    impossible: tuple[Wall, ...]
    """Declared to be, by reason."""
    gone: tuple[tuple[str, str], ...]
    """Cells of earlier nights with their last day."""


def measure_coverage(year: Year) -> Coverage:
    """Return the coverage of the last night."""
    gaps = [gap for name, result in year.last.results.items() if (gap := _find_gap(year, name, result))]
    open_ = [gap for gap in gaps if gap.result.verdict is not Verdict.AS_EXPECTED]
    declared = [gap for gap in gaps if gap.result.verdict is Verdict.AS_EXPECTED]
    total = len(year.last.results)
    last = {name: night.day for night in year.nights for name in night.results}
    return Coverage(
        judged=total - len(gaps),
        total=total,
        never=tuple(gap for gap in open_ if not gap.last),
        stale=tuple(sorted((gap for gap in open_ if gap.last), key=lambda gap: -gap.nights)),
        walls=_list_walls(open_),
        impossible=_list_walls(declared, messages=False),
        gone=tuple((name, day) for name, day in last.items() if name not in year.last.results),
    )


def _find_gap(year: Year, name: str, result: Result) -> Gap | None:
    if is_tested(result):
        return None
    track = year.tracks[name]
    at = next((n for n in range(len(track) - 1, -1, -1) if is_tested(track[n])), -1)
    return Gap(
        cell=name,
        result=result,
        last=year.nights[at].day if at >= 0 else "",
        nights=sum(one is not None for one in track[at + 1 :]),
    )


def _list_walls(gaps: Iterable[Gap], *, messages: bool = True) -> tuple[Wall, ...]:
    found: dict[tuple[str, str], list[Gap]] = {}
    for gap in gaps:
        key = describe_end(gap.result), gap.result.message if messages else ""
        found.setdefault(key, []).append(gap)
    walls = [_make_wall(title, message, members) for (title, message), members in found.items()]
    return tuple(sorted(walls, key=lambda wall: -len(wall.gaps)))


def _make_wall(title: str, message: str, gaps: Sequence[Gap]) -> Wall:
    reason = gaps[0].result.reason
    meaning = message or (REASONS[reason].meaning if reason else "")
    return Wall(title=title, meaning=meaning, result=gaps[0].result, gaps=tuple(gaps))


def find_idle(year: Year) -> list[tuple[RuleHistory, int]]:
    """Return the rules that no cell of the last night met, each with the nights for which none did."""
    idle = [rule for rule in year.rules.values() if not rule.held]
    return [
        (rule, sum(night.day > rule.last_held and night.day >= rule.since for night in year.nights))
        for rule in idle
    ]


def make_coverage(frame: Frame) -> Iterator[Page]:
    """Return the page of the coverage, and its data."""
    found = measure_coverage(frame.year)
    yield Page(
        path="coverage.html",
        make=partial(
            frame.render,
            "coverage.html.j2",
            "coverage.html",
            overdue=frame.overdue,
            found=found,
            night=frame.year.last,
            idle=find_idle(frame.year),
        ),
    )
    told = {
        "night": frame.year.last.id,
        "judged": found.judged,
        "cells": found.total,
        "not_judged": [
            {
                "cell": gap.cell,
                "page": name_cell_page(gap.cell),
                "outcome": gap.result.outcome,
                "reason": gap.result.reason,
                "message": gap.result.message,
                "last_judged": gap.last or None,
                "nights": gap.nights,
            }
            for gap in (*found.never, *found.stale)
        ],
        "idle_rules": [
            {
                "rule": rule.place,
                "because": rule.because,
                "last_met": rule.last_held or None,
                "nights": nights,
            }
            for rule, nights in find_idle(frame.year)
        ],
    }
    yield Page(path="coverage.json", make=lambda: as_json(told))
