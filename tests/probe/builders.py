"""Lines of the probe's driver as they come from a real session, and what a binary says of itself."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.matrix.model import Cell
from orchestrator.outcome import Outcome
from orchestrator.probe.attest import Binary
from orchestrator.probe.judge import Judgement, judge
from orchestrator.probe.session_files import Asked, list_requests

Raw = dict[str, Any]

GCM = "TLS_AES_128_GCM_SHA256"
CHOSEN = "TLS_AES_256_GCM_SHA384"
"""What OpenSSL chooses where nobody forces a suite."""
VERSION = "3.0.11-d60d1a7"
FEATURES = "-51DEGREES +ACCEPT4 +OPENSSL -OPENSSL_AWSLC -PCRE +QUIC +QUIC_OPENSSL_COMPAT +RT +THREAD"
NATIVE_FEATURES = FEATURES.replace("+QUIC_OPENSSL_COMPAT", "-QUIC_OPENSSL_COMPAT")
NO_QUIC_FEATURES = NATIVE_FEATURES.replace("+QUIC ", "-QUIC ")
LIBRARY = "OpenSSL 3.5.7 9 Jun 2026"


def vv(
    *,
    version: str = VERSION,
    features: str = FEATURES,
    built: str = LIBRARY,
    running: str = LIBRARY,
    library: str = "OpenSSL",
) -> str:
    """What ``haproxy -vv`` prints, without the lines that nobody reads."""
    return (
        f"HAProxy version {version} 2025/06/26 - https://haproxy.org/\n"
        "Status: long-term supported branch - will stop receiving fixes around Q2 2029.\n"
        f"Running on: Linux 6.1.0 #1 SMP x86_64\nBuild options :\n  TARGET  = linux-glibc\n"
        f"\nFeature list : {features}\n\nBuilt with multi-threading support (MAX_TGROUPS=16).\n"
        f"Built with {library} version : {built}\nRunning on {library} version : {running}\n"
        f"{library} library supports TLS extensions : yes\n"
    )


def server_line(**changed: Any) -> Raw:
    """The session's first line."""
    line = {"kind": "server", "vv_status": 0, "machine": "x86_64\n", "cpu": "", "vv": vv()}
    return {**line, **changed}


def request(wanted: Asked, **changed: Any) -> Raw:
    """A request that went well, but for what is said otherwise."""
    answer = json.dumps({"length": wanted.length, "sha256": wanted.sha256}) if wanted.upload else None
    told = {
        "name": wanted.name,
        "http_version": "3",
        "status": 200,
        "cipher": GCM,
        "protocol": "TLSv1.3",
        "bytes_received": len(answer) if answer else wanted.length,
        "bytes_sent": wanted.length if wanted.upload else 0,
        "sha256": "0" * 64 if answer else wanted.sha256,
        "text": answer,
        "exit_code": 0,
        "error": "",
        "handshake_s": 0.007,
        "first_byte_s": 0.009,
        "total_s": 0.012,
        "close_code": None,
        "shows": None,
    }
    return {**told, **changed}


def broken(wanted: Asked, code: int, error: str, *, received: int = 0, **changed: Any) -> Raw:
    """A request that the client gave up: by default it got no answer at all."""
    unanswered = {
        "http_version": None,
        "status": None,
        "cipher": None,
        "protocol": None,
        "bytes_received": received,
        "bytes_sent": 0,
        "sha256": "1" * 64 if received else None,
        "text": None,
        "handshake_s": None,
        "first_byte_s": None,
        "total_s": 8.0,
    }
    return request(wanted, **{**unanswered, "exit_code": code, "error": error, **changed})


def exchange(requests: Sequence[Raw] | None = None, *, exit_code: int = 0, **each: Any) -> Raw:
    """One exchange; it ends with its first failure."""
    made = [request(wanted, **each) for wanted in list_requests()] if requests is None else list(requests)
    return {"exit_code": exit_code, "duration_s": 0.05, "requests": made}


def first_broken(code: int, error: str, **changed: Any) -> Raw:
    """An exchange whose first request failed."""
    return exchange([broken(list_requests()[0], code, error, **changed)], exit_code=code)


def line(cell: Cell, **changed: Any) -> Raw:
    """A cell's line; everything went well but for what is said otherwise."""
    whole = {
        "kind": "cell",
        "id": cell.id,
        "ready_s": 0.05,
        "h3": exchange(cipher=cell.cipher.suite or CHOSEN),
        "control": exchange(cipher=cell.cipher.suite or CHOSEN, http_version="2"),
        "handshake_failures": 0,
        "origin_ok": True,
        "exit_code": None,
        "ended_in": None,
        "duration_s": 0.3,
        "late_s": 0.001,
        "files": {"haproxy.log": "[NOTICE]   (7) : Loading success.\n", "haproxy.cfg": "global\n"},
    }
    return {**whole, **changed}


def dead(cell: Cell, status: int, *log: str, ready_s: float | None = None, **changed: Any) -> Raw:
    """A cell whose HAProxy ended with ``status``."""
    h3 = None if ready_s is None else first_broken(28, "Connection timed out after 8002 milliseconds")
    phase = "start" if ready_s is None else "h3"
    ended = {"ready_s": ready_s, "exit_code": status, "h3": h3, "control": None, "ended_in": phase, **changed}
    return line(cell, **ended, files={"haproxy.log": "\n".join(log)})


BINARY = Binary(elf_machine="EM_X86_64", needed=("libc.so.6",), prefixes=("openssl-3.5.7",))


def judged(cell: Cell, raw: Mapping[str, Any], **server: Any) -> Judgement:
    """The judgement of a line about a HAProxy that is what it was declared to be."""
    return judge(cell, BINARY, server_line(**server), raw, None)


def an_outcome(judgement: Judgement) -> str:
    """``pass``, or the reason."""
    return judgement.reason or Outcome.PASS
