"""The first page. Pure."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from orchestrator.site import page_paths
from orchestrator.site.charts import Chart, draw_calendar, draw_trouble
from orchestrator.site.component_changes import describe as describe_difference
from orchestrator.site.news import NightNews, is_tested
from orchestrator.site.night import SHOWN, choose_night_sign, choose_tones, count_tones, make_segments, tally
from orchestrator.site.page_paths import name_arch_page, name_library_page
from orchestrator.site.pages import TONE_TITLES, Frame, Page, as_json
from orchestrator.site.state import describe
from orchestrator.site.year import NIGHTS, Night, NightAlarm, Point, Year


@dataclass(frozen=True, kw_only=True)
class Standing:
    """An alarm of the last night, and in how many nights without a break it was up. ``since``: the first."""

    alarm: NightAlarm
    since: str
    nights: int


@dataclass(frozen=True, kw_only=True)
class Trend:
    """What the cells of one library or architecture came to, night by night."""

    name: str
    page: str
    tally: tuple[tuple[str, int], ...]
    chart: Chart
    label: str


def make_overview(frame: Frame, news: NightNews | None) -> Iterator[Page]:
    """Return the first page and its data."""
    year, night = frame.year, frame.year.last
    state = describe(night, news)
    good = year.find_last_good(len(year.nights))
    alarms = tuple(find_standing(year))
    yield Page(
        path="index.html",
        make=partial(
            frame.render,
            "overview.html.j2",
            "index.html",
            overdue=frame.overdue,
            state=state,
            news=news,
            night=night,
            good=None if good is None else year.nights[good],
            segments=make_segments(night),
            alarms=alarms,
            strip=[
                choose_night_sign(year.nights[number], year.nights[number - 1] if number else None)
                for number in range(max(0, len(year.nights) - SHOWN), len(year.nights))
            ],
            calendar=draw_calendar(zip(year.nights, choose_tones(year.nights), strict=True), NIGHTS),
            libraries=make_trends(year, lambda point: point.tls_family, name_library_page),
            arches=make_trends(year, lambda point: point.arch, name_arch_page),
        ),
    )
    told: dict[str, Any] = {
        "series": year.series,
        "level": state.level,
        "sentence": state.sentence,
        "also": state.also,
        "warnings": state.warnings,
        "night": {"id": night.id, "started_at": night.started_at, "status": night.status},
        "news": tell_news(news),
        "alarms": [
            {
                "key": one.alarm.key,
                "outcome": one.alarm.outcome,
                "reason": one.alarm.reason,
                "conditions": one.alarm.conditions,
                "cells": one.alarm.cells,
                "since": one.since,
                "nights": one.nights,
                "page": page_paths.name_alarm_page(one.alarm.key),
            }
            for one in alarms
        ],
        "nights": [
            {
                "id": one.id,
                "day": one.day,
                "page": page_paths.name_run_page(one.id),
                "whole": one.is_whole,
                "good": one.good,
                "cells": dict(tally(count_tones(one.results.values()))),
            }
            for one in year.nights
        ],
    }
    yield Page(path="index.json", make=lambda: as_json(told))


def tell_news(news: NightNews | None) -> dict[str, Any] | None:
    """Return news as they stand in JSON."""
    if news is None:
        return None
    return {
        "base": news.base.id,
        "head": news.head.id,
        "counts": {str(change): count for change, count in news.counts.items()},
        "groups": [
            {
                "change": group.change,
                "alarm": group.alarm,
                "reason": group.result.reason if group.result else None,
                "suspect": describe_difference(group.suspect) if group.suspect else None,
                "cells": [item.cell for item in group.items],
            }
            for group in news.groups
        ],
        "parts": [
            {"kind": part.kind, "name": part.name, "was": part.was, "now": part.now} for part in news.parts
        ],
    }


def find_standing(year: Year) -> Iterator[Standing]:
    """Return the alarms of the last night, each with how long it has been there without a break.

    A night in which none of its cells passed or failed, for instance one that was cut off, does not end it.
    """
    for alarm in year.last.alarms:
        cells = [name for name, one in year.last.results.items() if one.alarm == alarm.key]
        has: list[Night] = []
        for night in reversed(year.nights):
            if any(one.key == alarm.key for one in night.alarms):
                has.append(night)
            elif any(is_tested(night.results.get(name)) for name in cells):
                break
        yield Standing(alarm=alarm, since=has[-1].day, nights=len(has))


def make_trends(
    year: Year, name_of: Callable[[Point], str], page_of: Callable[[str], str]
) -> tuple[Trend, ...]:
    """Return a trend for each value that cells have, in the order of the matrix."""
    found: dict[str, list[Counter[str]]] = {}
    for number, night in enumerate(year.nights):
        groups: dict[str, list[Any]] = {}
        for result in night.results.values():
            groups.setdefault(name_of(result.point), []).append(result)
        for name, results in groups.items():
            if name not in found:
                found[name] = [Counter() for _ in year.nights]
            found[name][number] = count_tones(results)
    return tuple(_make_trend(name, page_of(name), counts) for name, counts in found.items())


def _make_trend(name: str, page: str, counts: Sequence[Counter[str]]) -> Trend:
    last = tally(counts[-1])
    said = ", ".join(f"{count} {TONE_TITLES[tone]}" for tone, count in last) or "no cell"
    return Trend(
        name=name,
        page=page,
        tally=last,
        chart=draw_trouble(counts),
        label=f"{name} over {len(counts)} nights; in the last one {said}",
    )
