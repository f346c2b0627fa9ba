"""Outcomes, their reasons and the exit codes that they cause: one table, printed in docs/outcomes.md."""

from collections.abc import Iterable
from enum import StrEnum

from orchestrator.errors import Exit
from orchestrator.value import Value


class Outcome(StrEnum):
    """What an observation means by itself, from best to worst."""

    PASS = "pass"  # noqa: S105 - an outcome, no password
    UNSUPPORTED = "unsupported"
    BLOCKED = "blocked"
    ERROR = "error"
    MISBUILT = "misbuilt"
    FAIL = "fail"

    @property
    def judged_product(self) -> bool:
        """True where HAProxy and its library were really put to the test."""
        return self in {Outcome.PASS, Outcome.FAIL, Outcome.MISBUILT}


class Verdict(StrEnum):
    """What an outcome means against what was expected of it."""

    AS_EXPECTED = "as-expected"
    UNEXPECTED = "unexpected"
    NOT_JUDGED = "not-judged"


class Reason(StrEnum):
    """Why an outcome is not ``pass``. Each belongs to exactly one outcome (see REASONS)."""

    BUILD_FAILED = "build-failed"
    CONFIG_REFUSED = "config-refused"
    NOT_READY = "not-ready"
    HANDSHAKE_REFUSED = "handshake-refused"
    HANDSHAKE_TIMEOUT = "handshake-timeout"
    HANDSHAKE_THEN_HANG = "handshake-then-hang"
    SERVER_CRASHED = "server-crashed"
    WRONG_CIPHER = "wrong-cipher"
    NOT_HTTP3 = "not-http3"
    BAD_CERTIFICATE = "bad-certificate"
    BAD_STATUS = "bad-status"
    WRONG_BODY = "wrong-body"
    UPLOAD_INCOMPLETE = "upload-incomplete"
    WRONG_LIBRARY = "wrong-library"
    WRONG_ARCH = "wrong-arch"
    WRONG_VERSION = "wrong-version"
    NO_QUIC = "no-quic"
    KILLED = "killed"
    ORIGIN_DOWN = "origin-down"
    ENGINE_UNAVAILABLE = "engine-unavailable"
    EMULATION = "emulation"
    DEADLINE = "deadline"
    INTERNAL = "internal"
    SOURCE_UNREACHABLE = "source-unreachable"
    CHECKSUM_MISMATCH = "checksum-mismatch"
    PREREQUISITE = "prerequisite"
    CLIENT_CANNOT_OFFER = "client-cannot-offer"
    LIBRARY_CANNOT = "library-cannot"
    HAPROXY_CANNOT = "haproxy-cannot"


class ReasonInfo(Value):
    """One row of the table."""

    outcome: Outcome
    reason: Reason
    meaning: str


REASONS: dict[Reason, ReasonInfo] = {
    reason: ReasonInfo(outcome=outcome, reason=reason, meaning=meaning)
    for outcome, rows in {
        Outcome.FAIL: {
            Reason.BUILD_FAILED: "the TLS library or HAProxy does not compile",
            Reason.CONFIG_REFUSED: "HAProxy refuses its configuration and exits",
            Reason.NOT_READY: "HAProxy runs but opens no QUIC listener in time",
            Reason.HANDSHAKE_REFUSED: "the server ends the handshake with an alert",
            Reason.HANDSHAKE_TIMEOUT: "the handshake gets no answer",
            Reason.HANDSHAKE_THEN_HANG: "the handshake completes for the client, then nothing comes",
            Reason.SERVER_CRASHED: "HAProxy died of SEGV, ABRT, BUS, ILL or FPE, or exited on its own",
            Reason.WRONG_CIPHER: "another cipher was negotiated than the one asked for",
            Reason.NOT_HTTP3: "the answer did not come over HTTP/3",
            Reason.BAD_CERTIFICATE: "the certificate does not verify against the run's own CA",
            Reason.BAD_STATUS: "the answer's status is not 200",
            Reason.WRONG_BODY: "a body arrived cut or with the wrong SHA-256",
            Reason.UPLOAD_INCOMPLETE: "the origin did not get the upload whole",
        },
        Outcome.MISBUILT: {
            Reason.WRONG_LIBRARY: "the binary holds another TLS library than the declared one",
            Reason.WRONG_ARCH: "the binary or the machine is of another architecture",
            Reason.WRONG_VERSION: "the binary is another version of HAProxy than the declared one",
            Reason.NO_QUIC: "HAProxy was built without QUIC",
        },
        Outcome.ERROR: {
            Reason.KILLED: "HAProxy was killed from outside (KILL, or out of memory)",
            Reason.ORIGIN_DOWN: "the origin server behind HAProxy does not answer",
            Reason.ENGINE_UNAVAILABLE: "the container engine does not answer or refused a call",
            Reason.EMULATION: "QEMU cannot run the program",
            Reason.DEADLINE: "a time limit of the harness passed",
            Reason.INTERNAL: "a fault of matrixctl itself",
        },
        Outcome.BLOCKED: {
            Reason.SOURCE_UNREACHABLE: "no origin had the source",
            Reason.CHECKSUM_MISMATCH: "the source had other bytes than declared",
            Reason.PREREQUISITE: "something that the cell needs did not succeed; the message names it",
        },
        Outcome.UNSUPPORTED: {
            Reason.CLIENT_CANNOT_OFFER: "the client cannot offer the suite over QUIC",
            Reason.LIBRARY_CANNOT: "the TLS library has no such suite over QUIC",
            Reason.HAPROXY_CANNOT: "this HAProxy cannot use the suite with this library",
        },
    }.items()
    for reason, meaning in rows.items()
}

_EXIT: dict[Outcome, Exit] = {
    Outcome.PASS: Exit.OK,
    Outcome.UNSUPPORTED: Exit.OK,
    Outcome.BLOCKED: Exit.HARNESS,
    Outcome.ERROR: Exit.HARNESS,
    Outcome.MISBUILT: Exit.FAILED,
    Outcome.FAIL: Exit.FAILED,
}


def exit_code(outcomes: Iterable[Outcome | None], *, allow_blocked: bool = False) -> Exit:
    """The exit code of a run; ``None`` is a cell that was planned and never judged, a harness error."""
    codes = {
        Exit.HARNESS
        if outcome is None
        else Exit.OK
        if outcome is Outcome.BLOCKED and allow_blocked
        else _EXIT[outcome]
        for outcome in outcomes
    }
    for code in (Exit.FAILED, Exit.HARNESS):
        if code in codes:
            return code
    return Exit.OK


def outcome_exit(outcome: Outcome) -> Exit:
    """The exit code that one cell of this outcome causes."""
    return _EXIT[outcome]


_ORDER = tuple(Outcome)


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """Reduce several attempts at one cell to the one that counts: a single failure is a failure.

    :raises ValueError: without any outcome.
    """
    return max(outcomes, key=_ORDER.index)
