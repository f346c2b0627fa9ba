"""Faults found again: how often exactly, how fast, and how well by what a user would take otherwise."""

import importlib
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from math import prod
from statistics import median
from typing import Any

from bench import baselines, report
from bench.figures import Section, against
from bench.planted import Planted, Score, judge, plant
from orchestrator.analyse.explain import explain
from orchestrator.analyse.search import Box, find_models
from orchestrator.matrix.model import HaproxyValue, TlsValue
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.model import RunRecord

SEEDS = 500
NOISE = (0.0, 0.05, 0.1)
_PART = 10
"""Seeds that one process tries at a time."""
SIZES = (10_000, 100_000)
_GOALS = {0.0: 99.0, 0.05: 95.0}
"""Per cent of the faults, by noise."""
_SECONDS = {10_000: 1.0, 100_000: 15.0}

Solver = Callable[[Planted], Sequence[Sequence[Box]]]


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to find faults: ``share`` of the seeds are tried, since some take long."""

    name: str
    solve: Solver
    share: float = 1.0
    needs: str = ""
    """The module that it takes, and the package to install for it."""


def _explain(planted: Planted) -> Sequence[Sequence[Box]]:
    return [model.boxes for model in find_models(planted.spaces)]


WAYS = (
    Way(name="matrixctl explain", solve=_explain),
    Way(name="decision tree (scikit-learn)", solve=baselines.grow_tree, needs="sklearn scikit-learn"),
    Way(name="frequent item sets (mlxtend)", solve=baselines.mine_sets, share=0.1, needs="mlxtend mlxtend"),
    Way(name="RIPPER (wittgenstein)", solve=baselines.ripper, share=0.1, needs="wittgenstein wittgenstein"),
)


def measure(seeds: int = SEEDS, sizes: Sequence[int] = SIZES) -> Section:
    """Return the share of planted faults that each way finds exactly, and how long explanations take."""
    notes: list[str] = []
    rows: list[tuple[str, ...]] = []
    with ProcessPoolExecutor(3 * (os.cpu_count() or 1)) as pool:
        for way in WAYS:
            module, _, package = way.needs.partition(" ")
            if module and not _is_there(module):
                notes.append(f"{way.name}: not measured; `pip install {package}` for it.")
                continue
            count = max(1, round(seeds * way.share))
            for noise in NOISE:
                scores = [one for part in pool.map(_try, *_parts(way, noise, count)) for one in part]
                rows.append(_row(way.name, noise, scores))
                if way is WAYS[0] and noise in _GOALS:
                    what = f"faults found exactly, {noise:.0%} noise"
                    share = 100 * _share_of_faults(scores)
                    notes.append(against(what, share, _GOALS[noise], "%", at_least=True))
    notes += _time(sizes)
    return Section(
        key="localise",
        title="Planted faults, found again",
        header=(
            "way",
            "noise",
            "matrices",
            "faults, exact",
            "matrices, exact",
            "strange boxes",
            "median",
            "slowest",
        ),
        rows=tuple(rows),
        notes=tuple(notes),
    )


Scored = tuple[Score, float]
"""How well one matrix was explained, and the seconds of CPU that it took."""


def _parts(way: Way, noise: float, count: int) -> tuple[list[Way], list[float], list[range]]:
    seeds = [range(first, min(first + _PART, count)) for first in range(0, count, _PART)]
    return [way] * len(seeds), [noise] * len(seeds), seeds


def _try(way: Way, noise: float, seeds: range) -> list[Scored]:
    scores = []
    for seed in seeds:
        planted = plant(seed, noise=noise)
        _ = planted.spaces  # the same for each way: it does not count
        started = time.process_time()
        boxes = way.solve(planted)
        took = time.process_time() - started
        scores.append((judge(planted, boxes), took))
    return scores


def _share_of_faults(scores: Sequence[Scored]) -> float:
    return sum(score.found for score, _ in scores) / sum(score.of for score, _ in scores)


def _row(name: str, noise: float, scores: Sequence[Scored]) -> tuple[str, ...]:
    seconds = [took for _, took in scores]
    return (
        name,
        f"{noise:.0%}",
        str(len(scores)),
        f"{100 * _share_of_faults(scores):.1f} %",
        f"{100 * sum(score.exact for score, _ in scores) / len(scores):.1f} %",
        str(sum(score.strange for score, _ in scores)),
        f"{median(seconds):.3f} s",
        f"{max(seconds):.3f} s",
    )


def _is_there(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def _time(sizes: Sequence[int]) -> Iterator[str]:
    """Say how long records take, with two faults, without noise and with it."""
    for cells in sizes:
        for noise in NOISE[:2]:
            record = make_record(cells, noise=noise)
            started = time.process_time()
            found = explain([record])
            took = time.process_time() - started
            named = "`; `".join(" ".join(cluster.when) for cluster in found.clusters)
            what = f"{len(record.cells):,} cells, {noise:.0%} noise (`{named}`)"
            yield against(what, took, _SECONDS.get(cells, took), "s of CPU")


def make_record(cells: int, *, noise: float = 0.0) -> RunRecord:
    """Return a record of about so many cells with two faults; ``noise`` is the share of turned outcomes."""
    chance = random.Random(cells)  # noqa: S311 - a seeded table, no secret
    base = report.sample(60)
    good = next(one for one in base.cells if one.outcome is Outcome.PASS)
    values = _values(base, cells)
    made = []
    names = list(values)
    for point in product(*values.values()):
        axes = good.axes.model_copy(update=dict(zip(names, point, strict=True)))
        broken = (
            Reason.HANDSHAKE_THEN_HANG
            if axes.tls.family == "libressl" and axes.tls.version < "4" and "CHACHA" in axes.cipher.name
            else Reason.UPLOAD_INCOMPLETE
            if axes.haproxy.version == "3.4.0" and axes.client.name == "curl" and axes.arch.name == "arm64"
            else None
        )
        if chance.random() < noise:
            broken = Reason.HANDSHAKE_THEN_HANG if broken is None else None
        made.append(
            good.model_copy(
                update={
                    "id": "--".join(value.name for value in point),
                    "axes": axes,
                    "outcome": Outcome.FAIL if broken else Outcome.PASS,
                    "reason": broken,
                    "verdict": Verdict.REGRESSION if broken else Verdict.AS_EXPECTED,
                    "observations": None,
                }
            )
        )
    return base.model_copy(update={"cells": tuple(made)})


def _values(base: RunRecord, cells: int) -> Mapping[str, Sequence[Any]]:
    """Return values of each axis whose product is about so many cells."""
    found: dict[str, dict[str, Any]] = {"arch": {}, "cipher": {}, "client": {}}
    for cell in base.cells:
        for axis, known in found.items():
            value = getattr(cell.axes, axis)
            known[value.name] = value
    rest = max(16, round(cells / prod(map(len, found.values()))))
    libraries = max(8, round(rest**0.5))
    versions = [f"{2 + i // 10}.{i % 10}.0" for i in range(8, 8 + round(rest / libraries))]
    tls = [f"libressl-{3 + i // 10}.{i % 10}.0" for i in range(6, 6 + libraries // 2)]
    tls += [f"openssl-{3 + i // 10}.{i % 10}.0" for i in range(libraries - libraries // 2)]
    return {
        **{axis: list(known.values()) for axis, known in found.items()},
        "haproxy": [HaproxyValue(name=version, version=version) for version in versions],
        "tls": [TlsValue(name=name, family=name.split("-")[0], version=name.split("-")[1]) for name in tls],
    }
