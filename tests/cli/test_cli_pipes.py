"""The program that reads what a command prints ends first: `matrixctl run | head`."""

import os
import subprocess
import sys
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path

import pytest
from cli_samples import NO_ENGINE
from record_samples import AT, action

from orchestrator.cli.pipes import Answer, silence
from orchestrator.cli.progress import JsonLines
from orchestrator.errors import Exit
from orchestrator.record.journal import ActionChanged


def piped(cwd: Path, line: str) -> tuple[int, str]:
    """The exit code of matrixctl before a pipe whose reader ends at once, and what was said elsewhere."""
    env = {**os.environ, "DOCKER_HOST": NO_ENGINE, "XDG_CACHE_HOME": str(cwd / "cache")}
    call = f'{{ sleep 0.2; exec {sys.executable} -m orchestrator {line}; }} | true; echo "${{PIPESTATUS[0]}}"'
    done = subprocess.run(
        ["bash", "-c", call], cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=True
    )
    return int(done.stdout), done.stderr


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("run --profile quick 2>&1", Exit.HARNESS),
        ("run --profile quick --json 2>&1", Exit.HARNESS),
        ("run --no-such-option 2>&1", 141),
        ("doctor", 141),
        ("--help", 141),
    ],
)
def test_a_closed_pipe_is_never_a_regression(tmp_path: Path, line: str, code: int) -> None:
    assert piped(tmp_path, line) == (code, "")


@pytest.fixture
def broken() -> Iterator[TextIOWrapper]:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        yield stream
        silence(stream)


def test_events_without_a_reader_cost_no_run(broken: TextIOWrapper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", broken)
    for status in ("running", "succeeded"):
        JsonLines().listen(ActionChanged(at=AT, action=action(status)))


def test_an_answer_without_a_reader_is_not_made_to_the_end(broken: TextIOWrapper) -> None:
    with pytest.raises(BrokenPipeError):
        Answer(file=broken).print("line")
