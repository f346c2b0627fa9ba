"""What is expensive sits behind a flag, and whatever is skipped says so; real runs share one store."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from orchestrator import app, resources
from orchestrator.execute.docker_engine import DockerEngine, connect
from orchestrator.execute.scheduler import Cancel
from orchestrator.matrix.catalog import load_catalog
from orchestrator.matrix.expand import expand
from orchestrator.matrix.load import load
from orchestrator.matrix.select import profile_filters, select
from orchestrator.record.model import CellRecord, RunRecord

DEFAULT_MATRIX = resources.root() / "matrix.yaml"

_FLAGS = {
    "containers": "needs a Docker engine and QEMU: pytest --run-containers",
    "browser": "needs Chromium and its driver: pytest --run-browser",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    for name, help_text in _FLAGS.items():
        parser.addoption(f"--run-{name}", action="store_true", help=help_text)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for name, why in _FLAGS.items():
        if not config.getoption(f"--run-{name}"):
            for item in items:
                if item.get_closest_marker(name):
                    item.add_marker(pytest.mark.skip(reason=why))


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


@pytest.fixture
def run(engine: DockerEngine, store: Path, tmp_path: Path) -> Runner:
    def runner(
        *filters: str,
        profile: str = "quick",
        matrix: Path = DEFAULT_MATRIX,
        cancel: Cancel | None = None,
        **changes: object,
    ) -> Ran:
        loaded = load(matrix)
        every = expand(loaded)
        cells = select(every, (*profile_filters(loaded, profile), *filters), known=every)
        options = app.Options(
            profile=profile, filters=filters, out=tmp_path / "reports", store=store, jobs=os.cpu_count() or 1
        )
        said: list[str] = []
        record, folder = app.run(
            loaded,
            cells,
            load_catalog([resources.root() / "sources.yaml"]),
            engine,
            replace(options, **changes),  # type: ignore[arg-type]
            listen=lambda _: None,
            say=said.append,
            cancel=cancel or Cancel(),
        )
        return Ran(record, folder)

    return runner


@dataclass(frozen=True)
class Overlay:
    """A folder of changed templates; a test plants its fault there."""

    folder: Path

    def edit(self, name: str, *changes: tuple[str, str]) -> "Overlay":
        """Replace text in one of our templates; each text must be there, so that no plant is lost."""
        path = self.folder / name
        text = (path if path.exists() else resources.root() / "templates" / name).read_text()
        for old, new in changes:
            assert text.count(old) >= 1, f"{name} has no {old!r}"
            text = text.replace(old, new)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return self


@pytest.fixture
def overlay(tmp_path: Path) -> Overlay:
    return Overlay(tmp_path / "overlay")
