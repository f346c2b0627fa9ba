"""The HTML report in a real Chromium: without JavaScript, with it, by keyboard, under hostile text."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import samples
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from orchestrator.record.model import RunRecord
from orchestrator.report import html

pytestmark = pytest.mark.browser

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
)
CELL = "c-arm64.haproxy-2.8.9.libressl-3.9.2.TLS_CHACHA20_POLY1305_SHA256"


class Reader:
    """A browser with one report open."""

    def __init__(self, driver: webdriver.Chrome, folder: Path) -> None:
        self.driver = driver
        self.folder = folder

    def open(self, record: RunRecord, fragment: str = "", *, script: bool = True, width: int = 1280) -> None:
        page = self.folder / "index.html"
        page.write_text(html.render(record), encoding="utf-8")
        for command, value in (
            ("Emulation.setScriptExecutionDisabled", {"value": not script}),
            (
                "Emulation.setDeviceMetricsOverride",
                {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
            ),
        ):
            self.driver.execute_cdp_cmd(command, value)
        self.driver.get("about:blank")
        self.complaints()
        self.requests()
        self.driver.get(page.as_uri() + fragment)

    def all(self, css: str) -> list[WebElement]:
        return [found for found in self.driver.find_elements(By.CSS_SELECTOR, css) if found.is_displayed()]

    def one(self, css: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def js(self, expression: str) -> object:
        value: object = self.driver.execute_script(f"return {expression}")
        return value

    def fragment(self) -> str:
        return str(self.js("location.hash"))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def until_shown(self, words: str) -> None:
        WebDriverWait(self.driver, 5).until(lambda _: self.one(".shown").text == words)

    def complaints(self) -> list[str]:
        """Everything on the console since the last call: errors, and breaches of the content policy."""
        log: list[dict[str, str]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in log]

    def requests(self) -> list[str]:
        """Every address that the browser asked for since the last call."""
        log: list[dict[str, str]] = self.driver.get_log("performance")  # type: ignore[no-untyped-call]
        messages = [json.loads(entry["message"])["message"] for entry in log]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    program, service = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not service:
        pytest.fail("Chromium is missing: apt-get install --no-install-recommends chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(service))
    yield driver
    driver.quit()


@pytest.fixture
def reader(driver: webdriver.Chrome, tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(driver, tmp_path)
    yield reader
    assert reader.complaints() == []
    assert [url for url in reader.requests() if not url.startswith(tmp_path.as_uri())] == []


def test_without_javascript_the_grid_and_the_panels_are_there(reader: Reader) -> None:
    reader.open(samples.mixed(), script=False)
    assert len(reader.all("#grid a.c")) == 60
    assert not reader.all("#controls, #hint, .legend button")
    assert reader.one("h1").text.startswith("5 of 60 cells fail")
    assert not reader.all(".panel")
    reader.one(f"#grid a[href='#{CELL}']").click()
    (panel,) = reader.all(".panel")
    assert panel.get_attribute("id") == CELL
    for words in ("nothing came for 8.0 s", "matrixctl run --cell arm64", "QEMU 7.2.19", "curl exit"):
        assert words in panel.text


def test_axes_switch_and_a_cell_of_the_grid_then_counts(reader: Reader) -> None:
    reader.open(samples.mixed())
    rows, columns = (Select(select) for select in reader.all("#controls select"))
    rows.select_by_value("tls")
    columns.select_by_value("cipher")
    assert len(reader.all("#grid tbody tr")) == 3
    slot = reader.all("#grid tbody tr:nth-child(3) td")[2].find_element(By.TAG_NAME, "summary")
    assert slot.text.split() == ["2", "fail", "2", "blocked"]
    slot.click()
    assert len(reader.all("#grid .many[open] a")) == 4
    assert reader.fragment() == "#rows=tls&columns=cipher"


def test_the_drawn_grid_equals_the_written_one(reader: Reader) -> None:
    body = "[...document.querySelectorAll('#grid tbody')].map((body) => body.innerText).join('\\n')"
    reader.open(samples.run(tuple(c for c in samples.mixed().cells if c.axes.arch.name == "arm64")))
    written = reader.js(body)
    reader.open(samples.mixed(), "#arch=arm64")
    reader.until_shown("30 of 60 cells")
    assert reader.js(body) == written


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
    for _ in range(60):
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
def test_the_page_itself_never_scrolls_sideways(reader: Reader, width: int) -> None:
    reader.open(samples.mixed(), f"#{CELL}", width=width)
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
