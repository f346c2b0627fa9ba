"""Twelve nights, each a whole run on the engine in memory: what a series goes through.

A fault comes and goes, a cell is flaky, curl's package is updated, wolfSSL moves from 5.7.2 to 5.9.2, and the
matrix grows.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import engine_run
import pytest
from builders import FEATURES, NATIVE_FEATURES, server_line, vv
from engine_run import _ELF, CATALOG, GCM, PACKAGES, EngineRun, Programs, _answered, _hung, chosen, source
from fakes import Files, ran

from orchestrator.app import first_record
from orchestrator.app.history import import_run
from orchestrator.execute.engine.engine import ExecResult
from orchestrator.matrix import banner
from orchestrator.matrix.catalog import Catalog
from orchestrator.matrix.model import Cell
from orchestrator.record.history.history import History
from orchestrator.record.history.place import HistoryPlace

NIGHTS = 12
FAULT = range(5, 9)
"""The nights, from 0, with the fault: each ChaCha20 cell of arm64 hangs."""
FLAKY = {2, 6, 10}
MOVED = 9
"""The first night with wolfSSL 5.9.2."""
CURL = 7
"""The first night with another curl."""
GROWN = 4
"""The first night with arm64's wolfSSL."""
FIRST = datetime(2026, 11, 16, 2, tzinfo=UTC)
_CATALOG = Catalog(
    sources={
        **CATALOG.sources,
        **{("wolfssl", version): source("wolfssl", version) for version in ("5.7.2", "5.9.2")},
    }
)
_NEW_CURL: Mapping[str, Mapping[str, str]] = {
    **PACKAGES,
    "client": {**PACKAGES["client"], "curl": "8.14.1-3"},
}


class _Libraries(Programs):
    """Says of each build that it has the library that it should have."""

    def _build(self, files: Files) -> ExecResult:
        super()._build(files)
        target = "arm64" if b"aarch64-linux-gnu" in b"".join(files.values()) else "amd64"
        marks = (f"/opt/matrixctl/{one.tls.name}/ssl".encode() for one in self.cells)
        files["out/haproxy"] = _ELF[target] + b"\0".join(set(marks))
        return ran()

    def _drive(self, files: Files) -> ExecResult:
        session = json.loads(files["session.json"])
        by_id = {one.id: one for one in self.cells}
        first = by_id[session["cells"][0]["id"]]
        said = banner.spell_banner(first.tls)
        features = NATIVE_FEATURES if first.tls.family == "wolfssl" else FEATURES
        machine = f"{first.arch.arch.machine}\n"
        lines = [server_line(vv=vv(features=features, built=said, running=said), machine=machine)]
        for one in session["cells"]:
            self.probed.append(one["id"])
            hangs = self.fails(one["id"], self.probed.count(one["id"]))
            lines.append((_hung if hangs else _answered)(by_id[one["id"]]))
        return ran(stdout="".join(json.dumps(one) + "\n" for one in lines).encode())


def cells_of(number: int) -> tuple[Cell, ...]:
    """Return the cells of a night."""
    suites = "cipher=*GCM*,*CHACHA*"
    found = list(chosen("arch=amd64,arm64", "tls=openssl-3.5.7", suites))
    wolf = "5.7.2" if number < MOVED else "5.9.2"
    arches = "amd64" if number < GROWN else "amd64,arm64"
    found += chosen(f"arch={arches}", f"tls=wolfssl-{wolf}", suites)
    return tuple(found)


def _fails(number: int) -> Any:
    def fails(cell: str, attempt: int) -> bool:
        if number in FAULT and "arm64" in cell and "CHACHA20" in cell:
            return True
        return number in FLAKY and "amd64" in cell and "openssl" in cell and GCM in cell and attempt in {1, 3}

    return fails


def run_nights(folder: Path, place: HistoryPlace, numbers: Sequence[int] = range(NIGHTS)) -> None:
    """Run the nights below a folder, and import each."""
    with pytest.MonkeyPatch.context() as patch, History(place) as kept:
        patch.setattr(engine_run, "CATALOG", _CATALOG)
        for number in numbers:
            began = FIRST + timedelta(days=number)
            patch.setattr(
                first_record, "utc_now", lambda began=began: began.isoformat(timespec="milliseconds")
            )
            name = f"{began:%Y%m%d-%H%M%S}-{number:04x}"
            EngineRun(
                folder,
                cells_of(number),
                programs=_Libraries(fails=_fails(number)),
                packages=PACKAGES if number < CURL else _NEW_CURL,
                choices={"series": "nightly", "confirm": 3},
                name=name,
            ).go()
            import_run(kept, folder / name)
