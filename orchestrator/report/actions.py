"""Which actions of a run took longest, and what each kind took together. Pure."""

from collections.abc import Sequence
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


class Kind(NamedTuple):
    """The actions of one kind: how many, and seconds of all together, cached ones left out."""

    name: str
    actions: int
    took_s: float


def slowest(actions: Sequence[ActionRecord]) -> tuple[Took, ...]:
    """Return the actions that did not succeed, then the slowest ones, each group slowest first."""
    order = sorted(actions, key=lambda one: -(one.duration_s or 0))
    bad = [one for one in order if one.status not in _ENDED_WELL]
    good = [one for one in order if one.status in _ENDED_WELL][:_SLOWEST]
    longest = max((one.duration_s or 0 for one in order), default=0) or 1
    return tuple(Took(one, round(_WIDTH * (one.duration_s or 0) / longest)) for one in (*bad, *good))


def kinds(actions: Sequence[ActionRecord]) -> tuple[Kind, ...]:
    """Return the kinds in the order in which the record has them."""
    found: dict[str, list[ActionRecord]] = {}
    for one in actions:
        found.setdefault(one.kind, []).append(one)
    return tuple(
        Kind(name, len(members), sum(one.duration_s or 0 for one in members if one.status != "cached"))
        for name, members in found.items()
    )
