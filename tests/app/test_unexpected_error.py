"""A fault of our own, planted wherever a run can have one: it is kept, it is said, and the run goes on."""

from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
from fakes import FakeEngine, action
from whole_run import CELLS, PASSED, Bench, UnforeseenError, summed

from orchestrator import unexpected_error
from orchestrator.app import output
from orchestrator.app.actions import build
from orchestrator.app.selftests import SelfTests
from orchestrator.cli.group import find_exit
from orchestrator.errors import EngineError, Exit, MatrixctlError
from orchestrator.execute.store.store import Store
from orchestrator.matrix.model import Cell
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.plan.action import Action
from orchestrator.probe.judge import Judgement
from orchestrator.record import recorder
from orchestrator.record.journal import Event
from orchestrator.record.model import CellRecord, RunRecord


class Broken(FakeEngine):
    """Raises its error where it is asked what is in an image: between two actions of these runs."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def copy_file(self, *_: object) -> None:
        raise self.error


def raise_bug(*_: Any) -> Any:
    raise UnforeseenError("planted")


def said_of_faults(bench: Bench) -> list[str]:
    return [line for line in bench.said if not line.startswith("making the image matrixctl/")]


def assert_all_passed(record: RunRecord) -> None:
    assert summed(record) == [(Outcome.PASS, None)]
    assert (record.run.status, record.run.judged) == ("finished", len(CELLS))


def test_without_a_plant_everything_passes(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    record = bench.go()
    assert len(CELLS) > 1
    assert_all_passed(record)
    assert record.run.exit_code == 0
    assert bench.tracebacks == []
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        *("index.html", "journal.jsonl", "junit.xml", "run.json")
    }


@pytest.mark.fault(
    "a fault of our own in the live view",
    "said once, the traceback in the run's folder; every cell is judged",
)
def test_a_view_that_breaks_costs_only_the_view_and_is_said_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, listen=raise_bug)
    assert_all_passed(bench.go())
    assert len(bench.tracebacks) == 1
    assert "UnforeseenError: planted" in bench.tracebacks[0]
    (said,) = said_of_faults(bench)
    assert "planted" in said
    assert "please report it" in said


def test_a_reader_that_leaves_ends_nothing_and_is_no_fault(tmp_path: Path) -> None:
    def leave(_: Event) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    bench = Bench(tmp_path, listen=leave)
    assert_all_passed(bench.go())
    assert bench.tracebacks == []
    assert said_of_faults(bench) == ["progress can no longer be shown: Broken pipe; the run goes on"]


def test_a_run_that_cannot_say_anything_goes_on(tmp_path: Path) -> None:
    assert_all_passed(Bench(tmp_path, listen=raise_bug, say=raise_bug).go())


class Strange:
    """In place of a judgement."""

    def __getattr__(self, name: str) -> Any:
        raise UnforeseenError(f"planted in {name}")


@pytest.mark.fault(
    "a fault of our own in judging one cell",
    "that cell is `error: internal` with its traceback, its neighbours pass",
)
def test_a_judgement_that_breaks_spoils_its_own_cell_alone(tmp_path: Path) -> None:
    bad = CELLS[0]
    bench = Bench(tmp_path, judged_as=lambda cell: cast("Judgement", Strange()) if cell is bad else PASSED)
    record = bench.go()
    by_id = {cell.id: cell for cell in record.cells}
    damaged = by_id.pop(bad.id)
    assert (damaged.outcome, damaged.reason, damaged.verdict) == (
        Outcome.ERROR,
        Reason.INTERNAL,
        Verdict.NOT_JUDGED,
    )
    assert "please report it" in damaged.message
    assert [(one.why, one.outcome, one.message) for one in damaged.attempts] == [
        ("first", Outcome.ERROR, damaged.message)
    ]
    assert {cell.outcome for cell in by_id.values()} == {Outcome.PASS}
    assert record.run.exit_code == Exit.HARNESS
    assert "planted in" in bench.tracebacks[0]


def test_a_repeat_that_cannot_be_judged_hides_no_regression(tmp_path: Path) -> None:
    failed = Judgement(outcome=Outcome.FAIL, reason=Reason.SERVER_CRASHED, message="it crashed")
    seen: list[str] = []

    def judged_as(cell: Cell) -> Judgement:
        seen.append(cell.id)
        return failed if seen.count(cell.id) == 1 else cast("Judgement", Strange())

    record = Bench(tmp_path, repeat=2, judged_as=judged_as).go()
    assert summed(record) == [(Outcome.FAIL, Reason.SERVER_CRASHED)]
    assert {cell.verdict for cell in record.cells} == {Verdict.REGRESSION}
    assert {tuple((one.why, one.outcome) for one in cell.attempts) for cell in record.cells} == {
        (("first", Outcome.FAIL), ("repeat 2", Outcome.ERROR))
    }
    assert record.run.exit_code == Exit.FAILED


def test_an_action_that_breaks_blocks_its_cells_with_the_traceback_s_name(tmp_path: Path) -> None:
    def plant(action: Action) -> None:
        if action.kind == "haproxy":
            raise UnforeseenError("planted")

    bench = Bench(tmp_path, plant=plant)
    record = bench.go()
    assert summed(record) == [(Outcome.ERROR, Reason.INTERNAL)]
    assert all("haproxy" in cell.message and "planted" in cell.message for cell in record.cells)
    assert bench.tracebacks
    assert record.run.exit_code == Exit.HARNESS


@pytest.fixture
def broken_selftests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything raises that is made of a self-test."""
    monkeypatch.setattr(SelfTests, "_record", raise_bug)
    monkeypatch.setattr(SelfTests, "_find_cause", raise_bug)


@pytest.mark.usefixtures("broken_selftests")
def test_self_tests_that_break_cost_no_cell_its_verdict(tmp_path: Path) -> None:
    def plant(action: Action) -> None:
        if action.kind == "selftest":
            raise MatrixctlError("it does not compile")

    bench = Bench(tmp_path, plant=plant)
    assert_all_passed(bench.go())
    assert bench.tracebacks


@pytest.mark.usefixtures("broken_selftests")
def test_what_is_told_of_a_blocked_action_may_break(tmp_path: Path) -> None:
    """The self-test is blocked by its library; to write that down fails."""

    def plant(action: Action) -> None:
        if action.kind == "image":
            raise EngineError("no image")

    bench = Bench(tmp_path, plant=plant)
    record = bench.go()
    assert summed(record) == [(Outcome.ERROR, Reason.ENGINE_UNAVAILABLE)]
    assert record.run.exit_code == Exit.HARNESS


@pytest.mark.fault(
    "a fault of our own between two actions",
    "every cell left is `error: internal`, exit code 4; `--resume` tries them again",
)
def test_a_fault_between_two_actions_leaves_no_cell_without_a_word(tmp_path: Path) -> None:
    bench = Bench(tmp_path, engine=Broken(UnforeseenError("planted")))
    record = bench.go()
    assert summed(record) == [(Outcome.ERROR, Reason.INTERNAL)]
    assert all("planted" in cell.message and "please report it" in cell.message for cell in record.cells)
    assert (record.run.status, record.run.exit_code) == ("finished", Exit.HARNESS)
    assert len(bench.tracebacks) == 1
    assert not any(
        event.final for event in map(bench.recorder.find_judgement, (c.id for c in CELLS)) if event
    )


def test_a_foreseen_error_between_two_actions_needs_no_traceback(tmp_path: Path) -> None:
    bench = Bench(tmp_path, engine=Broken(EngineError("the engine is gone")))
    record = bench.go()
    assert summed(record) == [(Outcome.ERROR, Reason.ENGINE_UNAVAILABLE)]
    assert bench.tracebacks == []
    assert "the engine is gone" in record.run.message


def test_a_cell_that_nothing_judges_is_an_error_by_name(tmp_path: Path) -> None:
    record = Bench(tmp_path, forgets=True).go()
    assert summed(record) == [(Outcome.ERROR, Reason.INTERNAL)]
    assert all("Nothing judged it" in cell.message for cell in record.cells)


@pytest.mark.fault(
    "a fault of our own at the end of a run",
    "the journal gets its end, exit code 4",
)
def test_the_end_of_a_run_may_break_and_is_still_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = count(1)

    def explain(_: SelfTests, record: CellRecord) -> CellRecord:
        if next(calls) > len(CELLS):
            raise UnforeseenError("planted")
        return record

    monkeypatch.setattr(SelfTests, "explain", explain)
    bench = Bench(tmp_path)
    record = bench.go()
    assert summed(record) == [(Outcome.PASS, None)]
    assert (record.run.status, record.run.exit_code) == ("finished", Exit.HARNESS)
    assert "planted" in record.run.message
    assert len(bench.tracebacks) == 1


@pytest.mark.fault(
    "a report that cannot be rendered",
    "the other files are there, the error names the one",
)
def test_one_report_that_breaks_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(output.REPORTS, "junit.xml", raise_bug)
    bench = Bench(tmp_path)
    with pytest.raises(MatrixctlError, match=r"junit\.xml") as caught:
        bench.go()
    assert "please report it" in caught.value.details
    assert (tmp_path / "run" / "index.html").read_text().startswith("<!")
    record = RunRecord.model_validate_json((tmp_path / "run" / "run.json").read_bytes())
    assert_all_passed(record)
    assert len(bench.tracebacks) == 1


def test_a_record_that_cannot_be_made_is_a_fault_for_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "mark_cut_off", raise_bug)
    with pytest.raises(UnforeseenError) as caught:
        Bench(tmp_path).go()
    assert find_exit(caught.value) is Exit.HARNESS
    assert '"kind":"run-finished"' in (tmp_path / "run" / "journal.jsonl").read_text()


def test_a_sweeper_that_breaks_is_said_and_costs_nothing(tmp_path: Path) -> None:
    class Broken(FakeEngine):
        def sweep(self, *_: Any) -> tuple[str, ...]:
            raise UnforeseenError("planted")

    bench = Bench(tmp_path, engine=Broken())
    assert_all_passed(bench.go())
    assert any("planted" in said for said in bench.said)


def test_run_json_that_cannot_be_written_costs_no_report(tmp_path: Path) -> None:
    def in_the_way(event: Event) -> None:
        if event.kind == "run-finished":
            (tmp_path / "run" / "run.json").unlink()
            (tmp_path / "run" / "run.json").mkdir()

    with pytest.raises(MatrixctlError, match="cannot be written"):
        Bench(tmp_path, listen=in_the_way).go()
    assert (tmp_path / "run" / "junit.xml").exists()
    assert (tmp_path / "run" / "index.html").exists()


def test_a_traceback_that_cannot_be_kept_is_said_to_be_lost(tmp_path: Path) -> None:
    class Mute(Exception):  # noqa: N818 - its name is shown
        def __repr__(self) -> str:
            raise ValueError("no words")

    line = unexpected_error.keep_traceback(tmp_path / "no such folder", Mute())
    assert line.startswith("Mute; its traceback could not be kept (FileNotFoundError")
    assert line.endswith("please report it")


def test_a_library_that_was_lost_is_never_left_out_of_a_build(tmp_path: Path) -> None:
    """The compiler would find the toolchain's own, and what came of it would be kept under our digest."""
    lost = action("tls:x", kind="tls", name="openssl-3.5.7--amd64", digest="0" * 64)
    with pytest.raises(MatrixctlError, match=r"artifact of openssl-3\.5\.7--amd64 is gone from the store"):
        build.find_library(Store(tmp_path), lost)
