"""The geometry of the charts: numbers and SVG path data, which the templates draw. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby

from orchestrator.site.steps import StepChange, find_steps
from orchestrator.site.year import ABSENT, TONES, Night

HEIGHTS = {
    "regression": 20,
    "changed-failure": 20,
    "flaky": 15,
    "not-judged": 15,
    "now-passing": 11,
    "known-failure": 11,
    "as-expected": 6,
    "untried": 3,
}
"""Of a night in the strip of a cell: what is louder is taller, so that no one has to tell colours apart."""
FLOOR = 20
TROUBLE = TONES[: TONES.index("as-expected")]
"""The tones of what does not pass."""
PLOT = 60
"""Height of a plot, in its own units; a night is one unit wide."""


@dataclass(frozen=True, kw_only=True)
class Area:
    """What is filled in the colour of one tone."""

    tone: str
    path: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Areas over a number of nights."""

    width: int
    areas: tuple[Area, ...]
    most: int = 0
    """The largest number that it shows, if it shows numbers."""


@dataclass(frozen=True, kw_only=True)
class Tick:
    """The first night of a month, in percent of the width."""

    at: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Times over nights. ``top`` is in seconds."""

    width: int
    height: int
    line: str
    levels: str
    top: float
    last: float
    steps: tuple[StepChange, ...]


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A day of the calendar; without a run ``night`` is ``None``."""

    column: int
    row: int
    day: str
    tone: str
    night: Night | None


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """Weeks as columns, Monday first."""

    tiles: tuple[Tile, ...]
    weeks: int
    months: tuple[tuple[int, str], ...]
    """Column, and the name of the month that begins in it."""


def draw_strip(tones: Sequence[str]) -> Chart:
    """Return a bar for each night, as tall as it is loud."""
    paths: dict[str, list[str]] = {}
    at = 0
    for tone, run in groupby(tones):
        width = sum(1 for _ in run)
        if tone != ABSENT:
            height = HEIGHTS[tone]
            paths.setdefault(tone, []).append(f"M{at} {FLOOR - height}h{width}v{height}h-{width}z")
        at += width
    return Chart(width=at, areas=_draw_areas(paths))


def draw_trouble(counts: Sequence[Counter[str]]) -> Chart:
    """Return how many cells did not pass night by night, the loudest below; ``most`` is the most there were.

    A twentieth of the cells is the least that fills it, so that a calm year looks calm.
    """
    paths: dict[str, list[str]] = {}
    cells = max(shares.total() - shares[ABSENT] for shares in counts)
    most = max(sum(shares[tone] for tone in TROUBLE) for shares in counts)
    top, at = max(most, cells / 20, 1), 0
    for shares, run in groupby(counts, key=lambda one: tuple(one[tone] for tone in TROUBLE)):
        width, floor = sum(1 for _ in run), float(PLOT)
        for tone, count in zip(TROUBLE, shares, strict=True):
            if count:
                height = PLOT * count / top
                floor -= height
                paths.setdefault(tone, []).append(f"M{at} {floor:.4g}h{width}v{height:.4g}h-{width}z")
        at += width
    return Chart(width=at, areas=_draw_areas(paths), most=most)


def _draw_areas(paths: dict[str, list[str]]) -> tuple[Area, ...]:
    return tuple(Area(tone=tone, path="".join(paths[tone])) for tone in TONES if tone in paths)


def draw_latency(values: Sequence[float | None]) -> Latency | None:
    """Return the times of a cell night by night with their change points; ``None`` for fewer than two."""
    known = [value for value in values if value is not None]
    if len(known) < 2:  # noqa: PLR2004 - one point is no line
        return None
    top = max(known) or 1.0
    steps = find_steps(values)
    places = [(n, PLOT * (1 - value / top)) for n, value in enumerate(values) if value is not None]
    line = "M" + "L".join(f"{n + 0.5:g} {y:.3g}" for n, y in places)
    edges = [0, *(step.night for step in steps), len(values)]
    means = [steps[0].was, *(step.now for step in steps)] if steps else []
    levels = "".join(
        f"M{a} {PLOT * (1 - mean / top):.3g}H{b}" for a, b, mean in zip(edges, edges[1:], means, strict=False)
    )
    return Latency(
        width=len(values), height=PLOT, line=line, levels=levels, top=top, last=known[-1], steps=steps
    )


def find_months(nights: Sequence[Night]) -> tuple[Tick, ...]:
    """Return where months begin; of many nights each second or third one."""
    first = [
        (number, night.day)
        for number, night in enumerate(nights)
        if number and night.day[:7] != nights[number - 1].day[:7]
    ]
    every = 1 + len(first) // 7
    return tuple(
        Tick(at=round(100 * number / len(nights), 2), label=_name_month(day))
        for number, day in first[::every]
    )


def _name_month(day: str) -> str:
    try:
        return f"{date.fromisoformat(day):%b %Y}"
    except ValueError:
        return day


def draw_calendar(nights: Iterable[tuple[Night, str]], days: int) -> Calendar:
    """Return the days up to the last night, each with the tone of its (newest) run."""
    by_day = {night.day: (night, tone) for night, tone in nights}
    try:
        last = date.fromisoformat(max(by_day))
        first = max(date.fromisoformat(min(by_day)), last - timedelta(days=days - 1))
    except ValueError:  # an empty history, or days that are none
        return Calendar(tiles=(), weeks=0, months=())
    monday = first - timedelta(days=first.weekday())
    tiles: list[Tile] = []
    months: list[tuple[int, str]] = []
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        column = (day - monday).days // 7
        night, tone = by_day.get(f"{day}", (None, ABSENT))
        tiles.append(Tile(column=column, row=day.weekday(), day=f"{day}", tone=tone, night=night))
        if day.day == 1 or number == 0:
            if months and column - months[-1][0] < 2:  # noqa: PLR2004 - no room for two names
                months.pop()
            months.append((column, f"{day:%b}"))
    return Calendar(tiles=tuple(tiles), weeks=tiles[-1].column + 1, months=tuple(months))
