"""matrixctl as it is, on an engine in memory: `.venv/bin/matrixctl` of the jobs that need no container.

What breaks is said by the tree that is tested: each line of its file `breaks` is a part of the ids of cells.
Their requests hang. Where it has a file `no-engine`, there is none. The images of a
machine stand in a file at home.
"""

# ruff: noqa: E402 - nothing but this file says where the fakes lie
import pickle
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

if sys.argv[1:2] == ["doctor"]:  # this machine lacks nothing; nobody has to wait for imports
    sys.exit(0)

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / name) for name in (".", "app", "plan", "probe")]

import engine_run
from fake_host import FakeHost
from fakes import FakeEngine

from orchestrator.app import running
from orchestrator.arch import ARCHES
from orchestrator.cli import common, run, store
from orchestrator.cli.main import process
from orchestrator.errors import EngineError
from orchestrator.probe.certificates import Certificates

_BREAKS = Path("breaks")
_IMAGES = Path.home() / ".played-images"


def _fails(cell: str, _number: int) -> bool:
    return _BREAKS.exists() and any(part in cell for part in _BREAKS.read_text().split())


_PROGRAMS = engine_run.Programs(fails=_fails)
_RUN_MATRIX = running.run_matrix


def _connect(**_: object) -> FakeEngine:
    if Path("no-engine").exists():
        raise EngineError("no container engine answers")
    engine = FakeEngine(_PROGRAMS, packages=engine_run.PACKAGES)
    if _IMAGES.exists():
        engine.images = pickle.loads(_IMAGES.read_bytes())
    return engine


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
        done = _RUN_MATRIX(matrix, cells, engine_run.CATALOG, engine, options, **others)
    _IMAGES.write_bytes(pickle.dumps(engine.images))
    return done


if __name__ == "__main__":
    for module, name, stand_in in (
        (running, "run_matrix", _run_matrix),
        (run, "connect", _connect),
        (store, "find_engine", lambda: (_connect(), ARCHES["amd64"])),
        (common, "read_catalog", lambda _: engine_run.CATALOG),
    ):
        assert name in vars(module), f"{module.__name__} has no {name} to stand in for"
        vars(module)[name] = stand_in
    process()
