"""A whole run, cut at any byte of its journal and resumed: as if nothing had happened."""

import random
from collections import Counter
from pathlib import Path

import pytest
from record_samples import cell
from whole_run import CELLS, PASSED, Bench, UnforeseenError

from orchestrator.app import running
from orchestrator.errors import BuildError, NothingSelectedError, SourceUnreachableError, UsageError
from orchestrator.matrix.model import Cell
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.plan.action import Action
from orchestrator.probe.judge import AGAIN, Judgement
from orchestrator.record.check_count import find_complaints
from orchestrator.record.journal import JOURNAL, CellJudged, Journal, RunFinished, RunResumed, read
from orchestrator.record.model import CellRecord, RunRecord

FAILED = Judgement(outcome=Outcome.FAIL, reason=Reason.HANDSHAKE_REFUSED, message="no")


def odd(one: Cell) -> Judgement:
    """Every other cell fails."""
    return FAILED if CELLS.index(one) % 2 else PASSED


def cut(whole: Path, at: int, folder: Path) -> Bench:
    """The run in ``whole`` as it was after that many bytes of its journal."""
    (folder / "run").mkdir(parents=True)
    (folder / "run" / JOURNAL).write_bytes((whole / "run" / JOURNAL).read_bytes()[:at])
    return Bench(folder, judged_as=odd, resume=True)


def ends(record: RunRecord) -> dict[str, tuple[Outcome | None, Reason | None, Verdict, int]]:
    return {one.id: (one.outcome, one.reason, one.verdict, len(one.attempts)) for one in record.cells}


@pytest.mark.fault(
    "power is lost at any byte of the journal",
    "the resumed run has the same cells with the same verdicts, each judged once",
)
def test_wherever_the_journal_ends_the_resumed_run_is_the_same(tmp_path: Path) -> None:
    whole = Bench(tmp_path / "whole", judged_as=odd).go()
    journal = (tmp_path / "whole" / "run" / JOURNAL).read_bytes()
    start, end = journal.index(b"\n") + 1, journal.rindex(b"\n", 0, -1)
    dice = random.Random(4)
    line = journal.index(b"\n", journal.index(b'"kind":"cell"'))
    somewhere = {dice.randrange(start, end) for _ in range(10)} - {start, line, line + 1, end}
    for at in [start, line, line + 1, end, *somewhere]:
        bench = cut(tmp_path / "whole", at, tmp_path / str(at))
        record = bench.go()
        assert ends(record) == ends(whole), at
        assert (record.run.status, record.run.exit_code) == ("finished", whole.run.exit_code)
        assert find_complaints([one.id for one in CELLS], record) == ()
        events = list(read(tmp_path / str(at) / "run" / JOURNAL))
        judged = Counter(one.cell.id for one in events if isinstance(one, CellJudged))
        assert judged == Counter(one.id for one in CELLS)
        stood = [one.stood for one in events if isinstance(one, RunResumed)]
        assert [one.stood for one in record.run.resumed] == stood
        assert stood == [journal[:at].count(b'"kind":"cell"') - (b'"kind":"cell"' in tail(journal, at))]
        broken = b"\n" not in {journal[at - 1 : at], journal[at : at + 1]}  # a line without its end is whole
        assert [said for said in bench.said if "is incomplete" in said] == bench.said[:broken]


def tail(journal: bytes, at: int) -> bytes:
    """The last line before a cut, if it is broken."""
    return b"" if journal[at : at + 1] == b"\n" else journal[:at].rpartition(b"\n")[2]


@pytest.mark.parametrize("kind", ["image", "haproxy", "probe"])
def test_an_interrupted_run_goes_on(tmp_path: Path, kind: str) -> None:
    bench = Bench(tmp_path)
    bench.plant = lambda action: bench.cancel.ask() if action.kind == kind else None
    first = bench.go()
    assert (first.run.status, first.run.exit_code) == ("interrupted", 130)
    stood = first.run.judged
    assert stood < first.run.planned
    record = Bench(tmp_path, resume=True).go()
    assert {(one.outcome, len(one.attempts)) for one in record.cells} == {(Outcome.PASS, 1)}
    assert (record.run.status, record.run.exit_code, record.run.message) == ("finished", 0, "")
    assert [one.stood for one in record.run.resumed] == [stood]
    assert {one.status for one in record.actions} == {"succeeded"}
    times = {one.key: [span.started_at for span in one.spans] for one in record.actions}
    assert all(times.values())
    assert all(
        times[one.key][: len(one.spans)] == [span.started_at for span in one.spans] for one in first.actions
    )


def test_a_finished_run_has_nothing_left_and_its_report_is_written_again(tmp_path: Path) -> None:
    Bench(tmp_path).go()
    before = (tmp_path / "run" / JOURNAL).read_bytes()
    for name in ("index.html", "junit.xml", "run.json"):
        (tmp_path / "run" / name).write_text("half")
    with pytest.raises(NothingSelectedError, match="is finished: all of its"):
        Bench(tmp_path, resume=True).go()
    assert (tmp_path / "run" / JOURNAL).read_bytes() == before
    assert RunRecord.model_validate_json((tmp_path / "run" / "run.json").read_bytes()).run.exit_code == 0
    assert "</html>" in (tmp_path / "run" / "index.html").read_text()
    assert "</testsuites>" in (tmp_path / "run" / "junit.xml").read_text()


def test_a_run_of_other_cells_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    Bench(tmp_path).go()
    journal = tmp_path / "run" / JOURNAL
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:3]))
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="cannot be resumed") as refusal:
        Bench(tmp_path, cells=CELLS[1:], resume=True).go()
    assert f"cell {CELLS[0].id}: no longer selected" in refusal.value.details
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


def left_open(folder: Path, *, outcome: Outcome, reason: Reason | None) -> CellRecord:
    """A run that was cut off after a first attempt at its first cell, with another to follow."""
    whole = Bench(
        folder, judged_as=lambda _: Judgement(outcome=outcome, reason=reason, message="damaged")
    ).go()
    journal = folder / "run" / JOURNAL
    kept = [one for one in read(journal) if not isinstance(one, RunFinished)]
    journal.unlink()
    with Journal(journal) as file:
        for event in kept:
            first = isinstance(event, CellJudged) and event.cell.id == CELLS[0].id
            file.append(event.model_copy(update={"final": False}) if first else event)
    return whole.cells[0]


def test_what_the_harness_damaged_just_before_is_replaced(tmp_path: Path) -> None:
    left_open(tmp_path, outcome=Outcome.ERROR, reason=Reason.DEADLINE)
    record = Bench(tmp_path, resume=True).go()
    first = record.cells[0]
    assert (first.outcome, first.verdict) == (Outcome.PASS, Verdict.AS_EXPECTED)
    assert [one.why for one in first.attempts] == ["first", f"{AGAIN}damaged"]


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [(Outcome.ERROR, Reason.EXHAUSTED), (Outcome.BLOCKED, Reason.SOURCE_UNREACHABLE)],
)
def test_what_nothing_judged_is_tried_again_though_the_run_had_its_end(
    tmp_path: Path, outcome: Outcome, reason: Reason
) -> None:
    """A disk that was full, a mirror that was away."""

    def hindered(one: Cell) -> Judgement:
        if CELLS.index(one) % 2:
            return Judgement(outcome=outcome, reason=reason, message="not today")
        return FAILED

    whole = Bench(tmp_path, judged_as=hindered).go()
    assert (whole.run.status, whole.run.exit_code) == ("finished", 1)
    record = Bench(tmp_path, resume=True).go()
    assert [len(one.attempts) for one in record.cells] == [1 + n % 2 for n in range(len(CELLS))]
    assert [one.outcome for one in record.cells[1::2]] == [Outcome.PASS] * len(CELLS[1::2])
    assert {one.outcome for one in record.cells[::2]} == {Outcome.FAIL}, "it was judged, and stands"
    assert record.cells[1].attempts[-1].why == f"{AGAIN}not today"
    assert (record.run.status, record.run.exit_code) == ("finished", 1)


@pytest.mark.parametrize(
    ("kind", "error", "ending"),
    [
        ("haproxy", BuildError("it no longer compiles"), (Outcome.FAIL, Reason.BUILD_FAILED, 1)),
        ("source", SourceUnreachableError("gone"), (Outcome.BLOCKED, Reason.SOURCE_UNREACHABLE, 4)),
        ("image", UnforeseenError("planted"), (Outcome.ERROR, Reason.INTERNAL, 4)),
    ],
)
def test_what_becomes_of_it_now_is_said_and_not_what_became_of_it_then(
    tmp_path: Path, kind: str, error: Exception, ending: tuple[Outcome, Reason, int]
) -> None:
    """A harness that failed last night hides no regression of today."""
    damaged = Judgement(outcome=Outcome.ERROR, reason=Reason.DEADLINE, message="damaged")
    Bench(tmp_path, judged_as=lambda _: damaged).go()

    def plant(action: Action) -> None:
        if action.kind == kind:
            raise error

    record = Bench(tmp_path, resume=True, plant=plant).go()
    assert {(one.outcome, one.reason, record.run.exit_code) for one in record.cells} == {ending}
    assert {tuple(attempt.why for attempt in one.attempts) for one in record.cells} == {
        ("first", f"{AGAIN}damaged")
    }


def test_a_resumed_run_that_breaks_off_has_a_word_on_each_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = Judgement(outcome=Outcome.ERROR, reason=Reason.DEADLINE, message="damaged")
    Bench(tmp_path, judged_as=lambda _: damaged).go()

    def broken(*_: object) -> None:
        raise UnforeseenError("planted")

    monkeypatch.setattr(running, "STAGES", (broken,))
    record = Bench(tmp_path, resume=True).go()
    assert {(one.reason, len(one.attempts)) for one in record.cells} == {(Reason.INTERNAL, 2)}


def test_a_failure_of_an_earlier_attempt_is_not_forgotten(tmp_path: Path) -> None:
    left_open(tmp_path, outcome=Outcome.FAIL, reason=Reason.HANDSHAKE_REFUSED)
    first, *_ = Bench(tmp_path, resume=True).go().cells
    assert (first.outcome, first.verdict) == (Outcome.FAIL, Verdict.REGRESSION)
    assert [one.outcome for one in first.attempts] == [Outcome.FAIL, Outcome.PASS]


def test_a_pass_that_was_to_be_repeated_and_cannot_be_is_not_the_last_word(tmp_path: Path) -> None:
    left_open(tmp_path, outcome=Outcome.PASS, reason=None)

    def plant(action: Action) -> None:
        if action.kind == "haproxy":
            raise BuildError("it no longer compiles")

    record = Bench(tmp_path, resume=True, plant=plant).go()
    first, *others = record.cells
    assert (first.outcome, first.reason) == (Outcome.FAIL, Reason.BUILD_FAILED)
    assert [one.outcome for one in first.attempts] == [Outcome.PASS, Outcome.FAIL]
    assert {one.outcome for one in others} == {Outcome.PASS}
    assert record.run.exit_code == 1


def test_a_run_that_breaks_off_is_not_green_though_every_cell_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Bench(tmp_path).go()
    journal = tmp_path / "run" / JOURNAL
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))  # without its end

    def broken(*_: object) -> None:
        raise UnforeseenError("planted")

    monkeypatch.setattr(running, "STAGES", (broken,))
    record = Bench(tmp_path, resume=True).go()
    assert {one.outcome for one in record.cells} == {Outcome.PASS}
    assert (record.run.status, record.run.exit_code) == ("finished", 4)
    assert "planted" in record.run.message


def test_a_count_that_does_not_close_is_an_internal_error(tmp_path: Path) -> None:
    """A cell that nobody planned is judged."""
    bench = Bench(tmp_path)
    stranger = cell("stranger", Outcome.PASS)
    bench.plant = lambda action: (
        bench.recorder.emit(CellJudged(cell=stranger)) if action.kind == "probe" else None
    )
    record = bench.go()
    assert record.run.exit_code == 4
    assert "error: internal: the count of the cells does not close" in record.run.message
    assert "in the record, and never planned: stranger" in record.run.message
    assert len(bench.tracebacks) == 1
    assert any("please report it" in said for said in bench.said)
