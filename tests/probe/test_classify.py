"""The classifier: one realistic line per reason, the order of the causes, and that no reason is left out."""

import ast
import inspect
from collections.abc import Callable

import pytest
from builders import CHOSEN, Raw, broken, dead, exchange, first_broken, line, request
from fakes import cell

from orchestrator.matrix.model import Cell
from orchestrator.outcome import REASONS, Outcome, Reason
from orchestrator.probe import classify as module
from orchestrator.probe.classify import Finding, classify
from orchestrator.probe.observe import observe
from orchestrator.probe.session_files import list_requests

GCM = cell()
DEFAULT = cell(cipher="default")
SMALL, LARGE, UPLOAD = list_requests()
TIMED_OUT = "Connection timed out after 8002 milliseconds"
SHUT_DOWN = "QUIC connection has been shut down"
QEMU = "qemu-aarch64-static: Could not open '/lib/ld-linux-aarch64.so.1': No such file or directory"
ALERT = (
    "[ALERT]    (7) : config : parsing [/work/cells/000/haproxy.cfg:18] : 'bind' : unknown keyword 'quic'."
)


def after(number: int, *last: Raw, code: int = 0) -> Raw:
    """An exchange whose first requests went well."""
    return exchange([*(request(wanted) for wanted in list_requests()[:number]), *last], exit_code=code)


def second(**changed: object) -> Raw:
    return after(1, request(LARGE, **changed), request(UPLOAD))


CASES: list[tuple[str, Reason, Callable[[Cell], Raw], str]] = [
    (
        "segv mid-probe",
        Reason.SERVER_CRASHED,
        lambda c: dead(c, 139, ready_s=0.05),
        "SIGSEGV while it was asked over HTTP/3: no request had passed, the handshake of get-1k was",
    ),
    (
        "sanitizer",
        Reason.SANITIZER,
        lambda c: dead(c, 1, "==7==ERROR: AddressSanitizer: SEGV on unknown address", ready_s=0.1),
        "AddressSanitizer reports SEGV on unknown address",
    ),
    ("segv at start", Reason.SERVER_CRASHED, lambda c: dead(c, 139), "SIGSEGV before it listened"),
    ("abort", Reason.SERVER_CRASHED, lambda c: dead(c, 134, ready_s=0.1), "SIGABRT"),
    ("bus", Reason.SERVER_CRASHED, lambda c: dead(c, 135, ready_s=0.1), "SIGBUS"),
    ("ill", Reason.SERVER_CRASHED, lambda c: dead(c, 132, ready_s=0.1), "SIGILL"),
    ("fpe", Reason.SERVER_CRASHED, lambda c: dead(c, 136, ready_s=0.1), "SIGFPE"),
    ("exit mid-probe", Reason.SERVER_CRASHED, lambda c: dead(c, 0, ready_s=0.1), "exit status 0 while"),
    ("term mid-probe", Reason.SERVER_CRASHED, lambda c: dead(c, 143, ready_s=0.1), "SIGTERM while"),
    ("out of memory", Reason.KILLED, lambda c: dead(c, 137, ready_s=0.1), "SIGKILL"),
    ("killed at start", Reason.KILLED, lambda c: dead(c, 137), "before it listened"),
    (
        "bad config",
        Reason.CONFIG_REFUSED,
        lambda c: dead(c, 1, "[NOTICE] x", ALERT, "[ALERT] 2"),
        "unknown keyword",
    ),
    ("no loader", Reason.EMULATION, lambda c: dead(c, 255, QEMU), "Could not open"),
    (
        "silent exit",
        Reason.NOT_READY,
        lambda c: dead(c, 127),
        "status 127 before it listened: it said nothing",
    ),
    (
        "no listener",
        Reason.NOT_READY,
        lambda c: line(c, ready_s=None, h3=None, control=None),
        "did not open in time",
    ),
    (
        "client lacks the suite",
        Reason.CLIENT_CANNOT_OFFER,
        lambda c: line(c, h3=first_broken(7, "failed to SSL_connect", total_s=0.01, shows="cannot-offer")),
        "failed to SSL_connect",
    ),
    (
        "client knows no such suite",
        Reason.CLIENT_CANNOT_OFFER,
        lambda c: line(c, h3=first_broken(59, "failed setting TLS 1.3 cipher suite: X")),
        "failed setting",
    ),
    (
        "client stuck",
        Reason.DEADLINE,
        lambda c: line(c, h3={**exchange([request(SMALL)]), "exit_code": 124}),
        "did not end by itself",
    ),
    ("client mute", Reason.INTERNAL, lambda c: line(c, h3=exchange([], exit_code=2)), "no request at all"),
    ("report cut", Reason.INTERNAL, lambda c: line(c, h3=after(1)), "get-1m, post-1m"),
    (
        "another authority",
        Reason.BAD_CERTIFICATE,
        lambda c: line(
            c, h3=first_broken(60, "SSL certificate problem: unable to get local issuer certificate")
        ),
        "local issuer",
    ),
    (
        "alert, counted",
        Reason.HANDSHAKE_REFUSED,
        lambda c: line(c, h3=first_broken(28, TIMED_OUT), handshake_failures=3),
        "HAProxy counted 3 failed handshakes (curl 28 after 8.0 s",
    ),
    (
        "alert, not counted",
        Reason.HANDSHAKE_REFUSED,
        lambda c: line(c, h3=first_broken(7, SHUT_DOWN, shows="closed-by-server"), handshake_failures=None),
        SHUT_DOWN,
    ),
    (
        "close code of an alert",
        Reason.HANDSHAKE_REFUSED,
        lambda c: line(c, h3=first_broken(56, "closed: CRYPTO_ERROR(0x128)", close_code=0x128, total_s=0.1)),
        "ended the handshake with TLS alert 40 (handshake_failure), close code 0x128 (curl 56 after",
    ),
    (
        "close code of an alert after the client's last flight",
        Reason.HANDSHAKE_REFUSED,
        lambda c: line(c, h3=first_broken(56, "closed", close_code=0x133, handshake_s=0.01)),
        "TLS alert 51 (decrypt_error)",
    ),
    (
        "close code of QUIC's own",
        Reason.HANDSHAKE_REFUSED,
        lambda c: line(c, h3=first_broken(56, "closed: error(0xa)", close_code=0x0A)),
        "The server ended the handshake (curl 56 after 8.0 s: closed: error(0xa)).",
    ),
    (
        "closed long after the handshake",
        Reason.HANDSHAKE_THEN_HANG,
        lambda c: line(c, h3=first_broken(56, "closed", close_code=0x0A, handshake_s=0.01)),
        "handshake ended, then get-1k got nothing",
    ),
    (
        "the handshake of a later connection",
        Reason.HANDSHAKE_TIMEOUT,
        lambda c: line(c, h3=after(1, broken(LARGE, 28, "too late"), code=28)),
        "time ran out before the handshake ended",
    ),
    (
        "no answer in time",
        Reason.HANDSHAKE_TIMEOUT,
        lambda c: line(c, h3=first_broken(28, TIMED_OUT)),
        "time ran out before the handshake ended (curl 28",
    ),
    (
        "a fault in the answer, which HAProxy counts as well",
        Reason.HANDSHAKE_BROKEN,
        lambda c: line(
            c, h3=first_broken(7, "quic protocol error", shows="fault-in-answer"), handshake_failures=2
        ),
        "found a fault in the server's handshake (curl 7 after 8.0 s: quic protocol error)",
    ),
    (
        "the server closed, and told why, before the client could",
        Reason.HANDSHAKE_REFUSED,
        lambda c: line(c, h3=first_broken(56, "closed", close_code=0x128, shows="fault-in-answer")),
        "TLS alert 40",
    ),
    (
        "it ended at once and nothing says why",
        Reason.HANDSHAKE_BROKEN,
        lambda c: line(c, h3=first_broken(7, "could not connect")),
        "names no cause (curl 7",
    ),
    (
        "haproxy#2569",
        Reason.HANDSHAKE_THEN_HANG,
        lambda c: line(c, h3=first_broken(28, "Operation timed out", handshake_s=0.01)),
        "handshake ended, then get-1k got nothing",
    ),
    (
        "hang at the second",
        Reason.HANDSHAKE_THEN_HANG,
        lambda c: line(c, h3=after(1, broken(LARGE, 28, "Operation timed out", handshake_s=0.01), code=28)),
        "then get-1m got nothing",
    ),
    (
        "a stream that is reset before its first byte is no hang",
        Reason.WRONG_BODY,
        lambda c: line(
            c, h3=after(1, broken(LARGE, 95, "HTTP/3 stream 4 reset by server", handshake_s=0.01), code=95)
        ),
        "get-1m was cut before its first byte (curl 95",
    ),
    (
        "origin gone",
        Reason.ORIGIN_DOWN,
        lambda c: line(c, h3=exchange(status=503), origin_ok=False),
        "status 503, and the origin does not answer",
    ),
    (
        "origin died in a body",
        Reason.ORIGIN_DOWN,
        lambda c: line(
            c,
            h3=after(1, broken(LARGE, 18, "transfer closed", received=4096, handshake_s=0.01)),
            origin_ok=False,
        ),
        "get-1m: curl 18",
    ),
    ("http/2", Reason.NOT_HTTP3, lambda c: line(c, h3=exchange(http_version="2")), "over HTTP/2"),
    ("status", Reason.BAD_STATUS, lambda c: line(c, h3=exchange(status=404)), "status 404"),
    ("haproxy's own 503", Reason.BAD_STATUS, lambda c: line(c, h3=exchange(status=503)), "status 503"),
    (
        "cipher",
        Reason.WRONG_CIPHER,
        lambda c: line(c, h3=exchange(cipher="TLS_AES_256_GCM_SHA384")),
        "Asked for TLS_AES_128_GCM_SHA256, the server negotiated TLS_AES_256_GCM_SHA384",
    ),
    ("no cipher said", Reason.WRONG_CIPHER, lambda c: line(c, h3=second(cipher=None)), "negotiated nothing"),
    (
        "body cut",
        Reason.WRONG_BODY,
        lambda c: line(
            c,
            h3=after(1, broken(LARGE, 18, "transfer closed", received=9, handshake_s=0.01)),
        ),
        "get-1m broke off after 9 bytes (curl 18",
    ),
    (
        "other bytes",
        Reason.WRONG_BODY,
        lambda c: line(c, h3=after(1, request(LARGE, sha256="3" * 64), request(UPLOAD))),
        "another SHA-256",
    ),
    (
        "no body file",
        Reason.WRONG_BODY,
        lambda c: line(c, h3=exchange([request(SMALL, sha256=None, bytes_received=0)])),
        "0 bytes",
    ),
    (
        "upload broken off",
        Reason.UPLOAD_INCOMPLETE,
        lambda c: line(c, h3=after(2, broken(UPLOAD, 95, "HTTP/3 stream reset", handshake_s=0.01), code=95)),
        "not confirmed (curl 95",
    ),
    (
        "upload short",
        Reason.UPLOAD_INCOMPLETE,
        lambda c: line(c, h3=after(2, request(UPLOAD, text='{"length": 7, "sha256": "abcdefabcdef0000"}'))),
        "confirms abcdefabcdef instead of",
    ),
    (
        "upload answered oddly",
        Reason.UPLOAD_INCOMPLETE,
        lambda c: line(c, h3=after(2, request(UPLOAD, text="thank you"))),
        "confirms nothing",
    ),
]


def judged(one: Cell, raw: Raw) -> Finding:
    return classify(one, observe(one, raw))


@pytest.mark.parametrize(
    ("reason", "make", "said"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_each_reason(reason: Reason, make: Callable[[Cell], Raw], said: str) -> None:
    found = judged(GCM, make(GCM))
    assert (found.reason, found.outcome) == (reason, REASONS[reason].outcome)
    assert said in found.message
    assert "\n" not in found.message


def test_every_reason_that_the_classifier_can_give_has_a_case() -> None:
    named = {
        Reason[node.attr]
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Reason"
    }
    assert {reason for _, reason, *_ in CASES} == named


@pytest.mark.parametrize("one", [GCM, DEFAULT, cell(cipher="TLS_CHACHA20_POLY1305_SHA256")])
def test_pass(one: Cell) -> None:
    found = judged(one, line(one))
    assert (found.outcome, found.reason) == (Outcome.PASS, None)
    assert (one.cipher.suite or CHOSEN) in found.message


def test_a_message_names_the_client() -> None:
    one = cell(client="gtlsclient")
    found = judged(one, line(one, h3=first_broken(28, "the handshake did not come")))
    assert (
        found.message == "The client's time ran out before the handshake ended"
        " (gtlsclient 28 after 8.0 s: the handshake did not come)."
    )


def test_a_default_cell_takes_any_cipher_that_the_server_names() -> None:
    raw = line(DEFAULT, h3=exchange(cipher="TLS_CHACHA20_POLY1305_SHA256"))
    assert judged(DEFAULT, raw).outcome is Outcome.PASS


def test_a_default_cell_still_needs_the_server_to_name_its_cipher() -> None:
    assert judged(DEFAULT, line(DEFAULT, h3=second(cipher=None))).reason is Reason.WRONG_CIPHER


@pytest.mark.parametrize(
    "control", [None, first_broken(7, "Connection refused"), exchange(http_version="2", status=500)]
)
def test_the_control_is_recorded_and_never_judged(control: Raw | None) -> None:
    assert judged(GCM, line(GCM, control=control)).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("make", "first"),
    [
        pytest.param(
            lambda: dead(GCM, 139, ALERT, ready_s=0.1, h3=first_broken(60, "bad certificate")),
            Reason.SERVER_CRASHED,
            id="a crash explains what the client saw",
        ),
        pytest.param(
            lambda: dead(GCM, 139, ALERT), Reason.SERVER_CRASHED, id="a crash is no refused configuration"
        ),
        pytest.param(
            lambda: dead(GCM, 137, ready_s=0.1, h3=first_broken(28, TIMED_OUT, handshake_s=0.1)),
            Reason.KILLED,
            id="a kill is no hang",
        ),
        pytest.param(
            lambda: line(GCM, h3=first_broken(59, "x"), handshake_failures=1),
            Reason.CLIENT_CANNOT_OFFER,
            id="what was never offered is not refused",
        ),
        pytest.param(
            lambda: line(GCM, h3={**first_broken(28, TIMED_OUT), "exit_code": 124}),
            Reason.DEADLINE,
            id="a client that was stopped says nothing of the handshake",
        ),
        pytest.param(
            lambda: line(GCM, h3=first_broken(28, TIMED_OUT), handshake_failures=1, origin_ok=False),
            Reason.HANDSHAKE_REFUSED,
            id="the origin has no part in a handshake",
        ),
        pytest.param(
            lambda: line(GCM, h3=exchange(http_version="2", status=404, cipher="X")),
            Reason.NOT_HTTP3,
            id="the protocol before the status",
        ),
        pytest.param(
            lambda: line(GCM, h3=exchange(status=404, cipher="X")),
            Reason.BAD_STATUS,
            id="the status before the cipher",
        ),
        pytest.param(
            lambda: line(GCM, h3=exchange([request(SMALL, cipher="X", sha256="0")])),
            Reason.WRONG_CIPHER,
            id="the cipher before the body",
        ),
        pytest.param(
            lambda: line(GCM, h3=exchange([request(SMALL, sha256="0"), request(LARGE, status=404)])),
            Reason.WRONG_BODY,
            id="the first request before the second",
        ),
        pytest.param(
            lambda: line(GCM, h3=second(cipher=None), origin_ok=False),
            Reason.WRONG_CIPHER,
            id="an origin that died afterwards excuses nothing",
        ),
    ],
)
def test_the_order_of_causes(make: Callable[[], Raw], first: Reason) -> None:
    assert judged(GCM, make()).reason is first
