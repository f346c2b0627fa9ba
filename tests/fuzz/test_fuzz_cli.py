"""Command lines: whatever the arguments are, an exit code that docs name, and no traceback."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from fuzzing import Fuzz
from hypothesis import strategies as st
from mutations import near_bytes, near_text, words
from record_samples import cell, record

from orchestrator.cli.main import main
from orchestrator.errors import Exit
from orchestrator.record.journal import Journal, RunStarted

# The docker package leaves the socket open on which nobody took its call.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

RUN = "20260102-030405-abcd"
OPTIONS = (
    "--filter",
    "--profile",
    "--cell",
    "--matrix",
    "--format",
    "--run",
    "--out",
    "--patch",
    "--sources",
)
COMMANDS = ("cells", "capabilities", "report", "logs", "schema", "render", "reproduce", "compare", "nothing")
VALUES = (
    *("quick", "full", "arch=amd64", "tls=openssl*", "haproxy<3.2", "json", "table", "ids", "html", "junit"),
    *(
        "markdown",
        "latest",
        RUN,
        "matrix.yaml",
        "missing.yaml",
        "openssl=fix.diff",
        ".",
        "reports",
        "-h",
        "--",
    ),
)
CODES = {Exit.OK, Exit.FAILED, Exit.USAGE, Exit.NOTHING_SELECTED, Exit.HARNESS}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small matrix, a patch and a run; no engine, and a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "matrix.yaml").write_text(
        "version: 1\naxes:\n  arch: [amd64]\n  haproxy: [3.0.11]\n"
        "  tls: [openssl-3.5.7]\n  cipher: [default]\n"
        "profiles: {quick: {filters: [arch=amd64]}}\n"
    )
    (tmp_path / "fix.diff").write_text("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n")
    with Journal(tmp_path / "reports" / RUN / "journal.jsonl") as journal:
        journal.append(RunStarted(record=record(cell("a"))))
    return tmp_path


def invoked(arguments: list[str]) -> object:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code in CODES, result.output
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert "Traceback" not in result.output
    assert "please report it" not in result.output
    return result.exit_code


def as_given(text: str) -> str:
    """As a process gets it from the kernel: any bytes but a NUL."""
    return os.fsdecode(text.encode("utf-8", "surrogatepass").replace(b"\0", b""))


def test_command_lines(fuzz: Fuzz, here: Path) -> None:
    value = st.one_of(st.sampled_from(VALUES), near_text(*VALUES, edits=2), words())
    value = value.map(as_given)
    option = st.tuples(st.sampled_from(OPTIONS), value).map(list)
    parts = st.lists(st.one_of(option, value.map(lambda one: [one])), max_size=4)
    lines = st.tuples(st.sampled_from(COMMANDS), parts).map(
        lambda given: [given[0], *(word for part in given[1] for word in part)]
    )
    assert here.is_dir()
    fuzz(lines, invoked)


def test_files_of_command_lines(fuzz: Fuzz, here: Path) -> None:
    """The same commands each time, over a matrix and a journal that are nearly right."""
    journal = here / "reports" / RUN / "journal.jsonl"

    def call(given: tuple[bytes, bytes]) -> object:
        (here / "matrix.yaml").write_bytes(given[0])
        journal.write_bytes(given[1])
        return [
            invoked(["cells", "--format", "json"]),
            invoked(["capabilities"]),
            invoked(["report", RUN, "--format", "html"]),
            invoked(["report", RUN, "--format", "markdown"]),
            invoked(["logs", "a", "--run", RUN]),
        ]

    matrix = (here / "matrix.yaml").read_bytes()
    fuzz(st.tuples(near_bytes(matrix, edits=3), near_bytes(journal.read_bytes(), edits=3)), call)
