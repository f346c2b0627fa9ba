"""A cell whose server crashed is run once more, under gdb: whole runs on an engine in memory."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from builders import dead, server_line, vv
from engine_run import GCM, EngineRun, Programs, chosen
from fakes import Files, ran

from orchestrator.app import backtraces
from orchestrator.cli.progress import describe
from orchestrator.errors import DeadlineError, EngineError
from orchestrator.execute.engine.engine import ExecResult
from orchestrator.execute.schedule.scheduler import Cancel
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.journal import JOURNAL, CellJudged, read
from orchestrator.record.model import Backtrace, CellRecord
from orchestrator.report import html

STOPPED = """\
GNU gdb (Debian 16.3-1) 16.3

Thread 1 "haproxy" received signal SIGSEGV, Segmentation fault.

== bt
#0  tls_aead (cipher=0x1) at include/haproxy/quic_tls.h:169
#1  0x0000557579a463b1 in quic_tls_compat_keylog_callback ()

== bt full
#0  tls_aead (cipher=0x1) at include/haproxy/quic_tls.h:169
No locals.
"""
EXITED = "GNU gdb (Debian 16.3-1) 16.3\n[Inferior 1 (process 20) exited normally]\n"
CELLS = chosen("arch=amd64", "tls=openssl-3.5.7", "cipher=*GCM*,*CHACHA*")


@dataclass
class Crashing(Programs):
    """HAProxy dies of SIGSEGV with these suites; under gdb it does as told, from the first try on."""

    suites: tuple[str, ...] = (GCM,)
    status: int = 139
    tells: Callable[[int], str] = lambda _number: STOPPED
    debugged: list[str] = field(default_factory=list)

    def _drive(self, files: Files) -> ExecResult:
        session = json.loads(files["session.json"])
        if "dying_s" not in session:
            crashing = [one for one in self.cells if one.cipher.suite in self.suites]
            told = {one.id: dead(one, self.status, "trap", ready_s=0.1) for one in crashing}
            lines = super()._drive(files).stdout.splitlines()
            read = [json.loads(line) for line in lines]
            return _lines([told.get(str(one.get("id")), one) for one in read])
        (asked,) = session["cells"]
        self.debugged.append(asked["id"])
        (cell,) = [one for one in self.cells if one.id == asked["id"]]
        text = self.tells(len(self.debugged))
        line = {**dead(cell, 139, ready_s=0.1), "files": {"backtrace.txt": text}}
        return _lines([server_line(vv=vv()), line])


def _lines(lines: list[dict[str, Any]]) -> ExecResult:
    return ran(stdout="".join(json.dumps(one) + "\n" for one in lines).encode())


def run(tmp_path: Path, programs: Crashing, **choices: object) -> EngineRun:
    return EngineRun(tmp_path, CELLS, programs=programs, choices={"backtraces": True, **choices})


def only(made: EngineRun) -> CellRecord:
    (cell,) = [cell for cell in made.go().cells if cell.axes.cipher.suite == GCM]
    return cell


def traced(cell: CellRecord) -> Backtrace:
    assert (cell.outcome, cell.reason) == (Outcome.FAIL, Reason.SERVER_CRASHED)
    assert (cell.verdict, len(cell.attempts)) == (Verdict.REGRESSION, 1), "it decides nothing"
    assert cell.backtrace is not None
    return cell.backtrace


def test_a_crash_is_traced_and_changes_neither_outcome_nor_attempts(tmp_path: Path) -> None:
    made = run(tmp_path, programs := Crashing())
    cell = only(made)
    found = traced(cell)
    assert programs.debugged == [cell.id], "the crashed cell alone"
    assert (found.tries, found.signal, found.problem) == (1, "SIGSEGV", "")
    assert found.frames == (
        "#0  tls_aead (cipher=0x1) at include/haproxy/quic_tls.h:169",
        "#1  0x0000557579a463b1 in quic_tls_compat_keylog_callback ()",
    )
    assert cell.evidence[0] == found.evidence == f"cells/{cell.id}/backtrace.txt"
    text = (tmp_path / "run" / found.evidence).read_text()
    assert text.startswith(f"A second run of {cell.id} under gdb: it changes no outcome.")
    assert "it crashed in try 1" in text
    assert "No locals." in text
    assert made.engine.left == set()


def test_a_crash_that_does_not_come_again_says_so_with_the_number_of_tries(tmp_path: Path) -> None:
    made = run(tmp_path, programs := Crashing(tells=lambda _number: EXITED))
    found = traced(only(made))
    assert len(programs.debugged) == 3
    assert (found.tries, found.signal, found.frames) == (3, "", ())
    assert "it did not crash again under gdb, in 3 tries" in (tmp_path / "run" / "index.html").read_text()


def test_a_crash_that_comes_in_the_second_try_needs_no_third(tmp_path: Path) -> None:
    made = run(tmp_path, Crashing(tells=lambda number: STOPPED if number == 2 else EXITED))
    found = traced(only(made))
    assert (found.tries, found.signal) == (2, "SIGSEGV")


def test_without_an_image_for_it_there_is_none_and_the_report_says_why(tmp_path: Path) -> None:
    def build(dockerfile: str) -> ExecResult:
        if 'image="debugger"' in dockerfile:
            raise EngineError("no gdb to be had")
        return ran()

    made = run(tmp_path, programs := Crashing())
    made.engine._builder = build
    found = traced(only(made))
    assert (found.tries, found.problem, found.evidence) == (0, "no gdb to be had", None)
    assert programs.debugged == []


def test_a_build_with_g_that_differs_gives_its_names_alone_and_says_so(tmp_path: Path) -> None:
    """The played builds are the same bytes without code, of which nothing is proved."""
    found = traced(only(run(tmp_path, Crashing())))
    assert found.symbols.startswith("names alone")


def test_each_builds_debug_build_is_made_once_and_kept_in_the_store(tmp_path: Path) -> None:
    programs = Crashing(suites=tuple(one.cipher.suite or "" for one in CELLS))
    first = run(tmp_path, programs)
    first.go()
    assert len([line for line in first.said if "with -g, for a backtrace" in line]) == 1, "it takes minutes"
    assert len(programs.debugged) == len(CELLS) == 3
    assert len(programs.built) == 4, "library, HAProxy, self-test, and HAProxy with -g"


def test_only_what_is_asked_for_and_only_a_signal_is_traced(tmp_path: Path) -> None:
    assert only(run(tmp_path, Crashing(), backtraces=False)).backtrace is None
    (tmp_path / "other").mkdir()
    assert only(run(tmp_path / "other", Crashing(status=3))).backtrace is None, "it exited on its own"


def test_a_run_that_is_interrupted_meanwhile_keeps_no_word_of_it(tmp_path: Path) -> None:
    cancel = Cancel()
    programs = Crashing()
    programs.before = lambda kind: cancel.ask() if kind == "build" and len(programs.probed) == 3 else None
    made = run(tmp_path, programs)
    made.cancel = cancel
    assert only(made).backtrace is None
    assert programs.debugged == []
    assert made.tracebacks == []


def test_what_fail_fast_ended_at_has_its_backtrace(tmp_path: Path) -> None:
    made = run(tmp_path, programs := Crashing(), fail_fast=True, jobs=1)
    assert traced(only(made)).signal == "SIGSEGV"
    assert len(programs.debugged) == 1
    assert made.cancel()
    assert made.engine.left == set()


def test_all_of_it_has_ten_minutes_in_which_tries_and_builds_are_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backtraces, "_MINUTES", 2.0)
    made = run(tmp_path, Crashing())
    assert traced(only(made)).signal == "SIGSEGV"
    assert max(made.engine.timeouts[-2:]) <= 120, "that of the build with -g, and that of gdb"


def test_what_gdb_said_stays_where_the_time_is_over_before_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end_of_time(number: int) -> str:
        if number == 2:
            monkeypatch.setattr(backtraces, "_SHORTEST", 1e9)
        return EXITED

    found = traced(only(run(tmp_path, Crashing(tells=end_of_time))))
    assert (found.tries, found.signal, found.problem) == (2, "", "")
    assert found.evidence
    assert EXITED in (tmp_path / "run" / found.evidence).read_text()


def test_what_gdb_said_stays_where_the_next_try_is_cut_off(tmp_path: Path) -> None:
    def cut_off(number: int) -> str:
        if number == 2:
            raise DeadlineError("gdb took too long")
        return EXITED

    found = traced(only(run(tmp_path, Crashing(tells=cut_off))))
    assert (found.tries, found.problem) == (1, "")


def test_without_time_nothing_is_begun_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backtraces, "_MINUTES", 0.0)
    made = run(tmp_path, programs := Crashing())
    found = traced(only(made))
    assert (found.tries, found.problem) == (0, "a run gets backtraces of 12 cells, in 10 minutes")
    assert programs.debugged == []


def test_the_terminal_says_what_became_of_it_and_tells_the_failure_once(tmp_path: Path) -> None:
    cell = only(run(tmp_path, Crashing()))
    told = [str(line) for line in map(describe, read(tmp_path / "run" / JOURNAL)) if line]
    assert [line for line in told if line.startswith("≡ backtrace")] == [
        f"≡ backtrace  {cell.id}  SIGSEGV, #0  tls_aead (cipher=0x1) at include/haproxy/quic_tls.h:169"
    ]
    assert len([line for line in told if cell.id in line and "server-crashed" in line]) == 1


def test_a_page_shows_the_frames(tmp_path: Path) -> None:
    page = html.render(run(tmp_path, Crashing()).go())
    assert "of a second run under gdb, which stopped at SIGSEGV, after 1 try" in page
    assert "quic_tls_compat_keylog_callback" in page


def test_a_server_image_of_the_debugger_and_files_of_its_own_serve_it(tmp_path: Path) -> None:
    seen: list[Files] = []

    class Watching(Crashing):
        def __call__(self, files: Files, argv: tuple[str, ...]) -> ExecResult:
            if b"dying_s" in files.get("session.json", b""):
                seen.append(dict(files))
            return super().__call__(files, argv)

    made = run(tmp_path, Watching())
    record = made.go()
    servers = [spec for spec in made.engine.specs if "-debug-" in spec.name and spec.name.endswith("-server")]
    assert [spec.image.partition(":")[0] for spec in servers] == ["matrixctl/debugger"]
    assert [one.name for one in record.components if one.version == servers[0].image] == ["debugger-amd64"]
    assert b"gdb -nx -batch" in seen[0]["supervise.sh"]
    assert {"handle.gdb", "backtrace.gdb"} <= set(seen[0])


def test_a_run_that_is_cut_off_before_it_goes_on_with_it(tmp_path: Path) -> None:
    """Nothing else is left of that run to plan: its build is found in the store all the same."""
    judged: set[str] = set()

    def stop(event: object) -> None:
        if isinstance(event, CellJudged):
            judged.add(event.cell.id)
            if len(judged) == len(CELLS):
                made.cancel.ask()

    made = run(tmp_path, programs := Crashing())
    made.listen = stop
    assert only(made).backtrace is None
    again = run(tmp_path, programs)
    again.resume, again.engine.images = True, made.engine.images
    cell = only(again)
    found = traced(cell)
    assert (found.signal, found.problem) == ("SIGSEGV", "")
    assert programs.debugged == [cell.id]
