"""The HTML report of 2,000 cells: how long it takes to render, how large it is, how long it takes to open."""

import importlib.util
import shutil
import tempfile
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from bench.figures import Section
from orchestrator.record.model import RunRecord
from orchestrator.report import html

CELLS = 2_000
_SAMPLES = Path(__file__).parents[1] / "tests" / "report" / "samples.py"
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking")


def measure(cells: int = CELLS, *, open_it: bool = True) -> Section:
    """Render a record like a real one, and open the page if Chromium is there."""
    record = sample(cells)
    started = time.perf_counter()
    page = html.render(record).encode()
    rendered_s = time.perf_counter() - started
    loaded_s = _opened(page) if open_it else None
    opened = "not opened" if loaded_s is None else f"{loaded_s:.2f} s"
    return Section(
        key="report",
        title="The HTML report",
        header=("cells", "rendered in", "size", "opened by Chromium in"),
        rows=((f"{cells:,}", f"{rendered_s:.2f} s", f"{len(page) / (1 << 20):.1f} MiB", opened),),
    )


def sample(cells: int) -> RunRecord:
    """The record that the report's own tests use: each cell with observations, attestation, evidence."""
    spec = importlib.util.spec_from_file_location("samples", _SAMPLES)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(_SAMPLES)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    record: RunRecord = module.large(cells)
    return record


def _opened(page: bytes) -> float | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.html"
        path.write_bytes(page)
        return open_page(path)


def open_page(path: Path) -> float | None:
    """Return the seconds from the navigation to the end of the load event; ``None`` without Chromium."""
    program, service = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or service is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        options = webdriver.ChromeOptions()
        options.binary_location = program
        for flag in (*_FLAGS, f"--user-data-dir={folder}/profile"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service(service))
        try:
            driver.get(path.as_uri())
            ended = driver.execute_script("return performance.getEntriesByType('navigation')[0].loadEventEnd")
        finally:
            driver.quit()
    return float(ended) / 1000
