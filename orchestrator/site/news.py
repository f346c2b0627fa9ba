"""What became of each cell from one night to another: the news. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.analyse.change import Change, State, classify, name_end
from orchestrator.outcome import Verdict
from orchestrator.site.year import VERSIONED, Night, Part, Point, Result

LOUD = (
    Change.NEW_FAILURE,
    Change.CHANGED_REASON,
    Change.FLAKY,
    Change.NOT_JUDGED,
    Change.NOW_PASSING,
    Change.FIXED,
    Change.EXPECTED_FAILURE,
    Change.NEW_CELL,
    Change.VANISHED_CELL,
    Change.NEVER_JUDGED,
)
"""What is news, in the order in which it is told; a failure that stays is none."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """The cell of the night before whose version alone is another one now."""

    old: str
    axis: str
    was: str
    now: str


@dataclass(frozen=True, kw_only=True)
class Item:
    """A cell that changed."""

    cell: str
    was: Result | None
    now: Result | None
    move: Move | None


@dataclass(frozen=True, kw_only=True)
class Group:
    """Cells that changed alike: the same change, and the same alarm or end."""

    change: Change
    result: Result | None
    """One of them in the later night."""
    alarm: str | None
    items: tuple[Item, ...]


@dataclass(frozen=True, kw_only=True)
class PartChange:
    """A component that is not the same in two nights; empty where there is none."""

    kind: str
    name: str
    was: str
    now: str


@dataclass(frozen=True, kw_only=True)
class News:
    """Two nights against each other."""

    base: Night
    head: Night
    groups: tuple[Group, ...]
    counts: Mapping[Change, int]
    parts: tuple[PartChange, ...]
    """What else changed, anywhere in the run."""


def compare_nights(base: Night, head: Night) -> News:
    """Return what became of each cell of two nights."""
    moves = find_moves(base, head)
    moved = {move.old for move in moves.values()}
    groups: dict[tuple[Change, str], list[Item]] = {}
    counts: Counter[Change] = Counter()
    for item in _pair(base, head, moves, moved):
        change = Change.UNCHANGED if _stays(item) else classify(state_of(item.was), state_of(item.now))
        counts[change] += 1
        if change in LOUD:
            groups.setdefault((change, _kind(item)), []).append(item)
    order = sorted(groups, key=lambda key: (LOUD.index(key[0]), -len(groups[key]), key[1]))
    return News(
        base=base,
        head=head,
        groups=tuple(_group(key[0], groups[key]) for key in order),
        counts=counts,
        parts=tuple(compare_parts(base.parts, head.parts)),
    )


def _pair(base: Night, head: Night, moves: Mapping[str, Move], moved: set[str]) -> Iterator[Item]:
    for name, now in head.results.items():
        move = moves.get(name)
        yield Item(cell=name, was=base.results.get(move.old if move else name), now=now, move=move)
    for name, was in base.results.items():
        if name not in head.results and name not in moved:
            yield Item(cell=name, was=was, now=None, move=None)


def _stays(item: Item) -> bool:
    """Return whether it ended as expected both times, in one way and each time: most do, and it is quick."""
    was, now = item.was, item.now
    if was is None or now is None or was.outcome is not now.outcome or was.failed or now.failed:
        return False
    return was.verdict is now.verdict is Verdict.AS_EXPECTED


def _kind(item: Item) -> str:
    """Return what those have in common that are told together."""
    one = item.now or item.was
    return "" if one is None else f"{one.alarm or ''} {one.verdict} {one.outcome} {one.reason}"


def _group(change: Change, items: Sequence[Item]) -> Group:
    now = items[0].now
    return Group(change=change, result=now, alarm=now.alarm if now else None, items=tuple(items))


def state_of(result: Result | None) -> State | None:
    """Return how a cell ended, as ``classify`` takes it."""
    if result is None:
        return None
    judged = result.outcome is not None and result.outcome.judged_product
    ended = name_end(result.outcome, result.reason)
    return State.model_construct(  # the history has been checked already, and there are many
        cell=result.point.id,
        outcome=result.outcome,
        reason=result.reason,
        verdict=result.verdict,
        message=result.message,
        attempts=result.attempts,
        passed=result.attempts - result.failed if judged else 0,
        failed=result.failed,
        failures=(ended,) if result.failed else (),
    )


def find_moves(base: Night, head: Night) -> dict[str, Move]:
    """Return, by the id of the new cell, the vanished cell that is the same but for a version.

    Only where exactly one cell vanished, and exactly one came, that fit.
    """
    gone = [one.point for name, one in base.results.items() if name not in head.results]
    new = [one.point for name, one in head.results.items() if name not in base.results]
    if not gone or not new:
        return {}
    near: dict[tuple[str, ...], list[Point]] = {}
    for point in new:
        for axis in VERSIONED:
            near.setdefault(_without_version(point, axis), []).append(point)
    found: dict[str, list[Move]] = {}
    for point in gone:
        fits = [
            Move(
                old=point.id,
                axis=axis,
                was=getattr(point, f"{axis}_version"),
                now=getattr(other, f"{axis}_version"),
            )
            for axis in VERSIONED
            for other in near.get(_without_version(point, axis), ())
        ]
        names = [other.id for axis in VERSIONED for other in near.get(_without_version(point, axis), ())]
        if len(fits) == 1:
            found.setdefault(names[0], []).append(fits[0])
    return {name: moves[0] for name, moves in found.items() if len(moves) == 1}


def _without_version(point: Point, axis: str) -> tuple[str, ...]:
    left = point._replace(id="", **{axis: "", f"{axis}_version": ""})
    return (axis, *left)


def compare_parts(base: frozenset[Part], head: frozenset[Part]) -> Iterator[PartChange]:
    """Return what differs between the components of two nights."""
    was, now = _by_name(base - head), _by_name(head - base)
    for kind, name in sorted({*was, *now}):
        one, other = was.get((kind, name), []), now.get((kind, name), [])
        versions = _versions(one), _versions(other)
        if versions[0] == versions[1]:  # the same version of other content
            versions = _digests(one), _digests(other)
        yield PartChange(kind=kind, name=name, was=versions[0], now=versions[1])


def _by_name(parts: frozenset[Part]) -> dict[tuple[str, str], list[Part]]:
    found: dict[tuple[str, str], list[Part]] = {}
    for part in sorted(parts):
        found.setdefault((part.kind, part.name), []).append(part)
    return found


def _versions(parts: Sequence[Part]) -> str:
    return ", ".join(dict.fromkeys(part.version or part.digest[:12] for part in parts))


def _digests(parts: Sequence[Part]) -> str:
    return ", ".join(f"{part.version} {part.digest.removeprefix('sha256:')[:12]}".strip() for part in parts)
