import os
import sys
import time
from pathlib import Path

import pytest

from orchestrator.errors import DeadlineError, MatrixctlError
from orchestrator.execute.system import process


def alive(pid: int) -> bool:
    """Whether the process still runs; one that was killed may need a moment, and a zombie is dead."""
    until = time.monotonic() + 5
    while running(pid):
        if time.monotonic() > until:
            return True
        time.sleep(0.02)
    return False


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_output_and_exit_code_come_back_apart() -> None:
    done = process.run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=10)
    assert done == process.Completed(exit_code=3, stdout=b"out\n", stderr=b"err\n")


def test_stdin_is_empty() -> None:
    assert process.run(["cat"], timeout=10).stdout == b""


def test_the_environment_is_exactly_what_was_given() -> None:
    assert process.run(["/usr/bin/env"], timeout=10, env={"ONLY": "this"}).stdout == b"ONLY=this\n"


def test_a_signal_shows_as_a_negative_exit_code() -> None:
    assert process.run(["sh", "-c", "kill -SEGV $$"], timeout=10).exit_code == -11


def test_the_deadline_ends_the_whole_group(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    started = time.monotonic()
    with pytest.raises(DeadlineError, match=r"did not end within 1 s"):
        process.run(["sh", "-c", f"sleep 60 & echo $! > {pid_file}; wait"], timeout=1)
    assert time.monotonic() - started < 30, "it waited for the sleep"
    assert not alive(int(pid_file.read_text()))


def test_a_program_that_ignores_term_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(process, "GRACE", 0.3)
    pid_file = tmp_path / "pid"
    stubborn = f"trap '' TERM; echo $$ > {pid_file}; while :; do sleep 1; done"
    with pytest.raises(DeadlineError):
        process.run(["sh", "-c", stubborn], timeout=1)
    assert not alive(int(pid_file.read_text()))


def test_a_missing_program_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MatrixctlError) as caught:
        process.run(["mmdebstrap"], timeout=1)
    assert str(caught.value) == (
        "the program `mmdebstrap` is not installed\nRun: apt-get install --no-install-recommends mmdebstrap"
    )


def test_a_detached_program_has_a_session_of_its_own_and_writes_to_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = "import os; print(os.getsid(0) == os.getpid(), flush=True)"
    pid = process.spawn_detached([sys.executable, "-c", code], log)
    os.waitpid(pid, 0)
    assert log.read_text() == "True\n"
