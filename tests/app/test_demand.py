"""What actions ask for is what their containers are allowed, so that the sum holds on the engine's host."""

import pytest
from fakes import cell

from orchestrator.app.demand import BUILD_MEMORY, find_budget, find_build_demand, find_demand
from orchestrator.arch import ARCHES
from orchestrator.execute.schedule.slots import Demand, Slots
from orchestrator.matrix.catalog import Catalog
from orchestrator.matrix.model import Cell, Limits
from orchestrator.plan.planner import Planner
from orchestrator.plan.render import Renderer
from orchestrator.probe.session import Session, count_memory, make_specs

SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256", "default")
CELLS = [cell("arm64", cipher=suite) for suite in SUITES]
PLAN = Planner(host=ARCHES["amd64"], catalog=Catalog(sources={}), renderer=Renderer(), packages={}).plan(
    CELLS
)
GIB = 1 << 30


def demands(kind: str, jobs: int = 4) -> set[Demand]:
    return {find_demand(one, PLAN.cells, jobs) for one in PLAN.actions.values() if one.kind == kind}


def test_a_compile_takes_every_job_and_what_its_container_may() -> None:
    assert demands("tls") == demands("haproxy") == {Demand(cpus=4, memory=BUILD_MEMORY)}


def test_what_is_only_unpacked_takes_one_cpu() -> None:
    assert find_build_demand("haproxy", compiles=False, jobs=4) == find_build_demand(
        "selftest", compiles=True, jobs=4
    )
    assert find_build_demand("haproxy", compiles=False, jobs=4).cpus == 1


def test_a_session_takes_what_its_two_containers_may_in_the_lane_of_its_architecture() -> None:
    session = Session(
        name="s",
        run_id="r",
        server_image="",
        client_image="",
        platform="",
        loader="",
        haproxy=b"",
        selftest=None,
        files={},
        cells=len(CELLS),
        limits=Limits(),
        cpus=1,
        keep=False,
    )
    allowed = sum(spec.memory_bytes for spec in make_specs(session))
    assert demands("probe") == {Demand(cpus=1, memory=allowed, lane="arm64")}


def test_a_session_with_address_sanitizer_takes_more() -> None:
    flags = ("ARCH_FLAGS=-fsanitize=address",)
    haproxy = CELLS[0].haproxy.model_copy(update={"make_flags": flags})
    cells = [Cell(id=one.id, **{**one.axes, "haproxy": haproxy}) for one in CELLS]  # type: ignore[arg-type]
    plan = Planner(host=ARCHES["arm64"], catalog=Catalog(sources={}), renderer=Renderer(), packages={}).plan(
        cells
    )
    (probe,) = (one for one in plan.actions.values() if one.kind == "probe")
    assert (
        find_demand(probe, plan.cells, 4).memory
        == count_memory(len(CELLS), asan=True)
        > count_memory(len(CELLS))
    )


@pytest.mark.parametrize("kind", ["source", "image", "selftest"])
def test_everything_else_takes_one_cpu_and_stands_in_no_lane(kind: str) -> None:
    assert {(one.cpus, one.lane) for one in demands(kind)} == {(1, "")}


def test_two_compiles_never_run_at_once_and_two_images_do() -> None:
    slots = Slots(cpus=4, memory=find_budget(16 * GIB))
    (image,), (compile_,) = demands("image"), demands("haproxy")
    slots.take(image)
    assert slots.has_room(image)
    assert not slots.has_room(compile_)
    slots.give_back(image)
    slots.take(compile_)
    assert not slots.has_room(image)


def test_a_small_machine_gives_all_that_it_has_to_one_alone() -> None:
    slots = Slots(cpus=8, memory=find_budget(2 * GIB))
    assert slots.memory == 2 * GIB * 7 // 8
    (compile_,), (image,) = demands("haproxy", jobs=1), demands("image")
    assert slots.has_room(compile_)
    slots.take(compile_)
    assert not slots.has_room(image)
    assert slots.has_room(Demand())
