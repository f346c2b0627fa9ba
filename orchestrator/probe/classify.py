"""From observations to one outcome with one reason. Pure; the order of the checks is the order of causes.

A client's exit code alone tells little: curl's 28 covers refusal, hang and crash alike (docs/outcomes.md).
What tells them apart is whether the handshake ended, the code with which the server closed the connection
(where the client shows it), HAProxy's own count of failed handshakes, and how its process ended.
"""

from collections.abc import Callable
from typing import NamedTuple

from orchestrator.closecode import ALERTS, CRYPTO
from orchestrator.execute.images import emulation
from orchestrator.matrix.model import Cell
from orchestrator.outcome import REASONS, Outcome, Reason
from orchestrator.probe.process_end import find_when, quote_client
from orchestrator.probe.session_files import list_requests
from orchestrator.record.model import Exchange, Observations, Request, Server

CRASHES = {"SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE"}
_BAD_CERTIFICATE = {51, 60}
_CANNOT_OFFER = 59
_WAITED = 28
_CURL_STREAM_RESET = 95
_OUR_TIMEOUT = 124
_GATEWAY_ERRORS = {502, 503, 504}


class Finding(NamedTuple):
    """What a cell's observations mean by themselves."""

    outcome: Outcome
    reason: Reason | None
    message: str


def make_finding(reason: Reason, message: str) -> Finding:
    """Return a finding for a reason; its outcome stands in the table."""
    return Finding(REASONS[reason].outcome, reason, message)


def classify(cell: Cell, seen: Observations) -> Finding:
    """Return the first cause that explains what was seen, or ``pass``. A crash counts in every phase."""
    http3 = _classify_http3(cell, seen)
    return _check_sanitizer(seen) or _check_server(cell, seen, http3) or http3


def _classify_http3(cell: Cell, seen: Observations) -> Finding:
    for check in _CHECKS:
        found = check(cell, seen)
        if found is not None:
            return found
    cipher = seen.negotiated_cipher
    return Finding(Outcome.PASS, None, f"HTTP/3 with {cipher}: two bodies and an upload arrived whole.")


def _check_sanitizer(seen: Observations) -> Finding | None:
    """Look for a report before what follows from it: a crash, an answer that never came."""
    if seen.server is None or seen.server.sanitizer is None:
        return None
    return make_finding(Reason.SANITIZER, f"{seen.server.sanitizer}. The whole report is in haproxy.log.")


def _check_server(cell: Cell, seen: Observations, http3: Finding) -> Finding | None:
    server = seen.server
    if server is None or server.exit_code is None:
        return None
    when = find_when(cell, seen, f"{http3.reason}: {http3.message}" if http3.reason else http3.message)
    if server.signal == "SIGKILL":
        message = f"HAProxy was killed (SIGKILL), from outside or out of memory, {when}."
        return make_finding(Reason.KILLED, message)
    if server.signal in CRASHES:
        return make_finding(Reason.SERVER_CRASHED, f"HAProxy died of {server.signal} {when}.")
    if server.ready_s is None:
        return _explain_refusal(server)
    how = server.signal or f"exit status {server.exit_code}"
    return make_finding(Reason.SERVER_CRASHED, f"HAProxy ended with {how} {when}.")


def _explain_refusal(server: Server) -> Finding:
    alerts = [line for line in server.log_tail if "[ALERT]" in line]
    if alerts:
        return make_finding(Reason.CONFIG_REFUSED, f"HAProxy refuses its configuration: {alerts[0]}")
    last = server.log_tail[-1] if server.log_tail else "it said nothing"
    if emulation.is_emulators(last):
        return make_finding(Reason.EMULATION, f"QEMU could not run HAProxy: {last}")
    return make_finding(
        Reason.NOT_READY, f"HAProxy ended with status {server.exit_code} before it listened: {last}"
    )


def _check_ready(_: Cell, seen: Observations) -> Finding | None:
    if seen.server is None or seen.server.ready_s is None or seen.h3 is None:
        return make_finding(Reason.NOT_READY, "HAProxy runs, but its QUIC listener did not open in time.")
    return None


def _check_client(_: Cell, seen: Observations) -> Finding | None:
    first = _list_requests(seen.h3)[:1]
    for request in first:
        if request.exit_code == _CANNOT_OFFER or request.shows == "cannot-offer":
            return make_finding(Reason.CLIENT_CANNOT_OFFER, f"The client sent nothing: {request.error}")
    return None


def _check_deadline(_: Cell, seen: Observations) -> Finding | None:
    if seen.h3 is not None and seen.h3.exit_code == _OUR_TIMEOUT:
        return make_finding(Reason.DEADLINE, "The client did not end by itself and was stopped.")
    return None


def _check_handshakes(cell: Cell, seen: Observations) -> Finding | None:
    if not _list_requests(seen.h3):
        return make_finding(Reason.INTERNAL, "The client reported no request at all.")
    # A client may make a connection of its own for each request.
    for request in _list_requests(seen.h3):
        found = _check_handshake(cell, seen, request)
        if found is not None:
            return found
    return None


def _check_handshake(cell: Cell, seen: Observations, request: Request) -> Finding | None:
    if request.exit_code in _BAD_CERTIFICATE:
        return make_finding(Reason.BAD_CERTIFICATE, request.error)
    alert = _describe_alert(request)
    # A server may end the handshake in answer to the client's last flight: for the client it was over.
    late = alert is not None and request.first_byte_s is None
    if request.exit_code == 0 or (request.handshake_s is not None and not late):
        return None
    if request.shows == "fault-in-answer" and request.close_code is None:
        message = f"The client found a fault in the server's handshake ({_quote_client(cell, request)})."
        return make_finding(Reason.HANDSHAKE_BROKEN, message)
    failures = seen.server.handshake_failures if seen.server else None
    if request.close_code is not None or failures or request.shows == "closed-by-server":
        how = f" with {alert}" if alert else ""
        counted = f"; HAProxy counted {failures} failed handshakes" if failures else ""
        message = f"The server ended the handshake{how}{counted} ({_quote_client(cell, request)})."
        return make_finding(Reason.HANDSHAKE_REFUSED, message)
    if request.exit_code == _WAITED:
        message = f"The client's time ran out before the handshake ended ({_quote_client(cell, request)})."
        return make_finding(Reason.HANDSHAKE_TIMEOUT, message)
    message = (
        f"The client gave up the handshake; what it says names no cause ({_quote_client(cell, request)})."
    )
    return make_finding(Reason.HANDSHAKE_BROKEN, message)


def _describe_alert(request: Request) -> str | None:
    """Return the TLS alert with which the server closed the connection, for a person."""
    code = request.close_code
    if code is None or not CRYPTO <= code < 2 * CRYPTO:
        return None
    return f"TLS alert {code - CRYPTO} ({ALERTS.get(code - CRYPTO, 'unassigned')}), close code {code:#x}"


def _check_requests(cell: Cell, seen: Observations) -> Finding | None:
    requests = _list_requests(seen.h3)
    for request in requests:
        found = _check_request(cell, seen, request)
        if found is not None:
            return found
    missing = [wanted.name for wanted in list_requests()][len(requests) :]
    if missing:
        return make_finding(Reason.INTERNAL, f"The client reported nothing of {', '.join(missing)}.")
    return None


def _check_request(cell: Cell, seen: Observations, request: Request) -> Finding | None:
    if not seen.origin_ok and (request.exit_code != 0 or request.status in _GATEWAY_ERRORS):
        how = _quote_client(cell, request) if request.exit_code else f"status {request.status}"
        return make_finding(Reason.ORIGIN_DOWN, f"{request.name}: {how}, and the origin does not answer.")
    if request.exit_code != 0:
        return _explain_break(cell, request)
    return _check_head(cell, request) or _check_bytes(request)


def _check_head(cell: Cell, request: Request) -> Finding | None:
    if request.http_version != "3":
        return make_finding(
            Reason.NOT_HTTP3, f"{request.name} was answered over HTTP/{request.http_version}."
        )
    if request.status != 200:  # noqa: PLR2004 - the HTTP status
        return make_finding(Reason.BAD_STATUS, f"{request.name} was answered with status {request.status}.")
    wanted = cell.cipher.suite
    if request.cipher is None or wanted not in {None, request.cipher}:
        negotiated = request.cipher or "nothing"
        return make_finding(
            Reason.WRONG_CIPHER, f"Asked for {wanted or 'any'}, the server negotiated {negotiated}."
        )
    return None


def _explain_break(cell: Cell, request: Request) -> Finding:
    if request.name.startswith("post"):
        return make_finding(
            Reason.UPLOAD_INCOMPLETE, f"The upload was not confirmed ({_quote_client(cell, request)})."
        )
    if request.bytes_received:
        got = f"{request.name} broke off after {request.bytes_received} bytes"
        return make_finding(Reason.WRONG_BODY, f"{got} ({_quote_client(cell, request)}).")
    if request.exit_code == _CURL_STREAM_RESET:  # the server was alive and ended this answer at once: no hang
        message = f"{request.name} was cut before its first byte ({_quote_client(cell, request)})."
        return make_finding(Reason.WRONG_BODY, message)
    message = f"The handshake ended, then {request.name} got nothing ({_quote_client(cell, request)})."
    return make_finding(Reason.HANDSHAKE_THEN_HANG, message)


def _check_bytes(request: Request) -> Finding | None:
    if request.sha256 == request.expected_sha256:
        return None
    if request.name.startswith("post"):
        confirmed = request.sha256[:12] if request.sha256 else "nothing"
        sent = request.expected_sha256[:12]
        return make_finding(Reason.UPLOAD_INCOMPLETE, f"The origin confirms {confirmed} instead of {sent}.")
    got = f"{request.bytes_received} bytes with another SHA-256 than the origin's"
    return make_finding(Reason.WRONG_BODY, f"{request.name} brought {got}.")


def _list_requests(exchange: Exchange | None) -> tuple[Request, ...]:
    return exchange.requests if exchange else ()


def _quote_client(cell: Cell, request: Request) -> str:
    return quote_client(cell.client.family, request)


_CHECKS: tuple[Callable[[Cell, Observations], Finding | None], ...] = (
    _check_ready,
    _check_client,
    _check_deadline,
    _check_handshakes,
    _check_requests,
)
