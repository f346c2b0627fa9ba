"""From a cell's planned record and one attempt to its next record. Pure."""

from collections.abc import Mapping
from typing import Any

from orchestrator.frozen_value import Value
from orchestrator.matrix import capabilities
from orchestrator.matrix.environment import find_unset
from orchestrator.matrix.model import Cell, Unsupported
from orchestrator.outcome import Outcome, Reason, Verdict, find_verdict, rank_severity
from orchestrator.probe import cpu, sanitize
from orchestrator.probe.attest import Binary, attest, find_misbuild
from orchestrator.probe.classify import Finding, classify, make_finding
from orchestrator.probe.load_failure import find_refusal
from orchestrator.probe.observe import MALFORMED, name_signal, observe
from orchestrator.record.model import (
    Attempt,
    Attestation,
    CellRecord,
    Expected,
    Load,
    Observations,
    list_counted,
)

AGAIN = "again: "
"""Begins ``Attempt.why`` of an attempt that was made ``again``, for people."""

_REFUSED = frozenset({Reason.CONFIG_REFUSED, Reason.HANDSHAKE_REFUSED})
_PROVES = {
    Reason.LIBRARY_CANNOT: _REFUSED,
    Reason.HAPROXY_CANNOT: _REFUSED
    | {Reason.NOT_READY, Reason.HANDSHAKE_TIMEOUT, Reason.HANDSHAKE_THEN_HANG},
}
"""Failures that prove what is declared of HAProxy or its library. A crash or a wrong body proves nothing.

A library without a suite has to refuse it: one that leaves its client hanging, or HAProxy with half a
handshake, has a fault (haproxy#2569). What HAProxy lacks shows in more ways (docs/capabilities.md).
"""


class Judgement(Value):
    """One attempt's meaning, with what it rests on."""

    outcome: Outcome
    reason: Reason | None
    message: str
    observations: Observations | None = None
    attestation: Attestation | None = None
    contradicts: bool = False
    """The cell is declared to be impossible, and it is not."""


def conclude(reason: Reason, message: str) -> Judgement:
    """Return the meaning of an attempt that observed nothing; the reason's outcome stands in the table."""
    return Judgement(**make_finding(reason, message)._asdict())


def judge(
    cell: Cell,
    binary: Binary,
    server: Mapping[str, Any],
    raw: Mapping[str, Any],
    declared: Unsupported | None,
) -> Judgement:
    """Judge one cell's JSON line. ``server`` is the session's first line."""
    try:
        proof = attest(cell, binary, server["machine"], server["vv"])
        seen = observe(cell, raw)
        judgement = _find_meaning(cell, binary, proof, seen, server)
    except MALFORMED as error:
        message = f"The probe's answer has not the expected shape: {error!r}"
        return conclude(Reason.INTERNAL, message)
    no_quic = capabilities.find_quic_api(cell.haproxy, cell.tls) == "none"
    judgement, contradicts = _challenge(declared, judgement, no_quic=no_quic)
    return Judgement(
        outcome=judgement.outcome,
        reason=judgement.reason,
        message=judgement.message,
        observations=seen,
        attestation=proof,
        contradicts=contradicts,
    )


def _find_meaning(
    cell: Cell, binary: Binary, proof: Attestation, seen: Observations, server: Mapping[str, Any]
) -> Finding:
    vv_status, said = server["vv_status"], server["vv"]
    if proof.haproxy_version is None and proof.elf_machine == cell.arch.arch.elf_machine:
        if reported := sanitize.find_report(said):
            return make_finding(Reason.SANITIZER, f"In `haproxy -vv` {reported}.")
        if refused := find_refusal(cell, binary, said):
            return make_finding(*refused)
        died = name_signal(vv_status)
        if died is not None:
            reason = Reason.KILLED if died == "SIGKILL" else Reason.SERVER_CRASHED
            return make_finding(reason, f"`haproxy -vv` died of {died}.")
        return make_finding(Reason.INTERNAL, f"`haproxy -vv` said nothing (status {vv_status}).")
    found = find_misbuild(cell, proof)
    if found is None and (wrong := cpu.find_contradiction(cell, server["cpu"])):
        found = Reason.EMULATION, wrong
    if found is None and (unset := find_unset(cell.execution.environment, server["cpu"])):
        found = Reason.INTERNAL, f"The server's programs did not get {', '.join(unset)}."
    return make_finding(*found) if found else classify(cell, seen)


def _challenge(declared: Unsupported | None, judgement: Finding, *, no_quic: bool) -> tuple[Finding, bool]:
    """Compare a declaration with what happened; return the finding, and whether the declaration is wrong.

    ``no_quic``: what is declared is that this HAProxy has no QUIC with this library at all.
    """
    if declared is None and judgement.outcome is Outcome.UNSUPPORTED:
        # Never green by itself: a client that lost its ciphers would turn every cell into a grey one.
        message = f"Nothing declares that the client cannot: {judgement.message}"
        return make_finding(Reason.INTERNAL, message), False
    without_quic = no_quic and judgement.reason is Reason.NO_QUIC  # as declared, so it is not misbuilt
    if declared is None or (judgement.outcome in {Outcome.ERROR, Outcome.MISBUILT} and not without_quic):
        return judgement, False
    if (
        without_quic
        or judgement.reason == declared.reason
        or judgement.reason in _PROVES.get(Reason(declared.reason), ())
    ):
        message = f"{declared.message}; challenged, and so it is: {judgement.message}"
        return make_finding(Reason(declared.reason), message), False
    if judgement.outcome is Outcome.UNSUPPORTED:  # the client sent nothing: that proves nothing of the server
        return judgement, False
    hangs = declared.reason == Reason.LIBRARY_CANNOT and judgement.reason in _PROVES[Reason.HAPROXY_CANNOT]
    holds = "so it has to be refused, and is not" if hangs else "which does not hold"
    message = f"Declared unsupported ({declared.message}), {holds}: {judgement.message}"
    return judgement._replace(message=message), True


def add_attempt(
    record: CellRecord,
    judged: Judgement,
    *,
    why: str,
    started_at: str,
    duration_s: float,
    evidence: tuple[str, ...],
    features: tuple[str, ...] | None,
    again: bool = False,
    load: Load | None = None,
) -> CellRecord:
    """Return the record after one more attempt.

    Repeats reduce to the worst: one failure among them is a failure, and one that is not expected counts
    before a known one. An attempt that replaces a broken one takes its place, and both stay in the list.
    """
    judged = _check_cipher(record, judged)
    attempt = Attempt(
        number=len(record.attempts) + 1,
        why=why,
        outcome=judged.outcome,
        reason=judged.reason,
        message=judged.message,
        started_at=started_at,
        duration_s=duration_s,
        again=again,
        evidence=evidence,
        load=load,
    )
    attempts = (*record.attempts, attempt)
    decisive = _find_decisive(attempts, record.expected)
    contradicted = judged.contradicts or record.verdict is Verdict.REGRESSION
    execution = record.execution
    if features is not None:
        execution = execution.model_copy(update={"cpu_features": features})
    changed: dict[str, object] = {
        "attempts": attempts,
        "execution": execution,
        "duration_s": sum(one.duration_s for one in attempts),
        "verdict": Verdict.REGRESSION
        if contradicted
        else find_verdict(decisive.outcome, decisive.reason, record.expected),
        "outcome": decisive.outcome,
        "reason": decisive.reason,
        "message": decisive.message,
    }
    if decisive is attempt:
        changed |= {
            "observations": judged.observations,
            "attestation": judged.attestation,
            "evidence": evidence,
        }
    return record.model_copy(update=changed)


def _check_cipher(record: CellRecord, judged: Judgement) -> Judgement:
    """Return the judgement; a pass with another suite than the rule names for a free choice is a failure."""
    wanted = record.expected.cipher if record.expected else None
    seen = judged.observations.negotiated_cipher if judged.observations else None
    if judged.outcome is not Outcome.PASS or wanted is None or seen == wanted:
        return judged
    message = f"With nothing forced, {seen} was negotiated; {wanted} is expected."
    changed = make_finding(Reason.DEFAULT_CHANGED, message)
    return judged.model_copy(update=changed._asdict())


def _find_decisive(attempts: tuple[Attempt, ...], expected: Expected | None) -> Attempt:
    """Return the worst of those that count; of several alike the last, whose observations are at hand."""

    def severity_of(one: Attempt) -> tuple[int, int]:
        return rank_severity(one.outcome, find_verdict(one.outcome, one.reason, expected))

    standing = list_counted(attempts)
    worst = max(severity_of(one) for one in standing)
    return next(one for one in reversed(standing) if severity_of(one) == worst)
