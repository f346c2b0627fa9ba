"""Inputs of a digest that others usually move along with them: each alone moves it, too."""

import pytest
from plan_samples import CATALOG, cells, digests, planner

from orchestrator.matrix.catalog import Catalog
from orchestrator.plan import planner as module

LIBRARY, HAPROXY = "tls:openssl-3.5.7--arm64", "haproxy:haproxy-3.0.11--openssl-3.5.7--arm64"
DISTRO = "haproxy:haproxy-3.0.11--openssl-distro--arm64"
COMPILER = {"gcc-14-aarch64-linux-gnu": "14.2.0-19"}
"""By this name it counts both as a cross compiler and as arm64's own."""


def digests_of(**means: object) -> dict[str, str | None]:
    return digests(planner(**means).plan(cells(arches=["arm64"])))  # type: ignore[arg-type]


def moved(before: dict[str, str | None], after: dict[str, str | None]) -> set[str]:
    assert None not in {*before.values(), *after.values()}
    return {key for key in before if before[key] != after[key]}


@pytest.mark.parametrize(
    ("component", "version", "what"),
    [("openssl", "3.5.7", {LIBRARY, HAPROXY}), ("haproxy", "3.0.11", {HAPROXY, DISTRO})],
)
def test_the_name_of_a_source_s_file_with_the_same_bytes(
    component: str, version: str, what: set[str]
) -> None:
    """It is the name under which the recipe unpacks it, and its ending says how."""
    key = (component, version)
    other = CATALOG.sources[key].model_copy(update={"file": f"{component}.tar.xz"})
    assert moved(digests_of(), digests_of(catalog=Catalog(sources={**CATALOG.sources, key: other}))) == what


def test_the_prefix_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is compiled into the library, and looked for in what was linked with it."""
    before = digests_of()
    monkeypatch.setattr(module, "PREFIX", "/elsewhere")
    assert {LIBRARY, HAPROXY} <= moved(before, digests_of())


def test_the_architecture_of_the_compiler_with_the_same_packages() -> None:
    cross, emulated = (digests_of(packages=COMPILER, emulated=emulated) for emulated in (False, True))
    assert moved(cross, emulated) == {LIBRARY, HAPROXY, DISTRO}


def test_the_architecture_of_the_self_test_s_compiler_with_the_same_packages() -> None:
    def tests(*, emulated: bool) -> set[str | None]:
        made = planner(packages=COMPILER, emulated=emulated).plan(cells(arches=["arm64"]))
        return {action.digest for action in made.actions.values() if action.kind == "selftest"}

    cross, emulated = tests(emulated=False), tests(emulated=True)
    assert None not in cross | emulated
    assert not cross & emulated
