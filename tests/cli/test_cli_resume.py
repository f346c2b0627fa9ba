"""``run --resume``: what may stand beside it, and which runs cannot go on. None of these needs an engine."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from cli_samples import RUN, SETTINGS, a_run, matrixctl
from click.testing import CliRunner, Result

from orchestrator.app import running
from orchestrator.app.options import Options
from orchestrator.cli import run
from orchestrator.cli.main import main
from orchestrator.errors import UsageError
from orchestrator.record.find import read_run
from orchestrator.record.journal import JOURNAL, Journal, RunStarted


def test_a_cell_is_rerun_as_often_as_it_was_probed() -> None:
    """A failure that shows in two attempts of six is not shown by one."""
    assert SETTINGS.model_copy(update={"repeat": 6}).again == ("--repeat", "6")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    a_run(tmp_path / "reports")
    return tmp_path / "reports"


def resume(*args: object) -> Result:
    return CliRunner().invoke(main, ["run", "--resume", *map(str, args)])


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--filter", "arch=arm64"], "--filter"),
        (["--profile", "full"], "--profile"),
        (["--cell", "x", "--matrix", "m.yaml"], "--cell, --matrix"),
        (["--patch", "haproxy=x.diff"], "--patch"),
        (["--repeat", "3"], "--repeat"),
        (["--build", "cross"], "--build"),
        (["--fail-fast", "--allow-blocked", "--challenge-unsupported"], "--allow-blocked, --challenge-unsup"),
    ],
)
def test_what_the_first_command_line_decided_is_refused(out: Path, given: list[str], named: str) -> None:
    result = resume(RUN, "--out", out, *given)
    assert result.exit_code == 2
    assert f"--resume goes with no {named}" in result.stderr


def test_an_unknown_run_names_the_nearest(out: Path) -> None:
    result = resume("20260102-030405-abce", "--out", out)
    assert result.exit_code == 2
    assert RUN in result.stderr


def test_a_run_that_does_not_say_how_it_was_begun_is_refused(out: Path) -> None:
    result = resume("latest", "--out", out)
    assert result.exit_code == 2
    assert "does not say how it was begun" in result.stderr


@pytest.mark.parametrize("content", [b"", b'{"at":"2026-01-'])
def test_a_run_that_died_at_once_is_refused_without_a_traceback(out: Path, content: bytes) -> None:
    (out / RUN / JOURNAL).write_bytes(content)
    result = resume(out / RUN)
    assert result.exit_code == 2
    assert "cut off before its plan was written" in result.stderr


def test_a_folder_that_is_gone_is_named(out: Path) -> None:
    planned = a_run(out, "20260102-030406-0000")
    journal = out / "20260102-030406-0000" / JOURNAL
    journal.unlink()
    with Journal(journal) as file:
        file.append(RunStarted(record=planned, settings=SETTINGS))
    result = resume("latest", "--out", out)
    assert result.exit_code == 2
    assert "/nonexistent/folder, which cannot be entered" in result.stderr


def test_a_damaged_journal_is_told_without_a_traceback(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(out)  # and back again: the command goes where the run was begun
    planned = a_run(out, "20260102-030406-0000")
    journal = out / "20260102-030406-0000" / JOURNAL
    journal.unlink()
    with Journal(journal) as file:
        file.append(RunStarted(record=planned, settings=SETTINGS.model_copy(update={"folder": "/a\0b"})))
    result = resume("latest", "--out", out)
    assert result.exit_code == 2
    assert "20260102-030406-0000 is damaged: " in result.stderr


def test_the_folder_of_the_first_command_is_gone_to(out: Path, tmp_path: Path) -> None:
    """There the matrix is looked for; a bad one is found before anything is asked of the engine."""
    planned = a_run(out, "20260102-030406-0000")
    (tmp_path / "began").mkdir()
    (tmp_path / "began" / "other.yaml").write_text("nonsense: [")
    journal = out / "20260102-030406-0000" / JOURNAL
    journal.unlink()
    began = {"folder": str(tmp_path / "began"), "matrix": "other.yaml"}
    with Journal(journal) as file:
        file.append(RunStarted(record=planned, settings=SETTINGS.model_copy(update=began)))
    result = matrixctl("run", "--resume", "latest", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("matrixctl: other.yaml:")


def test_a_history_lies_where_this_command_line_says_it(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said anew, and so is not looked for where the run was begun."""
    (tmp_path / "began").mkdir()
    (out / RUN / JOURNAL).unlink()
    planned = a_run(out, "20260102-030406-0000")
    journal = out / "20260102-030406-0000" / JOURNAL
    ended = journal.read_bytes().splitlines(keepends=True)[1:]
    journal.unlink()
    with Journal(journal) as file:
        file.append(
            RunStarted(
                record=planned, settings=SETTINGS.model_copy(update={"folder": str(tmp_path / "began")})
            )
        )
    with journal.open("ab") as rest:
        rest.writelines(ended)
    record = read_run(journal.parent)
    monkeypatch.setattr(run, "connect", lambda **_: SimpleNamespace(cpus=1))
    monkeypatch.setattr(running, "run_matrix", lambda *_, **__: (record, journal.parent))
    matrixctl("run", "--resume", "latest", "--history", "h.db", cwd=tmp_path)
    assert not (tmp_path / "began" / "h.db").exists()
    assert record.run.id in matrixctl("history", "list", "--history", "h.db", cwd=tmp_path).stdout


def test_a_rerun_gets_the_options_that_decide_what_a_cell_is_and_where_its_sources_lie() -> None:
    assert SETTINGS.again == ()
    given = {
        "matrix": "m.yaml",
        "patches": ("haproxy=a.diff",),
        "sources": ("own.yaml",),
        "mirrors": ("mirror", "https://mirror.example"),
        "challenge_unsupported": True,
        "build": "emulated",
        "filters": ("arch=arm64",),  # of the cells, not of one
        "jobs": 4,
    }
    assert SETTINGS.model_copy(update=given).again == (
        *(
            "--matrix",
            "m.yaml",
            "--patch",
            "haproxy=a.diff",
            "--build",
            "emulated",
            "--challenge-unsupported",
        ),
        *("--sources", "own.yaml", "--mirror", "mirror", "--mirror", "https://mirror.example"),
    )


def test_the_whole_command_line_is_kept_without_its_passwords(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Options] = []

    def end(*args: object, **_: object) -> None:
        kept.extend(one for one in args if isinstance(one, Options))
        raise UsageError("enough")

    monkeypatch.setattr(run, "connect", lambda **_: SimpleNamespace(cpus=1))
    monkeypatch.setattr(running, "run_matrix", end)
    given = ["--filter", "haproxy<3.2", "--profile", "quick", "--out", str(tmp_path)]
    secret = ["--mirror", "https://me:secret@mirror.example/"]
    result = CliRunner().invoke(main, ["run", *given, *secret])
    assert "enough" in result.stderr
    (options,) = kept
    assert options.settings is not None
    assert options.settings.command == (
        f"matrixctl run --filter 'haproxy<3.2' --profile quick --out {tmp_path}"
        " --mirror 'https://***@mirror.example/'"
    )
