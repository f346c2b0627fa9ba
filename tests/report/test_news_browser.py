"""The page on two runs, and the news of a report, in a real Chromium: read on a phone, by eye and by tool."""

import json

import nights
import pytest
from browsing import AXE, Reader
from hostile_records import day_before
from test_report_news import base, found, head, told

from orchestrator.analyse.compare import Comparison, compare
from orchestrator.report import html

pytestmark = pytest.mark.browser

SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

OPEN = "document.querySelectorAll('.news details, .change details').forEach((one) => { one.open = true; })"


def bad() -> Comparison:
    record = told(nights.bad())
    return compare(day_before(record), record)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_axe_finds_nothing_and_nothing_scrolls_sideways(reader: Reader, width: int, scheme: str) -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    reader.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    calm = compare(base(), base())
    pages = [("html", html.render_comparison(one)) for one in (found(), bad(), calm)]
    for part, page in (*pages, (".news", html.render(head(), found()))):
        reader.show(page, width=width)
        reader.js(OPEN)
        assert reader.js(SIDEWAYS) == 0
        reader.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
        violations = reader.driver.execute_async_script(
            "const [part, done] = arguments; axe.run(part, {preload: false}).then((found) => done("
            "JSON.stringify(found.violations.map((one) => [one.id, one.nodes.map((node) => node.html)]))))",
            part,
        )
        assert json.loads(violations) == []
    reader.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("script", [True, False])
def test_the_news_lead_to_a_cell_whatever_is_filtered(reader: Reader, *, script: bool) -> None:
    reader.show(html.render(head(), found()), "#arch=arm64" if script else "", script=script)
    (failure, *_) = reader.all(".news .change")
    assert failure.text.startswith("new failure: pass -> fail: handshake-timeout (regression)")
    link = reader.all(".news .change a")[0]
    link.click()
    (panel,) = reader.all(".panel")
    assert panel.get_attribute("id") == html.make_anchor(head().cells[0])
    assert "new failure since BASE" in panel.text


def test_the_page_on_two_runs_needs_no_script(reader: Reader) -> None:
    reader.show(html.render_comparison(bad()), script=False)
    assert reader.one("h1").text.startswith("HEAD does not tell: ")
    more = reader.all(".change details")[0]
    hidden = len(reader.all(".members li"))
    more.click()
    assert len(reader.all(".members li")) > hidden
