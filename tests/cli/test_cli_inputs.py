"""A cell's rerun command: it reads the files that its run was begun with, whichever folder it is typed in."""

import shlex
from pathlib import Path

import pytest
from cli_samples import SETTINGS, matrixctl
from engine_run import GCM, EngineRun, chosen

from orchestrator import resources
from orchestrator.app.inputs import follow, keep_inputs
from orchestrator.app.output import write_reports
from orchestrator.matrix.load import load
from orchestrator.matrix.pins import Pin, Pins, read_pins
from orchestrator.record.recorder import Recorder
from orchestrator.record.settings import Settings

MATRIX = """\
version: 1
axes:
  arch: [amd64]
  haproxy: ["3.0.11"]
  tls: [openssl-3.5.7]
  cipher: [default]
"""
SOURCES = """\
version: 1
components:
  haproxy:
    "3.0.11":
      file: haproxy-3.0.11.tar.gz
      sha256: "{digest}"
      origins: [https://sources.example/haproxy-3.0.11.tar.gz]
"""
CELL = "amd64--haproxy-3.0.11--openssl-3.5.7--default"


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where a run was begun, with its matrix and sources."""
    folder = tmp_path / "typed"
    folder.mkdir()
    (folder / "mine.yaml").write_text(MATRIX)
    (folder / "own.yaml").write_text(SOURCES.format(digest="0" * 64))
    monkeypatch.chdir(folder)
    return folder


def kept(folder: Path, settings: Settings) -> tuple[str, ...]:
    folder.mkdir(exist_ok=True)
    recorder = Recorder(folder, listen=lambda _: None, finish=write_reports)
    return keep_inputs(recorder, load(Path(settings.matrix or "")), settings)


def test_matrix_and_sources_are_copied_and_the_copies_are_named(typed: Path, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(
        update={"matrix": "mine.yaml", "sources": ("own.yaml",), "mirrors": ("m",)}
    )
    run = tmp_path / "run"
    options = kept(run, settings)
    assert options == (
        *("--matrix", str(run / "inputs" / "mine.yaml")),
        *("--sources", str(run / "inputs" / "sources-1.yaml")),
        *("--mirror", str(typed / "m")),
    )
    (typed / "mine.yaml").unlink()
    (typed / "own.yaml").unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = matrixctl("plan", *options, "--cell", CELL, cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert CELL in matrixctl("cells", *options[:2], "--cell", CELL, "--format", "ids", cwd=elsewhere).stdout


def test_a_run_that_goes_on_keeps_what_it_was_begun_with(typed: Path, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"matrix": "mine.yaml", "sources": ("own.yaml",)})
    first = kept(tmp_path / "run", settings)
    (typed / "own.yaml").write_text(SOURCES.format(digest="1" * 64))
    assert kept(tmp_path / "run", settings) == first
    assert "0" * 64 in (tmp_path / "run" / "inputs" / "sources-1.yaml").read_text()


def test_pins_are_kept_as_they_were_read_and_the_copy_is_named(typed: Path, tmp_path: Path) -> None:
    matrix = load(typed / "mine.yaml")
    pin = Pin(component="haproxy", kind="git", where="upstream", ref="master", at="a" * 40)
    pins = Pins(matrix=matrix.digest, pins=(pin,))
    (typed / "pins.json").write_text("it was written anew since")
    given = {"matrix": "mine.yaml", "pins_file": str(typed / "pins.json"), "pins": pins}
    options = kept(tmp_path / "run", SETTINGS.model_copy(update=given))
    copy = tmp_path / "run" / "inputs" / "pins.json"
    assert options[-2:] == ("--pins", str(copy))
    assert read_pins(copy) == pins
    (typed / "pins.json").unlink()
    done = matrixctl("plan", *options, "--cell", CELL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_matrix_that_names_trees_beside_it_is_named_where_it_lies(typed: Path, tmp_path: Path) -> None:
    """A copy of it would look for them in the run's folder."""
    (typed / "tree").mkdir()
    (typed / "mine.yaml").write_text(MATRIX.replace('"3.0.11"', "{name: mine, path: tree, version: 3.0.11}"))
    settings = SETTINGS.model_copy(update={"matrix": "mine.yaml"})
    assert kept(tmp_path / "run", settings) == ("--matrix", str(typed / "mine.yaml"))


def test_the_matrix_that_comes_with_matrixctl_needs_no_copy(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"matrix": str(resources.find_root() / "matrix.yaml")})
    assert kept(tmp_path / "run", settings) == ()


def test_a_run_tells_the_command_of_each_cell(typed: Path, tmp_path: Path) -> None:
    cells = chosen("arch=amd64", "tls=openssl-3.5.7", f"cipher={GCM}")
    settings = SETTINGS.model_copy(update={"sources": ("own.yaml",), "patches": ()})
    (cell,) = EngineRun(tmp_path, cells, choices={"settings": settings}).go().cells
    copy = tmp_path / "run" / "inputs" / "sources-1.yaml"
    assert copy.read_text() == (typed / "own.yaml").read_text()
    assert shlex.split(cell.reproducer) == ["matrixctl", "run", "--sources", str(copy), "--cell", cell.id]


@pytest.mark.parametrize(
    ("command", "now"),
    [
        ("matrixctl run --cell x", "matrixctl run --cell x"),
        (
            "matrixctl run --matrix /a/RUN/inputs/m.yaml --patch 'haproxy=/a b/RUN/patches/x.diff' --cell x",
            "matrixctl run --matrix /out/inputs/m.yaml --patch haproxy=/out/patches/x.diff --cell x",
        ),
        ("matrixctl run --matrix /a/OTHER/inputs/m.yaml", "matrixctl run --matrix /a/OTHER/inputs/m.yaml"),
        ("not 'a command", "not 'a command"),
    ],
)
def test_a_run_that_becomes_part_of_another_takes_its_files_along(command: str, now: str) -> None:
    assert follow(command, "RUN", Path("/out")) == now
