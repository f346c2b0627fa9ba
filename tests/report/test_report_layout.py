"""How the HTML report is laid out, in a real Chromium: heads that stay in sight, paper, a phone."""

import base64
import re
import zlib

import nights
import pytest
import samples
from browsing import AXE, Reader
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from orchestrator import resources
from orchestrator.matrix.model import ClientValue, Patch
from orchestrator.record.model import RunRecord
from orchestrator.report import html

pytestmark = pytest.mark.browser

SCROLLED = """(() => {
  const grid = document.getElementById('grid');
  grid.scrollTo(grid.scrollWidth, grid.scrollHeight * 0.3);
  grid.scrollIntoView({block: 'start'});
  const box = grid.getBoundingClientRect();
  const side = grid.querySelector('.corner').getBoundingClientRect();
  const at = (x, y) => document.elementFromPoint(x, y);
  const names = [...grid.querySelectorAll('.head span')].filter((name) => at(...middle(name)) === name);
  function middle(element) {
    const place = element.getBoundingClientRect();
    return [place.left + place.width / 2, place.top + place.height / 2];
  }
  return {
    scrolls: [grid.scrollTop > 0, grid.scrollLeft > 0],
    corner: at(side.left + 5, side.bottom - 5).className,
    column: at(box.right - 30, side.bottom - 5).closest('thead') !== null,
    row: at(side.left + 5, side.bottom + 80).closest('th')?.scope,
    top: Math.abs(side.top - box.top) < 2 && Math.abs(side.left - box.left) < 2,
    haproxy: names.length ? names[0].textContent : '',
    under: names.length ? Math.round(names[0].closest('th').getBoundingClientRect().top - side.bottom) : null,
  };
})()"""


@pytest.mark.parametrize("width", [390, 800, 1400])
def test_the_heads_of_a_large_grid_stay_in_sight(reader: Reader, width: int) -> None:
    """Those of the columns, of the rows, and the line that names HAProxy."""
    reader.open(nights.wide(2), width=width)
    found = reader.js(SCROLLED)
    assert isinstance(found, dict)
    assert found["scrolls"] == [True, True]
    assert (found["corner"], found["column"], found["row"], found["top"]) == ("corner", True, "row", True)
    assert found["haproxy"].startswith("HAProxy ")
    assert found["under"] == 0


def colours_on_paper(reader: Reader) -> set[str]:
    """What a PDF of the page is painted with, text and tiles, while the browser leaves backgrounds out."""
    options = {"printBackground": False, "preferCSSPageSize": True}
    pdf = base64.b64decode(reader.driver.execute_cdp_cmd("Page.printToPDF", options)["data"])
    painted = set()
    for stream in re.findall(rb"/FlateDecode.*?stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        for found in re.findall(
            rb"(?<!\S)([\d.]+) ([\d.]+) ([\d.]+) (?:rg|RG)\b", zlib.decompressobj().decompress(stream)
        ):
            painted.add("#" + "".join(f"{round(float(channel) * 255):02x}" for channel in found))
    return painted


def palette() -> dict[str, str]:
    """The colours of the light scheme, by name."""
    style = (resources.find_root() / "templates/report/style.css").read_text()
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", style.split(":root {")[1].split("}")[0]))


@pytest.mark.parametrize(
    ("record", "scheme"), [(nights.bad(), "light"), (nights.bad(), "dark"), (samples.mixed(), "light")]
)
def test_paper_shows_every_colour_though_backgrounds_are_left_out(
    reader: Reader, record: RunRecord, scheme: str
) -> None:
    """No text is washed out, no tile is blank, and what a dark screen shows is printed on white."""
    reader.open(record)
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    reader.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    painted, known = colours_on_paper(reader), palette()
    reader.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert painted - {*known.values(), "#000000"} == set()
    verdicts = {cell.verdict for cell in record.cells}
    tiles = {
        "regression": "fail",
        "now-passing": "now",
        "known-failure": "known",
        "changed-failure": "changed",
    }
    assert {known[f"{tile}-bg"] for verdict, tile in tiles.items() if verdict in verdicts} <= painted
    assert known["pass-bg"] in painted


SWATCHES = """[...document.querySelectorAll('.legend .swatch')].map((swatch) => {
  const style = getComputedStyle(swatch), page = getComputedStyle(document.body);
  return [swatch.className, style.backgroundColor, style.borderTopColor, page.backgroundColor];
})"""


def contrast(one: str, other: str) -> float:
    """Of two colours as ``getComputedStyle`` writes them (https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio)."""

    def luminance(colour: str) -> float:
        channels = (int(value) / 255 for value in re.findall(r"\d+", colour)[:3])
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_swatch_of_the_legend_can_be_seen(reader: Reader, scheme: str) -> None:
    """Its face or its edge has the contrast that graphics need, 3 to 1 (WCAG 2.1, 1.4.11)."""
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    reader.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    reader.open(samples.mixed())
    swatches = reader.js(SWATCHES)
    reader.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert isinstance(swatches, list)
    assert len({name for name, *_ in swatches}) == 7
    faint = [
        name for name, face, edge, page in swatches if max(contrast(face, page), contrast(edge, page)) < 3
    ]
    assert faint == []


@pytest.mark.parametrize("record", [nights.bad(), samples.mixed()])
def test_a_phone_shows_the_first_alarm_on_its_first_screen(reader: Reader, record: RunRecord) -> None:
    """What is about the run, and the filters, are folded; no words on keys."""
    reader.open(record, width=390)
    first = reader.all(".cluster, .group")[0]
    assert first.rect["y"] + 60 < 844
    assert not reader.all("#hint, header .facts dd, #controls select")
    assert [box.text for box in reader.all(".fold > summary")] == ["About this run", "Legend and filters"]
    reader.all(".fold > summary")[0].click()
    assert reader.all("header .facts dd")


def test_a_desk_has_nothing_folded(reader: Reader) -> None:
    reader.open(samples.mixed(), width=1280)
    assert reader.all("header .facts dd")
    assert reader.all("#hint")
    assert reader.all("#controls select")
    assert not reader.all(".fold > summary")


def turn(reader: Reader, width: int) -> None:
    size = {"width": width, "height": 390, "deviceScaleFactor": 1, "mobile": True}
    reader.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def test_a_phone_that_is_turned_shows_what_was_folded(reader: Reader) -> None:
    """There is no summary there to open it with."""
    reader.open(samples.mixed(), width=390)
    assert not reader.all("header .facts dd, #controls select")
    turn(reader, 844)
    WebDriverWait(reader.driver, 10).until(lambda _: reader.all("header .facts dd"))
    assert reader.all("#controls select")
    assert not reader.all(".fold > summary")
    turn(reader, 390)
    WebDriverWait(reader.driver, 10).until(lambda _: len(reader.all(".fold > summary")) == 2)
    assert reader.all("header .facts dd"), "what was to be read stays"


def test_paper_has_what_a_phone_folds(reader: Reader) -> None:
    reader.open(samples.mixed(), width=390)
    assert not reader.all(".fold[open]")
    reader.driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    assert len(reader.driver.find_elements(By.CSS_SELECTOR, ".fold[open]")) == 2


def test_without_a_script_a_phone_folds_nothing(reader: Reader) -> None:
    reader.open(samples.mixed(), script=False, width=390)
    assert reader.all("header .facts dd")
    assert reader.all(".legend li")


@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_no_fault(reader: Reader, width: int) -> None:
    """https://github.com/dequelabs/axe-core: a scrolling region that keys cannot reach, among others."""
    record = nights.bad()
    worst = next(cell for cell in record.cells if cell.verdict == "regression" and cell.observations)
    reader.open(record, f"#{html.make_anchor(worst)}", width=width)
    reader.one("#timeline > summary").click()
    reader.driver.set_script_timeout(300)
    reader.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
    found = reader.driver.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run({preload: false}).then((all) => done(all.violations.map("
        "(one) => one.id + ': ' + one.nodes.map((node) => node.html.slice(0, 120)).join(' | '))));"
    )
    assert found == []


COUNT_WIDTHS = """
const real = Object.getOwnPropertyDescriptor(Element.prototype, 'scrollWidth');
window.widths = 0;
const get = function () { window.widths += 1; return real.get.call(this); };
Object.defineProperty(Element.prototype, 'scrollWidth', {get});
"""


def test_what_is_folded_is_not_laid_out_to_be_measured(reader: Reader) -> None:
    """Of 10,000 cells that failed, a browser laid out each panel by itself, and the page did not open."""
    page = "Page.addScriptToEvaluateOnNewDocument"
    added = reader.driver.execute_cdp_cmd(page, {"source": COUNT_WIDTHS})
    try:
        reader.open(samples.mixed(), width=390)
    finally:
        reader.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
    folded = int(str(reader.js("document.querySelectorAll('.cell:not([open]) .scroll').length")))
    assert 0 < int(str(reader.js("window.widths"))) < folded
    reader.driver.execute_script("document.querySelector('.cell .scroll').closest('.cell').open = true")
    opened = "document.querySelector('.cell .scroll').hasAttribute('tabindex')"
    WebDriverWait(reader.driver, 60).until(lambda _: reader.js(opened))


def test_chips_without_a_cell_are_no_tab_stops(reader: Reader) -> None:
    reader.open(samples.mixed())
    chips = "[...document.querySelectorAll('.legend button')]"
    found = reader.js(f"{chips}.map((chip) => [chip.tabIndex, chip.querySelector('b').textContent])")
    assert isinstance(found, list)
    assert {(stop, count == "0") for stop, count in found} == {(0, False), (-1, True)}


CLASHES = """(() => {
  const seen = (element) => element.getBoundingClientRect(), faults = [];
  const over = (one, other) => one.right > other.left + 1 && one.left < other.right - 1;
  for (const row of document.querySelectorAll('#grid tbody tr:not(.head)')) {
    const fields = [...row.querySelectorAll('td > .field')];
    fields.slice(1).forEach((field, i) => { if (over(seen(fields[i]), seen(field))) faults.push('fields'); });
    for (const field of fields) {
      const word = field.querySelector('b'), range = document.createRange();
      range.selectNodeContents(word);
      const text = seen(range), tally = field.querySelector('.short > .tally');
      if (getComputedStyle(word.parentElement).position !== 'absolute') {
        if (text.right > seen(field).right) faults.push('word');
        if (tally && over(text, seen(tally))) faults.push('tally');
      }
    }
  }
  return [...new Set(faults)];
})()"""


def two_clients() -> RunRecord:
    """A field with two cells in each place of the grid."""
    clients = (samples.CURL, ClientValue(name="gtlsclient", family="gtlsclient"))
    return samples.run(
        samples.product(samples.ccm, [samples.haproxy("3.0.11")], [samples.DISTRO], clients=clients)
    )


@pytest.mark.parametrize("width", [390, 800, 1400])
@pytest.mark.parametrize("record", [two_clients(), samples.large(800)], ids=["clients", "long"])
def test_nothing_in_the_grid_lies_over_its_neighbour(reader: Reader, record: RunRecord, width: int) -> None:
    """The word of a field, the counts beside it, and the next field each have a place of their own."""
    reader.open(record, width=width)
    assert reader.js("document.querySelectorAll('#grid td > .field').length")
    assert reader.js(CLASHES) == []


@pytest.mark.parametrize("width", [390, 800, 1400])
def test_a_cell_and_its_button_are_as_wide_as_their_words(reader: Reader, width: int) -> None:
    """The line of a cell shows how long it took, and the button that copies is no bar."""
    record = samples.mixed()
    worst = next(cell for cell in record.cells if cell.verdict == "regression" and cell.observations)
    reader.open(record, f"#{html.make_anchor(worst)}", width=width)
    assert reader.one(f"[id='{html.make_anchor(worst)}'] .asmarkdown").rect["width"] < 200
    cut = "[...document.querySelectorAll('.cell .how')].filter((one) => one.scrollWidth > one.clientWidth)"
    assert reader.js(f"{cut}.length") == 0


CALM = """[...document.querySelectorAll('.build.calm > .quiet > summary')].map((one) => {
  one.scrollIntoView();
  const place = one.getBoundingClientRect();
  return [Math.round(place.height), Math.round(place.width)];
})"""


@pytest.mark.parametrize("width", [390, 800])
def test_what_is_as_expected_of_a_build_is_one_line(reader: Reader, width: int) -> None:
    record = samples.quick()
    patch = Patch(name="fix.diff", sha256="1" * 64, path="fix.diff")
    patched = record.cells[0].axes.tls.model_copy(update={"patches": (patch,)})
    cells = tuple(
        cell.model_copy(update={"axes": cell.axes.model_copy(update={"tls": patched})})
        for cell in record.cells
    )
    reader.open(record.model_copy(update={"cells": cells}), width=width)
    found = reader.js(CALM)
    assert isinstance(found, list)
    assert found
    for height, wide in found:
        assert height < 40, "more than one line"
        assert wide > 100
