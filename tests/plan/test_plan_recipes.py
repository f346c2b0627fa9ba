"""A library without a recipe is said, not met as a traceback."""

import pytest
from fakes import cell

from orchestrator.arch import ARCHES
from orchestrator.errors import UsageError
from orchestrator.matrix.capability_table import FAMILIES
from orchestrator.matrix.catalog import Catalog, Source
from orchestrator.plan.action import BuildAction
from orchestrator.plan.planner import Planner
from orchestrator.plan.render import Renderer


class _NoLibressl(Renderer):
    """Templates as they are where nobody wrote that recipe yet."""

    def has(self, name: str) -> bool:
        return name != "build/libressl.sh.j2" and super().has(name)


def test_every_family_has_a_recipe() -> None:
    missing = [f"templates/build/{one}.sh.j2" for one in FAMILIES if not Renderer().has(f"build/{one}.sh.j2")]
    assert not missing, f"write {', '.join(missing)}"


def test_a_library_without_a_recipe_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"no template build/nossl\.sh\.j2") as caught:
        Renderer().read_source("build/nossl.sh.j2")
    assert "recipe" in caught.value.resolution


def test_a_library_without_a_recipe_blocks_its_own_cells_alone() -> None:
    sources = {
        key: Source(component=key[0], version=key[1], file="x.tar.gz", sha256="0" * 64, strip=1, origins=())
        for key in (("haproxy", "3.0.11"), ("libressl", "4.0.0"))
    }
    planner = Planner(
        host=ARCHES["amd64"],
        catalog=Catalog(sources=sources),
        renderer=_NoLibressl(),
        packages={"amd64": {"gcc-14-x86-64-linux-gnu": "1"}},
    )
    made = planner.plan([cell(tls="libressl-4.0.0"), cell(tls="openssl-distro")])
    lost = made.actions["tls:libressl-4.0.0--amd64"]
    assert isinstance(lost, BuildAction)
    assert "no recipe for libressl" in lost.problem
    assert lost.recipe is None
    assert lost.key in made.actions["haproxy:haproxy-3.0.11--libressl-4.0.0--amd64"].needs
    assert made.actions["haproxy:haproxy-3.0.11--openssl-distro--amd64"].digest
