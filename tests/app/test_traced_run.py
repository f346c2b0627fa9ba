"""A cell that fails is run once more, with its packets kept: whole runs on an engine in memory."""

from collections.abc import Callable
from pathlib import Path

import pytest
from engine_run import CAUGHT, GCM, EngineRun, Programs, chosen
from fakes import ran

from orchestrator import bounds
from orchestrator.app import traces
from orchestrator.cli.progress import describe
from orchestrator.execute.engine.engine import ExecResult
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.journal import JOURNAL, ActionChanged, CellTraced, read
from orchestrator.record.model import CellRecord, RunRecord, Traced

SUITES = chosen("arch=amd64", "tls=openssl-3.5.7", "cipher=*GCM*,*CHACHA*")
ONE = chosen("arch=amd64", "tls=openssl-3.5.7", f"cipher={GCM}")
CHACHA = "TLS_CHACHA20_POLY1305_SHA256"


def gcm(cell: str, _number: int) -> bool:
    return GCM in cell


def run(tmp_path: Path, fails: Callable[[str, int], bool] = gcm, **choices: object) -> EngineRun:
    cells = SUITES if choices.pop("many", False) else ONE
    return EngineRun(
        tmp_path, cells, programs=Programs(fails=fails), choices={"evidence": "failing", **choices}
    )


def trace_of(record: RunRecord) -> Traced:
    (cell,) = [cell for cell in record.cells if GCM in cell.id]
    assert cell.traced is not None
    return cell.traced


def judged(cell: CellRecord) -> CellRecord:
    """The cell without what differs from run to run, and without its trace."""
    tries = tuple(one.model_copy(update={"started_at": "", "load": None}) for one in cell.attempts)
    return cell.model_copy(update={"attempts": tries, "traced": None})


def test_a_failing_cell_is_traced_and_judged_as_without(tmp_path: Path) -> None:
    plain = run(tmp_path / "a", evidence="none", many=True).go()
    made = run(tmp_path / "b", many=True)
    record = made.go()
    assert [judged(cell) for cell in record.cells] == [judged(cell) for cell in plain.cells]
    assert record.run.exit_code == plain.run.exit_code
    assert [cell.id for cell in record.cells if cell.traced] == [ONE[0].id]
    found = trace_of(record)
    assert (found.outcome, found.reason) == (Outcome.FAIL, Reason.HANDSHAKE_THEN_HANG)
    assert (found.negotiated_cipher, found.missing) == (CHACHA, ("a note",))
    assert made.engine.left == set()


def test_what_was_caught_lies_in_a_folder_of_its_own(tmp_path: Path) -> None:
    record = run(tmp_path).go()
    (cell,) = record.cells
    folder = f"cells/{cell.id}/traced"
    assert {Path(path).parent.as_posix() for path in trace_of(record).evidence} == {folder}
    assert not set(trace_of(record).evidence) & set(cell.evidence)
    for name, content in CAUGHT.items():
        path = f"{folder}/{name.removeprefix('traced/')}"
        assert path in trace_of(record).evidence
        assert (tmp_path / "run" / path).read_bytes() == content
    assert not [path for path in trace_of(record).evidence if "driver" in path]


def test_the_image_that_captures_is_an_ingredient_of_the_run_and_of_no_cell(tmp_path: Path) -> None:
    record = run(tmp_path).go()
    (found,) = [one for one in record.components if one.kind == "image" and one.name == "capture-amd64"]
    assert found.version.startswith("matrixctl/capture:")
    assert found.used_by == ()


def test_a_second_run_that_passes_changes_nothing_and_says_so(tmp_path: Path) -> None:
    record = run(tmp_path, lambda _, number: number == 1).go()
    (cell,) = record.cells
    assert (cell.outcome, cell.verdict, len(cell.attempts)) == (Outcome.FAIL, Verdict.REGRESSION, 1)
    assert trace_of(record).outcome is Outcome.PASS
    assert cell.captured_cipher is None, "another end says nothing of the first"


def test_all_means_those_that_pass_as_well(tmp_path: Path) -> None:
    record = run(tmp_path, lambda *_: False, evidence="all", many=True).go()
    assert {cell.traced.outcome for cell in record.cells if cell.traced} == {Outcome.PASS}
    assert all(cell.traced for cell in record.cells)
    assert not [cell for cell in run(tmp_path / "b", lambda *_: False).go().cells if cell.traced]


def test_of_cells_that_fail_alike_three_are_traced(tmp_path: Path) -> None:
    cells = chosen("arch=amd64", "tls=openssl-3.5.7", "cipher=*GCM*,*CHACHA*,default")
    made = EngineRun(
        tmp_path, cells, programs=Programs(fails=lambda *_: True), choices={"evidence": "failing"}
    )
    found = [cell for cell in made.go().cells if cell.traced]
    assert len(found) == 3 < len(cells)
    assert "default" in {cell.axes.cipher.name for cell in found}, "nobody knows its suite"


def test_with_all_each_cell_that_fails_alike_is_traced(tmp_path: Path) -> None:
    cells = chosen("arch=amd64", "tls=openssl-3.5.7", "cipher=*GCM*,*CHACHA*,default")
    made = EngineRun(tmp_path, cells, programs=Programs(fails=lambda *_: True), choices={"evidence": "all"})
    assert [bool(cell.traced) for cell in made.go().cells] == [True] * len(cells)


def no_capture(dockerfile: str) -> ExecResult:
    return ran(exit_code=1, stderr=b"planted") if "tshark" in dockerfile else ran()


def test_without_an_image_that_captures_the_rest_is_kept_and_that_is_said(tmp_path: Path) -> None:
    made = run(tmp_path, lambda *_: True, many=True)
    made.engine._builder = no_capture
    record = made.go()
    assert len([cell for cell in record.cells if cell.traced]) == 3
    first = trace_of(record).missing[0]
    assert first.startswith("no packets were captured: making the image matrixctl/capture:")
    assert trace_of(record).outcome is Outcome.FAIL
    assert len([one for one in made.engine.built if "tshark" in one]) == 1, "it is tried once in a run"
    assert [one.status for one in record.actions if one.status == "failed"] == []


@pytest.mark.parametrize("refused", ["create:-capture", "start:-capture", "create:-reading"])
def test_an_engine_that_grants_no_capture_costs_the_packets_alone(tmp_path: Path, refused: str) -> None:
    made = run(tmp_path)
    made.engine.refuses = (refused,)
    found = trace_of(made.go())
    assert [line for line in found.missing if "the fake engine refuses" in line]
    assert found.negotiated_cipher is None
    assert [path for path in found.evidence if path.endswith("/haproxy.log")]
    assert made.engine.left == set()


def test_no_more_is_kept_than_a_run_may_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "TRACED_RUN", 10)
    made = run(tmp_path, lambda *_: True, many=True)
    cells = made.go().cells
    assert [bool(cell.traced) for cell in cells].count(True) == 1
    assert all(bool(cell.traced) != bool(cell.untraced) for cell in cells), "each says which"
    assert "of 2 more no packets are captured: 10 are enough for one run" in made.said


def test_the_minutes_for_that_have_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "_MINUTES", 0.0)
    made = run(tmp_path)
    assert [cell.traced for cell in made.go().cells] == [None]
    assert "of 1 more no packets are captured: the 0 minutes that a run has for that were over" in made.said


def test_a_capture_that_is_too_large_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "CAPTURE", 0)
    monkeypatch.setattr(bounds, "EVIDENCE", 4)
    found = trace_of(run(tmp_path).go())
    assert [line for line in found.missing if line.startswith("capture.pcapng is left out")]
    assert not [path for path in found.evidence if path.endswith(".pcapng")]


def test_a_resumed_run_keeps_the_traces_that_it_has(tmp_path: Path) -> None:
    def stop(event: object) -> None:
        if isinstance(event, CellTraced):
            made.cancel.ask()

    made = run(tmp_path, lambda *_: True, many=True)
    made.listen = stop
    (first,) = [cell for cell in made.go().cells if cell.traced]
    again = run(tmp_path, lambda *_: True, many=True)
    again.resume, again.engine.images = True, made.engine.images
    record = again.go()
    assert record.run.status == "finished"
    assert len([cell for cell in record.cells if cell.traced]) == 3
    assert [cell.traced for cell in record.cells if cell.id == first.id] == [first.traced]
    paths = [tmp_path / "run" / path for cell in record.cells if cell.traced for path in cell.traced.evidence]
    assert all(path.exists() for path in paths)


def test_what_fail_fast_ended_at_has_its_packets(tmp_path: Path) -> None:
    made = run(tmp_path, lambda *_: True, many=True, fail_fast=True, jobs=1)
    record = made.go()
    assert (record.run.status, record.run.exit_code) == ("finished", 1)
    judged = [cell for cell in record.cells if cell.outcome]
    assert 0 < len(judged) <= len(record.cells)
    assert all(cell.traced for cell in judged)
    assert made.cancel(), "the end of the run is that of --fail-fast"
    assert made.engine.left == set()


def test_ctrl_c_ends_the_second_run_after_fail_fast(tmp_path: Path) -> None:
    def stop(event: object) -> None:
        if isinstance(event, ActionChanged) and event.action.name.startswith("trace--"):
            made.cancel.ask()

    made = run(tmp_path, fail_fast=True)
    made.listen = stop
    record = made.go()
    assert (record.run.status, record.run.exit_code) == ("interrupted", 130)
    assert [cell.traced for cell in record.cells] == [None]


def test_the_terminal_tells_the_second_run_apart(tmp_path: Path) -> None:
    run(tmp_path).go()
    lines = [str(line) for line in map(describe, read(tmp_path / "run" / JOURNAL)) if line]
    assert f"≡ traced  {ONE[0].id}  fail: handshake-then-hang\n    a note" in lines
