"""Which leftovers go by themselves, with an engine in memory; the real one: containers/test_leftovers.py."""

import pytest
from fakes import FakeEngine, dead_labels

from orchestrator.app.leftovers import sweep_dead
from orchestrator.errors import EngineError
from orchestrator.execute.engine import owner

RUN = "matrixctl-20260102-030405-dead"


@pytest.fixture(scope="module")
def dead() -> dict[str, str]:
    return dead_labels("20260102-030405-dead")


@pytest.fixture
def engine(dead: dict[str, str]) -> FakeEngine:
    made = FakeEngine()
    made.of_others = {
        ("container", f"{RUN}-server"): dead,
        ("container", f"{RUN}-kept"): {**dead, owner.KEPT: "true"},
        ("container", f"{RUN}-stranger"): {},
        ("container", f"{RUN}-copied"): {"matrixctl-like": "x", owner.OWNER: dead[owner.OWNER]},
        ("container", "matrixctl-living"): owner.make_labels("20260102-030405-live"),
        ("container", "matrixctl-elsewhere"): {**dead, owner.OWNER: "another-boot.1.2.3"},
        ("container", "matrixctl-nobodys"): {owner.LABEL: "20260102-030405-dead"},
        ("volume", f"{RUN}-work"): dead,
        ("volume", "matrixctl-living"): owner.make_labels("x"),
    }
    return made


def names(engine: FakeEngine, resumed: str = "") -> list[str]:
    return [one.name for one in sweep_dead(engine, resumed=resumed)]


def test_only_what_a_dead_process_left_goes_and_is_named(engine: FakeEngine) -> None:
    before = set(engine.of_others)
    assert names(engine) == [f"{RUN}-server", f"{RUN}-work"], "containers before what they use"
    assert before - set(engine.of_others) == {("container", f"{RUN}-server"), ("volume", f"{RUN}-work")}
    assert names(engine) == []


def test_what_another_sweeper_removes_at_this_moment_is_not_named(engine: FakeEngine) -> None:
    sweeping = sweep_dead(engine)
    next(sweeping)
    del engine.of_others["volume", f"{RUN}-work"]
    assert list(sweeping) == []


def test_an_engine_that_refuses_ends_it(engine: FakeEngine) -> None:
    engine.refuses = (f"remove_leftover:{RUN}-work",)
    sweeping = sweep_dead(engine)
    assert next(sweeping).name == f"{RUN}-server"
    with pytest.raises(EngineError, match="refuses"):
        next(sweeping)


def test_a_run_that_goes_on_takes_what_an_earlier_boot_of_it_left(engine: FakeEngine) -> None:
    kept = {("container", f"{RUN}-kept"), ("container", "matrixctl-living"), ("volume", "matrixctl-living")}
    assert set(names(engine, resumed="20260102-030405-dead")) == {
        *(f"{RUN}-server", f"{RUN}-work"),
        *("matrixctl-elsewhere", "matrixctl-nobodys"),
    }
    assert kept <= set(engine.of_others), "what was kept on purpose stays, too"
