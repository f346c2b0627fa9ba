"""All pages of the site. Pure."""

from collections.abc import Iterator
from datetime import datetime

from orchestrator.site.alarm import make_alarms
from orchestrator.site.axis_pages import make_parts
from orchestrator.site.badges import make_badges
from orchestrator.site.cell import Known, make_cell
from orchestrator.site.coverage import make_coverage
from orchestrator.site.feed import make_feed
from orchestrator.site.matrix import make_matrix
from orchestrator.site.overview import make_overview
from orchestrator.site.pages import Frame, Page, as_script, explain_overdue, read_asset
from orchestrator.site.pairs import make_pairs, number_cells
from orchestrator.site.run import make_run
from orchestrator.site.state import OVERDUE_H, is_overdue
from orchestrator.site.tracks import follow
from orchestrator.site.year import Year


def make_site(year: Year, known: Known, *, now: datetime, tool: str, served: bool = False) -> Iterator[Page]:
    """Return the pages of a year that has a night.

    :param known: what the folders of runs add.
    :param tool: a digest of the program.
    :param served: each page leads to the one of the run that goes on.
    """
    overdue = explain_overdue(year.last, now) if is_overdue(year.last, now) else ""
    frame = Frame(year=year, tracks=follow(year), overdue=overdue, tool=tool, served=served)
    nights = year.nights
    news = frame.compare(len(nights) - 2, len(nights) - 1) if len(nights) > 1 else None
    yield from make_overview(frame, news)
    yield from make_matrix(frame)
    yield from make_coverage(frame)
    numbers = number_cells(year)
    yield from make_pairs(frame, numbers)
    yield from make_parts(frame)
    yield from make_alarms(frame)
    for number in range(len(nights)):
        yield from make_run(frame, number, numbers)
    for track in frame.tracks.values():
        yield from make_cell(frame, track, known)
    yield from make_feed(frame)
    yield from make_badges(frame)
    yield from known.make_files(frame)
    yield from _make_assets(year)


def _make_assets(year: Year) -> Iterator[Page]:
    yield Page(path="style.css", make=lambda: read_asset("report/style.css") + read_asset("site/site.css"))
    yield Page(path="site.js", make=lambda: read_asset("site/site.js"))
    last = {"day": year.last.day, "started_at": year.last.started_at, "hours": OVERDUE_H}
    yield Page(path="last.js", make=lambda: as_script("last", last))
