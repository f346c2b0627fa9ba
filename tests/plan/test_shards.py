"""Shards: each cell in exactly one, no build twice, and hardly longer than the best cut there is."""

from functools import cache
from pathlib import Path

import pytest
from shard_samples import best_cut, random_builds

from orchestrator import resources
from orchestrator.errors import MatrixctlError, UsageError
from orchestrator.matrix.expand import expand
from orchestrator.matrix.load import load
from orchestrator.matrix.model import Cell
from orchestrator.matrix.select import find_filters, select
from orchestrator.plan import shards
from orchestrator.plan.plan import name_build
from orchestrator.plan.shards import Shard, list_builds, split, split_by_time, take

MATRIX = load(resources.find_root() / "matrix.yaml")
EVERY = expand(MATRIX)


def some(*filters: str) -> tuple[Cell, ...]:
    return select(EVERY, filters, known=EVERY)


def longest(made: tuple[Shard, ...]) -> float:
    return max(shard.seconds for shard in made)


@pytest.mark.parametrize("profile", ["quick", "full", "nightly"])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 16, 64, 1000])
def test_each_cell_is_in_exactly_one_shard(profile: str, count: int) -> None:
    cells = select(EVERY, find_filters(MATRIX, profile), known=EVERY)
    made = split(cells, count)
    assert sorted(cell for shard in made for cell in shard.cells) == sorted(cell.id for cell in cells)
    assert all(shard.cells for shard in made)
    assert len(made) == min(count, len({name_build(cell) for cell in cells}))
    assert [(shard.number, shard.of) for shard in made] == [
        (number, len(made)) for number in range(1, len(made) + 1)
    ]
    builds = [build.name for shard in made for build in shard.builds]
    assert len(set(builds)) == len(builds), "no HAProxy is built twice"


def test_the_answer_depends_on_the_cells_alone() -> None:
    made = split(EVERY, 9)
    assert split(EVERY, 9) == made
    again = expand(load(Path(resources.find_root() / "matrix.yaml")))
    assert [shard.cells for shard in split(again, 9)] == [shard.cells for shard in made]


def test_cells_run_on_machines_of_their_architecture() -> None:
    made = split(EVERY, 8)
    by_runner = {runner: [one for one in made if one.runner == runner] for runner in ("amd64", "arm64")}
    assert all(by_runner.values())
    arches = {cell.id: cell.arch.name for cell in EVERY}
    assert {arches[cell] for shard in by_runner["arm64"] for cell in shard.cells} == {"arm64"}
    assert "arm64" not in {arches[cell] for shard in by_runner["amd64"] for cell in shard.cells}
    assert [shard.runner for shard in split(EVERY, 1)] == ["amd64"], "one machine emulates the rest"


def test_a_library_is_built_twice_only_where_that_is_shorter() -> None:
    cells = some("arch=amd64", "tls!=openssl-distro")
    libraries = {build.library for build in list_builds(cells)}
    few = split(cells, 2)
    assert sum(len(shard.libraries) for shard in few) == len(libraries)
    many = split(cells, len(list_builds(cells)))
    assert sum(len(shard.libraries) for shard in many) > len(libraries)


def test_a_budget_is_met_with_the_fewest_shards() -> None:
    made = split_by_time(EVERY, 30 * 60)
    assert longest(made) <= 30 * 60 < longest(split(EVERY, len(made) - 1))
    never = split_by_time(some("arch=amd64"), 1)
    assert len(never) == len({name_build(cell) for cell in some("arch=amd64")})
    assert split_by_time((), 60)[0].cells == ()


def test_a_budget_gives_each_architecture_its_own_machine_where_there_is_one() -> None:
    """Under QEMU a failure of the CPU's own code may not show."""
    cells = some("tls=openssl-distro", "haproxy=3.4.6")
    made = split_by_time(cells, 24 * 3600)
    assert [shard.runner for shard in made] == ["amd64", "arm64"]
    arches = {cell.id: cell.arch.name for cell in cells}
    assert {arches[cell] for cell in made[1].cells} == {"arm64"}
    assert [shard.runner for shard in split_by_time(some("arch=arm64"), 24 * 3600)] == ["arm64"]


def test_one_shard_is_taken_by_its_number() -> None:
    taken = [take(EVERY, f"{number}/5") for number in range(1, 6)]
    assert sorted(cell.id for part in taken for cell in part) == sorted(cell.id for cell in EVERY)
    order = [cell.id for cell in EVERY]
    for part in taken:
        assert [order.index(cell.id) for cell in part] == sorted(order.index(cell.id) for cell in part)


@pytest.mark.parametrize("text", ["", "0/4", "5/4", "1/0", "x", "1/4/2", "-1/4", "1 / 4", "1/9999999"])
def test_what_names_no_shard_is_said(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        take(EVERY, text)
    assert "names no shard" in caught.value.brief


def test_more_shards_than_there_can_be_are_refused_with_the_right_number() -> None:
    cells = some("haproxy=3.0.11", "tls=openssl-distro", "arch=amd64")
    with pytest.raises(UsageError) as caught:
        take(cells, "2/3")
    assert caught.value.brief == "these cells cannot be cut into 3 shards, only into 1"
    assert "--shard 1/1" in caught.value.resolution


def test_a_lost_cell_is_a_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    real = shards._cut
    monkeypatch.setattr(shards, "_cut", lambda builds, count: real(builds[1:], count))
    with pytest.raises(MatrixctlError, match="fault of matrixctl"):
        split(EVERY, 4)


@cache
def nightly_by_kind() -> tuple[tuple[Cell, ...], list[list[shards.BuildWithCells]]]:
    cells = select(EVERY, find_filters(MATRIX, "nightly"), known=EVERY)
    return cells, [[one for one in list_builds(cells) if one.runner == kind] for kind in shards.NATIVE]


@cache
def longest_of_kind(kind: int, count: int) -> float:
    """Return the work of the longest of so many machines of one kind."""
    _, kinds = nightly_by_kind()
    return max(map(shards._add_up, shards._balance(kinds[kind], count)))


@pytest.mark.parametrize("number", [9, 17, 18, 36])
def test_each_kind_of_machine_gets_as_many_as_is_best(number: int) -> None:
    """Against every way to deal so many machines to the two kinds."""
    cells, kinds = nightly_by_kind()

    def cut(mine: int) -> float:
        return max(longest_of_kind(kind, count) for kind, count in enumerate((mine, number - mine)))

    most, least = min(number - 1, len(kinds[0])), max(1, number - len(kinds[1]))
    best = min(cut(mine) for mine in range(least, most + 1))
    assert longest(split(cells, number)) == pytest.approx(best + shards.SETUP_SECONDS)


@pytest.mark.parametrize("seed", range(60))
def test_the_cut_is_hardly_longer_than_the_best(seed: int) -> None:
    builds = random_builds(seed)
    count = 2 + seed % 2
    parts = shards._balance(builds, count)
    assert sorted(build.name for part in parts for build in part) == sorted(build.name for build in builds)
    setup = shards.SETUP_SECONDS
    assert max(map(shards._add_up, parts)) + setup <= 1.15 * (best_cut(builds, count) + setup)
