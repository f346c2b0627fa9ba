"""A report in a real Chromium, for whichever test wants one; a plugin of conftest.py."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from orchestrator.record.model import RunRecord
from orchestrator.report import html

AXE = Path(__file__).parents[1] / "site" / "axe-core-4.14.1.min.js"
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


class Reader:
    """A browser with one report open."""

    def __init__(self, driver: webdriver.Chrome, folder: Path) -> None:
        self.driver = driver
        self.folder = folder

    @property
    def page(self) -> Path:
        return self.folder / "index.html"

    def open(self, record: RunRecord, fragment: str = "", *, script: bool = True, width: int = 1280) -> None:
        self.show(html.render(record), fragment, script=script, width=width)

    def show(self, page: str, fragment: str = "", *, script: bool = True, width: int = 1280) -> None:
        self.page.write_text(page, encoding="utf-8")
        self.visit("index.html", fragment, script=script, width=width)

    def visit(self, name: str, fragment: str = "", *, script: bool = True, width: int = 1280) -> None:
        """Open a page that lies in the folder."""
        self.go((self.folder / name).as_uri() + fragment, script=script, width=width)

    def go(self, address: str, *, script: bool = True, width: int = 1280) -> None:
        """Open a page."""
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
        self.driver.get(address)

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


@pytest.fixture(scope="session")
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
