"""What crosses from one room to the next can be sent to another process."""

import pickle
from pathlib import Path

import pytest
from plan_samples import CATALOG, cells, plan
from whole_run import PASSED, Bench

from orchestrator.execute.engine.engine import ContainerSpec
from orchestrator.outcome import Outcome, Reason
from orchestrator.plan.plan import Plan
from orchestrator.probe.prober import Circumstances
from orchestrator.record.model import utc_now

TOLD = Circumstances(why="first", started_at=utc_now(), duration_s=1.5, evidence=("cells/a/log",))
SPEC = ContainerSpec(
    name="c", run_id="r", image="i", platform="p", argv=(), network="none", volume="v", memory_bytes=1, cpus=1
)


def sent(value: object) -> object:
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("kind", ["image", "source", "tls", "haproxy", "selftest", "probe"])
def test_actions_survive(kind: str) -> None:
    actions = [action for action in plan().actions.values() if action.kind == kind]
    assert actions
    assert sent(actions) == actions


@pytest.mark.parametrize(
    "value", [cells(), CATALOG, PASSED, TOLD, SPEC], ids=lambda value: type(value).__name__
)
def test_cells_catalogue_and_results_survive(value: object) -> None:
    assert sent(value) == value


def test_a_plan_survives() -> None:
    made = plan()
    assert isinstance(again := sent(made), Plan)
    assert (dict(again.actions), dict(again.cells)) == (dict(made.actions), dict(made.cells))


def test_a_run_s_record_and_events_survive(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    record = bench.go()
    assert sent(record) == record
    assert sent(bench.heard) == bench.heard


def test_a_pickled_outcome_is_the_same_one() -> None:
    assert sent((Outcome.PASS, Reason.INTERNAL)) == (Outcome.PASS, Reason.INTERNAL)
