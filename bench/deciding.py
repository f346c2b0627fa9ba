"""Cells that would decide between explanations: how many are named, against the fewest that would do."""

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import product
from statistics import mean
from typing import Any

from bench.figures import check_target
from bench.report import make_sample
from bench.runs import list_values, make_cell
from orchestrator.analyse.decide import (
    Hypothesis,
    find_deciding,
    has_run,
    is_possible,
    tell_apart,
    write_words,
)
from orchestrator.analyse.explain import list_explanations
from orchestrator.analyse.search import Space, find_models
from orchestrator.analyse.table import Table, make_table
from orchestrator.matrix.model import AXES
from orchestrator.outcome import Outcome, Reason
from orchestrator.record.model import Axes, CellRecord, RunRecord

CELLS = 500
_PARTS, _MOST_VALUES = (3, 4), 2
"""A run is some products of few values each, as `include` makes them: so some values always go together."""
_MISSING = 0.1
"""The share of the cells of the run that have no result."""
_GOAL = 1.0


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Of one cluster with several explanations: the cells named, and the fewest that tell as much."""

    named: int
    fewest: int
    told: int
    """Explanations that the named cells tell from the first."""
    tellable: int
    """Those that any cells could tell from it."""


def measure(seeds: Iterable[int]) -> list[str]:
    """Say how many cells are named above the optimum, and how many explanations stay untold."""
    choices = [choice for seed in seeds for choice in weigh(make_run(seed)) if choice.tellable]
    if not choices:
        return ["cells that would decide: too few seeds to say."]
    excess = mean(one.named - one.fewest for one in choices)
    told, tellable = sum(one.told for one in choices), sum(one.tellable for one in choices)
    return [
        check_target(
            f"cells named above the fewest that tell as much, on average of {len(choices)} clusters with"
            f" other explanations (most: {max(one.named - one.fewest for one in choices)})",
            excess,
            _GOAL,
            "cells",
        ),
        f"explanations told apart by the named cells: {told:,} of the {tellable:,} that any could tell.",
    ]


def make_run(seed: int) -> RunRecord:
    """Return a run of few cells with one fault of one to three conditions; some of its cells have it."""
    chance = random.Random(seed)  # noqa: S311 - a seeded table, no secret
    base = make_sample(60)
    good = next(one for one in base.cells if one.outcome is Outcome.PASS)
    values = list_values(base, CELLS)
    every = [
        axes
        for point in product(*values.values())
        if is_possible(axes := good.axes.model_copy(update=dict(zip(values, point, strict=True))))
    ]
    parts = [
        {axis: {one.name for one in _pick(chance, some, _MOST_VALUES)} for axis, some in values.items()}
        for _ in range(chance.randint(*_PARTS))
    ]
    varied = sorted(axis for axis, some in values.items() if len(some) > len(parts[0][axis]))
    fault = {axis: parts[0][axis] for axis in chance.sample(varied, min(len(varied), chance.randint(1, 3)))}
    cells = [_make(chance, good, axes, fault) for axes in every if any(_holds(axes, part) for part in parts)]
    return base.model_copy(update={"cells": tuple(cells), "selftests": ()})


def _pick(chance: random.Random, values: Sequence[Any], most: int) -> Sequence[Any]:
    return chance.sample(values, chance.randint(1, min(most, len(values))))


def _holds(axes: Axes, allowed: Mapping[str, AbstractSet[str]]) -> bool:
    return all(getattr(axes, axis).name in names for axis, names in allowed.items())


def _make(
    chance: random.Random, good: CellRecord, axes: Axes, fault: Mapping[str, AbstractSet[str]]
) -> CellRecord:
    cell = make_cell(good, axes, Reason.HANDSHAKE_THEN_HANG if _holds(axes, fault) else None)
    if chance.random() < _MISSING:
        return cell.model_copy(update={"outcome": Outcome.BLOCKED, "reason": None})
    return cell


def weigh(record: RunRecord) -> list[Choice]:
    """Return what is named for each cluster of a run that has other explanations beside its own."""
    table = make_table([record])
    spaces = [
        Space(factors=table.factors, failing=rows, passing=table.passing) for rows in table.kinds.values()
    ]
    found = []
    for space, model in zip(spaces, find_models(spaces), strict=True):
        for box in model.boxes:
            explanations = list_explanations(table, space, box)
            if explanations[1:]:
                cells = space.holds(box) & space.failing
                found.append(_weigh(table, explanations, find_deciding(table, cells, explanations)))
    return found


def _weigh(table: Table, explanations: Sequence[Hypothesis], named: Sequence[str]) -> Choice:
    told = {write_words(table, axes): tell_apart(table, axes, explanations) for axes in _list_open(table)}
    by_named = frozenset().union(*(told[words] for words in named))
    return Choice(
        named=len(named),
        fewest=count_fewest({part & by_named for part in told.values()}, by_named),
        told=len(by_named),
        tellable=len(frozenset().union(*told.values())),
    )


def _list_open(table: Table) -> list[Axes]:
    """Return the cells that can be and have no result: of all combinations of the values of the run."""
    some = table.rows[0].cell.axes
    every = product(*(table.all_values[axis].values() for axis in AXES))
    cells = [some.model_copy(update=dict(zip(AXES, point, strict=True))) for point in every]
    return [axes for axes in cells if is_possible(axes) and not has_run(table, axes)]


def count_fewest(parts: Collection[frozenset[int]], wanted: frozenset[int]) -> int:
    """Return the size of the smallest choice of parts whose union is ``wanted``, by trying all unions."""
    reached: set[frozenset[int]] = {frozenset()}
    size = 0
    while wanted not in reached:
        reached = {one | part for one in reached for part in parts}
        size += 1
    return size
