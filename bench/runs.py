"""Run records of any size with planted faults."""

import random
from collections.abc import Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

from bench import report
from orchestrator.matrix.model import AXES, HaproxyValue, TlsValue
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.model import Axes, CellRecord, RunRecord


def make_record(cells: int, *, noise: float = 0.0) -> RunRecord:
    """Return a record of about so many cells with two faults; ``noise`` is the share of turned outcomes."""
    chance = random.Random(cells)  # noqa: S311 - a seeded table, no secret
    base = report.make_sample(60)
    good = next(one for one in base.cells if one.outcome is Outcome.PASS)
    values = list_values(base, cells)
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
        made.append(make_cell(good, axes, broken))
    return base.model_copy(update={"cells": tuple(made)})


def make_cell(good: CellRecord, axes: Axes, broken: Reason | None) -> CellRecord:
    """Return a cell that ended so, made of one that passed."""
    return good.model_copy(
        update={
            "id": "--".join(getattr(axes, axis).name for axis in AXES),
            "axes": axes,
            "outcome": Outcome.FAIL if broken else Outcome.PASS,
            "reason": broken,
            "verdict": Verdict.REGRESSION if broken else Verdict.AS_EXPECTED,
            "observations": None,
        }
    )


def list_values(base: RunRecord, cells: int) -> Mapping[str, Sequence[Any]]:
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
