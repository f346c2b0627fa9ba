"""The pages of the alarms, each under its key: since when, where, in which nights. Pure."""

from collections.abc import Iterator
from functools import partial

from orchestrator.outcome import REASONS
from orchestrator.report import units
from orchestrator.site.charts import draw_calendar
from orchestrator.site.night import SHOWN, Sign
from orchestrator.site.page_paths import name_alarm_page, name_cell_page, name_run_page
from orchestrator.site.pages import Frame, Page, as_json
from orchestrator.site.year import ABSENT, NIGHTS, Night, NightAlarm


def make_alarms(frame: Frame) -> Iterator[Page]:
    """Return a page for each alarm that any night has."""
    found: dict[str, dict[str, NightAlarm]] = {}
    for night in frame.year.nights:
        for alarm in night.alarms:
            found.setdefault(alarm.key, {})[night.id] = alarm
    for key, by_night in found.items():
        yield from _make_alarm(frame, key, by_night)


def _make_alarm(frame: Frame, key: str, by_night: dict[str, NightAlarm]) -> Iterator[Page]:
    nights = frame.year.nights
    has = [night for night in nights if night.id in by_night]
    last = has[-1]
    alarm, path = by_night[last.id], name_alarm_page(key)
    cells = {name: one for name, one in last.results.items() if one.alarm == key}
    yield Page(
        path=path,
        make=partial(
            frame.render,
            "alarm.html.j2",
            path,
            alarm=alarm,
            meaning=REASONS[alarm.reason].meaning if alarm.reason else "",
            nights=has,
            last=last,
            stands=last is nights[-1],
            total=len(nights),
            cells=cells,
            strip=[_choose_sign(night, by_night.get(night.id)) for night in nights[-SHOWN:]],
            calendar=draw_calendar(
                ((night, "regression" if night.id in by_night else ABSENT) for night in nights), NIGHTS
            ),
            tile_titles={"regression": "up", ABSENT: "not up"},
        ),
    )
    yield Page(
        path=path.removesuffix(".html") + ".json",
        make=lambda: as_json(
            {
                "key": key,
                "outcome": alarm.outcome,
                "reason": alarm.reason,
                "conditions": alarm.conditions,
                "nights": [{"id": one.id, "cells": by_night[one.id].cells} for one in has],
                "cells": [{"cell": name, "page": name_cell_page(name)} for name in cells],
            }
        ),
    )


def _choose_sign(night: Night, alarm: NightAlarm | None) -> Sign:
    said = units.format_count(alarm.cells, "cell") if alarm else "not up"
    return Sign(
        page=name_run_page(night.id),
        title=f"{night.day}: {said}",
        short=night.day[-2:],
        tone="regression" if alarm else ABSENT,
        state="fail" if alarm else "",
        glyph="fail" if alarm else "unsupported",
    )
