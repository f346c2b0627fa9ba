"""The results of a run's AEAD self-tests, and the failures that they explain."""

import logging
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from orchestrator import unexpected_error
from orchestrator.atomic_files import write_atomically
from orchestrator.errors import RecordError
from orchestrator.matrix import capabilities
from orchestrator.matrix.model import Cell
from orchestrator.plan.plan import name_build
from orchestrator.probe import selftest
from orchestrator.probe.session import Raw
from orchestrator.record import journal
from orchestrator.record.model import CellRecord, SelfTest
from orchestrator.record.recorder import Recorder

_log = logging.getLogger(__name__)

_FOLDER = "selftests"


@dataclass(kw_only=True)
class SelfTests:
    """One result per library, architecture and CPU, whatever the number of builds. Safe for threads.

    A fault in reading a self-test costs no cell its verdict, and no session its end: it is logged.
    """

    recorder: Recorder
    _known: dict[tuple[str, str, str], SelfTest] = field(default_factory=dict)
    _broken: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def remember(self, tests: Iterable[SelfTest]) -> None:
        """Take the results of an earlier part of the run."""
        with self._lock:
            self._known |= {(test.tls, test.arch, test.execution): test for test in tests}

    def record_output(self, cells: Sequence[Cell], raw: Raw) -> None:
        """Read the output of the self-test of the cells' build, and keep it beside the report."""
        with self._faults_logged():
            self._read(cells, raw)

    def record_missing(self, cells: Sequence[Cell], why: str, evidence: tuple[str, ...]) -> None:
        """Write down that the library of these cells has no result, since the self-test did not compile."""
        with self._faults_logged(), self._lock:
            for cell in {_make_key(cell): cell for cell in cells}.values():
                update = {"problem": why, "evidence": evidence}
                self._record(_make_blank(cell).model_copy(update=update), name_build(cell))

    def explain(self, record: CellRecord) -> CellRecord:
        """Return the cell with the cause that its library's self-test gives for its failure, or with none."""
        try:
            cause = self._find_cause(record)
        except Exception as error:  # noqa: BLE001 - an explanation is no reason to lose a verdict
            self._broken = self._broken or unexpected_error.keep_traceback(self.recorder.folder, error)
            cause = f"What the self-test says of it cannot be told: {self._broken}"
        return record if cause == record.cause else record.model_copy(update={"cause": cause})

    @contextmanager
    def _faults_logged(self) -> Iterator[None]:
        try:
            yield
        except RecordError:
            raise
        except Exception as error:  # noqa: BLE001 - what it reads comes from a container
            kept = unexpected_error.keep_traceback(self.recorder.folder, error)
            _log.warning("the self-test could not be read: %s", kept)

    def _read(self, cells: Sequence[Cell], raw: Raw) -> None:
        first, output = cells[0], str(raw["output"])
        library, checks, problem = selftest.read(
            output, exit_code=int(raw["exit_code"]), timed_out=bool(raw["timed_out"])
        )
        with self._lock:
            made = _make_blank(first).model_copy(
                update={
                    "library": library,
                    "checks": checks,
                    "problem": problem,
                    "evidence": (self._keep(first, output),),
                }
            )
            self._record(made, name_build(first))

    def _find_cause(self, record: CellRecord) -> str:
        axes = record.axes
        with self._lock:
            known = list(self._known.values())
        row = capabilities.find_row(axes.haproxy, axes.tls)
        return selftest.find_cause(record, known, row.aead_api, lacks=row.library_lacks)

    def _record(self, made: SelfTest, build: str) -> None:
        key = (made.tls, made.arch, made.execution)
        before = self._known.get(key)
        self._known[key] = made if before is None else selftest.join_results(before, made, build)
        if self._known[key] != before:
            self.recorder.emit(journal.SelfTested(selftest=self._known[key]))

    def _keep(self, cell: Cell, output: str) -> str:
        """Keep the raw output in a file, in a second one only where its text is another; return the path."""
        folder = self.recorder.folder / _FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        name = "--".join(part for part in _make_key(cell) if part != "default")
        for suffix in ("", f"--{name_build(cell)}"):
            path = folder / f"{re.sub('[^A-Za-z0-9._+~-]', '-', name + suffix)}.json"
            if not path.exists():
                write_atomically(path, output.encode())
            if path.read_text("utf-8") == output:
                break
        return str(path.relative_to(self.recorder.folder))


def _make_key(cell: Cell) -> tuple[str, str, str]:
    return cell.tls.name, cell.arch.name, cell.execution.name


def _make_blank(cell: Cell) -> SelfTest:
    tls, arch, execution = _make_key(cell)
    return SelfTest(tls=tls, arch=arch, execution=execution, library="", problem="", checks=(), evidence=())
