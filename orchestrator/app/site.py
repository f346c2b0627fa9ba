"""From a history and the folders of its runs to a site. It imports SQLAlchemy: import it late."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from orchestrator.app.resume import digest_tool
from orchestrator.atomic_files import read_beneath
from orchestrator.errors import MatrixctlError, UsageError
from orchestrator.record.find import choose_only, read_run
from orchestrator.record.history.history import JUDGED, History
from orchestrator.record.model import CellRecord
from orchestrator.report.expectations import describe_expected
from orchestrator.report.text import make_visible
from orchestrator.site.cell import EvidenceFile, FolderDetail, Known
from orchestrator.site.charts import TROUBLE
from orchestrator.site.page_paths import make_slug
from orchestrator.site.site import make_site
from orchestrator.site.write import Written, write_site
from orchestrator.site.year import NIGHTS, Night, Year, make_year

_NIGHTS = 3
"""Nights whose evidence is shown."""
_FILES = 8
"""Files of one cell and night."""
_TRACED = ("/traced/haproxy.log", "/traced/packets.txt")
"""Those of a second run; the packets themselves are larger than a site may have."""
_LONGEST = 1 << 16
"""Bytes of a file of evidence."""
_EVIDENCE = 20 << 20
"""Bytes of all evidence: a fifth of what a site may have."""
_WITHOUT = (
    f"none: there is some of cells that do not pass in the last {_NIGHTS} nights, while the run's folder is"
    " there. The line above makes it again."
)


def build_site(
    history: History, folder: Path, *, series: str | None, now: datetime, served: bool = False
) -> Written:
    """Write the dashboard of a series.

    :param series: the only one, if left out.
    :param served: it leads to the page of the run that goes on, which a folder does not have.
    :raises UsageError: where the series has no run, or it is not clear which is meant.
    :raises MatrixctlError: where the history cannot be read.
    :raises OSError: as the file system says.
    """
    with _without_collector():
        year = read_year(history, series)
        return write_site(
            folder, make_site(year, read_known(year), now=now, tool=digest_tool(), served=served)
        )


@contextmanager
def _without_collector() -> Iterator[None]:
    """Look for no cycles meanwhile: a year is a million objects that stay, and each look takes them in."""
    worked = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if worked:
            gc.enable()


def read_year(history: History, series: str | None) -> Year:
    """Return the newest nights of a series.

    :raises UsageError: where it has none, or it is not clear which is meant.
    """
    if series is None:
        series = choose_only((run["series"] for run in history.list_runs()), "of the history")
    runs = history.list_nights(series, NIGHTS)
    if not runs:
        raise UsageError(
            f"the history {history.place} has no run {f'of the series {series}' if series else 'by hand'}",
            resolution="Fill it with: matrixctl history import --all",
        )
    first = runs[0]["id"]
    results = history.list_results_of(series, first)
    shared, own = (JUDGED.index(name) + 2 for name in ("session_set", "own_set"))
    sets = {row[place] for row in results for place in (shared, own)} - {None}
    return make_year(
        series,
        runs=runs,
        cells=history.list_cells(),
        results=results,
        alarms=history.list_alarms_of(series, first),
        components=history.list_components_of(series, first),
        builds=history.list_builds(),
        rules=history.list_rules(runs[-1]),
        sets=history.read_sets(sets),
    )


def read_known(year: Year) -> Known:
    """Return what the folders of the last nights say beside the history: rules, reproducers, evidence."""
    details: dict[str, FolderDetail] = {}
    evidence: dict[str, list[EvidenceFile]] = {}
    left = _EVIDENCE
    for night in reversed(year.nights[-_NIGHTS:]):
        if not night.folder:
            continue
        try:
            record = read_run(Path(night.folder))
        except (MatrixctlError, OSError):  # it is gone, or cannot be read: the history is enough
            continue
        if night is year.last:
            details = {make_visible(cell.id): _make_detail(cell) for cell in record.cells}
        for cell in record.cells:
            result = night.results.get(make_visible(cell.id))
            if result is None or result.tone not in TROUBLE:
                continue
            for number, name in enumerate((*cell.evidence[:_FILES], *_list_traced(cell)), start=1):
                one, size = _take_evidence(night, cell.id, number, name)
                if one is not None and size <= left:
                    left -= size
                    evidence.setdefault(make_visible(cell.id), []).append(one)
    return Known(details=details, evidence=evidence, without=_WITHOUT)


def _list_traced(cell: CellRecord) -> list[str]:
    """Return the files of a cell's second run that a person reads first."""
    return [path for path in (cell.traced.evidence if cell.traced else ()) if path.endswith(_TRACED)]


def _take_evidence(night: Night, cell: str, number: int, name: str) -> tuple[EvidenceFile | None, int]:
    """Return a file of a run's folder, under a name of ours, and how much of the site it will be."""
    folder = Path(night.folder)
    try:
        size = min((folder / name).lstat().st_size, _LONGEST)
    except (OSError, ValueError):
        return None, 0

    def read() -> bytes:
        try:
            content = read_beneath(folder, name, _LONGEST)
        except OSError as error:
            return f"It cannot be read: {error.strerror or error}\n".encode()
        cut = f"\n[cut after {_LONGEST} bytes: the rest is in the folder of the run]\n".encode()
        return content if len(content) <= _LONGEST else content[:_LONGEST] + cut

    return EvidenceFile(
        path=f"evidence/{make_slug(f'{night.id} {cell} {name}')}-{number}.txt",
        title=make_visible("/".join(name.split("/")[-2 if name.endswith(_TRACED) else -1 :])),
        day=night.day,
        key=f"{night.digest} {size}",
        read=read,
    ), size


def _make_detail(cell: CellRecord) -> FolderDetail:
    expected = cell.expected
    declared = expected is not None and not expected.rule
    return FolderDetail(
        reproducer=make_visible(cell.reproducer),
        declared=make_visible(f"{describe_expected(expected)}, since {expected.because}")
        if expected and declared
        else "",
        cause=make_visible(cell.cause),
    )
