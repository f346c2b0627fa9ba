"""The command itself, run as a user runs it, and the record that it leaves behind."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from orchestrator import resources
from orchestrator.errors import MatrixctlError
from orchestrator.execute.system import process
from orchestrator.outcome import Outcome
from orchestrator.record.journal import JOURNAL, Event, read
from orchestrator.record.model import RunRecord

_FINE = {Outcome.PASS, Outcome.UNSUPPORTED}


def run(options: Sequence[str], *, store: Path, timeout: float) -> RunRecord:
    """Return the record of ``matrixctl run`` with these options.

    :raises MatrixctlError: see ``run_and_read``.
    """
    return run_and_read(options, store=store, timeout=timeout)[0]


def run_and_read(
    options: Sequence[str], *, store: Path, timeout: float
) -> tuple[RunRecord, tuple[Event, ...]]:
    """Return the record and the journal of ``matrixctl run`` with these options.

    :raises MatrixctlError: if a cell that can be asked for did not pass; its figures would mean nothing.
    """
    with tempfile.TemporaryDirectory() as out:
        program = [str(Path(sys.executable).with_name("matrixctl")), "run", "--quiet"]
        # The matrix that travels with matrixctl, not one that lies in the working directory.
        where = ["--matrix", str(resources.find_root() / "matrix.yaml"), "--store", str(store), "--out", out]
        done = process.run([*program, *where, *options], timeout=timeout)
        found = list(Path(out).glob("*/run.json"))
        record = RunRecord.model_validate_json(found[0].read_bytes()) if found else None
        events = tuple(read(found[0].with_name(JOURNAL))) if found else ()
    failed = [cell for cell in record.cells if cell.outcome not in _FINE] if record else []
    if record is None or failed or done.exit_code != 0:
        said = [f"{cell.id}: {cell.outcome}: {cell.message}" for cell in failed]
        said.append(done.stderr.decode(errors="replace"))
        raise MatrixctlError(
            f"`matrixctl run {' '.join(options)}` did not pass.",
            details="\n".join(said),
            resolution="Run it by hand; there is nothing to measure before it passes.",
        )
    return record, events
