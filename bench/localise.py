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
from bench.planted import Planted, judge, plant
from orchestrator.analyse.explain import explain
from orchestrator.analyse.search import Box, find_models
from orchestrator.matrix.model import HaproxyValue, TlsValue
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.model import RunRecord

SEEDS = 500
NOISE = (0.0, 0.05, 0.1)
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
    tries: list[tuple[Way, float]] = []
    for way in WAYS:
        module, _, package = way.needs.partition(" ")
        if module and not _is_there(module):
            notes.append(
                f"{way.name}: not measured; `pip install {package}` beside this checkout's packages."
            )
            continue
        tries += ((way, noise) for noise in NOISE)
    counts = [max(1, round(seeds * way.share)) for way, _ in tries]
    with ProcessPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        every = list(pool.map(_try, *zip(*tries, strict=True), counts))
    for (way, noise), found in zip(tries, every, strict=True):
        if way is WAYS[0] and noise in _GOALS:
            what = f"faults found exactly, {noise:.0%} noise"
            notes.append(against(what, found.faults, _GOALS[noise], "%", at_least=True))
    rows = tuple(found.row(way.name, noise) for (way, noise), found in zip(tries, every, strict=True))
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
        rows=rows,
        notes=tuple(notes),
    )


@dataclass(frozen=True, kw_only=True)
class Found:
    """How one way did at one level of noise."""

    matrices: int
    faults: float
    """Per cent of the faults that were found exactly."""
    exact: float
    """Per cent of the matrices of which all faults were found, and nothing else."""
    strange: int
    seconds: tuple[float, ...]

    def row(self, name: str, noise: float) -> tuple[str, ...]:
        """Return the row of the table; a box that is no fault is a strange one."""
        took = (f"{value:.3f} s" for value in (median(self.seconds), max(self.seconds)))
        shares = (f"{self.faults:.1f} %", f"{self.exact:.1f} %")
        return (name, f"{noise:.0%}", str(self.matrices), *shares, str(self.strange), *took)


def _try(way: Way, noise: float, seeds: int) -> Found:
    scores, seconds = [], []
    for seed in range(seeds):
        planted = plant(seed, noise=noise)
        _ = planted.spaces
        started = time.process_time()
        boxes = way.solve(planted)
        seconds.append(time.process_time() - started)
        scores.append(judge(planted, boxes))
    return Found(
        matrices=seeds,
        faults=100 * sum(score.found for score in scores) / sum(score.of for score in scores),
        exact=100 * sum(score.exact for score in scores) / seeds,
        strange=sum(score.strange for score in scores),
        seconds=tuple(seconds),
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
