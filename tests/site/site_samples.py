"""The nights of ``fake_nights`` as a history and as a site; a plugin of conftest.py."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fake_nights import FIRST, NIGHTS, run_nights

from orchestrator.app.site import build_site, read_year
from orchestrator.record.history.history import History
from orchestrator.record.history.place import HistoryPlace, parse_place
from orchestrator.site.write import Written
from orchestrator.site.year import Year

MORNING = FIRST + timedelta(days=NIGHTS - 1, hours=5)
"""When somebody looks at the last night."""


@dataclass(frozen=True)
class Series:
    """The folders of the runs, and their history."""

    reports: Path
    place: HistoryPlace

    def year(self) -> Year:
        with History(self.place) as kept:
            return read_year(kept, "nightly")

    def build(self, out: Path, now: datetime = MORNING) -> Written:
        with History(self.place) as kept:
            return build_site(kept, out, series=None, now=now.astimezone(UTC))


@pytest.fixture(scope="session")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Series:
    """All nights: to be read only."""
    folder = tmp_path_factory.mktemp("nights")
    series = Series(folder, parse_place(str(folder / "history.db")))
    run_nights(folder, series.place)
    return series


@pytest.fixture(scope="session")
def year(nights: Series) -> Year:
    return nights.year()


@pytest.fixture(scope="session")
def built(nights: Series, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their site: to be read only."""
    out = tmp_path_factory.mktemp("site")
    nights.build(out)
    return out


@pytest.fixture
def own(nights: Series, tmp_path: Path) -> Series:
    """A copy of the history that a test may change; the folders of the runs are the common ones."""
    shutil.copy(nights.reports / "history.db", tmp_path / "history.db")
    return Series(nights.reports, parse_place(str(tmp_path / "history.db")))
