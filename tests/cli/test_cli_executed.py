"""``run --native-only`` and ``--emulated-only``: which cells are left, and what it says where none is."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cli_samples import matrixctl

from orchestrator.app import running
from orchestrator.app.options import Options
from orchestrator.arch import ARCHES
from orchestrator.cli import run
from orchestrator.errors import UsageError
from orchestrator.matrix.model import Cell
from orchestrator.matrix.select import select_executed

SELECTION = ("--filter", "haproxy=3.0.11", "--filter", "arch=amd64,arm64", "--filter", "client=curl")


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Sequence[Cell], Options]]:
    """The cells and options of each run that was begun, on a machine that is amd64."""
    got: list[tuple[Sequence[Cell], Options]] = []

    def run_matrix(_: Any, cells: Any, *given: Any, **__: Any) -> Any:
        got.append((cells, given[2]))
        raise UsageError("enough")

    engine = SimpleNamespace(cpus=1, describe=lambda: SimpleNamespace(arch="amd64"))
    monkeypatch.setattr(run, "connect", lambda **_: engine)
    monkeypatch.setattr(running, "run_matrix", run_matrix)
    return got


@pytest.mark.parametrize(("option", "arch"), [("--native-only", "amd64"), ("--emulated-only", "arm64")])
def test_only_the_cells_that_run_so_are_left(
    begun: list[Any], tmp_path: Path, option: str, arch: str
) -> None:
    matrixctl("run", *SELECTION, option, cwd=tmp_path)
    ((cells, options),) = begun
    plain = {cell.arch.name for cell in cells if not cell.execution.cpu}
    assert plain == {arch}
    assert any(cell.execution.cpu for cell in cells) == (option == "--emulated-only")
    assert option in options.again, "its reproducers say it"


def test_where_none_is_left_it_says_so(begun: list[Any], tmp_path: Path) -> None:
    done = matrixctl("run", *SELECTION, "--filter", "arch=arm64", "--native-only", cwd=tmp_path)
    assert done.returncode == 3
    assert "--native-only leaves no cell" in done.stderr
    assert "would be run under QEMU" in done.stderr
    assert not begun


def test_a_worker_makes_cells_native(begun: list[Any], tmp_path: Path) -> None:
    matrixctl("run", *SELECTION, cwd=tmp_path)
    ((cells, _),) = begun
    natives = select_executed(cells, "native", ARCHES["amd64"], frozenset({"arm64"}))
    assert {cell.arch.name for cell in natives} == {"amd64", "arm64"}
    assert all(cell.is_emulated_on(ARCHES["amd64"]) for cell in cells if cell not in natives)
