"""The search itself, on tables of numbers: planted faults, noise, holes, values that are not known."""

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import product

import pytest

from orchestrator.analyse.search import Box, Factor, Space, find_model, find_models

SIZES = (2, 6, 8, 4, 3)
ORDERED = (1, 2)
Point = tuple[int | None, ...]
POINTS: list[Point] = list(product(*map(range, SIZES)))


def space(points: Sequence[Point], fails: Callable[[Point], bool | None]) -> Space:
    """A table in which ``fails`` says how each row ended; ``None`` is a row without a result."""
    ends = [fails(point) for point in points]
    factors = tuple(
        Factor(
            name=f"f{place}",
            masks=tuple(rows(point[place] == value for point in points) for value in range(size)),
            unknown=rows(point[place] is None for point in points),
            runs=(tuple(range(size)),) if place in ORDERED else tuple((value,) for value in range(size)),
        )
        for place, size in enumerate(SIZES)
    )
    return Space(
        factors=factors, failing=rows(end is True for end in ends), passing=rows(end is False for end in ends)
    )


def rows(flags: Iterable[bool]) -> int:
    return sum(1 << i for i, flag in enumerate(flags) if flag)


def box(**conditions: set[int]) -> Box:
    return tuple(sorted((int(name[1:]), sum(1 << v for v in values)) for name, values in conditions.items()))


def test_one_condition_is_found() -> None:
    model = find_model(space(POINTS, lambda point: point[3] == 2))
    assert model.boxes == (box(f3={2}),)
    assert not model.noisy


def test_a_range_of_versions_and_two_equalities_are_found() -> None:
    fault = box(f2={2, 3, 4}, f0={1}, f4={0})
    model = find_model(space(POINTS, lambda point: point[2] in {2, 3, 4} and (point[0], point[4]) == (1, 0)))
    assert model.boxes == (fault,)


def test_a_set_of_values_is_found() -> None:
    model = find_model(space(POINTS, lambda point: point[3] in {0, 3} and point[1] == 5))
    assert model.boxes == (box(f1={5}, f3={0, 3}),)


def test_two_faults_are_two_boxes() -> None:
    model = find_model(
        space(
            POINTS, lambda point: (point[0] == 1 and point[3] == 2) or (point[1] in {0, 1} and point[4] == 2)
        )
    )
    assert set(model.boxes) == {box(f0={1}, f3={2}), box(f1={0, 1}, f4={2})}


def test_rows_without_a_result_are_neither_pass_nor_failure() -> None:
    """Where all cells with f0=0 were blocked, the failures do not depend on f0."""
    model = find_model(space(POINTS, lambda p: None if p[0] == 0 else p[3] == 2 and p[4] == 1))
    assert model.boxes == (box(f3={2}, f4={1}),)


def test_a_single_failure_proves_no_combination() -> None:
    assert find_model(space(POINTS, lambda point: point == (1, 3, 5, 2, 0))).boxes == ()


def test_nothing_is_explained_where_all_fail() -> None:
    assert find_model(space(POINTS, lambda _: True)).boxes == ()


@pytest.mark.parametrize("seed", range(4))
def test_noise_hides_no_fault_and_makes_none(seed: int) -> None:
    chance = random.Random(seed)

    def fails(point: Point) -> bool:
        broken = point[2] in {0, 1, 2} and point[3] == 1
        return broken != (chance.random() < 0.05)

    model = find_model(space(POINTS, fails))
    assert model.boxes == (box(f2={0, 1, 2}, f3={1}),)
    assert model.noisy


def test_one_pass_among_many_failures_is_noise_and_no_condition() -> None:
    model = find_model(space(POINTS, lambda p: p[3] == 2 and p[4] == 1 and p != (0, 2, 5, 2, 1)))
    assert model.boxes == (box(f3={2}, f4={1}),)


def test_a_value_that_is_not_known_of_a_failure_may_be_any() -> None:
    def point(p: Point) -> Point:
        return (*p[:3], None, p[4]) if p[3] == 2 and p[0] == 1 else p

    failing = [p[3] == 2 and p[4] == 1 for p in POINTS]
    ends = dict(zip(range(len(POINTS)), failing, strict=True))
    points = [point(p) if ends[i] else p for i, p in enumerate(POINTS)]
    made = space(points, dict(zip(points, failing, strict=False)).__getitem__)
    assert find_model(made).boxes == (box(f3={2}, f4={1}),)


def test_a_pass_among_the_failures_of_one_kind_says_nothing_of_another() -> None:
    """The second fault lies across the first; what flips to a pass in the first is no pass of the second."""
    chance = random.Random(7)
    ends = {}
    for point in POINTS:
        kind = "a" if point[0] == 1 else "b" if point[3] == 2 else ""
        ends[point] = "" if kind == "a" and chance.random() < 0.1 else kind
    noisy = [
        space(POINTS, lambda p, kind=kind: None if ends[p] not in {"", kind} else ends[p] == kind)  # type: ignore[misc]
        for kind in "ab"
    ]
    first, second = find_models(noisy)
    assert first.boxes == (box(f0={1}),)
    assert second.boxes == (box(f3={2}),)
