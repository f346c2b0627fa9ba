"""What the pages say of two weeks: what is new, since when, what changed, what was not judged."""

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from engine_run import GCM
from fake_nights import CURL, FAULT, FLAKY, GROWN, MOVED, NIGHTS
from site_samples import Series

from orchestrator.analyse.change import Change
from orchestrator.app.history import import_run
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.history.history import History
from orchestrator.site.badges import describe as describe_badge
from orchestrator.site.charts import draw_calendar, draw_strip, draw_trouble
from orchestrator.site.component_changes import ComponentChanges
from orchestrator.site.coverage import find_idle, measure_coverage
from orchestrator.site.feed import is_confirmed
from orchestrator.site.matrix import draw_grid, list_entries
from orchestrator.site.news import NewsGroup, NewsItem, compare_nights, drop_suspects, find_moves
from orchestrator.site.night import choose_tone, choose_tones, count_tones
from orchestrator.site.overview import find_standing
from orchestrator.site.page_paths import name_alarm_page, name_cell_page, name_run_page
from orchestrator.site.pages import Frame
from orchestrator.site.state import describe, is_overdue
from orchestrator.site.tracks import follow
from orchestrator.site.year import ABSENT, Night, Year

CHACHA = "TLS_CHACHA20_POLY1305_SHA256"
FLAKY_CELL = f"amd64--haproxy-3.0.11--openssl-3.5.7--{GCM}"
BROKEN = f"arm64--haproxy-3.0.11--openssl-3.5.7--{CHACHA}"
OLD, NEW = (f"arm64--haproxy-3.0.11--wolfssl-{version}--{CHACHA}" for version in ("5.7.2", "5.9.2"))


def frame_of(year: Year) -> Frame:
    return Frame(year=year, tracks=follow(year), overdue="", tool="")


@pytest.fixture(scope="module")
def frame(year: Year) -> Frame:
    return frame_of(year)


def text_of(path: Path) -> str:
    """What a person reads of a page."""

    words: list[str] = []
    reader = HTMLParser()
    reader.handle_data = words.append  # type: ignore[assignment, method-assign]
    reader.feed(path.read_text())
    return " ".join(" ".join(words).split())


def news_of(frame: Frame, number: int) -> dict[Change, set[str]]:
    found: dict[Change, set[str]] = {}
    for group in frame.compare(number - 1, number).groups:
        found.setdefault(group.change, set()).update(item.cell for item in group.items)
    return found


def test_each_night_has_its_news(frame: Frame) -> None:
    assert news_of(frame, 1) == {}
    assert news_of(frame, min(FLAKY)) == {Change.FLAKY: {FLAKY_CELL}}
    assert len(news_of(frame, GROWN)[Change.NEW_CELL]) == 3
    assert news_of(frame, FAULT[0])[Change.NEW_FAILURE] == {BROKEN, OLD}
    assert Change.NEW_FAILURE not in news_of(frame, FAULT[1])
    assert news_of(frame, FAULT[-1] + 1) == {Change.FIXED: {BROKEN, NEW}}


def test_a_cell_that_moved_is_compared_with_what_it_was(year: Year) -> None:
    moves = find_moves(year.nights[MOVED - 1], year.nights[MOVED])
    assert moves[NEW].old == OLD
    assert (moves[NEW].axis, moves[NEW].was, moves[NEW].now) == ("tls", "5.7.2", "5.9.2")
    assert len(moves) == 6
    track = follow(year)[NEW]
    assert [one and one.outcome for one in track.results[FAULT[0] - 1 : MOVED + 1]] == [
        Outcome.PASS,
        *[Outcome.FAIL] * 4,
        Outcome.PASS,
    ]
    assert track.results[:GROWN] == (None,) * GROWN
    assert set(follow(year)[OLD].results[MOVED:]) == {None}


def test_the_one_thing_that_changed_is_the_suspect(frame: Frame) -> None:
    """The night of the fix: wolfSSL moved, which is the suspect of its cell and of no other."""
    groups = [g for g in frame.compare(MOVED - 1, MOVED).groups if g.change is Change.FIXED]
    (by_cell,) = [{item.cell: item.differences for item in group.items} for group in groups]
    assert by_cell[BROKEN] == ()
    (difference,) = by_cell[NEW] or ()
    assert (difference.kind, difference.name) == ("source", "wolfssl")
    assert groups[0].suspect is None, "it is not the same for both"


def test_a_version_that_changed_marks_the_timeline(built: Path) -> None:
    told = json.loads((built / name_cell_page(FLAKY_CELL).replace(".html", ".json")).read_text())
    marks = {turn["night"]: turn["marks"] for turn in told["turns"] if turn["marks"]}
    assert list(marks.values()) == [["curl in client-amd64: 8.14.1-2 → 8.14.1-3"]]
    (night,) = marks
    nights = [one["id"] for one in json.loads((built / "index.json").read_text())["nights"]]
    assert nights.index(night) == CURL
    assert len(told["handshake_s"]) == len(nights)
    page = text_of(built / name_cell_page(FLAKY_CELL))
    assert "curl in client-amd64: 8.14.1-2 → 8.14.1-3" in page
    assert "in 3 of 12 nights" in page
    assert "flaky since 2026-11-26 on the same ingredients" in page


def test_the_page_of_a_moved_cell_shows_what_it_was(built: Path) -> None:
    page = text_of(built / name_cell_page(NEW))
    assert "in 4 of 8 nights" in page
    assert "5.7.2 → 5.9.2" in page
    assert f"matrixctl run --cell {NEW}" in page
    gone = text_of(built / name_cell_page(OLD))
    assert "Not in the last night: the last that had it is 2026-11-24 . It is" in gone.replace("24.", "24 .")
    assert f'href="../{name_cell_page(NEW)}"' in (built / name_cell_page(OLD)).read_text()


def test_a_night_with_a_new_alarm_is_told_from_one_where_it_stands(year: Year) -> None:
    tones = choose_tones(year.nights)
    assert tones[FAULT[0] : FAULT[-1] + 1] == ("regression", *["standing"] * 3)
    assert [number for number, tone in enumerate(tones) if tone == "flaky"] == sorted(FLAKY - set(FAULT))


def test_an_alarm_stands_since_its_first_night_in_a_row(year: Year) -> None:
    until = replace(year, nights=year.nights[: FAULT[-1] + 1])
    (standing,) = find_standing(until)
    assert (standing.since, standing.nights, standing.alarm.cells) == ("2026-11-21", 4, 2)
    assert standing.alarm.reason is Reason.HANDSHAKE_THEN_HANG
    assert list(find_standing(year)) == []


@pytest.mark.parametrize(
    ("changed", "since", "count"),
    [
        pytest.param({"outcome": None, "verdict": Verdict.NOT_JUDGED}, "2026-11-21", 3, id="cut off"),
        pytest.param({"outcome": Outcome.PASS, "verdict": Verdict.AS_EXPECTED}, "2026-11-23", 2, id="passed"),
    ],
)
def test_a_night_that_tried_none_of_its_cells_is_no_break(
    year: Year, changed: dict[str, Any], since: str, count: int
) -> None:
    second = year.nights[FAULT[1]]
    changed = {"alarm": None, "reason": None, "failed": 0, **changed}
    results = {name: one._replace(**changed) if one.alarm else one for name, one in second.results.items()}
    other = replace(second, results=results, alarms=())
    until = (*year.nights[: FAULT[1]], other, *year.nights[FAULT[2] : FAULT[-1] + 1])
    (standing,) = find_standing(replace(year, nights=until))
    assert (standing.since, standing.nights) == (since, count)


def test_the_overview_says_what_is(built: Path, year: Year) -> None:
    page = text_of(built / "index.html")
    assert "12 cells pass, as expected" in page
    assert "the last good one is 2026-11-27" in page
    at_fault = replace(year, nights=year.nights[: FAULT[0] + 1])
    frame = frame_of(at_fault)
    state = describe(at_fault.last, frame.compare(FAULT[0] - 1, FAULT[0]))
    assert (state.level, state.sentence) == ("alarm", "2 regressions in 12 cells")
    assert state.also[0] == "since 2026-11-20: 2 new failures"


def test_every_run_is_compared_with_the_one_before_and_the_last_good_one(built: Path, year: Year) -> None:
    page = text_of(built / name_run_page(year.nights[FAULT[-1] + 1].id))
    assert "Against the night before 2026-11-24" in page
    assert "Against the last good night 2026-11-20" in page
    assert "moved: tls 5.7.2 → 5.9.2" in page
    fault = text_of(built / name_run_page(year.nights[FAULT[0]].id))
    assert "new failures: handshake-then-hang 2 cells" in fault
    assert "That is the night before." in fault
    first = text_of(built / name_run_page(year.nights[0].id))
    assert "None of the nights before was good" in first


def test_what_changed_after_the_first_failure_is_no_suspect(built: Path, year: Year, frame: Frame) -> None:
    """Curl is all that changed since the last good night, two nights after the fault came."""
    assert FAULT[0] < CURL
    (group,) = [one for one in frame.compare(FAULT[0] - 1, CURL).groups if one.suspect]
    assert group.change is Change.NEW_FAILURE
    page = text_of(built / name_run_page(year.nights[CURL].id))
    assert "Suspect" not in page
    assert "Changed of what they depend on: curl in client-amd64: 8.14.1-2 → 8.14.1-3." in page
    assert "That is not why: in the night of 2026-11-21 this was so already" in page


def test_what_changed_with_the_first_failure_stays_the_suspect(year: Year) -> None:
    """As if curl had changed in the night of the fault."""
    of_curl = {name: year.nights[CURL].results[name].made for name in (BROKEN, OLD)}

    def with_curl(night: Night) -> Night:
        made = {name: night.results[name]._replace(made=one) for name, one in of_curl.items()}
        return replace(night, results={**night.results, **made})

    nights = (*year.nights[: FAULT[0]], *map(with_curl, year.nights[FAULT[0] : CURL + 1]))
    frame = frame_of(replace(year, nights=nights))
    news = drop_suspects(frame.year, frame.component_changes, frame.compare(FAULT[0] - 1, CURL))
    (suspect,) = [group.suspect for group in news.groups if group.change is Change.NEW_FAILURE]
    assert suspect is not None
    assert suspect.name == "curl in client-amd64"


def test_the_page_of_an_alarm_says_that_it_is_over(built: Path, year: Year) -> None:
    (key,) = {alarm.key for night in year.nights for alarm in night.alarms}
    page = text_of(built / name_alarm_page(key))
    assert "It is over: last up in the night of 2026-11-24" in page
    assert "arch=arm64" in page
    assert "passes" not in page, "nothing but this alarm is told of a night"
    assert "2026-11-24: up" in page
    assert "2026-11-25: not up" in page


def test_links_lead_to_pages_that_are_there(built: Path) -> None:
    links = 0
    for page in built.rglob("*.html"):
        for link in re.findall(r'(?:href|src)="([^"]*)"', page.read_text()):
            target = link.partition("#")[0]
            if target and not target.startswith("http"):
                links += 1
                assert (page.parent / target).resolve().is_file(), f"{page}: {link}"
    assert links > 500


def test_each_page_has_its_data_beside_it(built: Path) -> None:
    for page in built.rglob("*.html"):
        assert isinstance(json.loads(page.with_suffix(".json").read_text()), dict), page


def test_the_feed_has_the_confirmed_regression_and_no_flaky_cell(built: Path) -> None:
    atom = "{http://www.w3.org/2005/Atom}"
    feed = ET.parse(built / "feed.xml").getroot()
    (entry,) = feed.findall(f"{atom}entry")
    assert entry.findtext(f"{atom}title") == "fail: handshake-then-hang in 2 cells, 2026-11-21"
    assert (entry.findtext(f"{atom}summary") or "").splitlines()[1:] == [BROKEN, OLD]
    (link,) = entry.findall(f"{atom}link")
    assert link.get("href") == "runs/20261121-020000-0005.html"
    datetime.fromisoformat(feed.findtext(f"{atom}updated") or "")
    ids = [one.text for one in feed.iter(f"{atom}id")]
    assert len(ids) == len(set(ids))


def test_badges_say_it_in_words(built: Path, year: Year) -> None:
    badge = ET.parse(built / "badges/state.svg").getroot()
    assert badge.get("aria-label") == "nightly: 12 pass, 2026-11-27"
    assert (built / "badges/libraries/wolfssl.svg").is_file()
    fault = count_tones(year.nights[FAULT[0]].results.values())
    assert describe_badge(fault, whole=True) == ("2 regression", "regression")
    calm = count_tones(year.last.results.values())
    assert describe_badge(calm, whole=False) == ("partial", "not-judged")


def test_evidence_is_there_of_the_flaky_cell_as_text(built: Path) -> None:
    files = list((built / "evidence").iterdir())
    assert files
    assert {path.suffix for path in files} == {".txt"}
    assert "2026-11-26: haproxy.log" in text_of(built / name_cell_page(FLAKY_CELL))


def test_the_same_night_again_writes_nothing(nights: Series, tmp_path: Path) -> None:
    first = nights.build(tmp_path)
    assert first.changed == first.pages > 60
    assert nights.build(tmp_path).changed == 0


def inodes(out: Path) -> dict[str, int]:
    return {path.relative_to(out).as_posix(): path.stat().st_ino for path in out.rglob("*") if path.is_file()}


def test_one_more_night_writes_what_it_changes(own: Series, tmp_path: Path) -> None:
    out = tmp_path / "site"
    with History(own.place) as kept:
        last = kept.find("latest", "nightly")["id"]
        record_folder = own.reports / last
        kept.remove([last])
    own.build(out)
    before = inodes(out)
    with History(own.place) as kept:
        import_run(kept, record_folder)
    own.build(out)
    after = inodes(out)
    same = {path for path, inode in before.items() if after.get(path) == inode}
    assert "runs/20261120-020000-0004.html" in same
    assert "runs/20261126-020000-000a.js" in same
    assert "index.html" not in same
    assert not [path for path in after if path.startswith("evidence/20261124")], "it is of the fourth night"
    assert "runs/20261126-020000-000a.html" not in same, "it leads to the next one now"


@pytest.mark.parametrize(("hours", "overdue"), [(1, False), (25, False), (27, True), (24 * 9, True)])
def test_a_missing_night_is_said(
    nights: Series, year: Year, tmp_path: Path, hours: int, *, overdue: bool
) -> None:
    now = datetime.fromisoformat(year.last.started_at) + timedelta(hours=hours)
    assert is_overdue(year.last, now) is overdue
    nights.build(tmp_path, now)
    page = (tmp_path / "index.html").read_text()
    assert ("No night since 2026-11-27" in page) is overdue
    assert ('aria-live="polite" hidden' in page) is not overdue


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": "cut-off"}, "Cut off: 12 of 12 cells judged"),
        ({"status": "interrupted"}, "Interrupted: 12 of 12 cells judged"),
        ({"planned": 15}, "Partial: 12 of 15 cells judged"),
    ],
)
def test_a_night_that_is_not_whole_is_never_calm(year: Year, change: dict[str, Any], said: str) -> None:
    last = replace(year.last, **change)
    state = describe(last, None)
    assert state.level == "unsure"
    assert state.sentence == said
    assert len(state.warnings) == 1
    assert choose_tone(last) == "not-judged"


def test_coverage_tells_what_was_never_judged_from_what_is_no_longer(year: Year) -> None:
    def blocked(one: Night, *cells: str) -> Night:
        results = dict(one.results)
        for name in cells:
            results[name] = results[name]._replace(
                outcome=Outcome.BLOCKED,
                reason=Reason.SOURCE_UNREACHABLE,
                verdict=Verdict.NOT_JUDGED,
                message="no origin had it",
                tone="not-judged",
            )
        return replace(one, results=results)

    changed = [blocked(one, FLAKY_CELL) for one in year.nights[:-2]]
    changed += [blocked(one, FLAKY_CELL, BROKEN) for one in year.nights[-2:]]
    found = measure_coverage(replace(year, nights=tuple(changed)))
    assert (found.judged, found.total) == (10, 12)
    assert [(gap.cell, gap.nights) for gap in found.never] == [(FLAKY_CELL, NIGHTS)]
    assert [(gap.cell, gap.last, gap.nights) for gap in found.stale] == [(BROKEN, "2026-11-25", 2)]
    (wall,) = found.walls
    assert (wall.title, wall.meaning, len(wall.gaps)) == (
        "blocked: source-unreachable",
        "no origin had it",
        2,
    )
    assert len(found.gone) == 6


def test_coverage_names_the_rules_that_no_cell_has_met(built: Path, year: Year) -> None:
    idle = find_idle(year)
    assert idle, "no cell of these nights is one of haproxy#2569"
    page = text_of(built / "coverage.html")
    assert "Rules that no cell has met" in page
    assert all(rule.place in page for rule, _ in idle)
    told = json.loads((built / "coverage.json").read_text())["idle_rules"]
    assert [(one["rule"], one["nights"]) for one in told] == [(rule.place, nights) for rule, nights in idle]


def test_a_rule_is_idle_since_the_night_that_met_it_last_or_that_had_it_first(year: Year) -> None:
    rule = replace(next(iter(year.rules.values())), held=0)
    never, once = replace(rule, since=year.nights[4].day), replace(rule, last_held=year.nights[6].day)
    idle = find_idle(replace(year, rules={1: never, 2: once, 3: replace(rule, held=1)}))
    assert [nights for _, nights in idle] == [NIGHTS - 4, NIGHTS - 7]


def test_the_matrix_has_each_cell_once_with_its_age(frame: Frame) -> None:
    entries = list_entries(frame)
    grid = draw_grid(entries)
    shown = [entry for line in grid.lines for field in line.fields for entry in field.entries]
    assert sorted(entry.name for entry in shown) == sorted(frame.year.last.results)
    ages = {entry.name: (entry.age, entry.whole) for entry in entries}
    assert ages[FLAKY_CELL] == (1, False)
    assert ages[BROKEN] == (NIGHTS - FAULT[-1] - 1, False)
    assert ages[f"amd64--haproxy-3.0.11--wolfssl-5.9.2--{CHACHA}"] == (NIGHTS, True)
    by_tls = draw_grid(entries, ("tls",), ("arch",))
    assert [(line.names, [len(f.entries) for f in line.fields]) for line in by_tls.lines] == [
        (("openssl-3.5.7",), [3, 3]),
        (("wolfssl-5.9.2",), [3, 3]),
    ]


def test_charts_draw_what_there_was(year: Year) -> None:
    strip = draw_strip([ABSENT, "as-expected", "as-expected", "regression"])
    assert {area.tone: area.path for area in strip.areas} == {
        "regression": "M3 0h1v20h-1z",
        "as-expected": "M1 14h2v6h-2z",
    }
    trouble = draw_trouble([count_tones(one.results.values()) for one in year.nights])
    assert trouble.most == 3
    assert {area.tone for area in trouble.areas} == {"regression", "flaky"}
    calendar = draw_calendar(((one, choose_tone(one)) for one in year.nights), 365)
    assert len(calendar.tiles) == NIGHTS
    assert (calendar.tiles[0].row, calendar.weeks) == (0, 2)


@pytest.mark.parametrize(
    ("change", "confirmed"),
    [
        ({"confirmation": "confirmed", "attempts": 4, "failed": 4}, True),
        ({"confirmation": None, "attempts": 6, "failed": 6}, True),
        ({"confirmation": "open", "attempts": 1, "failed": 1}, False),
        ({"confirmation": None, "attempts": 1, "failed": 1}, False),
        ({"confirmation": None, "attempts": 6, "failed": 5}, False),
    ],
)
def test_the_feed_tells_only_what_came_again(year: Year, change: dict[str, object], confirmed: bool) -> None:
    was = year.last.results[BROKEN]
    now = was._replace(**change)  # type: ignore[arg-type]
    item = NewsItem(cell=BROKEN, was=was, now=now, move=None, differences=None, flakiness=None)
    group = NewsGroup(
        change=Change.NEW_FAILURE, result=now, alarm=None, items=(item,), suspect=None, differences=()
    )
    assert is_confirmed(group) is confirmed
    assert not is_confirmed(replace(group, change=Change.STILL_FAILING))


def lost(night: Night, *cells: str) -> Night:
    results = dict(night.results)
    for name in cells:
        change: dict[str, Any] = {"outcome": None, "reason": None, "verdict": Verdict.NOT_JUDGED}
        results[name] = results[name]._replace(
            **change, tone="not-judged", attempts=0, passed=0, failed=0, failures=()
        )
    return replace(night, results=results)


def test_a_regression_behind_a_night_that_did_not_judge_is_news(year: Year) -> None:
    """The fault begins in night 5; in the night before it nothing was judged."""
    first = min(FAULT)
    nights = list(year.nights)
    nights[first - 1] = lost(nights[first - 1], BROKEN)
    changed = replace(year, nights=tuple(nights))
    news = compare_nights(changed, ComponentChanges(changed), first - 1, first, {})
    (group,) = (one for one in news.groups if one.change is Change.NEW_FAILURE)
    (item,) = (one for one in group.items if one.cell == BROKEN)
    assert item.was is not None
    assert item.was.outcome is Outcome.PASS
    assert item.was == nights[first - 2].results[BROKEN]


@pytest.mark.parametrize(
    ("asked", "said"),
    [({"shard": "1/4"}, "shard 1/4 alone"), ({"cells": ["x"]}, "only single cells were asked for")],
)
def test_a_night_of_a_part_is_never_calm(year: Year, asked: dict[str, object], said: str) -> None:
    calm = year.nights[0]
    assert describe(calm, None).level == "calm"
    part = replace(calm, selection=json.dumps(asked))
    state = describe(part, None)
    assert state.level == "unsure"
    assert said in state.warnings[0]
    assert choose_tone(part) == "not-judged"
