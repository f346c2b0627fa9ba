"""Which few cells are run of many: the pairs at the start, and what an explanation asks for."""

from collections.abc import Sequence
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from issue_2569 import CHACHA20

from bench.explore import explore_record, load_2569
from orchestrator.analyse.explain import explain
from orchestrator.analyse.explore import Board, Claim, Condition, choose_cells, cover_pairs, list_beyond
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.model import CellRecord

Points = list[tuple[int, int, int]]


def masks(points: Sequence[Sequence[int]], axis: int, size: int = 4) -> tuple[int, ...]:
    return tuple(
        sum(1 << n for n, point in enumerate(points) if point[axis] == value) for value in range(size)
    )


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), min_size=1, unique=True))
def test_each_pair_that_there_is_comes_at_least_once_and_each_cell_brings_one(points: Points) -> None:
    """Also where the matrix has holes: what cannot be is not asked for."""

    def pairs(chosen: Sequence[int]) -> set[tuple[int, int, int, int]]:
        found = set()
        for cell, (i, j) in ((cell, pair) for cell in chosen for pair in combinations(range(3), 2)):
            found.add((i, points[cell][i], j, points[cell][j]))
        return found

    chosen = cover_pairs([masks(points, axis) for axis in range(3)], (1 << len(points)) - 1)
    assert pairs(chosen) == pairs(range(len(points)))
    assert len(set(chosen)) == len(chosen)
    for end in range(1, len(chosen)):
        assert pairs(chosen[:end]) < pairs(chosen[: end + 1])


def test_a_matrix_of_one_axis_is_covered_by_its_values() -> None:
    assert cover_pairs([(0b011, 0b100)], 0b111) in {(0, 2), (1, 2)}
    assert cover_pairs([], 0) == ()


POINTS = [(x, y, z) for x in range(3) for y in range(3) for z in range(3)]
AXES_OF_POINTS = tuple(masks(POINTS, axis, size) for axis, size in enumerate((3, 3, 3)))


def at(x: int, y: int, z: int) -> int:
    return 1 << POINTS.index((x, y, z))


def claim(failing: int, **values: int) -> Claim:
    """Of the form x=1, y=2."""
    conditions = []
    for name, value in values.items():
        axis = AXES_OF_POINTS["xyz".index(name)]
        beyond = list_beyond([[n] for n in range(len(axis))], axis, [value])
        conditions.append(Condition(inside=axis[value], beyond=beyond))
    return Claim(conditions=tuple(conditions), failing=failing)


def ask(claims: Sequence[Claim], *, passing: int = 0, failed: int, alone: int = 0) -> list[tuple[int, ...]]:
    ran = passing | failed
    left = ((1 << len(POINTS)) - 1) & ~ran
    board = Board(axes=AXES_OF_POINTS, passing=passing, ran=ran, open=left)
    return [POINTS[cell] for cell in choose_cells(board, claims, alone)]


def test_beyond_each_condition_a_pass_is_asked_for_and_inside_each_other_value() -> None:
    failing = at(1, 2, 0)
    asked = ask([claim(failing, x=1, y=2)], failed=failing)
    beyond = {(x, 2) for x in (0, 2)} | {(1, y) for y in (0, 1)}
    assert {(x, y) for x, y, _ in asked if (x, y) != (1, 2)} == beyond
    assert [point for point in asked if point[:2] == (1, 2)] == [(1, 2, 1), (1, 2, 2)]


def test_what_is_known_is_not_asked_again() -> None:
    failing = at(1, 2, 0) | at(1, 2, 1) | at(1, 2, 2)
    passing = at(0, 2, 0) | at(2, 2, 1) | at(1, 0, 0) | at(1, 1, 1)
    assert ask([claim(failing, x=1, y=2)], passing=passing, failed=failing) == []


def test_where_cells_fail_in_another_way_it_gives_up() -> None:
    """Of x=0, y=2 two of three cells failed for another reason: the third would, too."""
    failing = at(1, 2, 0) | at(1, 2, 1) | at(1, 2, 2)
    passing = at(2, 2, 1) | at(1, 0, 0) | at(1, 1, 1)
    others = at(0, 2, 0) | at(0, 2, 1)
    assert ask([claim(failing, x=1, y=2)], passing=passing, failed=failing | others) == []


def test_what_another_claim_explains_says_nothing_of_this_one() -> None:
    """Beyond x=1 lie cells of the other fault, z=0: so others are asked for."""
    one, other = at(1, 2, 0) | at(1, 2, 1), at(0, 0, 0) | at(0, 1, 0)
    asked = ask([claim(one, x=1, y=2), claim(other, z=0)], failed=one | other)
    assert {point[:2] for point in asked if point[1] == 2 and point[2]} >= {(0, 2), (2, 2)}


def test_around_a_failure_that_nothing_explains_each_axis_is_changed_alone() -> None:
    asked = ask([], failed=at(1, 1, 1), alone=at(1, 1, 1))
    changed = [[n for n in range(3) if point[n] != 1] for point in asked]
    assert sorted(changed) == [[0], [1], [2]]


def test_where_values_have_an_order_the_neighbours_of_a_border_speak_for_all() -> None:
    rows = tuple(1 << n for n in range(8))
    runs = [[0, 1, 2, 3, 4], [5, 6], [7]]
    assert list_beyond(runs, rows, [2, 3]) == (rows[1], rows[4], rows[5], rows[6], rows[7])
    assert list_beyond(runs, rows, [0, 1, 2, 3, 4]) == (rows[5], rows[6], rows[7])


TABLE = load_2569()


def test_a_third_of_the_cells_of_haproxy_2569_says_what_all_of_them_say() -> None:
    made, found = explore_record(TABLE)
    assert len(TABLE.cells) == 128
    assert len(made.cells) <= 128 / 3
    assert {one.reason: one.when for one in found.clusters} == {
        one.reason: one.when for one in explain([TABLE]).clusters
    }
    (hang,) = [one for one in found.clusters if one.reason is Reason.HANDSHAKE_THEN_HANG]
    assert hang.when == ("tls=libressl-3.9.2", f"negotiated={CHACHA20}")
    assert found.unexplained == ()


@pytest.mark.parametrize("broken", ["arch=arm64", "tls=libressl-3.9.2 haproxy<3.0"])
def test_a_planted_fault_is_found_with_fewer_cells(broken: str) -> None:
    def fails(cell: CellRecord) -> bool:
        axes = cell.axes
        if broken == "arch=arm64":
            return axes.arch.name == "arm64"
        return axes.tls.name == "libressl-3.9.2" and axes.haproxy.version == "2.8.9"

    cells = tuple(
        cell.model_copy(
            update={
                "outcome": Outcome.FAIL if fails(cell) else Outcome.PASS,
                "reason": Reason.WRONG_BODY if fails(cell) else None,
                "verdict": Verdict.REGRESSION if fails(cell) else Verdict.AS_EXPECTED,
            }
        )
        for cell in TABLE.cells
        if cell.outcome is Outcome.PASS
    )
    whole = TABLE.model_copy(update={"cells": cells})
    made, found = explore_record(whole)
    assert [one.when for one in found.clusters] == [one.when for one in explain([whole]).clusters]
    assert len(made.cells) < len(cells) / 2
