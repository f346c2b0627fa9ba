"""The plan: shared actions, every cell probed once, broken plans refused."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import fakes
import pytest
from fakes import cell
from hypothesis import given
from hypothesis import strategies as st
from plan_samples import SUITES, TOOLCHAIN, cells, plan, planner, source

from orchestrator.arch import ARCHES
from orchestrator.errors import MatrixctlError
from orchestrator.matrix.catalog import Catalog
from orchestrator.matrix.model import Cell, ExecutionValue
from orchestrator.plan.action import SourceAction
from orchestrator.plan.digest import list_relevant_packages
from orchestrator.plan.plan import Plan, estimate, verify

SUBSETS = st.lists(st.sampled_from(cells()), unique_by=lambda one: one.id, max_size=12)


def keys(made: Plan, kind: str) -> list[str]:
    return [key for key, action in made.actions.items() if action.kind == kind]


def test_a_library_is_planned_once_per_arch_and_haproxy_once_per_library() -> None:
    made = plan()
    assert keys(made, "tls") == ["tls:openssl-3.5.7--amd64", "tls:openssl-3.5.7--arm64"]
    assert keys(made, "haproxy") == [
        "haproxy:haproxy-3.0.11--openssl-distro--amd64",
        "haproxy:haproxy-3.0.11--openssl-3.5.7--amd64",
        "haproxy:haproxy-3.0.11--openssl-distro--arm64",
        "haproxy:haproxy-3.0.11--openssl-3.5.7--arm64",
    ]
    assert keys(made, "source") == ["source:haproxy-3.0.11", "source:openssl-3.5.7"]
    assert len(keys(made, "probe")) == 4


def test_another_cpu_is_another_session_of_the_same_build() -> None:
    default, off = ExecutionValue(name="default"), ExecutionValue(name="aes-off", cpu="aes-off")
    chosen = [cell(execution=one, cipher=suite) for one in (default, off) for suite in SUITES]
    made = plan(chosen)
    name = "haproxy-3.0.11--openssl-3.5.7--amd64"
    assert keys(made, "probe") == [f"probe:{name}", f"probe:{name}--aes-off"]
    assert len(made.actions[f"haproxy:{name}"].cells) == len(chosen)
    assert len(keys(made, "selftest")) == 1
    probes = [made.actions[key] for key in keys(made, "probe")]
    assert [[need for need in probe.needs if "runtime" in need] for probe in probes] == [
        ["image:runtime-amd64"],
        ["image:emulated-runtime-amd64"],
    ]


def test_a_foreign_cell_shares_one_image_with_an_emulator_whatever_its_cpu() -> None:
    default, on = ExecutionValue(name="default"), ExecutionValue(name="aes-on", cpu="aes-on")
    made = plan([cell(arch="arm64", execution=one) for one in (default, on)])
    assert [key for key in made.actions if "runtime" in key] == ["image:emulated-runtime-arm64"]


def test_more_ciphers_mean_no_more_builds() -> None:
    few, many = plan(cells(ciphers=SUITES[:1])), plan(cells())
    assert list(few.actions) == list(many.actions)


def test_a_second_haproxy_shares_the_library() -> None:
    two = [cell(haproxy="3.0.11"), cell(haproxy="3.2.0")]
    made = plan(two)
    assert len(keys(made, "tls")) == 1
    assert len(keys(made, "haproxy")) == 2


@given(chosen=SUBSETS)
def test_every_cell_is_probed_once_and_each_action_stands_after_what_it_needs(chosen: list[Cell]) -> None:
    made = plan(chosen)
    probed = Counter(key for a in made.actions.values() if a.kind == "probe" for key in a.cells)
    assert probed == Counter(one.id for one in chosen)
    seen: set[str] = set()
    for key, action in made.actions.items():
        assert set(action.needs) <= seen
        seen.add(key)


@given(chosen=SUBSETS)
def test_an_action_names_the_cells_it_serves_once(chosen: list[Cell]) -> None:
    made = plan(chosen)
    for action in made.actions.values():
        served = {key for a in made.actions.values() if action.key in a.needs for key in a.cells}
        if action.kind != "probe":
            assert action.cells == tuple(sorted(served))


def test_the_toolchain_serves_every_cell_and_a_build_its_own() -> None:
    made = plan()
    assert set(made.actions["image:toolchain-amd64"].cells) == set(made.cells)
    of_arm = {key for key in made.cells if key.startswith("arm64--")}
    assert set(made.actions["image:toolchain-arm64"].cells) == of_arm
    assert made.actions["image:toolchain-arm64"].needs == ("image:toolchain-amd64",)
    library = made.actions["tls:openssl-3.5.7--arm64"]
    assert set(library.cells) == {f"arm64--3.0.11--openssl-3.5.7--{suite}" for suite in SUITES}


def test_a_probe_needs_its_build_the_runtime_and_a_client_of_the_hosts_arch() -> None:
    probe = plan().actions["probe:haproxy-3.0.11--openssl-3.5.7--arm64"]
    assert probe.needs == (
        "haproxy:haproxy-3.0.11--openssl-3.5.7--arm64",
        "selftest:selftest--openssl-3.5.7--arm64",
        "image:emulated-runtime-arm64",
        "image:client-amd64",
    )


def test_an_emulated_build_compiles_in_an_image_of_the_target() -> None:
    made = planner(emulated=True).plan(cells(tls=["openssl-3.5.7"]))
    assert "image:emulated-toolchain-arm64" in made.actions["tls:openssl-3.5.7--arm64"].needs
    assert "image:toolchain-amd64" in made.actions["tls:openssl-3.5.7--amd64"].needs


def test_without_one_targets_toolchain_the_other_targets_builds_keep_their_digests() -> None:
    made = replace(planner(), packages={"amd64": TOOLCHAIN}).plan(cells(tls=["openssl-3.5.7"]))
    assert (
        made.actions["tls:openssl-3.5.7--amd64"].digest == plan().actions["tls:openssl-3.5.7--amd64"].digest
    )
    assert made.actions["tls:openssl-3.5.7--arm64"].digest is None


def test_without_versions_builds_have_no_digest_yet() -> None:
    made = planner(packages={}).plan(cells())
    assert {made.actions[key].digest for key in (*keys(made, "tls"), *keys(made, "haproxy"))} == {None}


def test_a_source_without_an_entry_is_planned_with_its_problem() -> None:
    made = plan([cell(tls="libressl-3.9.2")])
    wanted = made.actions["source:libressl-3.9.2"]
    assert isinstance(wanted, SourceAction)
    assert wanted.source is None
    assert "no entry for libressl 3.9.2 in sources.yaml" in wanted.problem
    assert made.actions["tls:libressl-3.9.2--amd64"].digest is None
    assert made.actions["haproxy:haproxy-3.0.11--libressl-3.9.2--amd64"].digest is None


def test_a_source_whose_digest_nobody_knows_is_planned_with_its_problem() -> None:
    unknown = source("haproxy", "3.0.11").model_copy(update={"sha256": None})
    made = planner(catalog=Catalog(sources={("haproxy", "3.0.11"): unknown})).plan(
        cells(tls=["openssl-distro"])
    )
    assert "SHA-256 of haproxy 3.0.11 is unknown" in made.actions["source:haproxy-3.0.11"].problem


def test_no_cells_need_nothing() -> None:
    assert plan([]) == Plan(actions={}, cells={})


def test_the_same_cell_twice_is_refused() -> None:
    with pytest.raises(MatrixctlError, match="a cell is probed twice or never"):
        plan([cell(), cell()])


# A plan of named shapes.


def shaped(needs: Mapping[str, Sequence[str]], probed: Sequence[str] = ("p",)) -> Plan:
    """``p`` is the probe of one cell, the rest are sources."""
    actions = {
        key: fakes.action(
            key,
            *wanted,
            kind="probe" if key in probed else "source",
            cells=(cell().id,) if key in probed else (),
        )
        for key, wanted in needs.items()
    }
    return Plan(actions=actions, cells={cell().id: cell()})


@pytest.mark.parametrize(
    "needs",
    [
        pytest.param({"p": []}, id="alone"),
        pytest.param({"a": [], "b": ["a"], "c": ["a"], "p": ["b", "c"]}, id="diamond"),
        pytest.param({"a": [], "b": [], "p": ["a"]}, id="disjoint"),
    ],
)
def test_sound_shapes_are_accepted(needs: Mapping[str, Sequence[str]]) -> None:
    verify(shaped(needs))


@pytest.mark.parametrize(
    ("needs", "probed", "said"),
    [
        pytest.param({"a": ["b"], "b": ["a"], "p": ["a"]}, "p", "a cycle: a -> b -> a", id="loop"),
        pytest.param({"p": ["p"]}, "p", "a cycle: p -> p", id="itself"),
        pytest.param({"a": ["c"], "b": ["a"], "c": ["b"], "p": []}, "p", "a cycle: ", id="disjoint loop"),
        pytest.param({"p": ["x", "y"]}, "p", "needed and not planned: x, y", id="dangling"),
        pytest.param({"a": [], "b": ["a"]}, "", "a cell is probed twice or never", id="never probed"),
        pytest.param({"p": [], "q": []}, "pq", "a cell is probed twice or never", id="probed twice"),
    ],
)
def test_broken_shapes_are_refused_by_name(
    needs: Mapping[str, Sequence[str]], probed: str, said: str
) -> None:
    with pytest.raises(MatrixctlError) as caught:
        verify(shaped(needs, probed))
    assert said in caught.value.details
    assert "fault of matrixctl" in caught.value.brief


def test_all_faults_of_a_plan_are_said_at_once() -> None:
    with pytest.raises(MatrixctlError) as caught:
        verify(shaped({"a": ["a", "x"]}, ""))
    assert len(caught.value.details.splitlines()) == 3


def test_a_graph_of_some_kinds_has_only_edges_between_them() -> None:
    graph = plan(cells(arches=["amd64"], tls=["openssl-3.5.7"])).make_graph({"tls", "haproxy"})
    assert graph == {
        "tls:openssl-3.5.7--amd64": (),
        "haproxy:haproxy-3.0.11--openssl-3.5.7--amd64": ("tls:openssl-3.5.7--amd64",),
    }


# Versions in a digest.


def test_the_packages_of_a_native_compile() -> None:
    amd64 = ARCHES["amd64"]
    found = dict(list_relevant_packages(TOOLCHAIN, amd64, amd64, distro_tls=False))
    assert sorted(found) == [
        "binutils-x86-64-linux-gnu",
        "cpp-14-x86-64-linux-gnu",
        "gcc-14-x86-64-linux-gnu",
        "gcc-x86-64-linux-gnu",
        "libc6-dev",
        "libcrypt-dev",
        "libgcc-14-dev",
        "linux-libc-dev",
    ]
    assert found["libc6-dev"] == "2.41-12+deb13u4"


def test_a_cross_compile_has_the_targets_packages_and_none_of_the_hosts() -> None:
    found = dict(list_relevant_packages(TOOLCHAIN, ARCHES["amd64"], ARCHES["arm64"], distro_tls=True))
    assert sorted(found) == [
        "binutils-aarch64-linux-gnu",
        "cpp-14-aarch64-linux-gnu",
        "gcc-14-aarch64-linux-gnu",
        "gcc-aarch64-linux-gnu",
        "libc6-dev-arm64-cross",
        "libcrypt-dev:arm64",
        "libgcc-14-dev-arm64-cross",
        "libssl-dev:arm64",
        "linux-libc-dev-arm64-cross",
    ]


@pytest.mark.parametrize("target", ["amd64", "arm64"])
def test_the_development_package_counts_for_the_distros_library_alone(target: str) -> None:
    host = ARCHES["amd64"]
    with_it = {name for name, _ in list_relevant_packages(TOOLCHAIN, host, ARCHES[target], distro_tls=True)}
    without = {name for name, _ in list_relevant_packages(TOOLCHAIN, host, ARCHES[target], distro_tls=False)}
    assert {name.partition(":")[0] for name in with_it - without} == {"libssl-dev"}


# Estimates.


def test_an_estimate_prefers_this_machines_own_figures_and_leaves_out_what_is_there() -> None:
    made = plan(cells(arches=["amd64"], tls=["openssl-3.5.7"]))
    known: dict[tuple[str, str], Any] = {("tls", "openssl-3.5.7--amd64"): 77.5}
    there = [key for key in made.actions if key.startswith("image:")]
    seconds = estimate(made, there, lambda kind, name: known.get((kind, name)))
    assert seconds == {
        "source:openssl-3.5.7": 5.0,
        "tls:openssl-3.5.7--amd64": 77.5,
        "source:haproxy-3.0.11": 5.0,
        "haproxy:haproxy-3.0.11--openssl-3.5.7--amd64": 60.0,
        "selftest:selftest--openssl-3.5.7--amd64": 5.0,
        "probe:haproxy-3.0.11--openssl-3.5.7--amd64": 4.0,
    }
