"""Probe the cells of one build until each is judged; only the harness's own failures are tried again."""

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field
from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_attempt, wait_exponential

from orchestrator import bounds, unexpected_error
from orchestrator.arch import Arch
from orchestrator.atomic_files import sync_folder, write_durably
from orchestrator.errors import EngineLostError, MatrixctlError, RecordError
from orchestrator.execute.engine.engine import Engine
from orchestrator.execute.failures import find_reason
from orchestrator.execute.images import emulation
from orchestrator.frozen_value import Value
from orchestrator.matrix import capabilities
from orchestrator.matrix.model import Cell, Limits, Unsupported
from orchestrator.outcome import LASTING, Outcome, Reason
from orchestrator.plan.render import Renderer
from orchestrator.probe import cpu, session
from orchestrator.probe.attest import inspect
from orchestrator.probe.certificates import Certificates
from orchestrator.probe.evidence import rank
from orchestrator.probe.judge import AGAIN, Judgement, conclude, judge
from orchestrator.probe.observe import MALFORMED
from orchestrator.probe.session_files import make_session_files, scale_limits
from orchestrator.probe.trace_attempt import FOLDER
from orchestrator.record.model import utc_now

FIRST = "first"
TRIES = 3
"""How often a cell is probed while only the harness fails."""
_WAIT = wait_exponential(multiplier=0.5, max=5)
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""Names of evidence; they come from a container."""


class Circumstances(Value):
    """What goes with a judged attempt into the cell's record; by default that it was made now, in no time."""

    why: str = "first"
    started_at: str = Field(default_factory=utc_now)
    duration_s: float = 0.0
    late_s: float | None = None
    """As ``Load.late_s``."""
    evidence: tuple[str, ...] = ()
    features: tuple[str, ...] | None = None
    final: bool = True
    """No other attempt at the cell follows."""
    again: bool = False
    """As ``Attempt.again``."""


class OnJudgement(Protocol):
    """Gets each attempt as it is judged."""

    def __call__(self, cell: Cell, judged: Judgement, told: Circumstances) -> None: ...


@dataclass(frozen=True, kw_only=True)
class SessionImages:
    """Tags of the verified images of one session."""

    server: str
    client: str


@dataclass(frozen=True, kw_only=True)
class Prober:
    """What is the same for every session of a run. ``folder`` gets the evidence."""

    engine: Engine
    host: Arch
    renderer: Renderer
    limits: Limits
    certificates: Certificates
    run_id: str
    folder: Path
    cpus: int
    rounds: Sequence[str]
    """Why there is each attempt at a cell, in their order; one at least."""
    keep: bool
    declared: Callable[[Cell], Unsupported | None]
    """What is declared impossible of a cell, to be compared with what happens."""
    cancelled: Callable[[], bool]
    judged: OnJudgement
    broken: Callable[[OSError], RecordError] = lambda error: RecordError(str(error))
    """Is called where the folder cannot be written; returns the error to raise."""
    selftest: bytes | None = None
    """The AEAD self-test of the library, if it could be compiled; it runs once, before the first cell."""
    selftested: Callable[[Sequence[Cell], session.Raw], None] = lambda cells, raw: None  # noqa: ARG005
    """Gets what the self-test said."""
    versioned: Callable[[Cell, str], None] = lambda cell, text: None  # noqa: ARG005
    """Gets what ``haproxy -vv`` of a cell's build says."""
    traced: bool = False
    """The one cell was judged, and is run to see what it does."""
    run: Callable[[Engine, session.Session, session.OnLine], None] = session.run
    """Runs a session."""

    def probe(self, cells: Sequence[Cell], haproxy: bytes, images: SessionImages) -> None:
        """Probe the cells of one build once per round."""
        for why in self.rounds:
            if not self.cancelled():
                self._probe_round(cells, haproxy, images, why, last=why == self.rounds[-1])

    def _probe_round(
        self, cells: Sequence[Cell], haproxy: bytes, images: SessionImages, why: str, *, last: bool
    ) -> None:
        pending = {cell.id: why for cell in cells}
        tries = count(1)

        def attempt() -> Mapping[str, str]:
            nonlocal pending
            left = [cell for cell in cells if cell.id in pending]
            number = next(tries)
            ends = _EndsHere(last_round=last, last_try=number == TRIES, again=number > 1)
            broken = self._run_session(left, haproxy, images, pending, ends)
            pending = {key: f"{AGAIN}{message}" for key, message in broken.items()}
            return pending if not pending or self.engine.answers() else {}  # a dead one is not asked

        Retrying(
            stop=stop_after_attempt(TRIES),
            wait=_WAIT,
            retry=retry_if_result(lambda left: bool(left) and not self.cancelled()),
            retry_error_callback=_give_up,
        )(attempt)

    def _run_session(
        self,
        cells: Sequence[Cell],
        haproxy: bytes,
        images: SessionImages,
        whys: Mapping[str, str],
        ends: "_EndsHere",
    ) -> dict[str, str]:
        """Run one session; return the cells that the harness broke, with the reason.

        However it ends, what was judged stays, and each other cell gets an attempt that says why.
        """
        made = self._make_session(cells, haproxy, images, whys)
        attempt = _SessionReader(self, cells, haproxy, whys, ends, server=session.make_specs(made)[0].name)
        error: Exception | None = None
        try:
            self.run(self.engine, made, attempt.on_line)
        except RecordError:
            raise
        except Exception as caught:  # noqa: BLE001 - each cell gets its attempt, and may be tried again
            error = caught
        if not self.cancelled():
            attempt.close(error)
        return attempt.broken

    def _make_session(
        self, cells: Sequence[Cell], haproxy: bytes, images: SessionImages, whys: Mapping[str, str]
    ) -> session.Session:
        first = cells[0]
        arch = first.arch.arch
        model = capabilities.find_cpu_model(first, self.host)
        limits = scale_limits(self.limits, emulated=bool(model))
        return session.Session(
            name=f"matrixctl-{self.run_id}-probe-{secrets.token_hex(3)}",
            run_id=self.run_id,
            server_image=images.server,
            client_image=images.client,
            platform=self.host.platform,
            haproxy=haproxy,
            selftest=self.selftest if FIRST in whys.values() else None,
            files=make_session_files(self.renderer, cells, limits, self.certificates, traced=self.traced),
            cells=len(cells),
            asan=capabilities.has_asan(first.haproxy, first.tls),
            limits=limits,
            cpus=self.cpus,
            keep=self.keep,
            before=emulation.make_prefix(arch, model, first.execution.environment),
            loader=emulation.find_loader(arch, model),
        )


def _give_up(state: RetryCallState) -> object:
    return state.outcome.result() if state.outcome else None


@dataclass(frozen=True, kw_only=True)
class _EndsHere:
    """Whether it ends with this session: for judged cells, and for those that the harness fails again.

    ``again``: the session itself replaces one in which the harness failed.
    """

    last_round: bool
    last_try: bool
    again: bool


class _SessionReader:
    """Reads the lines of one session as they come."""

    def __init__(
        self,
        prober: Prober,
        cells: Sequence[Cell],
        haproxy: bytes,
        whys: Mapping[str, str],
        ends: _EndsHere,
        *,
        server: str,
    ) -> None:
        self._prober, self._whys, self._ends, self._container = prober, whys, ends, server
        self._open = {cell.id: cell for cell in cells}
        self._binary = inspect(haproxy)
        self._server: dict[str, Any] = {}
        self._started_at = utc_now()
        self.broken: dict[str, str] = {}

    def on_line(self, raw: session.Raw) -> None:
        """:raises MatrixctlError: if the line is of no cell of the session, or its server was taken away."""
        if self._prober.cancelled():  # what a server shows while it is taken away says nothing of it
            return
        if raw.get("kind") == "selftest":
            self._prober.selftested(list(self._open.values()), raw)
            return
        if raw.get("kind") == "server":
            self._server = dict(raw)
            self._prober.versioned(next(iter(self._open.values())), str(raw.get("vv", "")))
            return
        try:
            cell, told = self._read(raw)
        except MALFORMED as error:
            raise MatrixctlError(f"The probe driver wrote a line of another shape: {error!r}") from error
        judged = self._judge(cell, raw)
        blames = judged.outcome is Outcome.FAIL or judged.reason is Reason.INTERNAL
        if blames and not self._prober.engine.is_running(self._container):
            # The client, which outlives the server by a moment, saw it hang, refuse, or be silent.
            self._open[cell.id] = cell
            raise EngineLostError("The server's container was stopped while it was probed.")
        self._tell(cell, judged, told)

    def _read(self, raw: session.Raw) -> tuple[Cell, Circumstances]:
        cell = self._open[raw["id"]]
        told = self._describe_attempt(
            cell,
            float(raw["duration_s"]),
            late_s=float(raw["late_s"]),
            evidence=self._keep_files(cell, raw),
            features=self._read_features(cell),
        )
        del self._open[cell.id]
        return cell, told

    def _judge(self, cell: Cell, raw: session.Raw) -> Judgement:
        """Judge one cell. A fault of ours in it is an error of that cell alone; the others are judged."""
        try:
            return judge(cell, self._binary, self._server, raw, self._prober.declared(cell))
        except Exception as error:  # noqa: BLE001 - a container may say anything
            return conclude(Reason.INTERNAL, unexpected_error.keep_traceback(self._prober.folder, error))

    def close(self, error: Exception | None) -> None:
        """Judge the cells that no line came for."""
        if not self._open:
            return
        reason = find_reason(error or MatrixctlError(""))
        message = str(error or "The probe driver said nothing of this cell.")
        if error is not None and not isinstance(error, MatrixctlError):
            message = unexpected_error.keep_traceback(self._prober.folder, error)
        for cell in list(self._open.values()):
            self._tell(cell, conclude(reason, message), self._describe_attempt(cell, 0.0))

    def _describe_attempt(
        self,
        cell: Cell,
        duration_s: float,
        *,
        late_s: float | None = None,
        evidence: tuple[str, ...] = (),
        features: tuple[str, ...] | None = None,
    ) -> Circumstances:
        return Circumstances(
            why=self._whys[cell.id],
            again=self._ends.again,
            started_at=self._started_at,
            duration_s=duration_s,
            late_s=late_s,
            evidence=evidence,
            features=features,
        )

    def _tell(self, cell: Cell, judged: Judgement, told: Circumstances) -> None:
        if judged.outcome is Outcome.ERROR and judged.reason not in LASTING:
            self.broken[cell.id] = judged.message.splitlines()[0]
        final = self._ends.last_round and (cell.id not in self.broken or self._ends.last_try)
        self._prober.judged(cell, judged, told.model_copy(update={"final": final}))

    def _read_features(self, cell: Cell) -> tuple[str, ...]:
        return cpu.read_features(cell.arch.arch, str(self._server.get("cpu", "")))

    def _keep_files(self, cell: Cell, raw: session.Raw) -> tuple[str, ...]:
        try:
            return self._write_files(cell, raw)
        except OSError as error:
            raise self._prober.broken(error) from error

    def _write_files(self, cell: Cell, raw: session.Raw) -> tuple[str, ...]:
        """Write the files of this attempt; later ones get a folder of their own, so none loses its evidence.

        They are on the disk before the cell counts as judged.
        """
        named = {name: str(text) for name, text in raw["files"].items() if _FILE.fullmatch(name) and text}
        files = {
            name: bounds.cut(text, bounds.EVIDENCE)
            for name, text in islice(named.items(), bounds.EVIDENCE_FILES)
        }
        first = self._prober.folder / "cells" / cell.id / (FOLDER if self._prober.traced else "")
        later = (first / f"attempt-{number}" for number in count(2))
        folder = next(folder for folder in chain([first], later) if not folder.exists())
        folder.mkdir(parents=True)
        for name, text in files.items():
            write_durably(folder / name, text.encode(errors="replace"))
        for made in (folder, *folder.parents):  # a folder's own name lies in the one above
            sync_folder(made)
            if made == self._prober.folder:
                break
        paths = (str((folder / name).relative_to(self._prober.folder)) for name in files)
        return tuple(sorted(paths, key=rank))
