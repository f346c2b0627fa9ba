"""What became of each cell from one night to another: the news. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.analyse import moves
from orchestrator.analyse.change import Change, State, classify, is_worse, puts_to_test
from orchestrator.analyse.compare import find_suspect
from orchestrator.analyse.ingredients import Difference
from orchestrator.analyse.moves import Move
from orchestrator.analyse.nights import (
    FLAKY_NIGHTS,
    Flakiness,
    find_first_night,
    measure_flakiness,
    recall_flakiness,
)
from orchestrator.outcome import ALARMS, Verdict
from orchestrator.site.component_changes import ComponentChanges
from orchestrator.site.year import Night, NightComponent, Point, Result, Year

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
class NewsItem:
    """A cell that changed."""

    cell: str
    was: Result | None
    now: Result | None
    move: Move | None
    differences: tuple[Difference, ...] | None
    """What changed of that which it depends on; ``None`` where it is not known."""
    flakiness: Flakiness | None
    """Of a failure that the night before does not show and earlier ones do, on the same ingredients."""


@dataclass(frozen=True, kw_only=True)
class NewsGroup:
    """Cells that changed alike: the same change, and the same alarm or end."""

    change: Change
    result: Result | None
    """One of them in the later night."""
    alarm: str | None
    items: tuple[NewsItem, ...]
    suspect: Difference | None
    """The one thing that changed for each of its cells, and nothing else did."""
    differences: tuple[Difference, ...]
    """What changed for each of them."""
    before: str = ""
    """The day of a night that ended so already, when what would be the suspect had not changed yet."""


@dataclass(frozen=True, kw_only=True)
class ComponentChange:
    """A component that is not the same in two nights; empty where there is none."""

    kind: str
    name: str
    was: str
    now: str


@dataclass(frozen=True, kw_only=True)
class NightNews:
    """Two nights against each other."""

    base: Night
    head: Night
    groups: tuple[NewsGroup, ...]
    counts: Mapping[Change, int]
    parts: tuple[ComponentChange, ...]
    """What else changed, anywhere in the run."""


def compare_nights(
    year: Year, changes: ComponentChanges, base: int, head: int, flaky: Mapping[str, Flakiness]
) -> NightNews:
    """Return what became of each cell of two nights, by their numbers.

    Against the night before, a cell that this one did not judge is held against the last one that did: else a
    regression that comes behind a blocked night would never be news.

    :param flaky: what ``choose_worse`` says of them.
    """
    was, now = year.nights[base], year.nights[head]
    moved = find_moves(was, now)
    recalled = recall_judged(year, head) if base == head - 1 else {}
    groups: dict[tuple[Change, str], list[NewsItem]] = {}
    counts: Counter[Change] = Counter()
    for name, before, after, move in _pair(was, now, moved):
        if name in recalled:
            before = recalled[name][1]  # noqa: PLW2901 - see above
        if _is_unchanged(before, after):
            counts[Change.UNCHANGED] += 1
            continue
        states = read_state(before), read_state(after)
        forgets = before and after and before.failed and changes.differ(before, after)
        change = Change.FLAKY if name in flaky else classify(*states, alike=not forgets)
        counts[change] += 1
        if change in LOUD:
            item = NewsItem(
                cell=name,
                was=before,
                now=after,
                move=move,
                differences=changes.differ(before, after) if before and after else None,
                flakiness=flaky.get(name),
            )
            groups.setdefault((change, _choose_kind(item)), []).append(item)
    order = sorted(groups, key=lambda key: (LOUD.index(key[0]), -len(groups[key]), key[1]))
    return NightNews(
        base=was,
        head=now,
        groups=tuple(_make_group(key[0], groups[key]) for key in order),
        counts=counts,
        parts=tuple(compare_parts(was.parts, now.parts)),
    )


def drop_suspects(year: Year, changes: ComponentChanges, news: NightNews) -> NightNews:
    """Return the news of two nights that are far apart, without suspects that a night between them clears.

    What changed when a cell failed already is not why it fails.
    """
    first, end = year.nights.index(news.base), year.nights.index(news.head)
    between = year.nights[first + 1 : end]
    return replace(news, groups=tuple(_drop_suspect(group, changes, between) for group in news.groups))


def _drop_suspect(group: NewsGroup, changes: ComponentChanges, between: Sequence[Night]) -> NewsGroup:
    if group.suspect is None:
        return group
    for night in between:
        for item in group.items:
            ended = night.results.get(item.cell) or (item.move and night.results.get(item.move.old))
            if not ended or not item.was or not item.now:
                continue
            alike = (ended.outcome, ended.reason) == (item.now.outcome, item.now.reason)
            changed = changes.differ(item.was, ended)
            if alike and changed is not None and group.suspect not in changed:
                return replace(group, suspect=None, before=night.day)
    return group


def recall_judged(year: Year, head: int) -> Mapping[str, tuple[Night, Result]]:
    """Return the cells of a night that the one before did not judge, each with the last night that did."""
    was, now = year.nights[head - 1], year.nights[head]
    lost = {name for name, one in was.results.items() if not is_tested(one)}
    if not lost:
        return {}
    moved, found = find_moves(was, now), {}
    for name, result in now.results.items():
        old = moved[name].old if name in moved else name
        if old in lost and is_tested(result) and (last := _find_judged(year, old, head - 1)):
            found[name] = last
    return found


def _find_judged(year: Year, cell: str, before: int) -> tuple[Night, Result] | None:
    """Return the last night, before one, in which a cell was put to the test, and how it ended."""
    nights = ((night, night.results.get(cell)) for night in reversed(year.nights[:before]))
    return next(((night, one) for night, one in nights if one is not None and is_tested(one)), None)


def is_tested(result: Result | None) -> bool:
    """Return whether a cell was put to the test."""
    return result is not None and puts_to_test(result.outcome, result.verdict)


def recall_flaky(year: Year, number: int) -> Mapping[str, Flakiness]:
    """Return the cells whose alarm in a night is none, since they are flaky.

    They failed so within 30 nights before, made of what they are made of in this one; see ``nights``.
    """
    night, found = year.nights[number], {}
    for name, result in night.results.items():
        if result.verdict not in ALARMS or result.made is None or (state := read_state(result)) is None:
            continue
        if flakiness := recall_flakiness(_list_alike(year, name, number), night.day, state):
            found[name] = flakiness
    return found


def choose_worse(base: Night, head: Night, flaky: Mapping[str, Flakiness]) -> Mapping[str, Flakiness]:
    """Return those of the flaky cells of a night whose failure another night does not show."""
    return {
        name: flakiness
        for name, flakiness in flaky.items()
        if is_worse(read_state(base.results.get(name)), read_state(head.results[name]))
    }


def measure_now(year: Year, cell: str) -> Flakiness | None:
    """Return how flaky a cell of the last night is, made of what it is made of now; within 30 nights."""
    last, end = year.last.results[cell], len(year.nights) - 1
    state = read_state(last)
    if state is None or last.made is None:
        return None
    return measure_flakiness([*_list_alike(year, cell, end), (year.last.day, state)])


def _list_alike(year: Year, cell: str, number: int) -> list[tuple[str, State]]:
    """Return how a cell ended in the 30 nights before one, made of what it is made of in that one."""
    like, first = year.nights[number].results[cell], find_first_night(year.nights[number].day)
    found = []
    for night in year.nights[max(0, number - FLAKY_NIGHTS) : number]:
        result = night.results.get(cell)
        alike = result and result.made is not None and (result.made, result.build) == (like.made, like.build)
        if alike and night.day >= first and (state := read_state(result)):
            found.append((night.day, state))
    return found


def _pair(
    base: Night, head: Night, moved: Mapping[str, Move]
) -> Iterator[tuple[str, Result | None, Result | None, Move | None]]:
    gone = {move.old for move in moved.values()}
    for name, now in head.results.items():
        move = moved.get(name)
        yield name, base.results.get(move.old if move else name), now, move
    for name, was in base.results.items():
        if name not in head.results and name not in gone:
            yield name, was, None, None


def _is_unchanged(was: Result | None, now: Result | None) -> bool:
    """Return whether it ended as expected both times, in one way and each time: most do, and it is quick."""
    if was is None or now is None or was.outcome is not now.outcome or was.failed or now.failed:
        return False
    return was.verdict is now.verdict is Verdict.AS_EXPECTED


def _choose_kind(item: NewsItem) -> str:
    """Return what cells have in common that are shown together."""
    one = item.now or item.was
    return "" if one is None else f"{one.alarm or ''} {one.verdict} {one.outcome} {one.reason}"


def _make_group(change: Change, items: Sequence[NewsItem]) -> NewsGroup:
    now = items[0].now
    known = [item.differences for item in items if item.differences is not None]
    all_known = len(known) == len(items)
    same = [one for one in known[0] if all(one in other for other in known)] if all_known else []
    suspects = {find_suspect(change, one) for one in known}
    return NewsGroup(
        change=change,
        result=now,
        alarm=now.alarm if now else None,
        items=tuple(items),
        suspect=suspects.pop() if all_known and len(suspects) == 1 else None,
        differences=tuple(same),
    )


def read_state(result: Result | None) -> State | None:
    """Return how a cell ended, as ``classify`` takes it."""
    if result is None:
        return None
    return State.model_construct(  # the history has been checked already, and there are many
        cell=result.point.id,
        outcome=result.outcome,
        reason=result.reason,
        verdict=result.verdict,
        message=result.message,
        attempts=result.attempts,
        passed=result.passed,
        failed=result.failed,
        failures=result.failures,
    )


def find_moves(base: Night, head: Night) -> dict[str, Move]:
    """Return, by the id of the new cell, the vanished cell that is the same but for a version."""
    return moves.find_moves(
        [(name, one.point) for name, one in base.results.items() if name not in head.results],
        [(name, one.point) for name, one in head.results.items() if name not in base.results],
        _drop_version,
    )


def _drop_version(point: Point, axis: str) -> tuple[Point, str]:
    version = f"{axis}_version"
    return point._replace(id="", **{axis: "", version: ""}), getattr(point, version)


def compare_parts(
    base: frozenset[NightComponent], head: frozenset[NightComponent]
) -> Iterator[ComponentChange]:
    """Return what differs between the components of two nights."""
    was, now = _index(base - head), _index(head - base)
    for kind, name in sorted({*was, *now}):
        one, other = was.get((kind, name), []), now.get((kind, name), [])
        versions = _list_versions(one), _list_versions(other)
        if versions[0] == versions[1]:  # the same version of other content
            versions = _list_digests(one), _list_digests(other)
        yield ComponentChange(kind=kind, name=name, was=versions[0], now=versions[1])


def _index(parts: frozenset[NightComponent]) -> dict[tuple[str, str], list[NightComponent]]:
    found: dict[tuple[str, str], list[NightComponent]] = {}
    for part in sorted(parts):
        found.setdefault((part.kind, part.name), []).append(part)
    return found


def _list_versions(parts: Sequence[NightComponent]) -> str:
    return ", ".join(dict.fromkeys(part.version or part.digest[:12] for part in parts))


def _list_digests(parts: Sequence[NightComponent]) -> str:
    return ", ".join(f"{part.version} {part.digest.removeprefix('sha256:')[:12]}".strip() for part in parts)
