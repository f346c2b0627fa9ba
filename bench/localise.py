"""Faults found again: how often exactly, how fast, and how well by what a user would take otherwise."""

import importlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import median

from bench import baselines, deciding
from bench.figures import Section, check_target
from bench.planted import Planted, Score, judge, plant
from bench.runs import make_record
from orchestrator.analyse.explain import explain
from orchestrator.analyse.search import Box, find_models

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
    first: int = 0
    """The first seed."""


def _explain(planted: Planted) -> Sequence[Sequence[Box]]:
    return [model.boxes for model in find_models(planted.spaces)]


_OURS = "matrixctl explain"
WAYS = (
    Way(name=_OURS, solve=_explain),
    Way(name=f"{_OURS}, seeds {SEEDS} to {2 * SEEDS - 1}", solve=_explain, first=SEEDS),
    Way(name="decision tree (scikit-learn)", solve=baselines.grow_tree, needs="sklearn scikit-learn"),
    Way(name="frequent item sets (mlxtend)", solve=baselines.mine_sets, share=0.1, needs="mlxtend mlxtend"),
    Way(
        name="RIPPER (wittgenstein)",
        solve=baselines.learn_rules,
        share=0.1,
        needs="wittgenstein wittgenstein",
    ),
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
                scores = [one for part in pool.map(_try, *_try_all(way, noise, count)) for one in part]
                rows.append(_write_row(way.name, noise, scores))
                if way.solve is _explain and noise in _GOALS:
                    what = f"faults found exactly, {noise:.0%} noise, {way.name}"
                    share = 100 * _measure_share(scores)
                    notes.append(check_target(what, share, _GOALS[noise], "%", at_least=True))
    notes += deciding.measure(range(seeds))
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


def _try_all(way: Way, noise: float, count: int) -> tuple[list[Way], list[float], list[range]]:
    end = way.first + count
    seeds = [range(first, min(first + _PART, end)) for first in range(way.first, end, _PART)]
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


def _measure_share(scores: Sequence[Scored]) -> float:
    return sum(score.found for score, _ in scores) / sum(score.of for score, _ in scores)


def _write_row(name: str, noise: float, scores: Sequence[Scored]) -> tuple[str, ...]:
    seconds = [took for _, took in scores]
    return (
        name,
        f"{noise:.0%}",
        str(len(scores)),
        f"{100 * _measure_share(scores):.1f} %",
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
            yield check_target(what, took, _SECONDS.get(cells, took), "s of CPU")
