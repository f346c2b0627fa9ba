"""All pages of the site. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from orchestrator.site.alarm import make_alarms
from orchestrator.site.cell import Known, Track, make_cell
from orchestrator.site.charts import find_months
from orchestrator.site.coverage import make_coverage
from orchestrator.site.matrix import make_matrix
from orchestrator.site.news import Move, compare_nights, find_moves
from orchestrator.site.overview import make_overview
from orchestrator.site.pages import Frame, Page, as_script, asset, overdue_sentence
from orchestrator.site.pairs import make_pairs, number_cells
from orchestrator.site.part import make_parts
from orchestrator.site.run import make_run
from orchestrator.site.state import OVERDUE_H, is_overdue
from orchestrator.site.year import Result, Year


def make_site(year: Year, known: Known, *, now: datetime, tool: str) -> Iterator[Page]:
    """Return the pages of a year that has a night.

    :param known: what the folders of runs add.
    :param tool: a digest of the program.
    """
    overdue = overdue_sentence(year.last, now) if is_overdue(year.last, now) else ""
    frame = Frame(year=year, overdue=overdue, tool=tool)
    nights = year.nights
    news = compare_nights(nights[-2], nights[-1]) if len(nights) > 1 else None
    yield from make_overview(frame, news)
    yield from make_matrix(frame)
    yield from make_coverage(frame)
    numbers = number_cells(year)
    yield from make_pairs(frame, numbers)
    yield from make_parts(frame)
    yield from make_alarms(frame)
    for number in range(len(nights)):
        yield from make_run(frame, number, numbers)
    ticks = find_months(nights)
    for track in follow(year):
        yield from make_cell(frame, track, ticks, known)
    yield from _assets(year)


def _assets(year: Year) -> Iterator[Page]:
    yield Page(path="style.css", make=lambda: asset("report/style.css") + asset("site/site.css"))
    yield Page(path="site.js", make=lambda: asset("site/site.js"))
    last = {"day": year.last.day, "started_at": year.last.started_at, "hours": OVERDUE_H}
    yield Page(path="last.js", make=lambda: as_script("last", last))


def follow(year: Year) -> Iterator[Track]:
    """Return each cell with what it was under another id, before one of its versions moved."""
    moves: dict[str, tuple[int, Move]] = {}
    for number in range(1, len(year.nights)):
        base, head = year.nights[number - 1], year.nights[number]
        if base.results.keys() != head.results.keys():
            moves |= {name: (number, move) for name, move in find_moves(base, head).items()}
    for name in year.tracks:
        yield Track(name=name, **_chain(year, name, moves))


def _chain(year: Year, name: str, moves: dict[str, tuple[int, Move]]) -> dict[str, Any]:
    results: list[Result | None] = list(year.tracks[name])
    found: dict[int, Move] = {}
    end = len(results)
    while name in moves and moves[name][0] < end:  # always further back, so it comes to an end
        end, move = moves[name]
        found[end] = move
        name = move.old
        older: Sequence[Result | None] = year.tracks[name][:end]
        results[:end] = [mine or other for mine, other in zip(results[:end], older, strict=True)]
    return {"results": tuple(results), "moves": found}
