"""``run --explain``: what it goes with, and what it prints. The run is played."""

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cli_samples import matrixctl
from rich.console import Console
from samples import quick
from whole_run import PASSED, Bench

from orchestrator.app.options import Exploring
from orchestrator.cli import run
from orchestrator.cli.progress import LiveView, describe
from orchestrator.matrix.model import Cell
from orchestrator.outcome import Outcome, Reason
from orchestrator.probe.judge import Judgement
from orchestrator.record.journal import CellsAsked, RunStarted

SELECTION = ("--filter", "haproxy=3.0.11", "--filter", "arch=amd64,arm64", "--filter", "cipher=*GCM*")


def breaks(cell: Cell) -> Judgement:
    bad = cell.tls.family == "aws-lc" and cell.arch.name == "arm64"
    return Judgement(outcome=Outcome.FAIL, reason=Reason.WRONG_BODY, message="x") if bad else PASSED


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """With what the run was begun."""
    got: dict[str, Any] = {}

    def run_matrix(_: Any, cells: Any, *given: Any, reserve: Any, **__: Any) -> Any:
        options = given[2]
        got.update(cells=cells, reserve=reserve, exploring=options.exploring)
        bench = Bench(tmp_path / "played", cells=cells, judged_as=breaks, exploring=options.exploring)
        bench.reserve = reserve
        return bench.go(), bench.folder / "run"

    monkeypatch.setattr(run, "connect", lambda **_: SimpleNamespace(cpus=1))
    monkeypatch.setattr(run, "running", SimpleNamespace(run_matrix=run_matrix))
    return got


def test_it_ends_with_the_explanation_and_says_how_few_cells_it_took(
    begun: dict[str, Any], tmp_path: Path
) -> None:
    done = matrixctl("run", *SELECTION, "--explain", "--start", "pairwise", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert begun["exploring"] == Exploring(pairwise=True, minutes=None)
    assert "  arch=arm64  tls=aws-lc\n" in done.stdout
    assert begun["reserve"] == ()
    assert f" of {len(begun['cells'])} cells were asked for" in done.stdout


def test_the_rest_of_the_matrix_is_in_reserve(begun: dict[str, Any], tmp_path: Path) -> None:
    matrixctl("run", *SELECTION, "--explain", "--budget-minutes", "3", cwd=tmp_path)
    assert begun["exploring"] == Exploring(pairwise=False, minutes=3.0)
    chosen, reserve = ({cell.id for cell in begun[key]} for key in ("cells", "reserve"))
    assert chosen
    assert len(reserve) > len(chosen)
    assert not chosen & reserve


YAML = """\
version: 1
axes:
  arch: [amd64]
  haproxy:
    - "3.0.11"
    - {name: packaged, version: "3.0.11", prebuilt: haproxy}
    - {name: tree, version: "3.4.6", path: tree}
  tls: [openssl-3.5.7, openssl-distro]
  cipher: [TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384]
"""


def pairs(cells: Iterable[Cell]) -> set[tuple[str, str]]:
    return {(cell.haproxy.name, cell.tls.name) for cell in cells}


def test_the_reserve_has_no_cell_that_a_patch_would_not_reach(begun: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "matrix.yaml").write_text(YAML)
    (tmp_path / "fix.diff").write_text("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-1\n+2\n")
    args = ("--filter", "haproxy=3.0.11", "--filter", "cipher=*128*", "--patch", "openssl-3.5.7=fix.diff")
    done = matrixctl("run", *args, "--explain", cwd=tmp_path)
    assert "is prebuilt" not in done.stderr
    every = pairs([*begun["cells"], *begun["reserve"]])
    assert ("packaged", "openssl-3.5.7") not in every
    assert {("packaged", "openssl-distro"), ("tree", "openssl-3.5.7")} <= every
    assert {bool(cell.tls.patches) for cell in begun["reserve"] if cell.tls.name == "openssl-3.5.7"} == {True}


def test_the_reserve_has_no_cell_without_a_pin(begun: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "matrix.yaml").write_text(YAML)
    args = ("--filter", "haproxy=3.0.11", "--filter", "cipher=*128*")
    pins = matrixctl("github", "matrix", *args, "--pins", "pins.json", cwd=tmp_path)
    assert pins.returncode == 0, pins.stderr
    matrixctl("run", *args, "--pins", "pins.json", "--explain", cwd=tmp_path)
    assert {haproxy for haproxy, _ in pairs(begun["reserve"])} == {"3.0.11"}


def test_without_it_nothing_is_in_reserve(begun: dict[str, Any], tmp_path: Path) -> None:
    done = matrixctl("run", *SELECTION, cwd=tmp_path)
    assert (begun["exploring"], begun["reserve"]) == (None, ())
    assert "were asked for" not in done.stdout


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--start", "pairwise"), "--start and --budget-minutes go with --explain"),
        (("--budget-minutes", "3"), "--start and --budget-minutes go with --explain"),
        (("--explain", "--shard", "1/2"), "--explain goes with no --shard"),
        (("--explain", "--as-bisect"), "--as-bisect judges one"),
    ],
)
def test_what_does_not_go_together_is_a_sentence(args: tuple[str, ...], told: str, tmp_path: Path) -> None:
    done = matrixctl("run", *args, cwd=tmp_path)
    assert done.returncode in {2, 128}
    assert told in done.stderr


def test_a_view_counts_what_is_asked_for_later() -> None:
    record = quick()
    asked = CellsAsked(cells=record.cells[:3], actions=record.actions)
    view = LiveView(2, lambda _kind, _name: 60.0)
    view.listen(RunStarted(record=record))
    view.listen(asked)
    console = Console(width=200)
    with console.capture() as captured:
        console.print(view.live.get_renderable())
    assert "0/5 cells" in captured.get()
    line = describe(asked)
    assert line is not None
    assert line.plain == "asks for 3 cells more"
