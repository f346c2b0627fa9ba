"""What holds for every command: exit codes, no traceback, the nearest name."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import pytest
from cli_samples import matrixctl, process
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError

from orchestrator import resources
from orchestrator.cli.group import Explaining
from orchestrator.cli.main import main
from orchestrator.errors import Exit
from orchestrator.matrix.yamltree import read

COMMANDS = ("cells", "capabilities", "plan", "run", "render", "report", "logs", "doctor", "clean", "schema")
# Half a surrogate pair is no text that a command line can hold.
_ARGUMENT = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
SELECTING = (
    ["cells"],
    ["capabilities"],
    ["plan"],
    ["run"],
    ["render", "--out", "new"],
)


def test_every_command_of_the_contract_is_there() -> None:
    assert set(COMMANDS) <= set(main.commands)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_it_does(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) > 4


@pytest.mark.parametrize("command", SELECTING, ids=lambda command: str(command[0]))
@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--filter", "arc=arm64"], 2, "did you mean 'arch'?"),
        (["--filter", "arch=arm46"], 2, "did you mean 'arm64'?"),
        (["--filter", "nonsense"], 2, "cannot be read"),
        (["--profile", "quik"], 2, "did you mean 'quick'?"),
        (["--cell", "amd64--haproxy-3.0.11--openssl-distro--defalt"], 2, "--default'?"),
        (["--matrix", "nowhere.yaml"], 2, "nowhere.yaml: cannot read the matrix"),
        (["--filter", "haproxy=..2.6"], 3, "the selection matches no cell"),
        (["--filter", "arch=arm64", "--filter", "arch=amd64"], 3, "the selection matches no cell"),
    ],
)
def test_a_bad_selection_is_explained_by_every_command(
    command: list[str], args: list[str], code: int, said: str
) -> None:
    result = CliRunner().invoke(main, [*command, *args])
    assert result.exit_code == code
    assert said in " ".join(result.stderr.split())
    assert result.stdout == ""
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["cells"], 0),
        (["cells", "--filter", "arc=arm64"], 2),
        (["cells", "--filter", "haproxy=..2.6"], 3),
        (["run", "--filter", "arch=arm64"], 4),  # there is no engine
    ],
)
def test_exit_codes_of_the_process(tmp_path: Path, args: list[str], code: int) -> None:
    done = process(*args, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert bool(done.stderr) == bool(code)


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["clean"], 4),
        (["nonsense"], 2),
        (["cells", "--nonsense"], 2),
        (["cells", "--format", "xml"], 2),
        (["plan", "--store", "/proc/nowhere"], 2),
        (["render", "--out", "/proc/nowhere"], 2),
        (["plan", "--sources", "nowhere.yaml"], 2),
    ],
)
def test_what_goes_wrong_is_said_and_has_its_exit_code(tmp_path: Path, args: list[str], code: int) -> None:
    done = matrixctl(*args, cwd=tmp_path)
    assert done.returncode == code
    assert done.stderr


def test_an_unknown_command_names_the_nearest(tmp_path: Path) -> None:
    assert "'render'" in matrixctl("rendr", cwd=tmp_path).stderr


def test_a_matrix_with_faults_shows_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "matrix.yaml").write_text("version: 1\naxes:\n  arch: [arm46]\n  haproxy: [3.10]\n")
    done = matrixctl("cells", cwd=tmp_path)
    assert done.returncode == 2
    assert "matrix.yaml:3:10: " in done.stderr
    assert "matrix.yaml:4:13: " in done.stderr


@settings(
    max_examples=settings().max_examples // 5, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.text(_ARGUMENT, max_size=12), min_size=1, max_size=3))
def test_no_filter_and_no_name_ends_in_a_traceback(words: list[str]) -> None:
    for args in (
        ["cells", *(part for word in words for part in ("--filter", word))],
        ["cells", "--cell", words[0], "--profile", words[-1]],
        ["cells", "--filter", f"haproxy={words[0]}"],
        ["cells", "--matrix", words[0]],
        ["report", "--", words[0]],
        ["logs", "--run", words[-1], "--", words[0]],
        ["--", *words],
    ):
        result = CliRunner().invoke(main, args)
        assert result.exit_code in {0, 2, 3}, (args, result.output)
        assert result.exception is None or isinstance(result.exception, SystemExit), args


def test_a_fault_of_our_own_is_no_regression_and_its_traceback_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.group(cls=Explaining)
    def group() -> None:
        """A command with a fault in it."""

    @group.command()
    def broken() -> None:
        raise RuntimeError("planted at http://user:pa55w0rd@host/")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    result = CliRunner().invoke(group, ["broken"])
    assert result.exit_code == Exit.HARNESS
    assert "please report it" in result.stderr
    (kept,) = tmp_path.rglob("internal-*.txt")
    assert f"It lies in {kept.parent}." in result.stderr
    assert "Traceback" in kept.read_text()
    assert "pa55w0rd" not in kept.read_text() + result.stderr
    assert CliRunner().invoke(group, ["brokn"]).exit_code == Exit.USAGE


STUCK = """
import time
from concurrent.futures import ThreadPoolExecutor
from orchestrator.cli.main import main, process
from orchestrator.errors import RecordError
from orchestrator.execute.schedule.pool import THREADS

@main.command()
def stuck():
    ThreadPoolExecutor(1, thread_name_prefix=THREADS).submit(time.sleep, 60)
    raise RecordError("the disk is full")

process()
"""


def test_an_error_waits_for_no_image_build() -> None:
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", STUCK, "stuck"], capture_output=True, text=True, check=False)
    assert time.monotonic() - began < 30
    assert (done.returncode, done.stderr) == (Exit.HARNESS, "matrixctl: the disk is full\n")


def test_the_schema_of_the_matrix_accepts_ours() -> None:
    schema = json.loads(CliRunner().invoke(main, ["schema"]).stdout)
    Draft202012Validator.check_schema(schema)
    ours = resources.find_root() / "matrix.yaml"
    Draft202012Validator(schema).validate(json.loads(json.dumps(read(ours.read_text()).data)))
    with pytest.raises(ValidationError, match="nonsense"):
        Draft202012Validator(schema).validate({"version": 1, "nonsense": 1})


def test_the_schema_of_a_run() -> None:
    schema = json.loads(CliRunner().invoke(main, ["schema", "--run"]).stdout)
    Draft202012Validator.check_schema(schema)
    assert {"run", "cells", "actions", "components"} <= set(schema["required"])


def test_completion_comes_from_click() -> None:
    asked = {"_MATRIXCTL_COMPLETE": "bash_complete", "COMP_WORDS": "matrixctl re", "COMP_CWORD": "1"}
    result = CliRunner(env=asked).invoke(main, prog_name="matrixctl")
    assert {line.split(",")[1] for line in result.stdout.splitlines()} == {"render", "report", "repro"}
