"""A cell over many nights, from the rows of the history: how it ended, and how often it is flaky. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import takewhile
from math import sqrt
from typing import Any

from orchestrator.analyse.change import State, name_end
from orchestrator.frozen_value import Value
from orchestrator.outcome import Outcome

FLAKY_NIGHTS = 30
"""How many nights a flaky cell is remembered."""
_TURNS = 2
_UNLIKELY = 0.05
"""A row of failures that is less likely, at the upper bound of the share before it, is no flakiness."""
_Z = 1.959964
"""Of a 95 % interval, two-sided."""

Row = Mapping[str, Any]


class Flakiness(Value):
    """A cell that failed and passed, though nothing on which it depends has changed."""

    since: str
    """The first night by which it had both failed and passed."""
    nights: int
    """In which it was judged, with these ingredients."""
    attempts: int
    failed: int
    low: float
    high: float
    """Bounds of the share that fails, from 0 to 1, by Wilson's 95 % interval
    (https://doi.org/10.1080/01621459.1927.10502953)."""
    failures: tuple[str, ...]
    """How it failed, each as ``OUTCOME`` or ``OUTCOME: REASON``, sorted."""


def read_row(row: Row) -> State:
    """Return how a cell ended, from its row; see ``change.read_state``."""
    outcome = None if row["outcome"] is None else Outcome(row["outcome"])
    failures = [(row["outcome"], row["reason"])] if row["failed"] else []
    if row["failures"] is not None:
        failures = json.loads(row["failures"])
    return State(
        cell=row["id"],
        outcome=outcome,
        reason=row["reason"],
        verdict=row["verdict"],
        message=row["message"],
        attempts=row["attempts"],
        passed=row["passed"],
        failed=row["failed"],
        failures=tuple(sorted(name_end(ended, reason or None) for ended, reason in failures)),
    )


def measure_flakiness(nights: Iterable[tuple[str, State]]) -> Flakiness | None:
    """Return how flaky a cell is; ``None`` where nothing shows that it is.

    Its attempts in one night disagree, or it turned twice: it failed after it had passed, and passed again,
    or the other way round. One turn alone is no flakiness but a regression, or a cure, of unknown cause.

    The share counts each attempt alike, those that confirm a failure included: they follow failures only, but
    each of them fails or passes for itself, so they make the share no larger.

    :param nights: each with how the cell ended, the oldest first; all with the same ingredients.
    """
    since, count, passed, failed, failures = "", 0, 0, 0, set[str]()
    turns, mixed, before = 0, False, None
    for night, state in nights:
        if not state.tested:
            continue
        count += 1
        passed, failed = passed + state.passed, failed + state.failed
        failures |= set(state.failures)
        mixed = mixed or state.flaky
        turns += before is not None and state.fails != before
        before = state.fails
        if not since and passed and failed:
            since = night
    if not since or not (mixed or turns >= _TURNS):
        return None
    low, high = estimate_share(failed, passed + failed)
    return Flakiness(
        since=since,
        nights=count,
        attempts=passed + failed,
        failed=failed,
        low=low,
        high=high,
        failures=tuple(sorted(failures)),
    )


def recall_flakiness(past: Sequence[tuple[str, State]], night: str, state: State) -> Flakiness | None:
    """Return how flaky a cell is that fails tonight, if it failed so before; ``None`` if that is new.

    It is new, too, where it has failed in each attempt for longer than its flakiness makes likely.

    :param past: the nights before, the oldest first; all with the ingredients of tonight.
    """
    seen = {failure for _, before in past for failure in before.failures}
    if not set(state.failures) <= seen:
        return None
    nights = [one for one in (*past, (night, state)) if one[1].tested]
    streak = list(takewhile(lambda one: not one[1].passed, reversed(nights)))
    before = nights[: len(nights) - len(streak)]
    failed, attempts = (
        sum(map(count, (one for _, one in before))) for count in (_count_failed, _count_attempts)
    )
    if not attempts:
        return None
    _, high = estimate_share(failed, attempts)
    if high ** sum(one.failed for _, one in streak) < _UNLIKELY:
        return None
    return measure_flakiness(nights)


def _count_failed(state: State) -> int:
    return state.failed


def _count_attempts(state: State) -> int:
    return state.passed + state.failed


def estimate_share(count: int, of: int) -> tuple[float, float]:
    """Return the bounds of Wilson's interval for a share, with a confidence of 95 %."""
    share, square = count / of, _Z * _Z / of
    middle = share + square / 2
    spread = _Z * sqrt(share * (1 - share) / of + square / (4 * of))
    return max(0.0, (middle - spread) / (1 + square)), min(1.0, (middle + spread) / (1 + square))


def make_key(row: Row) -> tuple[object, ...] | None:
    """Return what is equal where two rows of a cell depend on the same; ``None`` where that is not known."""
    made = row["session_set"], row["own_set"], row["build_digest"]
    return None if None in made[:2] else made


def find_first_night(night: str, nights: int = FLAKY_NIGHTS) -> str:
    """Return the first of so many nights that end with this one."""
    return str(date.fromisoformat(night) - timedelta(days=nights - 1))


@dataclass(frozen=True, kw_only=True)
class Tonight:
    """A cell that fails tonight."""

    night: str
    state: State
    made: tuple[object, ...]
    """Of what it is made; see ``make_key``."""


def find_flaky(past: Sequence[Row], tonight: Mapping[str, Tonight]) -> Mapping[str, Flakiness]:
    """Return the cells that are flaky: with the ingredients that they have tonight they failed so before.

    :param past: rows of the nights before, the oldest first.
    :param tonight: the cells, by id.
    """
    nights: dict[str, list[tuple[str, State]]] = {name: [] for name in tonight}
    for row in past:
        if (mine := tonight.get(row["id"])) and make_key(row) == mine.made:
            nights[row["id"]].append((row["night"], read_row(row)))
    measured = {name: recall_flakiness(nights[name], one.night, one.state) for name, one in tonight.items()}
    return {name: flakiness for name, flakiness in measured.items() if flakiness}
