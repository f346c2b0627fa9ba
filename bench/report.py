"""The HTML report of many cells: rendering, size, nodes, how long it takes to open and to filter."""

import importlib.util
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from bench.figures import Section, check_target
from orchestrator.outcome import Outcome, Reason
from orchestrator.record.model import RunRecord
from orchestrator.report import html

CELLS = 2_000
MANY = 10_000
_SHARE = 50
"""Each so many-th cell is not as expected: 2 per cent."""
_MIB = 1 << 20
_RENDERED_S, _SIZE_MIB, _NODES, _FILTER_MS, _SMALL_MIB = 5, 8, 150_000, 100, 1.5
_SAMPLES = Path(__file__).parents[1] / "tests" / "report" / "samples.py"
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking")
_PRESS = """
document.querySelector(`.legend [data-verdict=${arguments[0]}] button`).click();
document.body.offsetHeight;
"""
_COUNT = """
const all = document.createNodeIterator(document);
let found = 0;
while (all.nextNode()) found += 1;
return found;
"""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What Chromium made of a page: seconds to the end of the load event, DOM nodes, CPU ms of a filter."""

    loaded_s: float
    nodes: int
    filter_ms: float


def measure(cells: int = CELLS, many: int = MANY, *, open_it: bool = True) -> Section:
    """Render records like real ones, and open the pages if Chromium is there."""
    rows: list[tuple[str, ...]] = []
    notes: list[str] = []
    for count, bad in ((cells, _SHARE), (many, _SHARE), (many, 1)):
        record = make_sample(count, bad)
        started = time.process_time()
        page = html.render(record).encode()
        rendered_s, size = time.process_time() - started, len(page) / _MIB
        opened = _open(page) if open_it else None
        seen = ("not opened", "–", "–")  # noqa: RUF001 - a dash in a table
        if opened is not None:
            seen = (f"{opened.loaded_s:.2f} s", f"{opened.nodes:,}", f"{opened.filter_ms:.0f} ms")
        rows.append((f"{count:,}", f"{100 // bad} %", f"{rendered_s:.2f} s", f"{size:.1f} MiB", *seen))
        if bad > 1:
            notes += _compare(count, rendered_s, size, opened)
    notes.append("The page of failures alone has no target.")
    header = (
        "cells",
        "not as expected",
        "rendered in (CPU)",
        "size",
        "opened by Chromium in",
        "nodes",
        "filter",
    )
    return Section(key="report", title="The HTML report", header=header, rows=tuple(rows), notes=tuple(notes))


def _compare(cells: int, rendered_s: float, size: float, opened: Opened | None) -> Iterator[str]:
    name = f"{cells:,} cells"
    if cells <= CELLS:
        yield check_target(f"{name}, size", size, _SMALL_MIB, "MiB")
        return
    yield check_target(f"{name}, rendered in", rendered_s, _RENDERED_S, "s")
    yield check_target(f"{name}, size", size, _SIZE_MIB, "MiB")
    if opened is not None:
        yield check_target(f"{name}, nodes", opened.nodes / 1000, _NODES / 1000, "thousand")
        yield check_target(f"{name}, a filter", opened.filter_ms, _FILTER_MS, "ms")


def make_sample(cells: int, bad: int = 0) -> RunRecord:
    """Return the record of the report's own tests: each cell has observations, attestation, evidence.

    :param bad: each so many-th cell fails, and no other; 0 for the failures that the tests have.
    """
    spec = importlib.util.spec_from_file_location("samples", _SAMPLES)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(_SAMPLES)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    record: RunRecord = module.large(cells)
    if not bad:
        return record
    made = [
        module.cell(one.axes, Reason.HANDSHAKE_THEN_HANG)
        if place % bad == 0
        else module.cell(one.axes, None)
        if one.outcome is Outcome.FAIL
        else one
        for place, one in enumerate(record.cells)
    ]
    return record.model_copy(update={"cells": tuple(made)})


def _open(page: bytes) -> Opened | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.html"
        path.write_bytes(page)
        with browse() as driver:
            if driver is None:
                return None
            return Opened(
                loaded_s=_load(driver, path),
                nodes=int(driver.execute_script(_COUNT)),
                filter_ms=_filter(driver),
            )


def _filter(driver: webdriver.Chrome) -> float:
    """Return the median of some filters, in ms of the page's CPU time: other load matters little."""
    driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    took = []
    for name in ("regression", "regression", "as-expected", "as-expected", "regression"):
        before = _read_spent(driver)
        driver.execute_script(_PRESS, name)
        took.append(_read_spent(driver) - before)
    return 1000 * statistics.median(took)


def _read_spent(driver: webdriver.Chrome) -> float:
    metrics = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))


def open_page(path: Path) -> float | None:
    """Return the seconds from the navigation to the end of the load event; ``None`` without Chromium."""
    with browse() as driver:
        return None if driver is None else _load(driver, path)


def _load(driver: webdriver.Chrome, path: Path) -> float:
    driver.get(path.as_uri())
    ended = driver.execute_script("return performance.getEntriesByType('navigation')[0].loadEventEnd")
    return float(ended) / 1000


@contextmanager
def browse() -> Iterator[webdriver.Chrome | None]:
    """Start a Chromium of its own without a window, and end it; ``None`` where there is none."""
    program, service = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or service is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        options = webdriver.ChromeOptions()
        options.binary_location = program
        for flag in (*_FLAGS, f"--user-data-dir={folder}/profile"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service(service))
        try:
            yield driver
        finally:
            driver.quit()
