"""Outcomes, their reasons and the exit codes that they cause: one table, printed in docs/outcomes.md."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Protocol

from orchestrator.errors import Exit
from orchestrator.frozen_value import Value


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
    """What an outcome means against what was expected of it, from best to worst."""

    AS_EXPECTED = "as-expected"
    KNOWN_FAILURE = "known-failure"
    NOW_PASSING = "now-passing"
    NOT_JUDGED = "not-judged"
    FLAKY = "flaky"
    CHANGED_FAILURE = "changed-failure"
    REGRESSION = "regression"

    @property
    def meaning(self) -> str:
        """Return one clause for a person."""
        return _MEANINGS[self]


_MEANINGS = {
    Verdict.AS_EXPECTED: "what the rule, the table of capabilities or, without either, a pass promises",
    Verdict.KNOWN_FAILURE: "fails for the very reason that a rule documents",
    Verdict.NOW_PASSING: "passes though a rule expects otherwise: remove the rule before it hides a failure",
    Verdict.NOT_JUDGED: "nothing is known of the product: error, blocked, never run",
    Verdict.FLAKY: "fails though no rule expects it, and not each time that it is probed alone",
    Verdict.CHANGED_FAILURE: "a rule expects a failure, and it fails in another way",
    Verdict.REGRESSION: "fails though no rule expects a failure, or does what is declared impossible",
}


class Reason(StrEnum):
    """Why an outcome is not ``pass``. Each belongs to exactly one outcome (see REASONS)."""

    BUILD_FAILED = "build-failed"
    CONFIG_REFUSED = "config-refused"
    NOT_READY = "not-ready"
    HANDSHAKE_REFUSED = "handshake-refused"
    HANDSHAKE_BROKEN = "handshake-broken"
    HANDSHAKE_TIMEOUT = "handshake-timeout"
    HANDSHAKE_THEN_HANG = "handshake-then-hang"
    SERVER_CRASHED = "server-crashed"
    SANITIZER = "sanitizer"
    WRONG_CIPHER = "wrong-cipher"
    NOT_HTTP3 = "not-http3"
    BAD_CERTIFICATE = "bad-certificate"
    BAD_STATUS = "bad-status"
    WRONG_BODY = "wrong-body"
    UPLOAD_INCOMPLETE = "upload-incomplete"
    DEFAULT_CHANGED = "default-changed"
    WRONG_LIBRARY = "wrong-library"
    WRONG_ARCH = "wrong-arch"
    WRONG_VERSION = "wrong-version"
    NO_QUIC = "no-quic"
    WRONG_QUIC_API = "wrong-quic-api"
    NOT_LOADABLE = "not-loadable"
    PACKAGE_MISSING = "package-missing"
    KILLED = "killed"
    ORIGIN_DOWN = "origin-down"
    ENGINE_UNAVAILABLE = "engine-unavailable"
    EXHAUSTED = "exhausted"
    EMULATION = "emulation"
    DEADLINE = "deadline"
    INTERNAL = "internal"
    SOURCE_UNREACHABLE = "source-unreachable"
    CHECKSUM_MISMATCH = "checksum-mismatch"
    PREREQUISITE = "prerequisite"
    CLIENT_CANNOT_OFFER = "client-cannot-offer"
    LIBRARY_CANNOT = "library-cannot"
    HAPROXY_CANNOT = "haproxy-cannot"
    EMULATOR_CANNOT = "emulator-cannot"


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
            Reason.HANDSHAKE_BROKEN: "the client gives up the handshake before its time has run out",
            Reason.HANDSHAKE_TIMEOUT: "the client's time runs out before the handshake ends",
            Reason.HANDSHAKE_THEN_HANG: "the handshake completes for the client, then nothing comes",
            Reason.SERVER_CRASHED: "HAProxy died of SEGV, ABRT, BUS, ILL or FPE, or exited on its own",
            Reason.SANITIZER: "a sanitizer of the compiler reports a fault of HAProxy or its library",
            Reason.WRONG_CIPHER: "another cipher was negotiated than the one asked for",
            Reason.NOT_HTTP3: "the answer did not come over HTTP/3",
            Reason.BAD_CERTIFICATE: "the certificate does not verify against the run's own CA",
            Reason.BAD_STATUS: "the answer's status is not 200",
            Reason.WRONG_BODY: "a body arrived cut or with the wrong SHA-256",
            Reason.UPLOAD_INCOMPLETE: "the origin did not get the upload whole",
            Reason.DEFAULT_CHANGED: "with nothing forced, another cipher was negotiated than expected",
        },
        Outcome.MISBUILT: {
            Reason.WRONG_LIBRARY: "the binary holds another TLS library than the declared one",
            Reason.WRONG_ARCH: "the binary or the machine is of another architecture",
            Reason.WRONG_VERSION: "the binary is another version of HAProxy than the declared one",
            Reason.NO_QUIC: "HAProxy was built without QUIC",
            Reason.WRONG_QUIC_API: "QUIC goes by another API than the declared one: native, or compat",
            Reason.NOT_LOADABLE: "the loader refuses the binary, which was built for another system",
        },
        Outcome.ERROR: {
            Reason.KILLED: "HAProxy was killed from outside (KILL, or out of memory)",
            Reason.ORIGIN_DOWN: "the origin server behind HAProxy does not answer",
            Reason.ENGINE_UNAVAILABLE: "the container engine does not answer or refused a call",
            Reason.EXHAUSTED: "memory or disk ran out where something was built, run or kept",
            Reason.EMULATION: "QEMU cannot run the program",
            Reason.DEADLINE: "a time limit of the harness passed",
            Reason.PACKAGE_MISSING: "our images lack what the build or the binary asks for",
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
            Reason.EMULATOR_CANNOT: "QEMU has no such CPU for this architecture, or cannot run such a build",
        },
    }.items()
    for reason, meaning in rows.items()
}

FAILURES = frozenset({Outcome.FAIL, Outcome.MISBUILT})
"""What the product is to blame for."""


LASTING = frozenset({Reason.PACKAGE_MISSING})
"""Failures of the harness that another try cannot change."""


class Expectation(Protocol):
    """What an outcome is compared with: a rule of the matrix, or a declaration (then ``rule`` is empty)."""

    @property
    def outcome(self) -> Outcome: ...

    @property
    def reason(self) -> Reason | None: ...

    @property
    def rule(self) -> str: ...


def find_verdict(outcome: Outcome | None, reason: Reason | None, expected: Expectation | None) -> Verdict:
    """Return the verdict on an outcome by what was expected; docs/outcomes.md has it as a table.

    ``expected`` is ``None`` for a cell that no rule meets and that is not declared unsupported.
    """
    if outcome is None:
        return Verdict.NOT_JUDGED
    if expected is None:
        return _judge_unexpected(outcome) if outcome is not Outcome.PASS else Verdict.AS_EXPECTED
    if (outcome, reason) == (expected.outcome, expected.reason):
        return Verdict.KNOWN_FAILURE if outcome in FAILURES else Verdict.AS_EXPECTED
    if outcome is Outcome.PASS:
        # A declaration of the table that does not hold is a fault of the table, never good news.
        return Verdict.NOW_PASSING if expected.rule else Verdict.REGRESSION
    if outcome in FAILURES and expected.outcome in FAILURES:
        return Verdict.CHANGED_FAILURE
    return _judge_unexpected(outcome)


def _judge_unexpected(outcome: Outcome) -> Verdict:
    return Verdict.REGRESSION if outcome in FAILURES else Verdict.NOT_JUDGED


ALARMS = frozenset({Verdict.REGRESSION, Verdict.CHANGED_FAILURE})
"""The verdicts of a failure that no rule expects."""
_CALM = {
    Outcome.PASS: {Verdict.AS_EXPECTED, Verdict.NOW_PASSING},
    Outcome.FAIL: {Verdict.KNOWN_FAILURE, Verdict.FLAKY},
    Outcome.MISBUILT: {Verdict.KNOWN_FAILURE, Verdict.FLAKY},
    Outcome.UNSUPPORTED: {Verdict.AS_EXPECTED},
    Outcome.BLOCKED: {Verdict.AS_EXPECTED},
    Outcome.ERROR: {Verdict.AS_EXPECTED},
}
"""The verdicts that are no alarm, and that an outcome can have."""


def correct_verdict(outcome: Outcome | None, said: Verdict) -> Verdict:
    """Return the verdict that a record says, or a louder one where no such outcome can have it.

    A record may come from anywhere; a cell that was not judged is never green.
    """
    if outcome is None:
        return Verdict.NOT_JUDGED
    if said in ALARMS or said in _CALM[outcome]:
        return said
    return _judge_unexpected(outcome)


_EXIT: dict[Verdict, Exit] = {
    Verdict.AS_EXPECTED: Exit.OK,
    Verdict.KNOWN_FAILURE: Exit.OK,
    Verdict.NOW_PASSING: Exit.OK,
    Verdict.NOT_JUDGED: Exit.HARNESS,
    Verdict.FLAKY: Exit.OK,
    Verdict.CHANGED_FAILURE: Exit.FAILED,
    Verdict.REGRESSION: Exit.FAILED,
}


def find_exit_code(
    cells: Iterable[tuple[Outcome | None, Verdict]],
    *,
    stale: bool = False,
    allow_blocked: bool = False,
    fail_on_flaky: bool = False,
) -> Exit:
    """Return the exit code of a run, from the outcome and the verdict of each cell.

    :param stale: a rule that counts for a cell of the run is out of date.
    :param allow_blocked: forgive a blocked cell that no rule expects; anything else that was not judged
        is the harness's.
    :param fail_on_flaky: a flaky cell counts as a failure.
    """
    every = [(outcome, correct_verdict(outcome, verdict)) for outcome, verdict in cells]
    codes = {_find_cell_exit(*cell, allow_blocked=allow_blocked) for cell in every}
    if stale or (fail_on_flaky and any(verdict is Verdict.FLAKY for _, verdict in every)):
        codes.add(Exit.FAILED)
    for code in (Exit.FAILED, Exit.HARNESS):
        if code in codes:
            return code
    return Exit.OK


def _find_cell_exit(outcome: Outcome | None, verdict: Verdict, *, allow_blocked: bool) -> Exit:
    forgiven = allow_blocked and outcome is Outcome.BLOCKED and verdict is Verdict.NOT_JUDGED
    return Exit.OK if forgiven else find_verdict_exit(verdict)


def find_verdict_exit(verdict: Verdict) -> Exit:
    """Return the exit code that one cell of this verdict causes."""
    return _EXIT[verdict]


_ORDER = tuple(Outcome)
_VERDICTS = tuple(Verdict)


def rank_severity(outcome: Outcome, verdict: Verdict) -> tuple[int, int]:
    """Return a key that sorts attempts from best to worst: a known failure hides no other one."""
    return _ORDER.index(outcome), _VERDICTS.index(verdict)
