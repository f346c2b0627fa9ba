"""``run --failed-of``: the cells of a run that were not as expected, again; and the last lines of a run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cli_samples import RUN, SETTINGS, a_run, cells, matrixctl

from orchestrator.app import running
from orchestrator.cli import run
from orchestrator.cli.progress import ProgressLines
from orchestrator.outcome import Verdict
from orchestrator.record.find import read_run
from orchestrator.record.journal import JOURNAL, ActionChanged, CellJudged, Journal, RunStarted, read
from orchestrator.record.model import ActionRecord, RunRecord
from orchestrator.record.settings import Settings


class Asked:
    """What the command asks of the run; the run itself does nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cells: list[str] = []
        self.settings: Settings = SETTINGS

    def run(self, _: object, chosen: Any, __: object, ___: object, options: Any, **____: object) -> Any:
        self.cells = [cell.id for cell in chosen]
        self.settings = options.settings
        return read_run(self.folder), self.folder


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Two cells were run from a folder of its own: one fails as documented, the other was not judged."""
    (tmp_path / "began").mkdir()
    (tmp_path / "began" / "own.yaml").write_text("version: 1\ncomponents: {}\n")
    a_run(tmp_path / "reports")
    settings = SETTINGS.model_copy(
        update={
            "folder": str(tmp_path / "began"),
            "sources": ("own.yaml",),
            "challenge_unsupported": True,
            "store": str(tmp_path / "store"),
        }
    )
    begin(tmp_path / "reports" / RUN, settings)
    made = Asked(tmp_path / "reports" / RUN)
    monkeypatch.setattr(run, "connect", lambda **_: SimpleNamespace(cpus=1))
    monkeypatch.setattr(running, "run_matrix", made.run)
    return made


def begin(folder: Path, settings: Settings) -> None:
    """Write the journal anew, with the settings in its first event."""
    first, *others = read(folder / JOURNAL)
    assert isinstance(first, RunStarted)
    (folder / JOURNAL).unlink()
    with Journal(folder / JOURNAL) as file:
        for event in (first.model_copy(update={"settings": settings}), *others):
            file.append(event)


def test_the_cells_that_were_not_as_expected_run_again(asked: Asked, tmp_path: Path) -> None:
    matrixctl("run", "--failed-of", "latest", "--repeat", "20", cwd=tmp_path)
    second = cells()[1].id
    assert asked.cells == [second]
    there = asked.settings
    assert (there.failed_of, there.cells, there.repeat) == (RUN, (second,), 20)
    assert there.sources == (str(tmp_path / "began" / "own.yaml"),)
    assert (there.store, there.challenge_unsupported) == (str(tmp_path / "store"), True)


def test_what_is_given_anew_counts(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("version: 1\ncomponents: {}\n")
    matrixctl("run", "--failed-of", RUN, "--sources", "other.yaml", "--store", "mine", cwd=tmp_path)
    assert asked.settings.sources == ("other.yaml",)
    assert asked.settings.store == str(tmp_path / "mine")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--filter", "arch=arm64", "--profile", "full"], "--filter, --profile"),
        (["--cell", "x"], "--cell"),
        (["--explain"], "--explain"),
    ],
)
def test_nothing_else_chooses_cells(asked: Asked, tmp_path: Path, given: list[str], named: str) -> None:
    done = matrixctl("run", "--failed-of", "latest", *given, cwd=tmp_path)
    assert done.returncode == 2
    assert f"--failed-of goes with no {named}:" in done.stderr
    assert asked.cells == []


def test_a_run_that_was_as_expected_leaves_nothing_to_do(asked: Asked, tmp_path: Path) -> None:
    (first, *_) = read_run(asked.folder).cells
    *_, second = read_run(asked.folder).cells
    alike = first.model_copy(update={"id": second.id, "axes": second.axes, "verdict": Verdict.KNOWN_FAILURE})
    with Journal(asked.folder / JOURNAL) as file:
        file.append(CellJudged(cell=alike))
    done = matrixctl("run", "--failed-of", "latest", cwd=tmp_path)
    assert done.returncode == 3
    assert f"each cell of the run {RUN} was as expected" in done.stderr


def test_a_run_that_does_not_say_how_it_was_begun_is_refused(asked: Asked, tmp_path: Path) -> None:
    a_run(tmp_path / "reports", "20260103-030405-abcd")
    done = matrixctl("run", "--failed-of", "latest", cwd=tmp_path)
    assert done.returncode == 2
    assert "does not say how it was begun, and so cannot be run again" in " ".join(done.stderr.split())
    assert asked.cells == []


def action(kind: str, name: str) -> ActionChanged:
    record = ActionRecord(
        kind=kind, name=name, digest=None, status="cached", duration_s=None, log=None, message=""
    )
    return ActionChanged(action=record)


def ended(tmp_path: Path, status: str) -> tuple[RunRecord, Path]:
    a_run(tmp_path / "reports")
    record = read_run(tmp_path / "reports" / RUN)
    ended_so = record.run.model_copy(update={"status": status})
    return record.model_copy(update={"run": ended_so}), tmp_path / "reports" / RUN


def test_all_that_is_cached_has_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    view = ProgressLines()
    for kind, name in (("source", "a"), ("image", "b"), ("source", "c"), ("haproxy", "d")):
        view.listen(action(kind, name))
    view.show_end(*ended(tmp_path, "finished"))
    err = capsys.readouterr().err
    told = [line for line in err.splitlines() if line.startswith("cached")]
    assert told == ["cached    4 actions: haproxy 1, image 1, source 2"]


def test_a_run_that_was_interrupted_ends_with_the_command_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ProgressLines().show_end(*ended(tmp_path, "interrupted"))
    assert f"\nGo on with: matrixctl run --resume {RUN}\n" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path / "reports")
    ProgressLines().show_end(*ended(tmp_path / "2", "interrupted"))
    err = capsys.readouterr().err
    assert f"\nGo on with: matrixctl run --resume {RUN} --reports {tmp_path / '2' / 'reports'}\n" in err
    ProgressLines().show_end(*ended(tmp_path / "3", "finished"))
    assert "Go on with" not in capsys.readouterr().err
