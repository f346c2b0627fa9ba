"""A run that was cut off: what stands, what is run again, and what is believed of its folder."""

import fcntl
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_samples import AT, action, cell, record

from orchestrator.cli.log import show_log
from orchestrator.errors import MatrixctlError, UsageError
from orchestrator.matrix.catalog import Moving, Source
from orchestrator.outcome import Outcome, Verdict, find_verdict
from orchestrator.record.find import read_run
from orchestrator.record.fold import fold
from orchestrator.record.interrupted_run import PastRun, read_past
from orchestrator.record.journal import (
    JOURNAL,
    ActionChanged,
    CellJudged,
    Event,
    Journal,
    RunFinished,
    RunResumed,
    RunStarted,
    SourcePinned,
    goes_on,
    hold,
    read,
)
from orchestrator.record.model import CellRecord

START = RunStarted(at=AT, record=record(cell("a"), cell("b"), cell("c")))
END = RunFinished(at=AT, status="finished", finished_at=AT, duration_s=1, exit_code=0, message="")


def at(second: int) -> str:
    return f"2026-01-02T03:04:{second:02}.000+00:00"


def judged(name: str, outcome: Outcome, *, at: str = AT, final: bool = True) -> CellJudged:
    plain = cell(name, outcome)
    record = plain.model_copy(update={"verdict": find_verdict(outcome, plain.reason, plain.expected)})
    return CellJudged(at=at, cell=record, final=final)


def cut(folder: Path, *events: Event, tail: bytes = b"") -> PastRun:
    with Journal(folder / JOURNAL) as journal:
        for event in (START, *events):
            journal.append(event)
    with (folder / JOURNAL).open("ab") as file:
        file.write(tail)
    return read_past(folder)


def test_only_a_cell_whose_judging_was_complete_stands(tmp_path: Path) -> None:
    past = cut(
        tmp_path,
        judged("a", Outcome.PASS),
        judged("b", Outcome.ERROR, final=False),
        tail=judged("c", Outcome.PASS).model_dump_json().encode()[:-20],
    )
    assert past.standing == {"a"}
    assert set(past.last) == {"a", "b"}
    assert not past.over


def test_what_judged_nothing_is_done_again_though_it_was_the_last_word(tmp_path: Path) -> None:
    known = judged("c", Outcome.BLOCKED)
    known = known.model_copy(
        update={"cell": known.cell.model_copy(update={"verdict": Verdict.AS_EXPECTED})}  # by a rule
    )
    past = cut(tmp_path, judged("a", Outcome.ERROR), judged("b", Outcome.BLOCKED), known, END)
    assert past.standing == {"c"}
    assert not past.over


def test_the_broken_last_line_is_said_and_the_run_goes_on_behind_it(tmp_path: Path) -> None:
    cut(tmp_path, judged("a", Outcome.PASS), tail=b'{"at":"2026-01-02T03:04:05","kind":"ce')
    with Journal(tmp_path / JOURNAL) as journal:
        journal.append(RunResumed(stood=1, actions=()))
        journal.append(judged("b", Outcome.PASS))
    said: list[str] = []
    with show_log(said.append):
        past = read_past(tmp_path)
    assert said == [f"{tmp_path / JOURNAL}:3 is incomplete and was passed over"]
    assert past.standing == {"a", "b"}


def test_a_damaged_line_amid_a_part_is_no_crash_and_the_run_does_not_go_on(tmp_path: Path) -> None:
    """It may have said what a moving source was: two commits would be tested as one."""
    cut(tmp_path, judged("a", Outcome.PASS), tail=b'{"kind":"cell","at"\n')
    with Journal(tmp_path / JOURNAL) as journal:
        journal.append(judged("b", Outcome.PASS))
    with pytest.raises(MatrixctlError, match=r"journal\.jsonl:3 is damaged"):
        read_past(tmp_path)
    assert len(list(read(tmp_path / JOURNAL))) == 3, "a report says what is left"


def test_blocks_that_a_power_cut_left_empty_are_no_event(tmp_path: Path) -> None:
    past = cut(tmp_path, judged("a", Outcome.PASS), tail=bytes(4096))
    assert past.standing == {"a"}


@pytest.mark.parametrize("content", [b"", b"\n", b'{"at":"2026', END.model_dump_json().encode()])
def test_a_run_that_died_before_its_plan_was_written_cannot_go_on(tmp_path: Path, content: bytes) -> None:
    (tmp_path / JOURNAL).write_bytes(content)
    for reads in (read_past, read_run):
        with pytest.raises(UsageError, match=f"{tmp_path.name} was cut off before its plan was written"):
            reads(tmp_path)


def test_over_is_a_run_with_its_end_and_every_cell(tmp_path: Path) -> None:
    told = [judged(name, Outcome.PASS) for name in "abc"]
    assert not cut(tmp_path / "1", *told).over
    assert not cut(tmp_path / "2", *told[:2], END).over
    assert not cut(tmp_path / "3", *told, END.model_copy(update={"status": "interrupted"})).over
    assert cut(tmp_path / "4", *told, END).over


def test_the_time_between_the_parts_is_not_worked(tmp_path: Path) -> None:
    past = cut(
        tmp_path,
        judged("a", Outcome.PASS, at=at(15)),
        RunResumed(at=at(40), stood=1, actions=()),
        judged("b", Outcome.PASS, at=at(45)),
    )
    assert past.spent_s == pytest.approx(15 - 5.678 + 5)


def test_a_clock_that_was_set_back_makes_no_negative_time(tmp_path: Path) -> None:
    assert cut(tmp_path, judged("a", Outcome.PASS, at=at(1))).spent_s == 0


def test_what_a_moving_source_was_is_remembered(tmp_path: Path) -> None:
    moving = Moving(component="haproxy", version="x", kind="git", where="/x", ref="main")
    source = Source(component="haproxy", version="x", file="x.tar", sha256="0" * 64, strip=1, origins=())
    pin = SourcePinned(moving=moving, source=source, origin="git: /x main -> 1234")
    assert cut(tmp_path, pin).pins == (pin,)


def with_evidence(name: str, *paths: str) -> CellRecord:
    return cell(name, Outcome.PASS).model_copy(update={"evidence": paths})


def test_what_no_event_vouches_for_is_removed(tmp_path: Path) -> None:
    kept = ["cells/a/haproxy.log", "cells/b/attempt-2/haproxy.log", "run.json", "actions/x.log"]
    gone = ["cells/a/half.log", "cells/b/haproxy.log", "cells/c/haproxy.log", "cells/c/attempt-2/x"]
    gone += [".run.json.4711-0123abcd", "actions/.x.log.4711-0123abcd"]
    for name in (*kept, *gone):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    past = cut(
        tmp_path,
        CellJudged(cell=with_evidence("a", "cells/a/haproxy.log")),
        CellJudged(cell=with_evidence("b", "cells/b/attempt-2/haproxy.log")),
    )
    past.remove_half_written()
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {*kept, JOURNAL}
    assert not (tmp_path / "cells" / "c").exists()


def test_the_evidence_of_an_attempt_that_decided_nothing_stays(tmp_path: Path) -> None:
    """It is what a person compares a failure with."""
    names = ["cells/a/haproxy.log", "cells/a/attempt-2/haproxy.log"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    failed = with_evidence("a", names[0])
    (first,) = failed.attempts
    attempts = (first, first.model_copy(update={"number": 2, "evidence": (names[1],)}))
    cut(tmp_path, CellJudged(cell=failed.model_copy(update={"attempts": attempts}))).remove_half_written()
    assert all((tmp_path / name).exists() for name in names)


def test_nothing_outside_of_the_runs_folder_is_removed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deep" / "precious").touch()
    (tmp_path / "run").mkdir()
    past = cut(tmp_path / "run")
    (tmp_path / "run" / "cells").symlink_to(tmp_path / "elsewhere")
    past.remove_half_written()
    (tmp_path / "run" / "cells").unlink()
    (tmp_path / "run" / "cells").mkdir()
    (tmp_path / "run" / "cells" / "a").symlink_to(tmp_path / "elsewhere")
    past.remove_half_written()
    assert (tmp_path / "elsewhere" / "deep" / "precious").exists()


def test_one_process_alone_writes_to_a_run(tmp_path: Path) -> None:
    with (
        hold(tmp_path / "run"),
        pytest.raises(UsageError, match="still goes on"),
        hold(tmp_path / "run"),
    ):
        pass
    with hold(tmp_path / "run"), Journal(tmp_path / "run" / JOURNAL) as journal:  # it was let go of
        journal.append(START)
        assert goes_on(tmp_path / "run")
    assert not goes_on(tmp_path / "run")


def test_a_reader_that_only_asks_whether_it_goes_on_stops_no_writer(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_text("{}\n")
    with (tmp_path / JOURNAL).open("rb") as reader:
        fcntl.flock(reader.fileno(), fcntl.LOCK_SH)
        threading.Timer(0.1, fcntl.flock, (reader.fileno(), fcntl.LOCK_UN)).start()
        with hold(tmp_path):
            assert goes_on(tmp_path)


def test_a_run_that_could_not_begin_leaves_no_folder(tmp_path: Path) -> None:
    with hold(tmp_path / "run"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_resumed_run_is_running_again_and_says_how_often() -> None:
    cut_off = ActionChanged(at=AT, action=action("running"))
    resumed = RunResumed(at=at(40), stood=1, actions=())
    first: list[Event] = [START, cut_off, judged("a", Outcome.PASS), END]
    folded = fold([*first, resumed])
    assert (folded.run.status, folded.run.exit_code, folded.run.finished_at) == ("running", None, None)
    assert [(one.at, one.stood) for one in folded.run.resumed] == [(at(40), 1)]
    assert [one.status for one in folded.actions] == ["interrupted"]
    again = fold([*first, resumed.model_copy(update={"actions": (action("waiting"),)}), resumed, END])
    assert [one.status for one in again.actions] == ["waiting"]
    assert (again.run.status, len(again.run.resumed)) == ("finished", 2)


def test_a_cell_that_was_never_planned_does_not_raise_the_plan() -> None:
    folded = fold([START, judged("z", Outcome.PASS)])
    assert (folded.run.planned, folded.run.judged, len(folded.cells)) == (3, 1, 4)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(Outcome), st.booleans()), max_size=8))
def test_whatever_stands_has_an_outcome_and_keeps_it(words: Sequence[tuple[str, Outcome, bool]]) -> None:
    told = [judged(name, outcome, final=final) for name, outcome, final in words]
    events: tuple[Event, ...] = (START, *told)
    past = PastRun(folder=Path(), start=START, events=events, record=fold(events))
    last = {name: (outcome, final) for name, outcome, final in words}
    not_judged = {Outcome.ERROR, Outcome.BLOCKED, Outcome.UNSUPPORTED}  # by no rule and no declaration
    assert past.standing == {n for n, (outcome, final) in last.items() if final and outcome not in not_judged}
    for one in fold([*events, RunResumed(stood=len(past.standing), actions=())]).cells:
        assert one.outcome is last.get(one.id, (None, False))[0]
