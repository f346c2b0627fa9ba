"""What is expensive sits behind a flag, and whatever is skipped says so; real runs share one store."""

import gc
import os
import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from faults import contradiction, counted, told
from hypothesis import HealthCheck, settings
from tenacity import wait_none

from orchestrator import resources
from orchestrator.app import running
from orchestrator.app.options import Options
from orchestrator.arch import ARCHES
from orchestrator.execute.engine.docker_engine import DockerEngine, connect
from orchestrator.execute.images.workshop import Workshop
from orchestrator.execute.schedule.scheduler import Cancel
from orchestrator.execute.sources import download
from orchestrator.execute.store.store import Store
from orchestrator.execute.system.host import LocalHost
from orchestrator.matrix.catalog import load_catalog
from orchestrator.matrix.expand import expand
from orchestrator.matrix.expect import resolve
from orchestrator.matrix.load import load
from orchestrator.matrix.model import Limits
from orchestrator.matrix.select import find_filters, select
from orchestrator.probe import prober
from orchestrator.record.model import CellRecord, RunRecord

pytest_plugins = ["fuzzing", "browsing", "site_samples"]

# A busy machine fails no property: a hang ends at pytest's time limit. A failure says how to get it again.
# `pytest` tries a few examples of each, `--hypothesis-profile=full` (CI, `make soak`) four times as many.
settings.register_profile(
    "few", max_examples=25, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("full", settings.get_profile("few"), max_examples=100)
settings.load_profile("few")

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_MATRIX = resources.find_root() / "matrix.yaml"

_FLAGS = {
    "containers": "needs a Docker engine: pytest --run-containers",
    "browser": "needs Chromium and its driver: pytest --run-browser",
    "soak": "takes long: make soak",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    for name, help_text in _FLAGS.items():
        parser.addoption(f"--run-{name}", action="store_true", help=help_text)
    parser.addoption(
        "--whole-corpus", action="store_true", help="each hostile value in each field, not one of each class"
    )


_COUNTS = pytest.StashKey[list[str]]()
_FAULT = "fault"
"""Of a test that plants one, which: a property of its reports, wherever it was run."""
Tell = Callable[[str], None]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_COUNTS] = []
    # A Python that a test starts in another folder has this tree, whatever is installed.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))


@pytest.fixture(scope="session")
def tell(pytestconfig: pytest.Config) -> Tell:
    """Takes a line for the end of the session: a count that the documents reprint."""
    return pytestconfig.stash[_COUNTS].append


@pytest.fixture(scope="session")
def whole_corpus(pytestconfig: pytest.Config) -> bool:
    """Whether each hostile value goes through each field."""
    return bool(pytestconfig.getoption("--whole-corpus"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What was told, and how many of the planted faults were survived; docs/reliability.md reprints it."""
    if counts := config.stash[_COUNTS]:
        terminalreporter.section("counts")
        for line in counts:
            terminalreporter.write_line(line)
    if results := _results(terminalreporter):
        if wrong := contradiction(results, told()):
            terminalreporter.write_line(wrong, red=True)
        terminalreporter.write_line(counted(results))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over the counts of one of several processes that run the tests."""
    node.config.stash[_COUNTS] += getattr(node, "workeroutput", {}).get("counts", ())


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A session that has tried every fault fails where docs/reliability.md tells other counts."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["counts"] = session.config.stash[_COUNTS]
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and contradiction(_results(reporter), told()):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _results(reporter: pytest.TerminalReporter) -> dict[str, set[str]]:
    """How the tests of each fault ended in this session."""
    results: dict[str, set[str]] = defaultdict(set)
    for result in ("passed", "failed", "error", "skipped"):
        for report in reporter.stats.get(result, ()):
            if what := dict(getattr(report, "user_properties", ())).get(_FAULT):
                results[what].add(result)
    return results


_WHOLE = {"nights", "bucket"}
"""Fixtures that play a month of runs, and a server."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if _WHOLE & {*getattr(item, "fixturenames", ())}:
            item.add_marker(pytest.mark.whole)
        if (marker := item.get_closest_marker("fault")) is not None:
            item.user_properties.append((_FAULT, marker.args[0]))
    for name, why in _FLAGS.items():
        if not config.getoption(f"--run-{name}"):
            for item in items:
                if item.get_closest_marker(name):
                    item.add_marker(pytest.mark.skip(reason=why))


def pytest_collection_finish() -> None:
    """What was collected stays to the end; without this, each full collection of garbage walks through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_pauses(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One attempt follows another at once, but where a real engine may need the time between them."""
    if not request.node.get_closest_marker("containers"):
        for module in (download, prober):
            monkeypatch.setattr(module, "_WAIT", wait_none())


@dataclass(frozen=True)
class Ran:
    """A finished run."""

    record: RunRecord
    folder: Path

    def cell(self, part: str) -> CellRecord:
        """The one cell whose id contains ``part``."""
        (found,) = [cell for cell in self.record.cells if part in cell.id]
        return found


Runner = Callable[..., Ran]


@pytest.fixture(scope="session")
def engine() -> DockerEngine:
    return connect()


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store per session; MATRIXCTL_TEST_STORE keeps one between sessions, to save time by hand."""
    return Path(os.environ.get("MATRIXCTL_TEST_STORE") or tmp_path_factory.mktemp("store"))


def link_store(store: Path, own: Path, *parts: str) -> Path:
    """Return a store of its own at ``own``, with these parts of another one that others may use as well."""
    for part in parts:
        if (store / part).is_dir():
            shutil.copytree(store / part, own / part, copy_function=_link)
    return own


def _link(source: str, to: str) -> None:
    """Files of a store are replaced and never written to, so a link is as good as a copy."""
    try:
        os.link(source, to)
    except OSError:  # another file system
        shutil.copy2(source, to)


@pytest.fixture(scope="session")
def shop(engine: DockerEngine, store: Path) -> Workshop:
    """What makes an image that is not there yet, though another process may be about to make it, too."""
    return Workshop(engine=engine, host=LocalHost(), arch=ARCHES[engine.describe().arch], store=Store(store))


@pytest.fixture
def run(engine: DockerEngine, store: Path, tmp_path: Path) -> Runner:
    return runner_in(tmp_path, engine, store)


@pytest.fixture(scope="module")
def run_once(engine: DockerEngine, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """As ``run``, for a run whose cells many tests look at."""
    return runner_in(tmp_path_factory.mktemp("run"), engine, store)


def runner_in(folder: Path, engine: DockerEngine, store: Path) -> Runner:
    """A function that runs cells as `matrixctl run` does, with its reports below ``folder``.

    Of the profile ``quick`` the cells of one HAProxy are run, ``haproxy``.
    """

    def runner(
        *filters: str,
        profile: str = "quick",
        haproxy: str = "3.0.11",
        matrix: Path = DEFAULT_MATRIX,
        cancel: Cancel | None = None,
        today: date | None = None,
        limits: Limits | None = None,
        **changes: object,
    ) -> Ran:
        loaded = load(matrix)
        loaded = replace(loaded, limits=limits or loaded.limits)
        every = expand(loaded)
        if profile == "quick":
            filters = (f"haproxy={haproxy}", *filters)
        cells = select(every, (*find_filters(loaded, profile), *filters), known=every)
        options = Options(
            profile=profile, filters=filters, out=folder / "reports", store=store, jobs=os.cpu_count() or 1
        )
        record, made = running.run_matrix(
            loaded,
            cells,
            load_catalog([resources.find_root() / "sources.yaml"]),
            engine,
            replace(options, **changes),  # type: ignore[arg-type]
            expectations=resolve(loaded, every, today or datetime.now(UTC).date()),
            listen=lambda _: None,
            cancel=cancel or Cancel(),
        )
        return Ran(record, made)

    return runner


@dataclass(frozen=True)
class Overlay:
    """A folder of changed templates; a test plants its fault there."""

    folder: Path

    def edit(self, name: str, *changes: tuple[str, str]) -> "Overlay":
        """Replace text in one of our templates; each text must be there, so that no plant is lost."""
        path = self.folder / name
        text = (path if path.exists() else resources.find_root() / "templates" / name).read_text()
        for old, new in changes:
            assert text.count(old) >= 1, f"{name} has no {old!r}"
            text = text.replace(old, new)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return self


@pytest.fixture
def overlay(tmp_path: Path) -> Overlay:
    return Overlay(tmp_path / "overlay")
