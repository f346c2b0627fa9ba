"""The page of a run that goes on, in a real Chromium: each cell as it is judged, without a reload."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from browsing import AXE, Reader
from engine_run import GCM, EngineRun, Programs, chosen
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait
from test_serve_process import LONG, serving

pytestmark = pytest.mark.browser

NAME = "20261201-020000-0001"


class Gate:
    """Lets one cell after another be probed."""

    def __init__(self) -> None:
        self._open = threading.Semaphore(0)

    def __call__(self, kind: str) -> None:
        assert kind != "driver" or self._open.acquire(timeout=LONG)

    def let_one_pass(self) -> None:
        self._open.release()

    @contextmanager
    def opened_at_the_end(self) -> Iterator[None]:
        """Whatever fails, no run waits for what does not come."""
        try:
            yield
        finally:
            self._open.release(100)


def until(reader: Reader, script: str, wanted: Callable[[Any], object]) -> None:
    WebDriverWait(reader.driver, LONG).until(lambda _: wanted(reader.js(script)))


JUDGED = "document.getElementById('judged').textContent"
LAST = "[...document.querySelectorAll('#last li')].map(one => one.innerText.trim().replace(/\\s+/g, ' '))"
PROBLEM = "document.querySelector('#problem:not([hidden])')?.innerText"
AXE_RUN = "return axe.run(document).then(found => found.violations.map(one => one.id))"


def test_it_shows_each_cell_as_it_is_judged_and_says_when_it_hears_no_more(
    driver: webdriver.Chrome, tmp_path: Path
) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    gate = Gate()
    first, second = cells = chosen("arch=amd64,arm64", "tls=openssl-3.5.7", f"cipher={GCM}")
    programs = Programs(before=gate, fails=lambda cell, _: cell == second.id)
    run = EngineRun(reports, cells, programs=programs, name=NAME, choices={"jobs": 1})
    reader = Reader(driver, tmp_path)
    with serving(tmp_path) as server, gate.opened_at_the_end():
        home = f"http://127.0.0.1:{server.port}/"
        reader.go(home)
        until(reader, "document.title", lambda title: "No run" in title)
        driver.execute_script("window.unmoved = true")
        thread = threading.Thread(target=run.go)
        thread.start()
        until(reader, "document.getElementById('running').innerText", lambda text: "probe" in text)
        assert reader.js(JUDGED) == "0"
        assert reader.js("document.getElementById('planned').textContent") == "2"
        gate.let_one_pass()
        until(reader, JUDGED, lambda text: text == "1")
        assert reader.js(LAST) == [f"pass {first.id}"]
        gate.let_one_pass()
        until(reader, JUDGED, lambda text: text == "2")
        thread.join(LONG)
        until(reader, "document.getElementById('state').className", lambda name: "alarm" in name)
        failed, passed = driver.execute_script(f"return {LAST}")
        assert failed.startswith(f"fail handshake-then-hang regression {second.id} ")
        assert passed == f"pass {first.id}"
        assert reader.js("window.unmoved") is True, "it was loaded anew"
        driver.execute_script(AXE.read_text(encoding="utf-8"))
        assert driver.execute_script(AXE_RUN) == []
        assert not reader.js(PROBLEM)
        reader.one("#last a").click()
        until(reader, "location.hash", lambda fragment: second.id in fragment)
        assert reader.js("location.pathname") == f"/reports/{NAME}/index.html"
        driver.back()
        assert reader.complaints() == []
        assert [url for url in reader.requests() if not url.startswith(home)] == []
        server.end(signal.SIGTERM)
        until(reader, PROBLEM, lambda text: text and "does not answer" in text)
