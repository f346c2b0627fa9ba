"""``run --as-bisect``: what ``git bisect run`` takes each end of a run for. The run is played."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cli_samples import cells, matrixctl, process
from whole_run import PASSED, Bench

from orchestrator.app import running
from orchestrator.cli import run
from orchestrator.errors import EngineError
from orchestrator.matrix.model import Cell
from orchestrator.outcome import REASONS, Reason
from orchestrator.probe.judge import Judgement

CELL = next(one.id for one in cells() if one.haproxy.version == "3.0.11")
BROKEN = next(one.id for one in cells() if one.haproxy.version == "2.8.9" and "CHACHA" in one.id)
"""A rule expects it to fail."""


def judged(reason: Reason | None) -> Judgement:
    if reason is None:
        return PASSED
    return Judgement(outcome=REASONS[reason].outcome, reason=reason, message="as it was played")


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run one step whose attempts end so; the exit code."""

    def go(*reasons: Reason | BaseException | None, args: tuple[str, ...] = (), cell: str = CELL) -> int:
        left = list(reasons)

        def judged_as(_: Cell) -> Judgement:
            end = left.pop(0)
            if isinstance(end, BaseException):
                raise end
            return judged(end)

        bench = Bench(tmp_path / str(len(list(tmp_path.iterdir()))), judged_as=judged_as, repeat=len(reasons))

        def run_matrix(matrix: Any, chosen: Any, *given: Any, **_: Any) -> Any:
            del matrix, given
            bench.cells = chosen
            return bench.go(), bench.folder / "run"

        monkeypatch.setattr(run, "connect", lambda **_: SimpleNamespace(cpus=1))
        monkeypatch.setattr(run, "running", SimpleNamespace(run_matrix=run_matrix))
        return matrixctl("run", "--cell", cell, "--as-bisect", *args, cwd=tmp_path).returncode

    return go


HANG = Reason.HANDSHAKE_THEN_HANG


@pytest.mark.parametrize(
    ("reasons", "args", "code"),
    [
        ((None,), (), 0),
        ((HANG,), (), 1),
        ((HANG,), ("--reason", "handshake-then-hang"), 1),
        ((HANG,), ("--reason", "server-crashed"), 125),
        ((HANG, None), (), 125),
        ((Reason.BUILD_FAILED,), (), 125),
        ((Reason.WRONG_ARCH,), (), 125),
        ((Reason.SOURCE_UNREACHABLE,), (), 128),
        ((Reason.EXHAUSTED,), (), 128),
        ((Reason.DEADLINE,), (), 125),
        ((Reason.ENGINE_UNAVAILABLE,), (), 128),
    ],
)
def test_each_end_is_a_code_that_git_understands(
    step: Any, reasons: tuple[Reason | None, ...], args: tuple[str, ...], code: int
) -> None:
    assert step(*reasons, args=args) == code


def test_a_failure_that_a_rule_expects_is_bad_and_a_pass_that_none_expects_is_good(step: Any) -> None:
    assert step(HANG, cell=BROKEN) == 1
    assert step(None, cell=BROKEN) == 0


def test_what_is_declared_impossible_cannot_be_told(step: Any) -> None:
    names = (one.id for one in cells() if one.client.name == "curl")
    impossible = next(name for name in names if name.endswith("CCM_SHA256"))
    assert step(None, cell=impossible) == 125


@pytest.mark.parametrize(
    "args",
    [
        ("--no-such-option",),
        ("--cell", "no-such-cell"),
        ("--filter", "arch=amd64"),
        ("--filter", "arch=vax"),
        ("--cell", CELL, "--reason", "nonsense"),
        ("--cell", CELL, "--repeat", "none"),
        ("--cell", CELL, "--matrix", "missing.yaml"),
        ("--cell", CELL, "--store", "/proc/none/store"),
    ],
)
def test_what_says_nothing_of_the_commit_ends_the_bisection(args: tuple[str, ...], tmp_path: Path) -> None:
    assert matrixctl("run", "--as-bisect", *args, cwd=tmp_path).returncode >= 128


@pytest.mark.parametrize(
    "args",
    [
        ("--nope", "run", "--as-bisect"),
        ("--nope", "run", "--cell", CELL, "--as-bisect"),
        ("run", "--as-bisect=1", "--cell", CELL),
        ("run", "--nope", "--cell", CELL, "--as-bisect"),
        ("rum", "--cell", CELL, "--as-bisect"),
    ],
)
def test_a_command_line_that_is_wrong_anywhere_ends_the_bisection(
    args: tuple[str, ...], tmp_path: Path
) -> None:
    assert process(*args, cwd=tmp_path).returncode == 128


def test_the_process_itself_ends_so(tmp_path: Path) -> None:
    done = process("run", "--cell", CELL, "--as-bisect", cwd=tmp_path)  # there is no engine
    assert (done.returncode, "Traceback" in done.stderr) == (128, False)


def test_without_it_the_codes_are_as_ever(tmp_path: Path) -> None:
    assert matrixctl("run", "--cell", "no-such-cell", cwd=tmp_path).returncode in {2, 3}
    assert matrixctl("run", "--no-such-option", cwd=tmp_path).returncode == 2


def test_an_interrupted_run_is_no_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "connect", lambda **_: SimpleNamespace(cpus=1))
    monkeypatch.setattr(running, "run_matrix", interrupted)
    assert matrixctl("run", "--cell", CELL, "--as-bisect", cwd=tmp_path).returncode == 130


def test_an_engine_that_refuses_is_no_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(**_: Any) -> Any:
        raise EngineError("it refuses")

    monkeypatch.setattr(run, "connect", refuse)
    done = matrixctl("run", "--cell", CELL, "--as-bisect", cwd=tmp_path)
    assert (done.returncode, "it refuses" in done.stderr) == (128, True)


def test_more_than_one_cell_is_refused_with_a_sentence(tmp_path: Path) -> None:
    done = matrixctl("run", "--filter", "tls=openssl-distro", "--as-bisect", cwd=tmp_path)
    assert done.returncode == 128
    assert "--as-bisect judges one cell, and " in done.stderr
    assert "Name one with --cell ID" in done.stderr


def test_a_reason_alone_is_refused(tmp_path: Path) -> None:
    done = matrixctl("run", "--cell", CELL, "--reason", "server-crashed", cwd=tmp_path)
    assert (done.returncode, "--reason goes with --as-bisect" in done.stderr) == (2, True)
