"""A cell over many nights, from the rows of the history: how it ended, and how often it is flaky. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from math import sqrt
from typing import Any

from orchestrator.analyse.change import State, name_end
from orchestrator.outcome import Outcome
from orchestrator.value import Value

FLAKY_NIGHTS = 30
"""How many nights a flaky cell is remembered."""
_Z = 1.959964
"""Of a 95 % interval, two-sided."""

Row = Mapping[str, Any]


class Flakiness(Value):
    """A cell that failed and passed, though nothing on which it depends has changed."""

    since: str
    """The first night by which both had been seen."""
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
    """Return how flaky a cell is; ``None`` where all of its attempts passed, or all failed.

    The share counts each attempt alike, those that confirm a failure included: they follow failures only, but
    each of them fails or passes for itself, so they make the share no larger.

    :param nights: each with how the cell ended, the oldest first; all with the same ingredients.
    """
    since, count, passed, failed, failures = "", 0, 0, 0, set[str]()
    for night, state in nights:
        if not state.tested:
            continue
        count += 1
        passed, failed = passed + state.passed, failed + state.failed
        failures |= set(state.failures)
        if not since and passed and failed:
            since = night
    if not since:
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


def estimate_share(count: int, of: int) -> tuple[float, float]:
    """Return the bounds of Wilson's interval for a share, with a confidence of 95 %."""
    share, square = count / of, _Z * _Z / of
    middle = share + square / 2
    spread = _Z * sqrt(share * (1 - share) / of + square / (4 * of))
    return max(0.0, (middle - spread) / (1 + square)), min(1.0, (middle + spread) / (1 + square))


def of_what(row: Row) -> tuple[object, ...] | None:
    """Return what is equal where two rows of a cell depend on the same; ``None`` where that is not known."""
    made = row["session_set"], row["own_set"], row["build_digest"]
    return None if None in made[:2] else made


def first_night(night: str, nights: int = FLAKY_NIGHTS) -> str:
    """Return the first of so many nights that end with this one."""
    return str(date.fromisoformat(night) - timedelta(days=nights - 1))


def find_flaky(past: Sequence[Row], made: Mapping[str, tuple[object, ...] | None]) -> Mapping[str, Flakiness]:
    """Return the cells that were flaky before tonight, with the ingredients that they have tonight.

    :param past: rows of the nights before, the oldest first.
    :param made: of what each cell is made tonight; see ``of_what``.
    """
    nights: dict[str, list[tuple[str, State]]] = {}
    for row in past:
        mine = made.get(row["id"])
        if mine is not None and of_what(row) == mine:
            nights.setdefault(row["id"], []).append((row["night"], read_row(row)))
    measured = ((cell, measure_flakiness(some)) for cell, some in nights.items())
    return {cell: flakiness for cell, flakiness in measured if flakiness}
