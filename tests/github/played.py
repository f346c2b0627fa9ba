"""matrixctl as it is, on an engine in memory: `.venv/bin/matrixctl` of the jobs that need no container.

What breaks is said by the tree that is tested: each line of its file `breaks` is a part of the ids of cells.
Their requests hang. Where it has a file `no-engine`, there is none.
"""

# ruff: noqa: E402 - nothing but this file says where the fakes lie
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / name) for name in (".", "app", "plan", "probe")]

import engine_run
from fake_host import FakeHost
from fakes import FakeEngine

from orchestrator import app
from orchestrator.cli import clean, run
from orchestrator.cli.main import process
from orchestrator.errors import EngineError
from orchestrator.probe.certificates import Certificates

_BREAKS = Path("breaks")


def _fails(cell: str, _number: int) -> bool:
    return _BREAKS.exists() and any(part in cell for part in _BREAKS.read_text().split())


_PROGRAMS = engine_run.Programs(fails=_fails)
_RUN_MATRIX = app.run_matrix


def _connect(**_: object) -> FakeEngine:
    if Path("no-engine").exists():
        raise EngineError("no container engine answers")
    return FakeEngine(_PROGRAMS, packages=engine_run.PACKAGES)


def _run_matrix(matrix: Any, cells: Any, _catalog: Any, engine: Any, options: Any, **others: Any) -> Any:
    _PROGRAMS.cells = cells
    with tempfile.TemporaryDirectory() as mirror:
        for one in engine_run.CATALOG.sources.values():
            (Path(mirror) / one.file).write_bytes(engine_run.TARBALL)
        options = replace(
            options,
            mirrors=(mirror,),
            memory=1 << 34,
            certificates=lambda: Certificates(ca=b"", server=b""),
            here=FakeHost(),
        )
        return _RUN_MATRIX(matrix, cells, engine_run.CATALOG, engine, options, **others)


if __name__ == "__main__":
    if sys.argv[1] == "doctor":  # this machine lacks nothing
        sys.exit(0)
    vars(app)["run_matrix"] = _run_matrix
    vars(run)["connect"] = vars(clean)["connect"] = _connect
    process()
