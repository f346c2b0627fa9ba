import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from cli_samples import RUN, THREAD, a_run, cells, matrixctl
from click.testing import CliRunner, Result

from orchestrator.cli.main import main
from orchestrator.outcome import Outcome
from orchestrator.record.journal import JOURNAL, CellJudged, CellTraced, Journal, hold, read
from orchestrator.record.model import Backtrace, Traced

FIRST, SECOND = (cell.id for cell in cells()[:2])


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "reports"
    a_run(folder)
    return folder


def invoke(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.mark.parametrize(
    ("form", "start"),
    [
        ("html", "<!DOCTYPE html>"),
        ("junit", "<?xml"),
        ("ctrf", '{\n "reportFormat": "CTRF"'),
        ("json", "{"),
        ("markdown", "#"),
    ],
)
def test_every_format_is_rendered_from_the_journal(out: Path, form: str, start: str) -> None:
    result = invoke("report", RUN, "--format", form, "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stdout.lower().startswith(start.lower())
    assert "handshake-then-hang" in result.stdout
    assert sorted(path.name for path in (out / RUN).iterdir()) == ["cells", "journal.jsonl"]


def test_the_journal_is_the_truth_and_run_json_is_not_looked_at(out: Path) -> None:
    (out / RUN / "run.json").write_text("nonsense")
    found = json.loads(invoke("report", RUN, "--format", "json", "--out", out).stdout)
    assert (found["run"]["judged"], found["run"]["planned"], found["run"]["exit_code"]) == (1, 2, 1)
    assert [cell["outcome"] for cell in found["cells"]] == ["fail", None]


def test_a_run_is_named_by_id_by_folder_or_as_the_latest(out: Path) -> None:
    a_run(out, "20260102-030406-0000")
    (out / "sample").mkdir()
    (out / "sample" / "journal.jsonl").write_bytes((out / RUN / "journal.jsonl").read_bytes())

    def found(name: object) -> str:
        text = invoke("report", name, "--format", "json", "--out", out).stdout
        return str(json.loads(text)["run"]["id"])

    assert found("latest") == "20260102-030406-0000"
    assert found(RUN) == RUN
    assert found(out / RUN) == RUN
    assert found("sample") == RUN


def test_an_unknown_run_names_the_nearest(out: Path) -> None:
    result = invoke("report", "20260102-030405-abce", "--out", out)
    assert result.exit_code == 2
    assert RUN in result.stderr
    assert invoke("report", "../reports/" + RUN, "--out", out).exit_code == 2
    assert invoke("report", "latest", "--out", out / "nothing").exit_code == 2


def test_a_journal_that_is_none_is_explained(out: Path) -> None:
    (out / RUN / "journal.jsonl").write_text('{"kind": "run-started"}\n')
    result = invoke("report", RUN, "--out", out)
    assert result.exit_code == 4
    assert "journal.jsonl:1" in result.stderr


def test_a_run_that_was_cut_off_says_how_it_goes_on(out: Path) -> None:
    journal = out / RUN / "journal.jsonl"
    assert "cut off" not in invoke("report", RUN, "--format", "json", "--out", out).stderr
    *before, _ = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(before))
    result = invoke("report", RUN, "--format", "json", "--out", out)
    assert result.exit_code == 0
    assert f"this run was cut off; it goes on with: matrixctl run --resume {RUN}" in result.stderr
    assert json.loads(result.stdout)["run"]["status"] == "cut-off"
    with hold(out / RUN):
        assert "cut off" not in invoke("report", RUN, "--format", "json", "--out", out).stderr


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_a_dead_run_is_not_called_running(out: Path, form: str) -> None:
    journal = out / RUN / "journal.jsonl"
    *before, _ = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(before))
    assert "Cut off: 1 of 2 cells judged" in invoke("report", RUN, "--format", form, "--out", out).stdout
    with hold(out / RUN):
        shown = invoke("report", RUN, "--format", form, "--out", out).stdout
    assert "Still running: 1 of 2 cells judged" in shown


def test_on_a_terminal_html_is_written_and_its_path_printed(out: Path) -> None:
    here, terminal = pty.openpty()
    call = [sys.executable, "-m", "orchestrator"]
    subprocess.run([*call, "report", RUN, "--out", str(out)], stdout=terminal, check=True, timeout=60)
    said = os.read(here, 4096).decode().strip()
    os.close(here)
    os.close(terminal)
    assert said == str(out / RUN / "index.html")
    assert FIRST in Path(said).read_text()


def test_a_report_of_some_cells_says_which_and_a_filter_asks_of_what_was_seen(out: Path) -> None:
    whole = json.loads(invoke("report", RUN, "--out", out, "--format", "json").stdout)
    suites = [cell["axes"]["cipher"]["name"] for cell in whole["cells"]]
    asked = f"cipher={suites[0]}"
    text = invoke("report", RUN, "--out", out, "--format", "markdown", "--filter", asked).stdout
    assert FIRST in text
    assert SECOND not in text
    assert f"--filter {asked}" in text
    none = invoke("report", RUN, "--out", out, "--format", "junit", "--filter", "negotiated=TLS_X")
    assert none.exit_code == 2
    assert "negotiated" in none.stderr
    for more in (("--format", "json"), ("--bundle", out / "x.zip"), ("--base", RUN)):
        refused = invoke("report", RUN, "--out", out, "--filter", asked, *more)
        assert refused.exit_code == 2
        assert "--filter" in refused.stderr


def test_logs_tell_outcome_attempts_and_evidence_without_touching_the_terminal(out: Path) -> None:
    result = invoke("logs", FIRST, "--out", out)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[:6] == [
        f"{FIRST}: fail: handshake-then-hang",
        "nothing came for 8 s",
        "verdict: known failure",
        f"expected: fail: handshake-then-hang, because {THREAD} (matrix.yaml:41)",
        "cause: it cannot open in place<U+001B>[2J",
        (
            "attempt 1 (first), began 2026-01-02 03:04 UTC:"
            " fail handshake-then-hang, 8.20 s; nothing came for 8 s"
        ),
    ]
    at = lines.index(f"==> cells/{FIRST}/haproxy.log <==")
    assert lines[at + 1] == "<U+001B>[2J<U+009B>1mhostile\ttab"
    assert "(cannot be read: No such file or directory)" in lines
    assert not {"\x1b", "\x9b"} & set(result.stdout)


def test_logs_count_the_attempts_and_say_where_the_others_left_their_evidence(out: Path) -> None:
    *_, judged = (event for event in read(out / RUN / JOURNAL) if isinstance(event, CellJudged))
    (first,) = judged.cell.attempts
    passed = {"outcome": Outcome.PASS, "reason": None, "message": "all well"}
    own = {"number": 2, "why": "repeat 2", "evidence": (f"cells/{FIRST}/attempt-2/h3.json",)}
    second = first.model_copy(update={**passed, **own})
    with Journal(out / RUN / JOURNAL) as journal:
        journal.append(CellJudged(cell=judged.cell.model_copy(update={"attempts": (first, second)})))
    lines = invoke("logs", FIRST, "--out", out).stdout.splitlines()
    assert "attempts: 1 of 2 attempts failed" in lines
    at = lines.index("attempt 2 (repeat 2), began 2026-01-02 03:04 UTC: pass, 8.20 s; all well")
    assert lines[at + 1] == f"  its evidence: cells/{FIRST}/attempt-2/h3.json"


def test_logs_leave_statistics_and_vv_to_all_and_name_them(out: Path) -> None:
    *_, judged = (event for event in read(out / RUN / JOURNAL) if isinstance(event, CellJudged))
    names = ("shell.log", "control.json", "h3.json", "haproxy.cfg", "haproxy.log", "stats.txt")
    paths = tuple(f"cells/{FIRST}/{name}" for name in names)
    for path in paths:
        (out / RUN / path).write_text("x")
    build = judged.cell.build.model_copy(update={"vv": "builds/it.vv.txt"})
    cell = judged.cell.model_copy(update={"evidence": paths, "build": build})
    with Journal(out / RUN / JOURNAL) as journal:
        journal.append(CellJudged(cell=cell))

    def shown(*options: str) -> list[str]:
        lines = invoke("logs", FIRST, "--out", out, *options).stdout.splitlines()
        return [line.split("/")[-1].removesuffix(" <==") for line in lines if line.startswith("==> ")]

    main = ["haproxy.log", "haproxy.cfg", "h3.json", "control.json"]
    assert shown() == main
    left = f"with --all: cells/{FIRST}/shell.log cells/{FIRST}/stats.txt builds/it.vv.txt"
    assert invoke("logs", FIRST, "--out", out).stdout.splitlines()[-1] == left
    assert shown("--all") == [*main, "shell.log", "stats.txt", "it.vv.txt"]


def test_logs_print_of_a_second_run_what_a_person_reads(out: Path) -> None:
    *_, judged = (event for event in read(out / RUN / JOURNAL) if isinstance(event, CellJudged))
    folder = f"cells/{FIRST}/traced"
    made = Traced(
        outcome=Outcome.FAIL,
        reason=judged.cell.reason,
        message="",
        started_at="2026-01-02T03:04:05Z",
        duration_s=8.0,
        negotiated_cipher=None,
        evidence=(f"{folder}/haproxy.log", f"{folder}/capture.pcapng"),
        missing=("the client wrote no TLS keys",),
    )
    (out / RUN / folder).mkdir()
    (out / RUN / folder / "haproxy.log").write_text("packet decryption failed")
    with Journal(out / RUN / JOURNAL) as journal:
        journal.append(CellTraced(cell=FIRST, traced=made))
    text = invoke("logs", FIRST, "--out", out).stdout
    assert text.endswith(
        "traced: a second run, 8.00 s, ended as the first: fail: handshake-then-hang\n"
        "  the client wrote no TLS keys\n\n"
        f"==> {folder}/haproxy.log <==\npacket decryption failed\n\n"
        f"==> {folder}/capture.pcapng <==\n(is for a program, not for a terminal)\n"
    )


def test_logs_say_what_became_of_a_backtrace(out: Path) -> None:
    *_, judged = (event for event in read(out / RUN / JOURNAL) if isinstance(event, CellJudged))
    made = Backtrace(tries=3, signal="", frames=(), symbols="", problem="", evidence=None)
    stopped = {"signal": "SIGSEGV", "frames": ("#0  tls_aead ()",), "symbols": "names alone"}
    found = made.model_copy(update=stopped)
    for backtrace, said in (
        (made, "backtrace: none: it did not crash again under gdb, in 3 tries\n"),
        (found, "after 3 tries; symbols: names alone\n  #0  tls_aead ()\n"),
    ):
        cell = judged.cell.model_copy(update={"backtrace": backtrace})
        with Journal(out / RUN / JOURNAL) as journal:
            journal.append(CellJudged(cell=cell, final=True))
        assert said in invoke("logs", cell.id, "--out", out).stdout


def test_logs_show_no_file_outside_the_runs_folder(out: Path) -> None:
    text = invoke("logs", FIRST, "--out", out).stdout
    assert "==> ../../secret <==\n(lies outside" in text
    assert "not for you" not in text


def test_logs_of_a_cell_that_was_not_judged(out: Path) -> None:
    assert f"{SECOND}: not judged" in invoke("logs", SECOND, "--out", out).stdout


def test_logs_of_an_unknown_cell_name_the_nearest(out: Path) -> None:
    result = invoke("logs", f"{FIRST[:-1]}x", "--run", "latest", "--out", out)
    assert result.exit_code == 2
    assert FIRST in " ".join(result.stderr.split())


def test_reports_in_the_working_directory_are_the_default(out: Path) -> None:
    done = matrixctl("report", "latest", "--format", "markdown", cwd=out.parent)
    assert done.returncode == 0
    assert "handshake-then-hang" in done.stdout
