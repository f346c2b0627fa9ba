"""Small sets of builds, and the best way of all to cut one."""

import random
from itertools import product

from orchestrator.plan import shards
from orchestrator.plan.shards import BuildWithCells


def random_builds(seed: int) -> list[BuildWithCells]:
    """Up to eight builds of up to three libraries; one of them may be the distribution's."""
    draw = random.Random(seed)
    costs = {name: draw.choice([60.0, 120.0, 200.0]) for name in "abc"} | {"": 0.0}
    names = [draw.choice(["", "a", "b", "c"]) for _ in range(draw.randint(3, 8))]
    return [
        BuildWithCells(
            name=f"build-{number}",
            runner="amd64",
            library=name,
            seconds=float(draw.choice([5, 60, 65, 80, 150])),
            library_seconds=costs[name],
            cells=(f"cell-{number}",),
        )
        for number, name in enumerate(names)
    ]


def best_cut(builds: list[BuildWithCells], count: int) -> float:
    """Of all cuts there are."""
    found = []
    for choice in product(range(count), repeat=len(builds)):
        parts = [[b for b, part in zip(builds, choice, strict=True) if part == n] for n in range(count)]
        found.append(max(map(shards._add_up, parts)))
    return min(found)
