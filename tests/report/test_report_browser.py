"""The HTML report in a real Chromium: without JavaScript, with it, by keyboard, under hostile text."""

import nights
import pytest
import samples
from browsing import Reader
from issue_2569 import record
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from orchestrator.outcome import Outcome
from orchestrator.record.model import CellRecord, RunRecord
from orchestrator.report import html

pytestmark = pytest.mark.browser

CELL = "c-arm64.haproxy-2.8.9.libressl-3.9.2.TLS_CHACHA20_POLY1305_SHA256"


def test_without_javascript_the_grid_and_the_panels_are_there(reader: Reader) -> None:
    reader.open(samples.mixed(), script=False)
    assert len(reader.all("#grid a.c")) == 60
    assert not reader.all("#controls, #hint, .legend button")
    assert reader.one("h1").text.startswith("10 regressions in 60 cells")
    assert not reader.all(".panel")
    reader.one(f"#grid a[href='#{CELL}']").click()
    (panel,) = reader.all(".panel")
    assert panel.get_attribute("id") == CELL
    for words in ("nothing came for 8.0 s", "matrixctl run --cell arm64", "QEMU 7.2.19", "client's exit"):
        assert words in panel.text


def test_axes_switch_and_a_cell_of_the_grid_then_counts(reader: Reader) -> None:
    reader.open(samples.mixed())
    rows, columns = (Select(select) for select in reader.all("#controls select"))
    rows.select_by_value("tls")
    columns.select_by_value("cipher")
    assert len(reader.all("#grid tbody tr")) == 3
    slot = reader.all("#grid tbody tr:nth-child(3) td")[2].find_element(By.TAG_NAME, "summary")
    assert slot.text.split() == ["fail", "handshake-then-hang", "regression", "2", "2"]
    slot.click()
    assert len(reader.all("#grid .many[open] a")) == 4
    assert reader.fragment() == "#rows=tls&columns=cipher"


def test_the_drawn_grid_equals_the_written_one(reader: Reader) -> None:
    body = "[...document.querySelectorAll('#grid tbody')].map((body) => body.innerText).join('\\n')"
    cells = tuple(map(tried_twice, samples.mixed().cells))
    reader.open(samples.run(tuple(c for c in cells if c.axes.arch.name == "arm64")))
    written = reader.js(body)
    assert "1 of 2" in str(written)
    reader.open(samples.run(cells), "#arch=arm64")
    reader.until_shown("30 of 60 cells")
    assert reader.js(body) == written


def tried_twice(cell: CellRecord) -> CellRecord:
    """A cell that failed passed at its second attempt."""
    if cell.outcome is not Outcome.FAIL:
        return cell
    passed = {"number": 2, "why": "repeat 2", "outcome": Outcome.PASS, "reason": None}
    return cell.model_copy(update={"attempts": (*cell.attempts, cell.attempts[0].model_copy(update=passed))})


def test_fields_with_several_clients_are_drawn_as_they_are_written(reader: Reader) -> None:
    look = "td.firstElementChild.className + td.textContent"
    fields = f"[...document.querySelectorAll('#grid td')].map((td) => {look})"
    everything = nights.bad()
    reader.open(samples.run(tuple(c for c in everything.cells if c.axes.arch.name == "arm64")))
    written = reader.js(fields)
    assert isinstance(written, list)
    assert any("many field fail v-regression" in field for field in written)
    reader.open(everything, "#arch=arm64")
    reader.until_shown("150 of 300 cells")
    assert reader.js(fields) == written


def test_a_field_opens_to_its_cells_without_javascript(reader: Reader) -> None:
    reader.open(nights.calm(), script=False)
    field = reader.one("#grid .v-known-failure")
    field.find_element(By.TAG_NAME, "summary").click()
    assert [link.text for link in field.find_elements(By.CSS_SELECTOR, "li a")] == ["curl", "gtlsclient"]


def test_verdicts_filter_and_live_in_the_address(reader: Reader) -> None:
    reader.open(nights.bad())
    reader.one(".legend [data-verdict=now-passing] button").click()
    reader.until_shown("3 of 300 cells")
    assert reader.fragment() == "#verdict=now-passing"
    assert [group.text.split(",")[0] for group in reader.all(".group h3")] == ["now passing"]
    reader.one(".legend [data-verdict=regression] button").click()
    reader.one(".legend [data-state=misbuilt] button").click()
    reader.until_shown("15 of 300 cells")


def test_a_rule_leads_to_its_cells(reader: Reader) -> None:
    reader.open(nights.calm())
    reader.one(f".rules a[href*='{nights.HANG_RULE.replace(':', '%3A')}']").click()
    reader.until_shown("6 of 60 cells")


def test_filters_narrow_grid_groups_and_panels_and_live_in_the_address(reader: Reader) -> None:
    reader.open(samples.mixed())
    reader.one(".legend [data-state=fail] button").click()
    reader.until_shown("5 of 60 cells")
    assert len(reader.all("details.cell")) == len(reader.all("#grid a.c")) == 5
    assert len(reader.all(".group")) == 2
    reader.one("input[type=search]").send_keys("sigsegv")
    reader.until_shown("2 of 60 cells")
    next(menu for menu in reader.all("#controls summary") if menu.text.startswith("arch")).click()
    reader.all("#controls .menu label")[1].click()
    reader.until_shown("1 of 60 cells")
    address = reader.fragment()
    assert address == "#outcome=fail&text=sigsegv&arch=arm64"
    reader.open(samples.mixed(), address)
    reader.until_shown("1 of 60 cells")
    assert reader.one("input[type=search]").get_attribute("value") == "sigsegv"
    next(button for button in reader.all("#controls button") if button.text == "Reset").click()
    reader.until_shown("60 cells")
    assert reader.fragment() == ""


def test_a_filter_without_a_match_says_so(reader: Reader) -> None:
    reader.open(samples.quick(), "#outcome=fail")
    assert reader.one("#grid").text == "No cell matches these filters."
    assert not reader.all("details.cell, .group")


def test_the_keyboard_reaches_a_cell_opens_its_panel_and_comes_back(reader: Reader) -> None:
    reader.open(samples.mixed())
    for _ in range(80):
        reader.press(Keys.TAB)
        if "c " in str(reader.js("document.activeElement.className")):
            break
    assert "openssl-distro.TLS_AES_128_GCM" in str(reader.js("document.activeElement.title"))
    assert reader.js("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    reader.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.END, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert reader.js("document.activeElement.hash") == f"#{CELL}"
    reader.press(Keys.ENTER)
    (panel,) = reader.all(".panel")
    assert panel.get_attribute("id") == CELL
    assert reader.fragment() == f"#{CELL}"
    assert reader.js("document.activeElement.localName") == "summary"
    reader.press(Keys.ESCAPE)
    assert reader.js("document.activeElement.hash") == f"#{CELL}"
    reader.press(Keys.TAB)
    assert not reader.js("document.activeElement.closest('#grid')"), "the grid is one tab stop"


def test_a_link_to_a_cell_keeps_the_filters_and_back_leads_back(reader: Reader) -> None:
    reader.open(samples.mixed(), "#outcome=fail")
    reader.one(f"#grid a[href='#{CELL}']").click()
    assert reader.fragment() == f"#outcome=fail&cell={CELL}"
    assert len(reader.all(".panel")) == 1
    reader.driver.back()
    WebDriverWait(reader.driver, 5).until(lambda _: reader.fragment() == "#outcome=fail")
    reader.until_shown("5 of 60 cells")


@pytest.mark.parametrize("script", [True, False])
def test_hostile_text_runs_nothing_and_is_shown(reader: Reader, *, script: bool) -> None:
    reader.open(samples.hostile(), script=script)
    reader.all("#grid a.c")[12].click()
    (panel,) = reader.all(".panel")
    assert "</script><script>window.hurt=1</script>" in panel.text
    assert "[31mred" in panel.text
    if script:
        Select(reader.all("#controls select")[0]).select_by_value("cipher")
        for summary in reader.all("#controls summary, #grid summary")[:6]:
            summary.click()
        reader.one("input[type=search]").send_keys("</script><script>")
        reader.until_shown("60 cells")
        assert reader.js("window.hurt") is None
    assert not reader.driver.find_elements(By.CSS_SELECTOR, "img")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("record", [samples.mixed(), nights.bad(), nights.wide()])
def test_the_page_itself_never_scrolls_sideways(reader: Reader, record: RunRecord, width: int) -> None:
    reader.open(record, f"#{html.anchor(record.cells[0])}", width=width)
    assert reader.js("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_two_thousand_cells_can_be_filtered(reader: Reader) -> None:
    reader.open(samples.large())
    reader.one(".legend [data-state=fail] button").click()
    reader.until_shown("25 of 2000 cells")


@pytest.mark.parametrize("script", [True, False])
def test_a_link_to_a_cell_far_down_lands_on_it(reader: Reader, *, script: bool) -> None:
    record = samples.large()
    reader.open(record, f"#{html.anchor(record.cells[-3])}", script=script)
    (panel,) = reader.all("details[open] > .panel")
    assert panel.get_attribute("id") == html.anchor(record.cells[-3])
    top = panel.rect["y"] - float(str(reader.js("scrollY")))
    assert 0 <= top < 600


@pytest.mark.parametrize("script", [True, False])
def test_clusters_are_shown_whatever_the_cells_are_filtered_by(reader: Reader, *, script: bool) -> None:
    reader.open(record(), "#arch=amd64" if script else "", script=script)
    shown = [cluster.text for cluster in reader.all(".cluster")]
    assert len(shown) == 3
    assert all("tls=libressl<4.0" in text and "irrelevant\narch" in text for text in shown)
