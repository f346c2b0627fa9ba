"""Causes that lie side by side: what one of them loses, its neighbour takes, and nothing seems wrong."""

import signal

import pytest
from builders import BINARY, Raw, broken, dead, exchange, first_broken, line, request, server_line
from fakes import cell

from orchestrator.matrix.model import Cell, Unsupported
from orchestrator.outcome import Outcome, Reason
from orchestrator.probe.classify import Finding, classify
from orchestrator.probe.judge import judge
from orchestrator.probe.observe import observe
from orchestrator.probe.session_files import list_requests

CELL = cell()
SMALL, LARGE, UPLOAD = list_requests()
ILLEGAL_PARAMETER = 0x100 + 47
"""A CRYPTO_ERROR: TLS alert 47 (RFC 9001, section 4.8)."""


def classified(raw: Raw, one: Cell = CELL) -> Finding:
    return classify(one, observe(one, raw))


@pytest.mark.parametrize("status", [502, 503, 504])
def test_each_gateway_error_is_the_origin_s_where_it_does_not_answer(status: int) -> None:
    answers = exchange([request(SMALL, status=status), request(LARGE), request(UPLOAD)])
    found = classified(line(CELL, origin_ok=False, h3=answers))
    assert (found.outcome, found.reason) == (Outcome.ERROR, Reason.ORIGIN_DOWN)
    assert f"status {status}" in found.message
    alive = classified(line(CELL, origin_ok=True, h3=answers))
    assert (alive.outcome, alive.reason) == (Outcome.FAIL, Reason.BAD_STATUS)


@pytest.mark.parametrize("status", [400, 404, 500, 501, 505])
def test_another_status_is_haproxy_s_own_although_the_origin_does_not_answer(status: int) -> None:
    answers = exchange([request(SMALL, status=status), request(LARGE), request(UPLOAD)])
    assert classified(line(CELL, origin_ok=False, h3=answers)).reason is Reason.BAD_STATUS


def test_a_tls_alert_before_the_first_byte_is_a_refusal_and_after_it_a_broken_body() -> None:
    def closed(**changed: object) -> Finding:
        failed = {"handshake_s": 0.01, "close_code": ILLEGAL_PARAMETER, **changed}
        return classified(line(CELL, h3=first_broken(56, "the server closed the connection", **failed)))

    early = closed()
    assert early.reason is Reason.HANDSHAKE_REFUSED
    assert "TLS alert 47 (illegal_parameter)" in early.message
    assert closed(first_byte_s=0.02, received=600).reason is Reason.WRONG_BODY


def test_a_tls_alert_in_a_later_request_of_an_answered_connection_is_no_refusal() -> None:
    broke = broken(
        LARGE,
        56,
        "the server closed the connection",
        received=600,
        handshake_s=0.01,
        first_byte_s=0.02,
        close_code=ILLEGAL_PARAMETER,
    )
    found = classified(line(CELL, h3=exchange([request(SMALL), broke], exit_code=56)))
    assert found.reason is Reason.WRONG_BODY


@pytest.mark.parametrize("ready_s", [None, 0.05])
@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE"])
def test_each_crash_is_a_crash_before_it_listens_and_after(name: str, ready_s: float | None) -> None:
    found = classified(dead(CELL, 128 + signal.Signals[name], "[NOTICE] x", ready_s=ready_s))
    assert found.reason is Reason.SERVER_CRASHED
    assert f"died of {name}" in found.message


# What is declared impossible, and challenged.

PROVES: dict[str, set[Reason]] = {
    "haproxy-cannot": {
        Reason.CONFIG_REFUSED,
        Reason.NOT_READY,
        Reason.HANDSHAKE_REFUSED,
        Reason.HANDSHAKE_TIMEOUT,
        Reason.HANDSHAKE_THEN_HANG,
    },
    "library-cannot": {Reason.CONFIG_REFUSED, Reason.HANDSHAKE_REFUSED},
}
"""docs/outcomes.md and docs/capabilities.md."""
TIMED_OUT = "Connection timed out after 8002 milliseconds"
FAILURES: dict[Reason, Raw] = {
    Reason.CONFIG_REFUSED: dead(CELL, 1, "[ALERT]    (7) : config : unknown keyword 'quic'."),
    Reason.NOT_READY: dead(CELL, 1, "no reason given"),
    Reason.HANDSHAKE_REFUSED: line(
        CELL, h3=first_broken(56, "closed", close_code=0x128), handshake_failures=1
    ),
    Reason.HANDSHAKE_TIMEOUT: line(CELL, h3=first_broken(28, TIMED_OUT)),
    Reason.HANDSHAKE_THEN_HANG: line(CELL, h3=first_broken(28, TIMED_OUT, handshake_s=0.01)),
    Reason.SERVER_CRASHED: dead(CELL, 139, ready_s=0.05),
    Reason.WRONG_BODY: line(CELL, h3=exchange([request(SMALL, sha256="0" * 64)])),
}


@pytest.mark.parametrize("reason", FAILURES)
@pytest.mark.parametrize("declared", PROVES)
def test_which_failures_prove_what_is_declared(declared: str, reason: Reason) -> None:
    said = Unsupported(reason=declared, message="as the table says")
    found = judge(CELL, BINARY, server_line(), FAILURES[reason], said)
    if reason in PROVES[declared]:
        assert (found.outcome, found.reason) == (Outcome.UNSUPPORTED, Reason(declared))
        assert not found.contradicts
    else:
        assert (found.outcome, found.reason) == (Outcome.FAIL, reason)
        assert found.contradicts


def test_a_listener_that_never_opens_proves_that_haproxy_cannot_as_well() -> None:
    raw = line(CELL, ready_s=None, h3=None, control=None)
    said = Unsupported(reason="haproxy-cannot", message="as the table says")
    assert judge(CELL, BINARY, server_line(), raw, said).reason is Reason.HAPROXY_CANNOT
