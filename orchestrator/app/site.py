"""From a history and the folders of its runs to a site. It imports SQLAlchemy: import it late."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from orchestrator.app.resume import digest_tool
from orchestrator.errors import MatrixctlError, UsageError
from orchestrator.record.find import choose_only, read_run
from orchestrator.record.history.history import History
from orchestrator.record.model import CellRecord
from orchestrator.report import expectations
from orchestrator.report.text import visible
from orchestrator.site.cell import Detail, Known
from orchestrator.site.site import make_site
from orchestrator.site.write import Written, write_site
from orchestrator.site.year import NIGHTS, Year, make_year


def build_site(
    history: History, folder: Path, *, series: str | None, now: datetime, say: Callable[[str], None]
) -> Written:
    """Write the dashboard of a series.

    :param series: the only one, if left out.
    :param say: is told what could not be shown.
    :raises UsageError: where the series has no run, or it is not clear which is meant.
    :raises MatrixctlError: where the history cannot be read.
    :raises OSError: as the file system says.
    """
    year = read_year(history, series)
    return write_site(folder, make_site(year, read_known(year, say), now=now, tool=digest_tool()))


def read_year(history: History, series: str | None) -> Year:
    """Return the newest nights of a series.

    :raises UsageError: where it has none, or it is not clear which is meant.
    """
    if series is None:
        series = choose_only((run["series"] for run in history.runs()), "of the history")
    runs = history.nights(series, NIGHTS)
    if not runs:
        raise UsageError(
            f"the history {history.place} has no run {f'of the series {series}' if series else 'by hand'}",
            resolution="Fill it with: matrixctl history import --all",
        )
    first = runs[0]["id"]
    return make_year(
        series,
        runs=runs,
        cells=history.cells(),
        results=history.results_of(series, first),
        alarms=history.alarms_of(series, first),
        components=history.components_of(series, first),
    )


def read_known(year: Year, say: Callable[[str], None]) -> Known:
    """Return what the folder of the last night says beside the history."""
    details: dict[str, Detail] = {}
    with suppress(MatrixctlError):  # it is gone, or cannot be read: the history is enough
        if year.last.folder:
            details = {
                visible(cell.id): _detail(cell) for cell in read_run(Path(year.last.folder), say=say).cells
            }
    return Known(details=details, evidence={}, without="none is kept")


def _detail(cell: CellRecord) -> Detail:
    rule = cell.expected
    return Detail(
        reproducer=visible(cell.reproducer),
        expected=visible(expectations.wanted(rule)) if rule else "",
        because=visible(rule.because) if rule else "",
        rule=visible(rule.rule) if rule else "",
        stale=visible(rule.stale) if rule else "",
        cause=visible(cell.cause),
    )
