"""Expansion: golden ids, include and exclude against a naive model, speed."""

import tracemalloc
from collections.abc import Mapping, Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matrix_samples import matrix

from orchestrator.matrix.expand import combine, expand, find_idle, make_cell_id
from orchestrator.matrix.model import AXES, DEFAULTS, REQUIRED

ONE = {"arch": ["amd64"], "haproxy": ["3.0.11"], "tls": ["openssl-distro"], "cipher": ["default"]}
NAMES = {axis: names[0] for axis, names in ONE.items()}


def test_golden_ids() -> None:
    names = {**NAMES, "client": "curl", "execution": "default"}
    plain = "amd64--haproxy-3.0.11--openssl-distro--default"
    assert make_cell_id(names) == plain
    assert make_cell_id({**names, "client": "gtlsclient"}) == f"{plain}--client.gtlsclient"
    assert make_cell_id({**names, "execution": "aes-off"}) == f"{plain}--execution.aes-off"


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


def test_include_is_a_cell_of_its_own_even_if_excluded_and_stands_once() -> None:
    cells = expand(matrix(ONE, exclude=[{"arch": "amd64"}], include=[NAMES, NAMES]))
    assert [cell.id for cell in cells] == ["amd64--haproxy-3.0.11--openssl-distro--default"]


def test_an_include_never_changes_a_cell() -> None:
    cells = expand(matrix(ONE, include=[{**NAMES, "client": "aioquic"}]))
    assert [cell.client.name for cell in cells] == ["curl", "aioquic"]


def naive(
    axes: Mapping[str, Sequence[str]],
    include: Sequence[Mapping[str, str]],
    exclude: Sequence[Mapping[str, str]],
) -> list[tuple[str, ...]]:
    """The documented rules, word for word and slowly; each cell once."""
    defaults = {axis: value.name for axis, value in DEFAULTS.items()}
    whole = {axis: axes.get(axis) or [defaults[axis]] for axis in AXES} if axes else {}
    rows = [dict(zip(whole, names, strict=True)) for names in product(*whole.values())] if whole else []
    rows = [row for row in rows if not any(entry.items() <= row.items() for entry in exclude)]
    rows += [{**defaults, **entry} for entry in include]
    return list(dict.fromkeys(tuple(row[axis] for axis in AXES) for row in rows))


names = st.sampled_from(["a", "b", "c"])

# What `load` lets through: every required axis, or none at all.
axis_names = st.lists(names, min_size=1, max_size=3, unique=True)
optional = dict.fromkeys(DEFAULTS, axis_names)
no_axes: st.SearchStrategy[dict[str, list[str]]] = st.just({})
some_axes = no_axes | st.fixed_dictionaries(dict.fromkeys(REQUIRED, axis_names), optional=optional)
includes = st.lists(
    st.fixed_dictionaries(
        dict.fromkeys(REQUIRED, names), optional={axis: names | st.just("curl") for axis in DEFAULTS}
    ),
    max_size=4,
)
excludes = st.lists(st.dictionaries(st.sampled_from(AXES), names | st.just("curl"), min_size=1), max_size=4)


@given(some_axes, includes, excludes)
def test_combine_is_the_documented_rule(
    axes: dict[str, list[str]], include: list[dict[str, str]], exclude: list[dict[str, str]]
) -> None:
    assert list(dict.fromkeys(combine(axes, include, exclude))) == naive(axes, include, exclude)


@given(some_axes, includes, excludes)
def test_entries_without_effect_can_be_deleted_together(
    axes: dict[str, list[str]], include: list[dict[str, str]], exclude: list[dict[str, str]]
) -> None:
    idle = find_idle(axes, include, exclude)
    left = [entry for number, entry in enumerate(include) if number not in idle.include]
    busy = [entry for number, entry in enumerate(exclude) if number not in idle.exclude]
    assert set(naive(axes, left, busy)) == set(naive(axes, include, exclude))
    for number in range(len(left)):  # and each include that is left does something
        others = left[:number] + left[number + 1 :]
        assert set(naive(axes, others, busy)) != set(naive(axes, left, busy))


ids = st.fixed_dictionaries({axis: st.from_regex(r"[a-c0](-?[a-c._])*-?", fullmatch=True) for axis in AXES})


@given(ids, ids)
def test_ids_are_unique(one: dict[str, str], two: dict[str, str]) -> None:
    assert (make_cell_id(one) == make_cell_id(two)) == (one == two)


@pytest.mark.whole
def test_twenty_thousand_cells_take_little_memory() -> None:
    axes = {
        "arch": ["amd64", "arm64"],
        "haproxy": [f"3.0.{number}" for number in range(40)],
        "tls": [f"openssl-3.5.{number}" for number in range(50)],
        "cipher": [*(f"TLS_AES_128_GCM_SHA256.{number}" for number in range(4)), "default"],
    }
    big = matrix(axes, exclude=[{"arch": "arm64", "tls": "openssl-3.5.49"}])
    tracemalloc.start()
    cells = expand(big)
    assert tracemalloc.get_traced_memory()[1] < 60 * 2**20
    tracemalloc.stop()
    assert len({cell.id for cell in cells}) == 20_000 - 200


def test_required_axes_are_those_of_every_id() -> None:
    assert REQUIRED == ("arch", "haproxy", "tls", "cipher")
