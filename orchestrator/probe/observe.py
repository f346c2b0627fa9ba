"""From the driver's JSON line to Observations. Everything in it came from a container: nothing is trusted."""

import json
import signal
from collections.abc import Mapping
from typing import Any

from orchestrator import bounds
from orchestrator.matrix import capabilities
from orchestrator.matrix.model import Cell
from orchestrator.probe import sanitize
from orchestrator.probe.session_files import Asked, list_requests
from orchestrator.record.model import Exchange, Observations, Request, Server

MALFORMED = (KeyError, TypeError, ValueError, AttributeError, OverflowError)
"""What reading a line of another shape raises."""
_TAIL_LINES = 20


def observe(cell: Cell, raw: Mapping[str, Any]) -> Observations:
    """Return the observations of a cell's line.

    :raises MALFORMED: if the line has not the driver's shape (a harness fault).
    """
    h3 = _read_exchange(raw["h3"])
    answered = next((r for r in (h3.requests if h3 else ()) if r.cipher), None)
    code = raw["exit_code"]
    log = str(raw["files"].get("haproxy.log", ""))
    seen = Observations(
        h3=h3,
        control=_read_exchange(raw["control"]),
        negotiated_cipher=answered.cipher if answered else None,
        negotiated_protocol=answered.protocol if answered else None,
        server=Server(
            ready_s=raw["ready_s"],
            exit_code=code,
            signal=name_signal(code),
            log_tail=tuple(bounds.cut(line, bounds.WORDS) for line in log.splitlines()[-_TAIL_LINES:]),
            sanitizer=sanitize.find_report(log),
            handshake_failures=raw["handshake_failures"],
            ended_in=raw["ended_in"],
            forced_ciphersuites=capabilities.find_bind_suite(cell),
        ),
        origin_ok=None if raw["origin_ok"] is None else bool(raw["origin_ok"]),
    )
    seen.model_dump_json()  # half a surrogate pair is JSON, and no journal can hold it
    return seen


def name_signal(code: int | None) -> str | None:
    """Return ``SIGSEGV`` for a shell's 139; ``None`` for an ordinary status."""
    if code is None or code <= 128:  # noqa: PLR2004 - POSIX shells add 128 to the signal's number
        return None
    try:
        return signal.Signals(code - 128).name
    except ValueError:
        return f"SIG{code - 128}"


def _read_exchange(raw: Mapping[str, Any] | None) -> Exchange | None:
    if raw is None:
        return None
    wanted = {request.name: request for request in list_requests()}
    return Exchange(
        exit_code=int(raw["exit_code"]),
        duration_s=float(raw["duration_s"]),
        requests=tuple(_read_request(wanted[one["name"]], one) for one in raw["requests"]),
    )


def _read_request(wanted: Asked, raw: Mapping[str, Any]) -> Request:
    said = ("http_version", "cipher", "protocol")
    same = ("status", "bytes_received", "bytes_sent", "exit_code")
    times = ("handshake_s", "first_byte_s", "total_s")
    return Request(
        name=wanted.name,
        sha256=_cut(_read_confirmation(raw["text"]) if wanted.upload else raw["sha256"]),
        expected_sha256=wanted.sha256,
        error=bounds.cut(str(raw["error"]), bounds.WORDS),
        close_code=raw["close_code"],
        shows=raw["shows"],
        **{name: _cut(raw[name]) for name in said},
        **{name: raw[name] for name in (*same, *times)},
    )


def _cut(said: Any) -> Any:
    """Cut a text; the model refuses what is no text."""
    return bounds.cut(said, bounds.WORDS) if isinstance(said, str) else said


def _read_confirmation(answer: str | None) -> str | None:
    """Return the SHA-256 that the origin says it received, if it answered so."""
    try:
        said = json.loads(answer or "").get("sha256")
    except (ValueError, AttributeError):
        return None
    return said if isinstance(said, str) else None
