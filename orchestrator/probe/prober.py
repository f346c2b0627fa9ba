"""Probes the cells of one build until each is judged; only the harness's own failures are tried again."""

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any, Protocol

from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_attempt, wait_exponential

from orchestrator.arch import Arch
from orchestrator.errors import MatrixctlError
from orchestrator.execute.engine import Engine
from orchestrator.execute.failures import reason_of
from orchestrator.matrix import capabilities
from orchestrator.matrix.model import Cell, Limits
from orchestrator.outcome import REASONS, Outcome
from orchestrator.plan.render import Renderer
from orchestrator.probe import cpu, session
from orchestrator.probe.attest import inspect
from orchestrator.probe.certificates import Certificates
from orchestrator.probe.files import scaled, session_files
from orchestrator.probe.judge import AGAIN, Judged, judge
from orchestrator.probe.observe import MALFORMED
from orchestrator.record.model import utc_now
from orchestrator.value import Value

TRIES = 3
"""How often a cell is probed while only the harness fails."""
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""Names of evidence; they come from a container."""


class Told(Value):
    """What goes with a judged attempt into the cell's record."""

    why: str
    started_at: str
    duration_s: float
    evidence: tuple[str, ...] = ()
    features: tuple[str, ...] | None = None


class JudgedCell(Protocol):
    """Is told of each attempt as it is judged."""

    def __call__(self, cell: Cell, judged: Judged, told: Told) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Images:
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
    repeat: int
    keep: bool
    challenge: bool
    cancelled: Callable[[], bool]
    judged: JudgedCell

    def probe(self, cells: Sequence[Cell], haproxy: bytes, images: Images) -> None:
        """Probe the cells of one build as often as asked for."""
        for number in range(self.repeat):
            if not self.cancelled():
                self._until_judged(cells, haproxy, images, "first" if number == 0 else f"repeat {number + 1}")

    def _until_judged(self, cells: Sequence[Cell], haproxy: bytes, images: Images, why: str) -> None:
        pending = {cell.id: why for cell in cells}

        def attempt() -> Mapping[str, str]:
            nonlocal pending
            spoilt = self._attempt([cell for cell in cells if cell.id in pending], haproxy, images, pending)
            pending = {key: f"{AGAIN}{message}" for key, message in spoilt.items()}
            return pending

        Retrying(
            stop=stop_after_attempt(TRIES),
            wait=wait_exponential(multiplier=0.5, max=5),
            retry=retry_if_result(lambda left: bool(left) and not self.cancelled()),
            retry_error_callback=_give_up,
        )(attempt)

    def _attempt(
        self, cells: Sequence[Cell], haproxy: bytes, images: Images, whys: Mapping[str, str]
    ) -> dict[str, str]:
        """One session; the cells that the harness spoilt, with the reason."""
        attempt = _Attempt(self, cells, haproxy, whys)
        error: MatrixctlError | None = None
        try:
            session.run(self.engine, self._session(cells, haproxy, images), attempt.on_line)
        except MatrixctlError as caught:
            error = caught
        if not self.cancelled():
            attempt.close(error)
        return attempt.spoilt

    def _session(self, cells: Sequence[Cell], haproxy: bytes, images: Images) -> session.Session:
        arch = cells[0].arch.arch
        limits = scaled(self.limits, emulated=arch != self.host)
        return session.Session(
            name=f"matrixctl-{self.run_id}-probe-{secrets.token_hex(3)}",
            run_id=self.run_id,
            server_image=images.server,
            server_platform=arch.platform,
            client_image=images.client,
            client_platform=self.host.platform,
            haproxy=haproxy,
            files=session_files(self.renderer, cells, limits, self.certificates),
            cells=len(cells),
            limits=limits,
            cpus=self.cpus,
            keep=self.keep,
        )


def _give_up(state: RetryCallState) -> object:
    return state.outcome.result() if state.outcome else None


class _Attempt:
    """Reads the lines of one session as they come."""

    def __init__(
        self, prober: Prober, cells: Sequence[Cell], haproxy: bytes, whys: Mapping[str, str]
    ) -> None:
        self._prober, self._whys = prober, whys
        self._open = {cell.id: cell for cell in cells}
        self._binary = inspect(haproxy)
        self._server: dict[str, Any] = {}
        self._started_at = utc_now()
        self.spoilt: dict[str, str] = {}

    def on_line(self, raw: session.Raw) -> None:
        """:raises MatrixctlError: if the line is about no cell of this session."""
        if self._prober.cancelled():  # what a server shows while it is taken away says nothing of it
            return
        if raw.get("kind") == "server":
            self._server = dict(raw)
            return
        try:
            cell, told = self._read(raw)
        except MALFORMED as error:
            raise MatrixctlError(f"The probe driver wrote a line of another shape: {error!r}") from error
        declared = capabilities.unsupported(cell) if self._prober.challenge else None
        self._tell(cell, judge(cell, self._binary, self._server, raw, declared), told)

    def _read(self, raw: session.Raw) -> tuple[Cell, Told]:
        cell = self._open[raw["id"]]
        told = self._told(cell, float(raw["duration_s"]), self._keep(cell, raw), self._features(cell))
        del self._open[cell.id]
        return cell, told

    def close(self, error: MatrixctlError | None) -> None:
        """Judge the cells that no line came for."""
        for cell in list(self._open.values()):
            reason = reason_of(error or MatrixctlError(""))
            message = str(error or "The probe driver said nothing of this cell.")
            judged = Judged(outcome=REASONS[reason].outcome, reason=reason, message=message)
            self._tell(cell, judged, self._told(cell, 0.0))

    def _told(
        self,
        cell: Cell,
        duration_s: float,
        evidence: tuple[str, ...] = (),
        features: tuple[str, ...] | None = None,
    ) -> Told:
        return Told(
            why=self._whys[cell.id],
            started_at=self._started_at,
            duration_s=duration_s,
            evidence=evidence,
            features=features,
        )

    def _tell(self, cell: Cell, judged: Judged, told: Told) -> None:
        if judged.outcome is Outcome.ERROR:
            self.spoilt[cell.id] = judged.message.splitlines()[0]
        self._prober.judged(cell, judged, told)

    def _features(self, cell: Cell) -> tuple[str, ...]:
        arch = cell.arch.arch
        if arch != self._prober.host:
            return cpu.of_emulator(arch, str(self._server.get("auxv", "")))
        return cpu.of_host(str(self._server.get("cpuinfo", "")))

    def _keep(self, cell: Cell, raw: session.Raw) -> tuple[str, ...]:
        """The files of this attempt; later ones get a folder of their own, so none loses its evidence."""
        files = {name: str(text) for name, text in raw["files"].items() if _FILE.fullmatch(name)}
        first = self._prober.folder / "cells" / cell.id
        later = (first / f"attempt-{number}" for number in count(2))
        folder = next(folder for folder in chain([first], later) if not folder.exists())
        folder.mkdir(parents=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8", errors="replace")
        return tuple(str((folder / name).relative_to(self._prober.folder)) for name in files)
