"""When the actions of a run were worked on, drawn as lanes of bars. Pure."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from orchestrator.record.model import ActionRecord, RunRecord, ShardRecord, Span
from orchestrator.report import units

WIDTH = 1000
"""Units across; a page stretches them."""
_NAMED = 150
"""The longest so many bars have a name; the others are drawn, each kind as one shape."""
_CLEAR = 100
"""Of so many bars it can be seen what waited for what; of more, the chain alone."""
_TALL, _FLAT, _MANY = 14, 7, 24
"""Units of a lane's height: where there are few lanes, and from so many on."""
_SLACK_S = 0.1
"""So much later an action may seem to end than the next one begins: starts have whole milliseconds."""
_IDLE_S, _IDLE = 60, 0.1
"""Time without any action is left out where it is longer than both: seconds, and this share of the rest."""
_LEAST = 2
"""A shorter bar could not be seen."""
_TICKS = 6
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
Done = Mapping[tuple[int | None, str], Sequence["_Work"]]
"""What was worked on, by shard and key."""
_KINDS = ("image", "source", "tls", "haproxy", "selftest", "probe")


class _Work(NamedTuple):
    """One time that an action was worked on, with seconds since the epoch."""

    start: float
    end: float
    action: ActionRecord
    span: Span


class _Break(NamedTuple):
    """A time in which nothing was worked on."""

    start: float
    seconds: float


class Bar(NamedTuple):
    """A bar with a name; ``look`` is the class of its colour."""

    x: int
    y: int
    width: int
    look: str
    title: str


class Shape(NamedTuple):
    """Bars of one look without names, as the path of an SVG."""

    look: str
    path: str


class Tick(NamedTuple):
    """A time on the axis: its place in per cent, and its name."""

    at: float
    name: str


class ChainStep(NamedTuple):
    """One action of the chain that ended last: when it began, and how long before that it could have."""

    action: ActionRecord
    began: str
    took: str
    idle: str


@dataclass(frozen=True, kw_only=True)
class MachineLanes:
    """The lanes of one machine. ``waits`` and ``chain`` are lines from what was needed to what waited."""

    title: str
    height: int
    thick: int
    bars: tuple[Bar, ...]
    shapes: tuple[Shape, ...]
    waits: str
    chain: str
    lanes: int


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """All that was worked on, machine by machine; empty lanes are where nothing was done."""

    machines: tuple[MachineLanes, ...]
    begun: str
    took_s: float
    ticks: tuple[Tick, ...]
    breaks: tuple[float, ...]
    """Where time is left out, in per cent."""
    kinds: tuple[str, ...]
    failed: bool
    steps: tuple[ChainStep, ...]
    notes: tuple[str, ...]


def draw(record: RunRecord) -> Timeline | None:
    """Return the timeline of the run; ``None`` where no action has a start and an end."""
    works = sorted(_read(record.actions), key=lambda one: (one.start, one.end))
    if not works:
        return None
    first, last = works[0].start, max(one.end for one in works)
    breaks = tuple(_find_breaks(works))
    whole = max(last - first - sum(one.seconds for one in breaks), 1e-3)

    def place(at: float) -> float:
        return (at - first - sum(one.seconds for one in breaks if one.start < at)) / whole

    done = _index(works)
    chain = _find_chain(works, done)
    longest = sorted(works, key=lambda one: one.start - one.end)[:_NAMED]
    named = {id(one.span) for one in (*longest, *chain)}
    groups: dict[int, list[_Work]] = {}
    for one in works:
        groups.setdefault(one.span.shard or 0, []).append(one)
    return Timeline(
        machines=tuple(
            _draw_machine(
                _name(record.shards, number), members, named=named, chain=chain, done=done, place=place
            )
            for number, members in sorted(groups.items())
        ),
        begun=works[0].span.started_at,
        took_s=whole,
        ticks=tuple(_mark(whole)),
        breaks=tuple(round(100 * place(one.start), 2) for one in breaks),
        kinds=tuple(dict.fromkeys(choose_class(one.action.kind) for one in works)),
        failed=any(one.span.status == "failed" for one in works),
        steps=tuple(_tell(chain, first)),
        notes=tuple(_list_notes(record.actions, works, breaks, len(named))),
    )


def describe_begin(action: ActionRecord, timeline: Timeline | None) -> str:
    """Return how long after the first action of the run it began the last time; a dash if unknown."""
    starts = [start for span in action.spans if (start := _parse_moment(span.started_at)) is not None]
    first = _parse_moment(timeline.begun) if timeline else None
    if not starts or first is None or action.status == "cached":
        return units.NOT_MEASURED
    return f"+{units.format_duration(max(starts[-1] - first, 0.0))}"


def choose_class(kind: str) -> str:
    """Return the class of a kind's colour; one that is not known has that of none."""
    return kind if kind in _KINDS else "other"


def _read(actions: Iterable[ActionRecord]) -> Iterable[_Work]:
    for action in actions:
        for span in action.spans:
            start, took = _parse_moment(span.started_at), span.duration_s
            known = start is not None and took is not None and math.isfinite(took)
            if known and start is not None and took is not None and span.status != "cached":
                yield _Work(start, start + min(max(took, 0.0), 1e300), action, span)


def _parse_moment(text: str) -> float | None:
    """Return seconds since the epoch; a record that somebody else has written may say anything."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.timestamp() if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _index(works: Iterable[_Work]) -> Done:
    done: dict[tuple[int | None, str], list[_Work]] = {}
    for one in works:
        done.setdefault((one.span.shard, one.action.key), []).append(one)
    return done


def _find_breaks(works: Sequence[_Work]) -> Iterable[_Break]:
    """Yield the long times in which nothing went on, as while a run was cut off."""
    gaps = []
    until = works[0].end
    for one in works:
        if one.start > until:
            gaps.append(_Break(until, one.start - until))
        until = max(until, one.end)
    busy = until - works[0].start - sum(gap.seconds for gap in gaps)
    return (gap for gap in gaps if gap.seconds > max(_IDLE_S, _IDLE * busy))


def _find_chain(works: Sequence[_Work], done: Done) -> tuple[_Work, ...]:
    """Return what ended last, and before it what it waited for longest, and so on, the first one first."""
    found = [max(works, key=lambda one: one.end)]
    while (before := _find_last_need(found[-1], done)) is not None and before not in found:
        found.append(before)
    return tuple(reversed(found))


def _find_last_need(work: _Work, done: Done) -> _Work | None:
    """Return which of the things that it needs ended last before it began.

    What probes a judged cell once more names no need: its stage of the run waits for all that came before.
    """
    shard = work.span.shard
    if work.action.kind == "probe" and work.action.needs == ():
        needed = (one for (place, _), works in done.items() if place == shard for one in works)
    else:
        needed = (one for key in work.action.needs or () for one in done.get((shard, key), ()))
    return max(
        (one for one in needed if one.end <= work.start + _SLACK_S), key=lambda one: one.end, default=None
    )


def _draw_machine(
    title: str,
    works: Sequence[_Work],
    *,
    named: set[int],
    chain: Sequence[_Work],
    done: Done,
    place: Callable[[float], float],
) -> MachineLanes:
    lanes = _lay(works)
    count = max(lanes) + 1
    tall = _FLAT if count >= _MANY else _TALL
    bars: list[Bar] = []
    shapes: dict[str, dict[tuple[int, int, int], None]] = {}
    spots: dict[int, tuple[int, int, int]] = {}
    for one, lane in zip(works, lanes, strict=True):
        x = round(WIDTH * place(one.start))
        width = max(round(WIDTH * place(one.end)) - x, _LEAST)
        x = min(x, WIDTH - width)
        shade = "failed" if one.span.status == "failed" else choose_class(one.action.kind)
        spots[id(one.span)] = x, width, lane * tall
        if id(one.span) in named:
            bars.append(Bar(x, lane * tall, width, shade, _name_work(one)))
        else:
            shapes.setdefault(shade, {})[x, width, lane * tall] = None
    pairs = [
        (need, one)
        for one in works
        if len(named) <= _CLEAR
        and id(one.span) in named
        and (need := _find_last_need(one, done)) is not None
        and id(need.span) in named
    ]
    steps = list(pairwise(chain))
    middle = (tall - 2) // 2
    return MachineLanes(
        title=title,
        height=count * tall,
        thick=tall - 2,
        bars=tuple(bars),
        shapes=tuple(
            Shape(shade, "".join(f"M{x} {y}h{width}v{tall - 2}h-{width}z" for x, width, y in found))
            for shade, found in shapes.items()
        ),
        waits=_join([pair for pair in pairs if pair not in steps], spots, middle),
        chain=_join([pair for pair in steps if id(pair[0].span) in spots], spots, middle),
        lanes=count,
    )


def _join(
    pairs: Iterable[tuple[_Work, _Work]], spots: Mapping[int, tuple[int, int, int]], middle: int
) -> str:
    """Return the path of lines from the end of the first of each pair to the start of the second."""
    found = []
    for need, one in pairs:
        (x, width, y), (to, _, below) = spots[id(need.span)], spots[id(one.span)]
        found.append(f"M{x + width} {y + middle}L{to} {below + middle}")
    return "".join(found)


def _lay(works: Sequence[_Work]) -> list[int]:
    """Return each one's lane: the first in which nothing else goes on by then."""
    free: list[float] = []
    found = []
    for one in works:
        lane = next((i for i, end in enumerate(free) if end <= one.start + _SLACK_S), len(free))
        free[lane : lane + 1] = [one.end]
        found.append(lane)
    return found


def _name(shards: Sequence[ShardRecord], place: int) -> str:
    if not 0 <= place < len(shards):
        return ""
    one = shards[place]
    return f"{f'shard {one.shard}' if one.shard else one.id}, {one.host.arch}, {one.host.cpus} CPUs"


def _name_work(one: _Work) -> str:
    ended = "" if one.span.status == "succeeded" else f", {one.span.status}"
    return f"{one.action.kind} {one.action.name}: {units.format_duration(one.span.duration_s)}{ended}"


def _mark(whole: float) -> Iterable[Tick]:
    step = next((step for step in _STEPS if whole / step <= _TICKS), whole / _TICKS)
    for number in range(1, int(whole / step) + 1):
        at = 100 * number * step / whole
        if at < 97:  # noqa: PLR2004 - there is no room for a name at the very end
            yield Tick(round(at, 2), _write_clock(number * step))


def _write_clock(seconds: float) -> str:
    """Return a time on the axis: ``30 s``, ``5 min``, ``1 h 30``."""
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes} min" if not rest else f"{minutes}:{rest:02} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h" if not rest else f"{hours}:{rest:02} h"


def _tell(chain: Sequence[_Work], first: float) -> Iterable[ChainStep]:
    ready = first
    for one in chain:
        idle = one.start - ready
        yield ChainStep(
            one.action,
            f"+{units.format_duration(one.start - first)}",
            units.format_duration(one.end - one.start),
            units.format_duration(idle) if idle >= 1 else units.NOT_MEASURED,
        )
        ready = one.end


def _list_notes(
    actions: Sequence[ActionRecord], works: Sequence[_Work], breaks: Sequence[_Break], named: int
) -> Iterable[str]:
    if breaks:
        idle = units.format_duration(sum(one.seconds for one in breaks))
        yield f"Time in which nothing was done is left out, at each dashed line: {idle}."
    cached = sum(one.status == "cached" for one in actions)
    if cached:
        yield f"What was cached is not on it: {units.format_count(cached, 'action')}."
    endless = sum(span.duration_s is None for one in actions for span in one.spans)
    if endless:
        yield f"What was cut off is not on it: {units.format_count(endless, 'action')}."
    if named < len(works):
        yield f"The {named} longest of {len(works)} have a name to point at."
