"""Packages that values name: who gets them, in which image, and whose digest they move."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from fakes import cell
from plan_samples import TOOLCHAIN, digests, planner

from orchestrator.arch import ARCHES
from orchestrator.execute.images import dockerfiles
from orchestrator.matrix import capabilities, packages
from orchestrator.matrix.model import Cell
from orchestrator.plan.action import BuildAction, ImageAction, ProbeAction
from orchestrator.plan.plan import Plan

LUA: Mapping[str, Any] = {"build_packages": ("liblua5.4-dev", "clang"), "runtime_packages": ("lua-cjson",)}
AMD, ARM = ARCHES["amd64"], ARCHES["arm64"]


def with_value(axis: str, arch: str = "amd64", **changes: Any) -> Cell:
    one = cell(arch=arch)
    value = one.axes[axis].model_copy(update=changes)
    return Cell(id="x", **{**one.axes, axis: value})  # type: ignore[arg-type]


def images(made: Plan) -> dict[str, ImageAction]:
    return {key: one for key, one in made.actions.items() if isinstance(one, ImageAction)}


def toolchains(made: Plan) -> dict[str, str]:
    builds = (one for one in made.actions.values() if isinstance(one, BuildAction))
    return {one.kind: one.toolchain for one in builds}


def test_without_them_there_is_no_other_image() -> None:
    assert all(not one.extra for one in images(planner().plan([cell()])).values())


def test_those_of_haproxy_are_in_its_toolchain_and_the_librarys_has_none() -> None:
    made = planner().plan([with_value("haproxy", **LUA)])
    used = toolchains(made)
    assert used["tls"] == used["selftest"] == "image:toolchain-amd64"
    assert used["haproxy"] == "image:toolchain-amd64 with clang, liblua5.4-dev"
    variant = images(made)[used["haproxy"]]
    assert (variant.image, variant.extra) == ("toolchain", ("clang", "liblua5.4-dev"))
    assert variant.needs == ("image:toolchain-amd64",)


def test_those_of_a_library_are_in_the_toolchain_of_whatever_is_linked_with_it() -> None:
    used = toolchains(planner().plan([with_value("tls", build_packages=("zlib1g-dev",))]))
    assert set(used.values()) == {"image:toolchain-amd64 with zlib1g-dev"}


@pytest.mark.parametrize(("arch", "image"), [("amd64", "runtime"), ("arm64", "emulated-runtime")])
def test_the_server_has_what_it_is_named_and_what_its_libraries_depend_on(arch: str, image: str) -> None:
    made = planner().plan([with_value("haproxy", arch, **LUA)])
    (probe,) = (one for one in made.actions.values() if isinstance(one, ProbeAction))
    runtime = f"image:{image}-{arch} with liblua5.4-dev, lua-cjson"
    assert runtime in probe.needs
    assert images(made)[runtime].extra == ("liblua5.4-dev", "lua-cjson")


def test_a_prebuilt_haproxy_is_not_compiled_and_may_need_packages_all_the_same() -> None:
    one = with_value("haproxy", source="prebuilt", where="/x", runtime_packages=("liblua5.3-0",))
    assert packages.list_build_packages(one.haproxy, one.tls) == ()
    assert packages.list_runtime_packages(one.haproxy, one.tls) == ("liblua5.3-0",)


def planned(one: Cell, *, more: Mapping[str, str]) -> dict[str, str | None]:
    """Digests where the toolchains with further packages have ``more`` than the plain ones."""
    first = planner().plan([one])
    variants = {key: {**TOOLCHAIN, **more} for key, image in images(first).items() if image.extra}
    return digests(replace(planner(), variants=variants).plan([one]))


def test_what_they_bring_is_in_the_digest_of_what_uses_them_and_in_no_other() -> None:
    plain = digests(planner().plan([cell()]))
    named = with_value("haproxy", build_packages=("liblua5.4-dev",))
    library, haproxy = "tls:openssl-3.5.7--amd64", "haproxy:haproxy-3.0.11--openssl-3.5.7--amd64"
    one, other = planned(named, more={"liblua5.4-0": "1"}), planned(named, more={"liblua5.4-0": "2"})
    assert one[library] == other[library] == plain[library]
    assert len({plain[haproxy], one[haproxy], other[haproxy]}) == 3
    assert planned(named, more={})[haproxy] == plain[haproxy]


def test_without_the_versions_of_the_variant_there_is_no_digest() -> None:
    made = digests(planner().plan([with_value("haproxy", build_packages=("liblua5.4-dev",))]))
    assert made["haproxy:haproxy-3.0.11--openssl-3.5.7--amd64"] is None
    assert made["tls:openssl-3.5.7--amd64"] is not None


def test_a_runtime_package_moves_no_digest() -> None:
    named = with_value("haproxy", runtime_packages=("lua-cjson",))
    assert digests(planner().plan([named])) == digests(planner().plan([cell()]))


def test_a_cross_toolchain_has_libraries_of_the_target_and_programs_of_the_host() -> None:
    text = dockerfiles.render_cross(ARM, "host", ("clang", "liblua5.4-dev"))
    installed, extracted = text.split("RUN matrixctl-extract")
    assert "      clang \\\n" in installed
    assert "liblua5.4-dev" not in installed
    assert "trixie arm64 /target libcrypt-dev libssl-dev liblua5.4-dev" in extracted
    assert text.startswith("FROM host\n")


def test_clang_is_told_the_architecture_that_it_crosses_to() -> None:
    """One value has one ``make_flags`` for all architectures, and clang compiles for its own unless told."""
    told = 'ENV CCC_OVERRIDE_OPTIONS="#^--target=aarch64-linux-gnu"\n'
    assert told in dockerfiles.render_cross(ARM, "host", ("clang",))
    assert told in dockerfiles.render_cross(ARM, "host", ("clang-19", "liblua5.4-dev"))
    plain = dockerfiles.render_cross(ARM, "host", ("liblua5.4-dev",))
    assert "CCC_OVERRIDE" not in plain


def test_a_runtime_has_them_where_its_loader_looks() -> None:
    native = dockerfiles.render_root_script("runtime", AMD, AMD, ("liblua5.4-dev",))
    emulated = dockerfiles.render_root_script("emulated-runtime", AMD, ARM, ("liblua5.4-dev",))
    assert "  liblua5.4-dev\n" in native
    assert "liblua5.4-dev" in emulated.split("matrixctl-extract trixie arm64")[1]
    assert dockerfiles.render_root_script("runtime", AMD, AMD, ()) == dockerfiles.render_root_script(
        "runtime", AMD, AMD
    )


def test_the_files_by_hand_have_a_name_of_their_own_for_each_set_of_packages() -> None:
    one = dockerfiles.render_variant_files("toolchain", AMD, AMD, ("clang",))
    other = dockerfiles.render_variant_files("toolchain", AMD, AMD, ("gdb",))
    root = dockerfiles.render_variant_files("emulated-runtime", AMD, ARM, ("gdb",))
    assert len({*one, *other, *root}) == 4
    assert all(name.startswith("emulated-runtime-arm64-") for name in root)
    assert "clang" in next(iter(one.values()))


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        (("ARCH_FLAGS=-g -fsanitize=address",), ("address",)),
        (("ARCH_FLAGS=-fsanitize=undefined,address -g", "DEBUG=-DX"), ("address", "undefined")),
        (("DEBUG=-fsanitize-recover=all",), ()),
        ((), ()),
    ],
)
def test_sanitizers_are_known_by_the_flags_and_bring_their_runtime_library(
    flags: tuple[str, ...], found: tuple[str, ...]
) -> None:
    one = with_value("haproxy", make_flags=flags)
    assert capabilities.list_sanitizers(one.haproxy, one.tls) == set(found)
    brought = {packages.SANITIZERS[name] for name in found}
    assert set(packages.list_runtime_packages(one.haproxy, one.tls)) == brought
