"""Which actions of a run took longest, and what each kind took together. Pure."""

import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from orchestrator.record.model import ActionRecord

_SLOWEST = 10
_WIDTH = 120
"""Pixels of the bar of the slowest action."""
_ENDED_WELL = {"succeeded", "cached"}


class Took(NamedTuple):
    """An action, and the width of its bar beside that of the slowest one."""

    action: ActionRecord
    share: int


class KindTotal(NamedTuple):
    """The actions of one kind: how many, and seconds of all together, cached ones left out."""

    name: str
    actions: int
    took_s: float


def find_slowest(actions: Sequence[ActionRecord]) -> tuple[Took, ...]:
    """Return the actions that did not succeed, then the slowest ones, each group slowest first."""
    order = sorted(actions, key=lambda one: -_read_seconds(one))
    bad = [one for one in order if one.status not in _ENDED_WELL]
    good = [one for one in order if one.status in _ENDED_WELL][:_SLOWEST]
    longest = max(map(_read_seconds, order), default=0) or 1
    return tuple(Took(one, round(_WIDTH * (_read_seconds(one) / longest))) for one in (*bad, *good))


def list_kinds(actions: Sequence[ActionRecord]) -> tuple[KindTotal, ...]:
    """Return the kinds in the order in which the record has them."""
    found: dict[str, list[ActionRecord]] = {}
    for one in actions:
        found.setdefault(one.kind, []).append(one)
    return tuple(
        KindTotal(name, len(members), _add(_read_seconds(one) for one in members if one.status != "cached"))
        for name, members in found.items()
    )


def _read_seconds(action: ActionRecord) -> float:
    """Return how long it took; a record that somebody else wrote may have a negative number."""
    return max(action.duration_s or 0.0, 0.0)


def _add(seconds: Iterable[float]) -> float:
    """Return the sum; never infinity, which no page can show, also if durations are absurd."""
    return min(sum(seconds), sys.float_info.max)
