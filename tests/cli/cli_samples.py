"""A run on disk, made of the real matrix's cells, and the command line, in this process or one of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import chdir
from datetime import date
from pathlib import Path

from click.testing import CliRunner

from orchestrator import resources
from orchestrator.app.first_record import describe_local_host
from orchestrator.cli.main import main
from orchestrator.matrix.expand import expand
from orchestrator.matrix.load import load
from orchestrator.matrix.model import Cell
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.plan.plan import name_build
from orchestrator.record.journal import CellJudged, Journal, RunFinished, RunStarted
from orchestrator.record.model import (
    Attempt,
    Axes,
    Build,
    CellRecord,
    Execution,
    Expected,
    RunInfo,
    RunRecord,
)
from orchestrator.record.settings import Settings

AT = "2026-01-02T03:04:05.678+00:00"
RUN = "20260102-030405-abcd"
NO_ENGINE = "tcp://127.0.0.1:1"
"""Nobody listens there. (docker-py leaves the socket open of a unix: address that is none.)"""
THREAD = "https://github.com/haproxy/haproxy/issues/2569"
ESCAPE = "\x1b[2J\x9b1mhostile\ttab\n"
SETTINGS = Settings(
    folder="/nonexistent/folder",
    today=date(2026, 11, 1),
    matrix=None,
    profile="full",
    filters=(),
    cells=(),
    patches=(),
    sources=(),
    store="store",
    mirrors=(),
    repeat=1,
    jobs=None,
    memory=None,
    fail_fast=False,
    allow_blocked=False,
    challenge_unsupported=False,
    build="cross",
    keep=False,
)
"""The command line of a run, whole."""


def _env(cwd: Path, env: Mapping[str, str] | None) -> dict[str, str]:
    """Without an engine, and with a store of its own."""
    cache = str(cwd / "cache")
    return {"DOCKER_HOST": NO_ENGINE, "XDG_CACHE_HOME": cache, "COLUMNS": "80", **(env or {})}


def matrixctl(
    *args: str, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command in this process, which saves the second that a new one needs to start."""
    with chdir(cwd):
        done = CliRunner(env=_env(cwd, env)).invoke(main, args, prog_name="matrixctl")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert "please report it" not in done.stderr, done.stderr
    return subprocess.CompletedProcess(args, done.exit_code, done.stdout, done.stderr)


def process(*args: str, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The same in a real process."""
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *args],
        cwd=cwd,
        env={**os.environ, **_env(cwd, env)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def cells() -> tuple[Cell, ...]:
    return expand(load(resources.find_root() / "matrix.yaml"))


def a_run(out: Path, run_id: str = RUN) -> RunRecord:
    """Two cells, the first of which fails, with evidence that tries to take over the terminal."""
    folder = out / run_id
    first, second = cells()[:2]
    planned = RunRecord(
        schema_version=3,
        run=RunInfo(
            id=run_id,
            status="running",
            started_at=AT,
            finished_at=None,
            duration_s=None,
            tool_version="0.1",
            matrix_digest="0" * 64,
            profile="full",
            filters=(),
            host=describe_local_host(),
            engine=None,
            planned=2,
            judged=0,
            exit_code=None,
            message="",
        ),
        components=(),
        actions=(),
        cells=tuple(_cell(cell) for cell in (first, second)),
    )
    evidence = f"cells/{first.id}/haproxy.log"
    failed = _cell(first).model_copy(
        update={
            "outcome": Outcome.FAIL,
            "reason": Reason.HANDSHAKE_THEN_HANG,
            "message": "nothing came for 8 s",
            "verdict": Verdict.KNOWN_FAILURE,
            "cause": "it cannot open in place\x1b[2J",
            "expected": Expected(
                outcome=Outcome.FAIL,
                reason=Reason.HANDSHAKE_THEN_HANG,
                cipher=None,
                because=THREAD,
                rule="matrix.yaml:41",
                stale="",
            ),
            "attempts": (
                Attempt(
                    number=1,
                    why="first",
                    outcome=Outcome.FAIL,
                    reason=Reason.HANDSHAKE_THEN_HANG,
                    message="nothing came for 8 s",
                    started_at=AT,
                    duration_s=8.2,
                ),
            ),
            "evidence": (evidence, "../../secret", "cells/gone.log"),
        }
    )
    with Journal(folder / "journal.jsonl") as journal:
        journal.append(RunStarted(record=planned))
        journal.append(CellJudged(cell=failed))
        journal.append(
            RunFinished(status="finished", finished_at=AT, duration_s=9.0, exit_code=1, message="")
        )
    (folder / evidence).parent.mkdir(parents=True)
    (folder / evidence).write_text(ESCAPE)
    (out.parent / "secret").write_text("not for you")
    return planned


def _cell(cell: Cell) -> CellRecord:
    return CellRecord(
        id=cell.id,
        axes=Axes.model_validate(cell.axes),
        outcome=None,
        reason=None,
        message="not judged",
        verdict=Verdict.NOT_JUDGED,
        attempts=(),
        execution=Execution(mode="native", host_arch="amd64", qemu_version=None, cpu_features=()),
        build=Build(name=name_build(cell), digest=None),
        observations=None,
        attestation=None,
        evidence=(),
        duration_s=None,
        reproducer=f"matrixctl run --cell {cell.id}",
    )
