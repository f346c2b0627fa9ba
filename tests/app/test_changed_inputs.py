"""What a run began with, held against what there is now: every difference is named."""

from pathlib import Path

import pytest
from record_samples import cell, record

from orchestrator.app.resume import find_inputs, refuse_changes
from orchestrator.errors import UsageError
from orchestrator.matrix.catalog import Source
from orchestrator.matrix.model import Patch
from orchestrator.outcome import Outcome
from orchestrator.plan.action import SourceAction
from orchestrator.plan.plan import Plan
from orchestrator.record.interrupted_run import PastRun
from orchestrator.record.journal import RunStarted
from orchestrator.record.model import CellRecord, Expected, RunRecord
from orchestrator.record.settings import Inputs

INPUTS = Inputs(
    version="1.0", files={"templates/a": "1", "templates/b": "2"}, sources={"haproxy 3.0.11": "3"}
)
PLANNED = record(cell("a"), cell("b"))


def refused(
    *, planned: RunRecord = PLANNED, now: Inputs | None = INPUTS, began: Inputs | None = INPUTS
) -> str:
    """What the refusal says of the differences; empty where the run goes on."""
    start = RunStarted(record=PLANNED, inputs=began)
    past = PastRun(folder=Path("x"), start=start, events=(start,), record=PLANNED)
    try:
        refuse_changes(past, planned, now or INPUTS, lost=tuple)
    except UsageError as error:
        return error.details
    return ""


def changed(**update: object) -> str:
    return refused(now=INPUTS.model_copy(update=update))


def planned(*cells: CellRecord) -> str:
    return refused(planned=PLANNED.model_copy(update={"cells": cells}))


def test_what_is_as_it_was_goes_on() -> None:
    assert refused() == ""


def test_another_version_is_named() -> None:
    assert changed(version="1.1") == "matrixctl is version 1.1, and was 1.0"


def test_a_template_that_changed_came_or_went_is_named() -> None:
    assert changed(files={"templates/b": "x", "templates/c": "4"}).splitlines() == [
        "file of matrixctl templates/a: its SHA-256 is none, it is gone, and was 1",
        "file of matrixctl templates/b: its SHA-256 is x, and was 2",
        "file of matrixctl templates/c: its SHA-256 is 4, and was none, it is new",
    ]


def test_many_changed_files_are_counted() -> None:
    said = changed(files={f"templates/{number}": "x" for number in range(9)}).splitlines()
    assert len(said) == 6
    assert said[-1] == "and 6 more like this"


def test_an_entry_of_the_sources_is_named() -> None:
    assert changed(sources={"haproxy 3.0.11": "9"}) == (
        "entry of the sources haproxy 3.0.11: its SHA-256 is 9, and was 3"
    )


def test_a_matrix_of_other_bytes_is_named_with_both_digests() -> None:
    run = PLANNED.run.model_copy(update={"matrix_digest": "f" * 64})
    said = refused(planned=PLANNED.model_copy(update={"run": run}))
    assert said == f"matrix: its SHA-256 is {'f' * 64}, and was {'0' * 64}"


def test_cells_that_came_or_went_are_named() -> None:
    assert planned(cell("a"), cell("c")).splitlines() == [
        "cell b: no longer selected",
        "cell c: was not selected",
    ]


def test_a_patch_of_other_bytes_is_named_with_its_cell() -> None:
    first = cell("a")
    patch = Patch(name="fix.diff", sha256="5" * 64, path="fix.diff")
    tls = first.axes.tls.model_copy(update={"patches": (patch,)})
    said = planned(first.model_copy(update={"axes": first.axes.model_copy(update={"tls": tls})}), cell("b"))
    assert said.startswith("cell a: tls.patches is [")
    assert "fix.diff" in said
    assert "5" * 64 in said
    assert said.endswith("and was []")


def test_another_machine_and_another_expectation_are_named() -> None:
    first = cell("a")
    elsewhere = first.execution.model_copy(update={"host_arch": "arm64"})
    expects = Expected(outcome=Outcome.FAIL, reason=None, cipher=None, because="x", rule="m:1", stale="")
    moved = first.model_copy(update={"execution": elsewhere, "expected": expects})
    assert planned(moved, cell("b")).splitlines() == [
        "cell a: the machine that probes it is arm64, and was amd64",
        "cell a: something else is expected of it",
    ]


def test_a_run_of_an_older_matrixctl_is_not_guessed_at() -> None:
    assert refused(began=None) == "it was begun by a matrixctl that could not resume yet"


def test_a_source_that_moved_on_is_asked_for_last() -> None:
    start = RunStarted(record=PLANNED, inputs=INPUTS)
    past = PastRun(folder=Path("x"), start=start, events=(start,), record=PLANNED)
    with pytest.raises(UsageError) as refusal:
        refuse_changes(past, PLANNED, INPUTS, lost=lambda: ["source git: x main -> 1 is no longer there"])
    assert refusal.value.details == "source git: x main -> 1 is no longer there"


def test_inputs_hold_modules_templates_recipes_and_sources(tmp_path: Path) -> None:
    source = Source(component="haproxy", version="3.0.11", file="x", sha256=None, strip=1, origins=())
    action = SourceAction(key="source:haproxy-3.0.11", name="haproxy-3.0.11", source=source)
    plan = Plan(actions={action.key: action}, cells={})
    plain = find_inputs(plan, None)
    assert list(plain.sources) == ["haproxy 3.0.11"]
    folders = {name.split("/")[0] for name in plain.files}
    assert folders == {"orchestrator", "templates", "images"}
    assert "orchestrator/app/resume.py" in plain.files
    assert not [name for name in plain.files if "__pycache__" in name]
    (tmp_path / "haproxy.cfg").write_text("planted")
    over = find_inputs(plan, tmp_path)
    assert over.files.keys() - plain.files.keys() == {"overlay/haproxy.cfg"}
    other = source.model_copy(update={"strip": 2})
    moved = Plan(actions={action.key: action.model_copy(update={"source": other})}, cells={})
    assert find_inputs(moved, None).sources != plain.sources
