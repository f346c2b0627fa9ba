"""An alarm is probed again, alone, before it is one: whole runs on an engine in memory."""

from collections.abc import Callable
from pathlib import Path

import pytest
from engine_run import GCM, EngineRun, Programs, chosen

from orchestrator.cli.closing import write_closing
from orchestrator.cli.progress import describe
from orchestrator.errors import Exit
from orchestrator.outcome import Reason, Verdict
from orchestrator.record.journal import JOURNAL, ActionChanged, CellJudged, read
from orchestrator.record.model import CellRecord, Confirmation, RunRecord
from orchestrator.report import html, junit, markdown

CONFIRMED, FLAKY = Confirmation(state="confirmed"), Confirmation(state="flaky")
SUITES = chosen("arch=amd64", "tls=openssl-3.5.7", "cipher=*GCM*,*CHACHA*")
ONE = chosen("arch=amd64", "tls=openssl-3.5.7", f"cipher={GCM}")
Fails = Callable[[str, int], bool]


def always(_cell: str, _number: int) -> bool:
    return True


def once(cell: str, number: int) -> bool:
    return GCM in cell and number == 1


def run(tmp_path: Path, fails: Fails, **choices: object) -> EngineRun:
    cells = ONE if choices.pop("one", False) else SUITES
    return EngineRun(tmp_path, cells, programs=Programs(fails=fails), choices={"confirm": 3, **choices})


def only(record: RunRecord) -> CellRecord:
    (cell,) = [cell for cell in record.cells if GCM in cell.id]
    return cell


def test_a_failure_that_comes_each_time_is_confirmed(tmp_path: Path) -> None:
    made = run(tmp_path, always, one=True)
    record = made.go()
    cell = only(record)
    assert (cell.verdict, cell.confirmation) == (Verdict.REGRESSION, CONFIRMED)
    assert [one.why for one in cell.attempts] == ["first", "confirm 1", "confirm 2", "confirm 3"]
    assert record.run.exit_code == Exit.FAILED
    assert made.engine.left == set()


def test_a_failure_that_does_not_come_again_is_flaky_and_never_green(tmp_path: Path) -> None:
    record = run(tmp_path, once).go()
    cell = only(record)
    assert (cell.outcome, cell.reason, cell.verdict) == ("fail", Reason.HANDSHAKE_THEN_HANG, Verdict.FLAKY)
    assert cell.confirmation == FLAKY
    assert [one.outcome for one in cell.attempts] == ["fail", "pass", "pass", "pass"]
    assert record.run.exit_code == Exit.OK
    assert [len(one.attempts) for one in record.cells if one.id != cell.id] == [1, 1], "alone"


def test_a_flaky_cell_fails_the_run_where_that_is_asked_for(tmp_path: Path) -> None:
    assert run(tmp_path, once, fail_on_flaky=True).go().run.exit_code == Exit.FAILED


def test_the_evidence_of_the_first_failure_stays(tmp_path: Path) -> None:
    record = run(tmp_path, once).go()
    kept = [tmp_path / "run" / path for one in only(record).attempts for path in one.evidence]
    assert len(kept) == len(set(kept)) == 8, "two files of each attempt"
    assert all(path.exists() for path in kept)
    assert only(record).evidence == only(record).attempts[0].evidence, "a failure decides"


def test_without_it_nothing_is_probed_again(tmp_path: Path) -> None:
    cell = only(run(tmp_path, once, confirm=0).go())
    assert (cell.verdict, cell.confirmation, len(cell.attempts)) == (Verdict.REGRESSION, None, 1)


def test_of_cells_that_fail_alike_some_are_confirmed_and_the_others_stay_alarms(tmp_path: Path) -> None:
    record = run(tmp_path, always, confirm_cells=2).go()
    assert {cell.verdict for cell in record.cells} == {Verdict.REGRESSION}
    states = [(cell.confirmation.state, cell.confirmation.why) for cell in record.cells if cell.confirmation]
    assert sorted(states) == [
        ("confirmed", ""),
        ("confirmed", ""),
        ("open", "2 other cells that end alike were probed again"),
    ]


@pytest.mark.parametrize(
    ("bound", "why"),
    [
        (1, "1 other cell that ends alike was probed again"),
        (2, "2 other cells that end alike were probed again"),
    ],
)
def test_each_cell_beyond_the_bound_names_how_many_were_probed_again(
    tmp_path: Path, bound: int, why: str
) -> None:
    cells = chosen("arch=amd64", "tls=openssl-3.5.7", "cipher=*GCM*,*CHACHA*,default")
    choices = {"confirm": 1, "confirm_cells": bound}
    record = EngineRun(tmp_path, cells, programs=Programs(fails=always), choices=choices).go()
    found = [cell.confirmation.why for cell in record.cells if cell.confirmation and cell.confirmation.why]
    assert found == [why] * (4 - bound)


def test_each_form_of_the_report_says_what_was_not_confirmed(tmp_path: Path) -> None:
    record = run(tmp_path, always, confirm_cells=2).go()
    said = "not confirmed, since 2 other cells that end alike were probed again"
    listed, panels = html.render(record).split('<h2 id="cells">')
    assert f"<b>{said}.</b>" in listed
    assert f"<b>{said}.</b>" in panels
    assert said in junit.render(record)
    assert said in markdown.render(record)
    assert any(said in str(line) for line in write_closing(record, tmp_path))


def test_when_the_time_is_over_the_rest_stays_unconfirmed(tmp_path: Path) -> None:
    record = run(tmp_path, always, confirm_minutes=0.0).go()
    assert {cell.confirmation.why for cell in record.cells if cell.confirmation} == {
        "the 0 minutes for that were over"
    }
    assert {len(cell.attempts) for cell in record.cells} == {1}


def test_the_terminal_tells_each_attempt_once_and_then_what_they_came_to(tmp_path: Path) -> None:
    run(tmp_path, once).go()
    lines = [str(line) for line in map(describe, read(tmp_path / "run" / JOURNAL)) if line]
    mine = [line.replace(ONE[0].id, "CELL") for line in lines if line[0] in "✓✕=" and ONE[0].id in line]
    assert [line[:24].strip() for line in mine[1:-1]] == [f"✓ pass  CELL  confirm {n}" for n in (1, 2, 3)]
    assert mine[-1] == "= flaky  CELL  flaky: its attempts disagree (1 of 4 attempts failed)"


def test_confirmations_are_actions_that_a_journal_shows(tmp_path: Path) -> None:
    run(tmp_path, once).go()
    changes = [one.action for one in read(tmp_path / "run" / JOURNAL) if isinstance(one, ActionChanged)]
    (name,) = {one.name for one in changes if one.name.startswith("confirm--")}
    assert name == f"confirm--{ONE[0].id}"
    assert [one.status for one in changes if one.name == name] == ["running", "succeeded"]


def test_only_a_confirmed_failure_ends_the_run_of_fail_fast(tmp_path: Path) -> None:
    flaky = run(tmp_path / "a", once, fail_fast=True, jobs=1)
    assert [cell.verdict for cell in flaky.go().cells].count(Verdict.NOT_JUDGED) == 0
    cells = chosen("arch=amd64", "tls=openssl-3.5.7,openssl-distro", f"cipher={GCM}")
    failing = EngineRun(
        tmp_path / "b",
        cells,
        programs=Programs(fails=always),
        choices={"confirm": 3, "fail_fast": True, "jobs": 1},
    )
    record = failing.go()
    judged = [cell for cell in record.cells if cell.outcome]
    assert [(cell.verdict, cell.confirmation, len(cell.attempts)) for cell in judged] == [
        (Verdict.REGRESSION, CONFIRMED, 4)
    ]
    assert len(record.cells) == 2


def test_a_resumed_run_goes_on_with_what_is_to_be_confirmed(tmp_path: Path) -> None:
    def stop(event: object) -> None:
        if isinstance(event, CellJudged) and event.cell.attempts[-1].why == "confirm 1":
            made.cancel.ask()

    made = run(tmp_path, always, one=True)
    made.listen = stop
    first = only(made.go())
    assert [one.why for one in first.attempts] == ["first", "confirm 1"]
    assert first.confirmation is None
    again = run(tmp_path, always, one=True)
    again.resume, again.engine.images = True, made.engine.images
    record = again.go()
    assert [one.why for one in only(record).attempts] == ["first", "confirm 1", "confirm 2", "confirm 3"]
    assert only(record).confirmation == CONFIRMED
    assert (record.run.status, record.run.exit_code) == ("finished", Exit.FAILED)


def test_repeats_that_disagree_need_no_other_attempt(tmp_path: Path) -> None:
    cell = only(run(tmp_path, once, repeat=2).go())
    assert [one.why for one in cell.attempts] == ["first", "repeat 2"]
    assert (cell.verdict, cell.confirmation) == (Verdict.FLAKY, FLAKY)


def test_an_engine_that_dies_under_a_confirmation_leaves_it_open(tmp_path: Path) -> None:
    made = run(tmp_path, always, one=True)
    seen: list[str] = []

    def fail(kind: str) -> None:
        seen.append(kind)
        if kind == "driver" and seen.count("driver") > 1:
            raise RuntimeError("planted")

    made.programs.before = fail
    cell = only(made.go())
    assert cell.verdict is Verdict.REGRESSION
    assert cell.confirmation is not None
    assert (cell.confirmation.state, cell.confirmation.why) == (
        "open",
        "the harness failed in each other attempt",
    )
