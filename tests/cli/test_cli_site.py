"""``matrixctl site``: what it prints, and what it refuses."""

import errno
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from samples import mixed

from orchestrator.app.history import add_run
from orchestrator.atomic_files import replace_bytes
from orchestrator.cli.main import main
from orchestrator.errors import Exit
from orchestrator.record.history.history import History
from orchestrator.record.history.place import parse_place
from orchestrator.site import write


def invoke(*args: str | Path) -> Result:
    return CliRunner().invoke(main, ["site", *map(str, args)])


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """A history of two nights of one series, and of a run by hand."""
    folder = tmp_path / "reports"
    with History(parse_place(str(folder / "history.db"))) as kept:
        for day, series in ((20, "nightly"), (21, "nightly"), (22, "")):
            run = {
                "series": series,
                "id": f"202611{day}-020000-0001",
                "started_at": f"2026-11-{day}T02:00:00Z",
            }
            record = mixed()
            record = record.model_copy(update={"run": record.run.model_copy(update=run)})
            add_run(kept, record)
    return folder


def test_it_says_what_was_written_and_the_second_time_that_nothing_was(reports: Path, tmp_path: Path) -> None:
    out = tmp_path / "public"
    first = invoke("--out", out, "--reports", reports)
    assert first.exit_code == Exit.OK, first.output
    assert first.stdout.startswith(f"{out / 'index.html'}: ")
    assert first.stdout.endswith(" written, 0 removed\n")
    again = invoke("--out", out, "--history", reports / "history.db")
    assert "; 0 written, 0 removed" in again.stdout
    assert "20261122" not in (out / "compare.html").read_text(), "a run by hand is nobody's yesterday"


def test_runs_by_hand_can_be_asked_for(reports: Path, tmp_path: Path) -> None:
    done = invoke("--out", tmp_path / "public", "--reports", reports, "--series", "")
    assert done.exit_code == Exit.OK, done.output
    assert "It is the first night of the series" in (tmp_path / "public" / "index.html").read_text()


def test_what_cannot_be_shown_is_a_sentence(reports: Path, tmp_path: Path) -> None:
    missing = invoke("--out", tmp_path / "public", "--reports", tmp_path / "nowhere")
    assert missing.exit_code == Exit.USAGE
    assert "there is no history" in missing.stderr
    series = invoke("--out", tmp_path / "public", "--reports", reports, "--series", "weekly")
    assert series.exit_code == Exit.USAGE
    assert "has no run of the series weekly" in series.stderr
    assert not (tmp_path / "public").exists()
    bad = invoke("--out", tmp_path / "public", "--reports", reports, "--series", "../x")
    assert bad.exit_code == Exit.USAGE
    assert "is no name of a series" in bad.stderr


def test_a_folder_of_somebody_else_is_left_alone(reports: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("x")
    done = invoke("--out", home, "--reports", reports)
    assert done.exit_code == Exit.USAGE
    assert "no site that matrixctl wrote" in done.stderr
    assert [path.name for path in home.iterdir()] == ["thesis.txt"]


def test_several_series_want_one_named(reports: Path, tmp_path: Path) -> None:
    record = mixed()
    run = {"series": "weekly", "id": "20261123-020000-0001"}
    record = record.model_copy(update={"run": record.run.model_copy(update=run)})
    with History(parse_place(str(reports / "history.db"))) as kept:
        add_run(kept, record)
    done = invoke("--out", tmp_path / "public", "--reports", reports)
    assert done.exit_code == Exit.USAGE
    assert "--series" in done.stderr


def test_a_full_disk_is_a_sentence_and_the_next_time_completes_it(
    reports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = ("--out", tmp_path / "public", "--reports", reports, "--series", "nightly")
    out: list[Path] = []

    def fill(path: Path, content: bytes) -> None:
        if path.suffix == ".html" and len(out) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        out.append(path)
        replace_bytes(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(write, "replace_bytes", fill)
        done = invoke(*places)
    assert done.exit_code == Exit.HARNESS
    assert f"the site in {tmp_path / 'public'} could not be written to its end: No space left" in done.stderr
    assert out
    assert invoke(*places).exit_code == Exit.OK
    assert " 0 written" in invoke(*places).stdout
