"""The HTML report in a real Chromium: without JavaScript, with it, by keyboard, under hostile text."""

import re

import nights
import pytest
import samples
from browsing import Reader
from issue_2569 import record
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from orchestrator.outcome import Outcome, Reason
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


FIELDS = (
    "[...document.querySelectorAll('#grid td')].map((td) => td.firstElementChild.className + td.innerText)"
)


def drawn_and_written(reader: Reader, cells: tuple[CellRecord, ...]) -> tuple[object, object]:
    """The fields of amd64 and one HAProxy, as the script draws them, and as the page has them."""
    some = [one for one in cells if one.axes.arch.name == "amd64" and one.axes.haproxy.name == "2.8.9"]
    reader.open(samples.run(tuple(some)))
    written = reader.js(FIELDS)
    reader.open(samples.run(tuple(some)), "#rows=tls&columns=cipher")
    assert reader.one("#grid .corner").text == "tls by cipher"
    return reader.js(FIELDS), written


def test_the_drawn_grid_equals_the_written_one(reader: Reader) -> None:
    drawn, written = drawn_and_written(reader, tuple(map(tried_twice, samples.mixed().cells)))
    assert drawn == written
    assert "1 of 2" in str(written)


def tried_twice(cell: CellRecord) -> CellRecord:
    """A cell that failed passed at its second attempt."""
    if cell.outcome is not Outcome.FAIL:
        return cell
    passed = {"number": 2, "why": "repeat 2", "outcome": Outcome.PASS, "reason": None}
    return cell.model_copy(update={"attempts": (*cell.attempts, cell.attempts[0].model_copy(update=passed))})


def test_fields_with_several_clients_are_drawn_as_they_are_written(reader: Reader) -> None:
    drawn, written = drawn_and_written(reader, nights.bad().cells)
    assert drawn == written
    assert "many field fail v-" in str(written)


PANEL = "document.getElementById('{}').closest('details').innerText.replace('Copy', '').replace(/\\s/g, '')"


def test_a_panel_that_is_drawn_says_what_a_written_one_does(reader: Reader) -> None:
    """The same cell, once as expected, and once with two attempts, which the page has as text."""
    (cell, *_) = (one for one in nights.bad().cells if one.axes.tls.patches and one.outcome is Outcome.PASS)
    panel = PANEL.format(html.make_anchor(cell))
    rule = nights.expected("matrix.yaml:9", Reason.NO_QUIC).model_copy(
        update={"outcome": Outcome.PASS, "reason": None, "cipher": cell.axes.cipher.suite}
    )
    said = []
    for attempts in (cell.attempts, cell.attempts * 2):
        one = cell.model_copy(update={"attempts": attempts, "message": "It <b>passes</b>", "expected": rule})
        reader.open(nights.bad().model_copy(update={"cells": (one,)}), f"#{html.make_anchor(cell)}")
        said.append(str(reader.js(panel)))
    drawn, written = said
    assert re.sub(r"2of2attemptspassed\.|attempts2of2.*?(?=negotiated)", "", written) == drawn
    for words in (
        "It<b>passes</b>",
        "patchedwithopen-in-place.diff",
        "(matrix.yaml:9)",
        "h3.json",
        "SHA-256",
        "attestation",
    ):
        assert words in drawn


def test_a_filter_keeps_whole_rows_and_counts_what_is_left(reader: Reader) -> None:
    """amd64 stays beside arm64, faint where it does not match."""
    reader.open(samples.mixed(), "#arch=arm64&tls=libressl-3.9.2")
    reader.until_shown("10 of 60 cells")
    assert len(reader.all("#grid a.c")) == 20
    assert len(reader.all("#grid td.dim")) == 10
    chips = [" ".join(chip.text.split()) for chip in reader.all(".legend [data-state]:not(.none) button")]
    assert chips == ["fail 3", "blocked 5", "pass 2"]


def test_a_field_of_several_cells_shows_those_that_the_filter_leaves(reader: Reader) -> None:
    reader.open(nights.bad(), "#client=curl&verdict=as-expected")
    reader.one(".shown")
    faces = reader.js(
        "[...document.querySelectorAll('#grid td:not(.dim) .many > summary b')].map((b) => b.textContent)"
    )
    assert isinstance(faces, list)
    assert set(faces) == {"pass", "unsupported"}
    tallies = reader.js(
        "[...document.querySelectorAll('#grid td:not(.dim) .tally')].map((one) => one.textContent)"
    )
    assert isinstance(tallies, list)
    assert set(tallies) == {"1"}


def test_builds_that_are_all_as_expected_are_one_line_in_a_long_grid(reader: Reader) -> None:
    reader.open(samples.large(800))
    assert len(reader.all("#grid tbody tr:not(.head)")) == 10
    fold = reader.all("#grid .unfold")[0]
    assert fold.text.endswith("7 builds, 70 cells, all as expected")
    fold.click()
    assert len(reader.all("#grid tbody tr:not(.head)")) == 17
    assert fold.get_attribute("aria-expanded") == "true"
    reader.one(".legend [data-verdict=regression] button").click()
    reader.until_shown("10 of 800 cells")
    assert not reader.all("#grid .unfold")


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
    assert len(reader.all("details.cell")) == len(reader.all("#grid td:not(.dim) a.c")) == 5
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
    assert "No cell matches these filters." in reader.one("main").text
    assert not reader.all("#grid, details.cell, .group")


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
    reader.open(record, f"#{html.make_anchor(record.cells[0])}", width=width)
    assert reader.js("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_two_thousand_cells_can_be_filtered(reader: Reader) -> None:
    reader.open(samples.large())
    reader.one(".legend [data-state=fail] button").click()
    reader.until_shown("25 of 2000 cells")


@pytest.mark.parametrize("script", [True, False])
def test_a_link_to_a_cell_far_down_lands_on_it(reader: Reader, *, script: bool) -> None:
    record = samples.large()
    cell = record.cells[-3]
    if not script:  # without one only what is not as expected has a panel
        cell = [one for one in record.cells if one.outcome is Outcome.FAIL][-1]
    reader.open(record, f"#{html.make_anchor(cell)}", script=script)
    (panel,) = reader.all("details[open] > .panel")
    assert panel.get_attribute("id") == html.make_anchor(cell)
    top = panel.rect["y"] - float(str(reader.js("scrollY")))
    assert 0 <= top < 600


@pytest.mark.parametrize("script", [True, False])
def test_clusters_are_shown_whatever_the_cells_are_filtered_by(reader: Reader, *, script: bool) -> None:
    reader.open(record(), "#arch=amd64" if script else "", script=script)
    shown = [cluster.text for cluster in reader.all(".cluster")]
    assert len(shown) == 2
    assert all("tls=libressl<4.0" in text and "irrelevant\narch" in text for text in shown)
