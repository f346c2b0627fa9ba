"""How many cells a run takes that begins with the pairs and asks for more, against the full matrix."""

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

from bench.figures import Section, check_target
from bench.planted import LEAST_CELLS, Fault, Planted, plant
from orchestrator.analyse.explain import Explanation, explain
from orchestrator.analyse.explore import Board, Claim, Condition, choose_cells, cover_pairs, list_beyond
from orchestrator.analyse.exploring import choose_next, choose_start
from orchestrator.analyse.search import Box, Rows, Space, find_models
from orchestrator.matrix.model import AXES, Cell, TlsValue
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.model import CellRecord, RunRecord

SEEDS = 200
NOISE = (0.0, 0.05)
_PART = 10
_SIZES = (1, 2, 3)
"""Conditions of a fault."""
_TESTS = Path(__file__).parents[1] / "tests"
HAPROXY = ("2.8.9", "3.0-dev12", "3.0-dev13", "3.4.0")
_THIRD = 100 / 3


@dataclass(frozen=True, kw_only=True)
class Explored:
    """One matrix: how many cells it has, and how many were run; faults found, by conditions."""

    cells: int
    first: int
    asked: int
    found: Mapping[int, int]
    of: Mapping[int, int]
    strange: int


def measure(seeds: int = SEEDS) -> Section:
    """Return how many cells it takes, and which faults are found with them."""
    rows = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for noise in NOISE:
            parts = [range(first, min(first + _PART, seeds)) for first in range(0, seeds, _PART)]
            scores = [one for part in pool.map(_try, [noise] * len(parts), parts) for one in part]
            rows.append(_write_row(noise, scores))
    return Section(
        key="explore",
        title="Cells that it takes",
        header=(
            "noise",
            "matrices",
            "cells at the start",
            "cells in the end",
            "most",
            *(f"faults of {_count(size)}, exact" for size in _SIZES),
            "strange boxes",
        ),
        rows=tuple(rows),
        notes=(_tell_2569(),),
    )


def _count(size: int) -> str:
    return "1 condition" if size == 1 else f"{size} conditions"


def _write_row(noise: float, scores: Sequence[Explored]) -> tuple[str, ...]:
    shares = [100 * one.asked / one.cells for one in scores]
    return (
        f"{noise:.0%}",
        str(len(scores)),
        f"{mean(100 * one.first / one.cells for one in scores):.1f} %",
        f"{mean(shares):.1f} %",
        f"{max(shares):.1f} %",
        *(
            _write_share(sum(one.found[size] for one in scores), sum(one.of[size] for one in scores))
            for size in _SIZES
        ),
        str(sum(one.strange for one in scores)),
    )


def _write_share(found: int, of: int) -> str:
    return f"{100 * found / of:.1f} % of {of}" if of else "none"


def _try(noise: float, seeds: range) -> list[Explored]:
    return [explore_planted(plant(seed, noise=noise)) for seed in seeds]


def explore_planted(planted: Planted) -> Explored:
    """Begin with the pairs, ask until nothing is asked for, and say which planted faults were found."""
    factors = planted.spaces[0].factors
    axes, every = tuple(one.masks for one in factors), (1 << len(planted.points)) - 1
    first = ran = sum(1 << cell for cell in cover_pairs(axes, every))
    while True:
        seen = tuple(replace(one, masks=tuple(mask & ran for mask in one.masks)) for one in factors)
        spaces = [
            Space(factors=seen, failing=one.failing & ran, passing=one.passing & ran)
            for one in planted.spaces
        ]
        boxes = [model.boxes for model in find_models(spaces)]
        alone = sum(one.failing & ~one.find_covered(found) for one, found in zip(spaces, boxes, strict=True))
        claims = [
            _claim(planted, one, box) for one, found in zip(spaces, boxes, strict=True) for box in found
        ]
        board = Board(axes=axes, passing=spaces[0].passing, ran=ran, open=every & ~ran)
        asked = choose_cells(board, claims, alone)
        if not asked:
            return _judge(planted, boxes, first=first, ran=ran)
        ran |= sum(1 << cell for cell in asked)


def _claim(planted: Planted, space: Space, box: Box) -> Claim:
    conditions = []
    for index, values in box:
        factor = planted.spaces[0].factors[index]
        inside = [value for value in range(len(factor.masks)) if values >> value & 1]
        beyond = list_beyond(factor.runs, factor.masks, inside)
        conditions.append(Condition(inside=factor.find_rows(values), beyond=beyond))
    return Claim(conditions=tuple(conditions), failing=space.failing)


def _judge(planted: Planted, boxes: Sequence[Sequence[Box]], *, first: Rows, ran: Rows) -> Explored:
    """Count a fault as found if a box holds for the same cells of the whole matrix, and no condition more."""
    found, of = dict.fromkeys(_SIZES, 0), dict.fromkeys(_SIZES, 0)
    right = 0
    for reason, space, mine in zip(planted.reasons, planted.spaces, boxes, strict=True):
        for fault in (one for one in planted.faults if one.reason == reason):
            size = len(fault.conditions)
            same = [box for box in mine if _is_same(space, box, fault)]
            right += len(same)
            if (space.may_hold(fault.box) & space.failing).bit_count() >= LEAST_CELLS:
                of[size] += 1
                found[size] += bool(same)
    return Explored(
        cells=len(planted.points),
        first=first.bit_count(),
        asked=ran.bit_count(),
        found=found,
        of=of,
        strange=sum(map(len, boxes)) - right,
    )


def _is_same(space: Space, box: Box, fault: Fault) -> bool:
    return space.may_hold(box) == space.may_hold(fault.box) and len(box) <= len(fault.conditions)


# haproxy#2569


def load_2569() -> RunRecord:
    """Return the truth table of haproxy#2569, as the tests have it, of the versions above."""
    for folder in (_TESTS / "report", _TESTS / "analyse"):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    table: Any = importlib.import_module("issue_2569")
    libressl = [TlsValue(name=f"libressl-{v}", family="libressl", version=v) for v in ("3.9.2", "4.3.2")]
    made: RunRecord = table.record(versions=HAPROXY, libraries=(*libressl, table.QUICTLS, table.OPENSSL))
    return made


def explore_record(whole: RunRecord) -> tuple[RunRecord, Explanation]:
    """Ask for cells of a finished run until nothing is asked for; their record, and its explanation."""
    by_id = {cell.id: cell for cell in whole.cells if cell.outcome is not Outcome.UNSUPPORTED}
    cells = [Cell(id=key, **{axis: getattr(one.axes, axis) for axis in AXES}) for key, one in by_id.items()]
    asked = [cell.id for cell in choose_start(cells)]
    while True:
        made = whole.model_copy(update={"cells": tuple(by_id[key] for key in asked)})
        more, found = choose_next(made, [_unrun(one) for key, one in by_id.items() if key not in asked])
        if not more:
            return made, found
        asked += more


def _unrun(cell: CellRecord) -> CellRecord:
    empty = dict.fromkeys(("outcome", "reason", "observations", "attestation"))
    return cell.model_copy(update={**empty, "attempts": (), "verdict": Verdict.NOT_JUDGED})


def _tell_2569() -> str:
    whole = load_2569()
    made, found = explore_record(whole)
    few, every = (_find_hang(one) for one in (found, explain([whole])))
    same = "as in the full matrix" if few == every else f"**not** as in the full matrix (`{every}`)"
    what = f"haproxy#2569, cells of {len(whole.cells)} that it takes to find `{few}`, {same}"
    return check_target(what, 100 * len(made.cells) / len(whole.cells), _THIRD, "%")


def _find_hang(found: Explanation) -> str:
    hangs = [one for one in found.clusters if one.reason is Reason.HANDSHAKE_THEN_HANG]
    return " ".join(hangs[0].when) if len(hangs) == 1 else "nothing"
