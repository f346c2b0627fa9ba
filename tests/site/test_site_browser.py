"""The dashboard in a real Chromium, from a folder: without JavaScript, with it, by keyboard, days later."""

import hashlib
import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from browsing import AXE, Reader
from engine_run import GCM, MATRIX
from fake_nights import CURL, FAULT, FLAKY, GROWN, MOVED, NIGHTS
from move_cases import CASES, IDS, point
from samples import hostile, mixed
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait
from site_samples import MORNING, Series
from test_hostile_site import site_of

from orchestrator.analyse.change import Change
from orchestrator.errors import UsageError
from orchestrator.matrix.expand import expand
from orchestrator.matrix.select import find_names, find_values, parse
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.model import Ingredient
from orchestrator.report.comparison import describe_flakiness
from orchestrator.site.component_changes import describe
from orchestrator.site.news import NewsGroup, NightNews, find_moves
from orchestrator.site.page_paths import name_alarm_page, name_cell_page, name_run_page
from orchestrator.site.pages import CHANGE_TITLES, Frame, as_script, replace_sides
from orchestrator.site.pairs import make_pairs, number_cells
from orchestrator.site.year import Result, Year

pytestmark = pytest.mark.browser

AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
FLAKY_CELL = f"amd64--haproxy-3.0.11--openssl-3.5.7--{GCM}"


@pytest.fixture
def visitor(driver: webdriver.Chrome, built: Path) -> Iterator[Reader]:
    reader = Reader(driver, built)
    yield reader
    assert reader.complaints() == []
    assert [url for url in reader.requests() if not url.startswith((built.as_uri(), "about:"))] == []


@pytest.fixture(scope="module")
def pages(year: Year) -> tuple[str, ...]:
    """One page of each kind."""
    (alarm,) = {alarm.key for night in year.nights for alarm in night.alarms}
    return (
        *("index.html", "matrix.html", "coverage.html", "compare.html"),
        name_cell_page(FLAKY_CELL),
        name_run_page(year.nights[FAULT[0]].id),
        name_alarm_page(alarm),
        "libraries/wolfssl.html",
        "architectures/arm64.html",
    )


def wait(reader: Reader, script: str) -> Any:
    return WebDriverWait(reader.driver, 10).until(lambda _: reader.js(script))


def text(reader: Reader, css: str = "body") -> str:
    return reader.one(css).text


def test_a_question_of_the_morning_is_answered_within_two_clicks_without_javascript(
    visitor: Reader,
) -> None:
    visitor.visit("index.html", script=False)
    assert text(visitor, "h1") == "12 cells pass, as expected"
    assert "flaky" in text(visitor, ".group h3")
    visitor.one(".group .members a").click()
    assert "curl in client-amd64: 8.14.1-2 → 8.14.1-3" in text(visitor, ".turns")
    visitor.one("dd a[href*='evidence/']").click()
    assert "txt" in str(visitor.driver.current_url)


def test_the_default_matrix_is_there_without_javascript(visitor: Reader, year: Year) -> None:
    visitor.visit("matrix.html", script=False)
    assert len(visitor.all("#grid a.c")) == len(year.last.results)
    assert not visitor.all("#controls")
    assert "need JavaScript" in text(visitor, "noscript")


def test_the_drawn_matrix_equals_the_written_one(visitor: Reader) -> None:
    look = (
        "[...document.querySelectorAll('#grid tr')].map((row) => row.className + row.innerText).join('\\n')"
    )
    visitor.visit("matrix.html", script=False)
    visitor.visit("matrix.html")
    written = visitor.js(look)
    visitor.visit("matrix.html", "#rows=tls&columns=arch")
    assert len(visitor.all("#grid tbody tr")) == 2
    assert visitor.js(look) != written
    visitor.visit("matrix.html", "#filter=tls%3Dopenssl%2Cwolfssl&filter=haproxy%3E%3D3.0")
    assert visitor.js(look) == written


def test_a_filter_is_kept_in_the_address_and_a_bad_one_is_explained(visitor: Reader) -> None:
    visitor.visit("matrix.html")
    box = visitor.one("#controls input")
    box.send_keys("tls=wolfssl>5.8 arch=arm64")
    wait(visitor, "document.querySelector('.shown').textContent === '3 of 12 cells'")
    assert visitor.fragment() == "#filter=tls%3Dwolfssl%3E5.8&filter=arch%3Darm64"
    visitor.visit("matrix.html", visitor.fragment())
    assert text(visitor, ".shown") == "3 of 12 cells"
    assert visitor.one("#controls input").get_attribute("value") == "tls=wolfssl>5.8 arch=arm64"
    visitor.one("#controls input").send_keys(" tls=gnutls")
    wait(visitor, "!document.getElementById('problem').hidden")
    assert "no cell has tls gnutls" in text(visitor, "#problem")
    assert text(visitor, "#grid") == "No cell matches these filters."


FILTERS = (
    *("arch=arm64", "arch!=amd64", "arch=a*", "arch=amd64,arm64", "arch=x", "arch<3", "haproxy<3.2"),
    *("haproxy<=3.1", "haproxy>3.0", "haproxy>=3.0", "haproxy=3.0..3.1", "haproxy=..3.0", "haproxy!=3.0.11"),
    *(
        "tls=openssl*",
        "tls=openssl",
        "tls=libressl<4.0",
        "tls=openssl@3.0..3.4",
        "tls=openssl@..3.5",
        "tls<3",
    ),
    *("tls=3.9.2", "tls=openssl>=3.5.7,wolfssl", "tls=wolfssl>5.7.2", "tls=nothing@1..2", "tls=gnutls<1"),
    *(
        "tls=openssl-distro",
        "tls=*-[35].*",
        "tls=*-[!3].*",
        "tls=[b-a]",
        "tls=?olfssl*",
        "tls!=openssl,wolf*",
    ),
    *("cipher=default", "cipher=*GCM*", "cipher=TLS_AES_128_GCM_SHA256", "cipher=*[AB]ES*", "cipher>1"),
    *(
        "client=curl",
        "client!=curl",
        "execution=default",
        "execution=aes-*",
        "x=1",
        "tls",
        "=",
        "tls=",
        "tls=a b",
    ),
    *(
        "tls=quictls>3.3.0-quic0",
        "tls=quictls<3.3.0-quic2",
        "tls=quictls<=3.3",
        "tls=a..b",
        "haproxy<x",
        "tls=+",
    ),
    *(
        "haproxy<3.0-dev13",
        "haproxy>=3.0-dev1",
        "haproxy=2.8",
        "haproxy=3.0.0..",
        " tls = openssl* ",
        "tls==1",
    ),
)


def test_filters_mean_what_they_mean_to_the_command_line(visitor: Reader) -> None:
    cells = expand(MATRIX)
    axes = ("arch", "haproxy", "tls", "cipher", "client", "execution")
    values = {axis: find_values(cells, axis) for axis in axes}

    def wanted(filter_: str) -> list[str] | None:
        try:
            item = parse(filter_)
            return [item.axis, *sorted(find_names(item, values[item.axis]))]
        except UsageError:
            return None

    told = {
        axis: {
            name: [getattr(value, "family", None), getattr(value, "version", None)]
            for name, value in found.items()
        }
        for axis, found in values.items()
    }
    visitor.visit("matrix.html")
    found = visitor.driver.execute_script(
        "const [filters, values] = arguments; return filters.map((one) => {"
        " try { const {axis, names} = matrixctl.filters.names(one, values);"
        " return [axis, ...[...names].sort()]; }"
        " catch (error) { if (error instanceof RangeError) return null; throw error; } })",
        list(FILTERS),
        told,
    )
    assert dict(zip(FILTERS, found, strict=True)) == {one: wanted(one) for one in FILTERS}
    assert sum(one is not None for one in found) > 30


@pytest.mark.parametrize(
    ("base", "head"),
    [
        *(
            (0, NIGHTS - 1),
            (min(FLAKY), CURL),
            (GROWN - 1, GROWN),
            (FAULT[0], MOVED),
            (MOVED, FAULT[0]),
            (3, 3),
        ),
        *((0, max(FLAKY)), (min(FLAKY), max(FLAKY)), (0, FAULT[0]), (FAULT[0], CURL), (CURL, FAULT[-1] + 1)),
    ],
)
def test_any_two_runs_are_compared_as_the_pages_compare_nights(
    visitor: Reader, year: Year, base: int, head: int
) -> None:
    """Also what they were made of, the suspect, and which failure is a flaky cell's."""
    was, now = year.nights[base], year.nights[head]
    news = Frame(year=year, tracks={}, overdue="", tool="").compare(base, head)
    visitor.visit("compare.html", f"#base={was.id}&head={now.id}")
    wait(visitor, "document.getElementById('found').childElementCount > 0")
    assert told_groups(visitor) == in_groups(news)
    if find_moves(was, now):
        assert "wolfssl" in text(visitor, "#found table")


STILL = CHANGE_TITLES[Change.STILL_FAILING]
"""What the page for any two runs tells, and the news do not."""
Told = tuple[str, int, str, tuple[str, ...]]


def told_groups(reader: Reader) -> Counter[Told]:
    """What the page for any two runs says: of each group its title, its size, its sentences, who is flaky."""
    script = (
        "return [...document.querySelectorAll('#found .group')].map((one) => ["
        " one.querySelector('h3 span').textContent, Number(one.querySelector('h3 .count').textContent),"
        " one.querySelector('p').textContent,"
        " [...one.querySelectorAll('.members b')].map((b) => b.textContent)])"
    )
    groups: Counter[Told] = Counter()
    for title, count, words, flaky in reader.driver.execute_script(script):
        if title.partition(":")[0] == STILL:  # in one sum
            groups[STILL, 0, "", ()] += count
        else:
            groups[title, count, words, tuple(flaky)] += 1
    return groups


def in_groups(news: NightNews) -> Counter[Told]:
    """What it should say."""
    still = {(STILL, 0, "", ()): news.counts[Change.STILL_FAILING]}
    return Counter(map(in_words, news.groups)) + Counter(still)


def in_words(group: NewsGroup) -> Told:
    """A group of the news as the page for any two runs tells it."""
    depend = "it depends" if len(group.items) == 1 else "they depend"
    words = f"{replace_sides(group.change.meaning)}."
    if group.suspect:
        words += f" Suspect: {describe(group.suspect)}, the one thing that changed of what {depend} on."
    elif group.differences:
        shown = "; ".join(map(describe, group.differences[:3]))
        more = f" and {len(group.differences) - 3} more" if len(group.differences) > 3 else ""
        words += f" Changed of what {depend} on: {shown}{more}."
    flaky = (describe_flakiness(one.flakiness) + "." for one in group.items if one.flakiness)
    reason = group.result and group.result.reason
    title = CHANGE_TITLES[group.change] + (f": {reason}" if reason else "")
    return title, len(group.items), words, tuple(flaky)


@pytest.mark.parametrize(("days", "overdue"), [(0, False), (2, True)])
def test_a_page_knows_that_it_is_old_when_it_is_opened(
    driver: webdriver.Chrome, nights: Series, year: Year, tmp_path: Path, days: int, *, overdue: bool
) -> None:
    """It was made in time; the clock of the browser is set."""
    nights.build(tmp_path, MORNING)
    reader = Reader(driver, tmp_path)
    at = datetime.fromisoformat(year.last.started_at) + timedelta(days=days, hours=5)
    source = f"const now = {at.timestamp() * 1000}; Date.now = () => now;"
    (script,) = [driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": source})]
    try:
        for page in ("index.html", name_run_page(year.nights[0].id)):
            reader.visit(page)
            shown = [element.text for element in reader.all("#overdue")]
            assert shown == (["No night since 2026-11-27: what is shown is 53 hours old."] if overdue else [])
    finally:
        driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


@pytest.mark.parametrize("width", [390, 800, 1400])
def test_no_page_scrolls_sideways(visitor: Reader, pages: tuple[str, ...], width: int) -> None:
    for page in pages:
        visitor.visit(page, width=width)
        over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert visitor.js(over) == 0, page


def test_a_phone_shows_each_field_of_a_list(visitor: Reader, year: Year, pages: tuple[str, ...]) -> None:
    """No column lies beyond the edge, where few would look for it; the matrix alone is wider."""
    lists = "[...document.querySelectorAll('table.list')]"
    script = f"return {lists}.map((one) => one.offsetWidth - one.parentElement.clientWidth)"
    seen = 0
    for page in pages:
        visitor.visit(page, f"#base={year.nights[0].id}&head={year.last.id}", width=390)
        if page == "compare.html":
            wait(visitor, "document.querySelector('table.list')")
        wide = visitor.driver.execute_script(script)
        seen += len(wide)
        assert [one for one in wide if one > 0] == [], page
    assert seen > 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(visitor: Reader, pages: tuple[str, ...], scheme: str) -> None:
    source = AXE.read_text(encoding="utf-8")
    assert hashlib.sha256(AXE.read_bytes()).hexdigest() == AXE_SHA256
    feature = {"name": "prefers-color-scheme", "value": scheme}
    visitor.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    visitor.driver.set_script_timeout(300)
    for page in pages:
        visitor.visit(page)
        visitor.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": source})
        found = visitor.driver.execute_async_script(
            "const done = arguments[0]; axe.run({preload: false}).then((found) => done(JSON.stringify("
            "found.violations.map((one) => [one.id, one.nodes.map((node) => node.html)]))))"
        )
        assert json.loads(found) == [], page
    visitor.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_the_keyboard_reaches_news_nights_and_the_filter(visitor: Reader) -> None:
    visitor.visit("index.html")
    visitor.press(Keys.TAB)
    assert "Skip" in str(visitor.js("document.activeElement.textContent"))
    visitor.press(Keys.ENTER)
    assert visitor.js("document.activeElement.id") == "main"
    seen = set()
    for _ in range(40):
        visitor.press(Keys.TAB)
        seen.add(
            str(visitor.js("document.activeElement.closest('section')?.getAttribute('aria-labelledby')"))
        )
    assert {"news", "nights", "trends"} <= seen
    visitor.visit("matrix.html")
    Select(visitor.all("#controls select")[0]).select_by_value("cipher")
    assert visitor.fragment() == "#rows=cipher"


def test_hostile_text_runs_nothing(driver: webdriver.Chrome, tmp_path: Path) -> None:
    out = site_of(tmp_path, mixed(), hostile())
    reader = Reader(driver, out)
    pages = [path.relative_to(out).as_posix() for path in sorted(out.rglob("*.html"))]
    kinds = {page.partition("/")[0]: page for page in pages}
    assert len(kinds) > 7
    for page in kinds.values():
        reader.visit(page)
        assert reader.js("window.hurt") is None, page
        assert not reader.driver.find_elements(By.CSS_SELECTOR, "img, iframe"), page
    reader.visit("compare.html")
    wait(reader, "document.getElementById('found').childElementCount > 0")
    reader.visit(
        "matrix.html", "#rows=tls&columns=cipher&filter=arch%3D%3Cimg%20src%3Dx%20onerror%3Dhurt%3D1%3E"
    )
    assert reader.js("window.hurt") is None
    assert reader.complaints() == []
    assert [url for url in reader.requests() if not url.startswith((out.as_uri(), "about:"))] == []


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_cells_move_in_the_browser_as_they_do_in_python(
    driver: webdriver.Chrome, built: Path, tmp_path: Path, case: dict[str, Any]
) -> None:
    """The page's own script, with the runs of an example."""
    for name in ("compare.html", "compare.js", "site.js", "style.css", "last.js"):
        shutil.copyfile(built / name, tmp_path / name)
    cells = {**case["base"], **case["head"]}
    numbers = {name: number for number, name in enumerate(cells)}
    data = json.loads((built / "compare.json").read_text())
    told = {
        "runs": [{"id": side, "day": "2026-11-27", "page": f"{side}.html"} for side in ("base", "head")],
        "cells": [[name, f"{name}.html", *point(name, cell)[1:]] for name, cell in cells.items()],
        "changes": data["changes"],
    }
    (tmp_path / "compare-data.js").write_bytes(as_script("compare", told))
    end = {"outcome": "pass", "reason": None, "verdict": "as-expected", "fails": False, "alarms": False}
    nothing: dict[str, list[object]] = {
        name: [] for name in ("parts", "things", "sets", "builds", "made", "flaky")
    }
    for side, flaky in (("base", False), ("head", True)):  # so that no cell is unchanged
        one = {
            **end,
            "tested": True,
            "flaky": flaky,
            "failures": [],
            "cells": [numbers[n] for n in case[side]],
        }
        (tmp_path / f"{side}.js").write_bytes(as_script("run", side, {"ends": [one], **nothing}))
    reader = Reader(driver, tmp_path)
    reader.visit("compare.html", "#base=base&head=head")
    wait(reader, "document.getElementById('found').childElementCount > 0")
    lines = [line.get_property("textContent") for line in reader.all("#found .members li")]
    moved = [str(line).split() for line in lines if ", was " in str(line)]
    assert {words[0][0]: words[-1] for words in moved} == case["moves"]
    assert len(lines) == len(cells.keys() - set(case["moves"].values()))
    assert reader.complaints() == []


def shuffled(year: Year, dice: random.Random) -> Year:
    """Eight nights of these cells with ends, ingredients and builds by chance."""
    shared = [("package", "curl", False), ("source", "haproxy", True), ("tool", "matrixctl", True)]
    own = [("cpu", "CPU features", False), ("rule", "what is expected", False)]

    def draw(slots: list[tuple[str, str, bool]]) -> frozenset[Ingredient]:
        fillings = [("1", "a" * 64), ("1", "b" * 64), ("2", ""), ("", "c" * 64), ("", "")]
        things = [Ingredient(*slot[:2], *filling, slot[2]) for slot in slots for filling in fillings]
        return frozenset(dice.sample(things, dice.randrange(1, 4)))

    sets = {number: draw(shared if number < 3 else own) for number in range(7)}
    ends = {
        Verdict.AS_EXPECTED: (Outcome.PASS, None, 1, 0),
        Verdict.REGRESSION: (Outcome.FAIL, Reason.WRONG_BODY, 0, 4),
        Verdict.CHANGED_FAILURE: (Outcome.FAIL, Reason.SERVER_CRASHED, 0, 1),
        Verdict.FLAKY: (Outcome.FAIL, Reason.WRONG_BODY, 2, 2),
    }

    def end(result: Result) -> Result:
        (verdict,) = dice.choices([*ends], [5, 2, 1, 2])
        outcome, reason, passed, failed = ends[verdict]
        drawn = (dice.randrange(3), dice.randrange(3, 7))
        (made,) = dice.choices([(0, 3), drawn, None], [6, 3, 1])
        failures = (f"{outcome}: {reason}",) if failed else ()
        (build,) = dice.choices(["", "e", "f"], [1, 8, 1])
        return result._replace(
            outcome=outcome,
            reason=reason,
            verdict=verdict,
            passed=passed,
            failed=failed,
            failures=failures,
            made=made,
            build=build * 64,
        )

    nights = tuple(
        replace(night, results={name: end(result) for name, result in year.nights[0].results.items()})
        for night in year.nights[:8]
    )
    return replace(year, nights=nights, sets=sets)


@pytest.mark.parametrize("seed", range(2))
def test_runs_by_chance_are_compared_in_the_browser_as_in_python(
    driver: webdriver.Chrome, built: Path, year: Year, tmp_path: Path, seed: int
) -> None:
    chance = shuffled(year, random.Random(seed))
    frame = Frame(year=chance, tracks={}, overdue="", tool="")
    for page in make_pairs(frame, number_cells(chance)):
        (tmp_path / page.path).parent.mkdir(exist_ok=True)
        (tmp_path / page.path).write_bytes(page.make())
    for name in ("site.js", "style.css", "last.js"):
        shutil.copyfile(built / name, tmp_path / name)
    reader, flaky = Reader(driver, tmp_path), 0
    for base, head in permutations(range(8), 2):
        if base > head or seed % 2 == base % 2:
            continue
        reader.visit("compare.html", f"#base={chance.nights[base].id}&head={chance.nights[head].id}")
        wait(reader, "document.getElementById('found').childElementCount > 0")
        news = frame.compare(base, head)
        assert told_groups(reader) == in_groups(news), (base, head)
        flaky += len(frame.find_flaky(base, head))
    assert flaky
    assert reader.complaints() == []
