"""Expansion: golden ids, GitHub's include and exclude against a naive model, speed."""

import tracemalloc
from collections.abc import Mapping, Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matrix_samples import matrix

from orchestrator.errors import UsageError
from orchestrator.matrix.expand import cell_id, combine, expand
from orchestrator.matrix.model import AXES, REQUIRED

ONE = {"arch": ["amd64"], "haproxy": ["3.0.11"], "tls": ["openssl-distro"], "cipher": ["default"]}
NAMES = {axis: names[0] for axis, names in ONE.items()}


def test_golden_ids() -> None:
    names = {**NAMES, "client": "curl", "execution": "default"}
    plain = "amd64--haproxy-3.0.11--openssl-distro--default"
    assert cell_id(names) == plain
    assert cell_id({**names, "client": "gtlsclient"}) == f"{plain}--client.gtlsclient"
    assert cell_id({**names, "execution": "aes-off"}) == f"{plain}--execution.aes-off"


def test_golden_expansion() -> None:
    axes = {**ONE, "arch": ["amd64", "arm64"], "cipher": ["TLS_CHACHA20_POLY1305_SHA256", "default"]}
    assert [cell.id for cell in expand(matrix(axes))] == [
        "amd64--haproxy-3.0.11--openssl-distro--TLS_CHACHA20_POLY1305_SHA256",
        "amd64--haproxy-3.0.11--openssl-distro--default",
        "arm64--haproxy-3.0.11--openssl-distro--TLS_CHACHA20_POLY1305_SHA256",
        "arm64--haproxy-3.0.11--openssl-distro--default",
    ]


def test_declaring_an_axis_at_its_default_changes_no_id() -> None:
    declared = expand(matrix({**ONE, "client": ["curl"]}))
    assert [cell.id for cell in declared] == [cell.id for cell in expand(matrix(ONE))]
    assert declared[0].client.name == "curl"


def test_cells_share_their_records() -> None:
    cells = expand(matrix())
    assert len({id(cell.tls) for cell in cells}) == 3


def test_exclude_removes_what_has_all_its_names() -> None:
    axes = {**ONE, "arch": ["amd64", "arm64"], "haproxy": ["3.0.11", "3.2.0"]}
    cells = expand(matrix(axes, exclude=[{"arch": "arm64", "haproxy": "3.0.11"}]))
    assert [(cell.arch.name, cell.haproxy.name) for cell in cells] == [
        ("amd64", "3.0.11"),
        ("amd64", "3.2.0"),
        ("arm64", "3.2.0"),
    ]


def test_include_adds_an_undeclared_axis_to_what_it_fits_and_later_ones_may_change_it() -> None:
    axes = {**ONE, "arch": ["amd64", "arm64"]}
    include = [{"client": "aioquic"}, {"arch": "arm64", "client": "gtlsclient"}]
    cells = expand(matrix(axes, include=include))
    assert [cell.id.rpartition("--")[2] for cell in cells] == ["client.aioquic", "client.gtlsclient"]


def test_include_that_fits_nothing_is_a_cell_of_its_own_even_if_excluded() -> None:
    cells = expand(matrix(ONE, exclude=[{"arch": "amd64"}], include=[NAMES, NAMES]))
    assert [cell.id for cell in cells] == ["amd64--haproxy-3.0.11--openssl-distro--default"]


def test_a_new_combination_needs_every_required_axis() -> None:
    with pytest.raises(UsageError, match=r"include\[1\] .* without haproxy, cipher$"):
        expand(matrix(ONE, include=[{"arch": "amd64"}, {"arch": "arm64", "tls": "openssl-3.5.7"}]))


def github(
    axes: Mapping[str, Sequence[str]],
    include: Sequence[Mapping[str, str]],
    exclude: Sequence[Mapping[str, str]],
) -> list[dict[str, str]]:
    """GitHub's documented rules, word for word and slowly."""
    rows = [dict(zip(axes, names, strict=True)) for names in product(*axes.values())]
    rows = [row for row in rows if not any(entry.items() <= row.items() for entry in exclude)]
    originals = [dict(row) for row in rows]
    fresh = []
    for entry in include:
        added = False
        for original, row in zip(originals, rows, strict=True):
            if all(original[axis] == name for axis, name in entry.items() if axis in axes):
                row.update(entry)
                added = True
        if not added:
            fresh.append(dict(entry))
    return rows + fresh


names = st.sampled_from(["a", "b", "c"])
some_axes = st.dictionaries(
    st.sampled_from(AXES), st.lists(names, min_size=1, max_size=3, unique=True), min_size=1
)
entries = st.lists(st.dictionaries(st.sampled_from(AXES), names, min_size=1), max_size=4)


@given(some_axes, entries, entries)
def test_combine_is_githubs(
    axes: dict[str, list[str]], include: list[dict[str, str]], exclude: list[dict[str, str]]
) -> None:
    axes = {axis: axes[axis] for axis in AXES if axis in axes}
    result = combine(axes, include, exclude)
    found = [*result.original, *(row for _, row in result.fresh)]
    expected = [[row.get(axis) for axis in AXES] for row in github(axes, include, exclude)]
    assert found == expected


ids = st.fixed_dictionaries({axis: st.from_regex(r"[a-c0](-?[a-c._])*-?", fullmatch=True) for axis in AXES})


@given(ids, ids)
def test_ids_are_unique(one: dict[str, str], two: dict[str, str]) -> None:
    assert (cell_id(one) == cell_id(two)) == (one == two)


def test_twenty_thousand_cells_take_little_memory() -> None:
    axes = {
        "arch": ["amd64", "arm64"],
        "haproxy": [f"3.0.{number}" for number in range(40)],
        "tls": [f"openssl-3.5.{number}" for number in range(50)],
        "cipher": [*(f"TLS_AES_128_GCM_SHA256.{number}" for number in range(4)), "default"],
    }
    big = matrix(axes, include=[{"arch": "arm64", "client": "gtlsclient"}])
    tracemalloc.start()
    cells = expand(big)
    assert tracemalloc.get_traced_memory()[1] < 60 * 2**20
    tracemalloc.stop()
    assert len({cell.id for cell in cells}) == 20_000


def test_required_axes_are_those_of_every_id() -> None:
    assert REQUIRED == ("arch", "haproxy", "tls", "cipher")
