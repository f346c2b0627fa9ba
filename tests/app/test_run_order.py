"""What is written of a run does not depend on who was done first."""

import random
import time
from collections.abc import Callable
from pathlib import Path

from whole_run import CELLS, Bench

from orchestrator.plan.action import Action
from orchestrator.record import journal
from orchestrator.record.model import RunRecord, SelfTest


def dawdling(bench: Bench, seed: int, ended: list[str]) -> Callable[[Action], None]:
    """Every action takes another time, and writes down what it is made of when it ends."""
    dice = random.Random(seed)
    pauses = {kind: dice.random() / 20 for kind in ("image", "source", "tls", "haproxy", "selftest", "probe")}

    def plant(action: Action) -> None:
        time.sleep(pauses[action.kind] + dice.random() / 50)
        ended.append(action.key)
        bench.recorder.add_component("package", f"of {action.key}", "1", None, "here", used_by=[action.key])
        if action.kind == "selftest":
            test = SelfTest(
                tls=action.name, arch="amd64", execution="", library="", problem="", checks=(), evidence=()
            )
            bench.recorder.emit(journal.SelfTested(selftest=test))

    return plant


def timeless(record: RunRecord) -> str:
    """The record without the times in it."""
    cells = [
        one.model_copy(
            update={
                "duration_s": 0,
                "attempts": [
                    attempt.model_copy(update={"started_at": "", "duration_s": 0, "load": None})
                    for attempt in one.attempts
                ],
            }
        )
        for one in record.cells
    ]
    actions = [one.model_copy(update={"duration_s": None, "spans": ()}) for one in record.actions]
    kept = record.model_copy(update={"run": None, "cells": cells, "actions": actions})
    return kept.model_dump_json(indent=1, warnings=False)


def ran(folder: Path, seed: int) -> tuple[str, list[str]]:
    bench, ended = Bench(folder), list[str]()
    bench.plant = dawdling(bench, seed, ended)
    return timeless(bench.go()), ended


def test_run_json_is_the_same_whatever_ended_first(tmp_path: Path) -> None:
    records, orders = zip(*(ran(tmp_path / str(seed), seed) for seed in range(4)), strict=True)
    assert len({tuple(order) for order in orders}) > 1, "nothing was shuffled"
    assert len(set(records)) == 1


def test_cells_stand_in_the_order_of_the_plan(tmp_path: Path) -> None:
    record = Bench(tmp_path).go()
    assert [cell.id for cell in record.cells] == [cell.id for cell in CELLS]
