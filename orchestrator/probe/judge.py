"""From a cell's planned record and one attempt to its next record. Pure."""

from collections.abc import Mapping
from typing import Any

from orchestrator.matrix.model import Cell, Unsupported
from orchestrator.outcome import Outcome, Reason, Verdict, worst
from orchestrator.probe.attest import Binary, attest, misbuilt
from orchestrator.probe.classify import Judgement, because, classify
from orchestrator.probe.observe import MALFORMED, observe, signal_name
from orchestrator.record.model import Attempt, Attestation, CellRecord, Observations
from orchestrator.value import Value

AGAIN = "again: "
"""Begins ``Attempt.why`` where an attempt replaces one that the harness spoilt."""

_CANNOT = {
    Reason.CONFIG_REFUSED,
    Reason.NOT_READY,
    Reason.HANDSHAKE_REFUSED,
    Reason.HANDSHAKE_TIMEOUT,
    Reason.HANDSHAKE_THEN_HANG,
}
"""Failures that prove what is declared of HAProxy or its library. A crash or a wrong body proves it not."""

_VERDICTS = {
    Outcome.PASS: Verdict.AS_EXPECTED,
    Outcome.UNSUPPORTED: Verdict.AS_EXPECTED,
    Outcome.FAIL: Verdict.UNEXPECTED,
    Outcome.MISBUILT: Verdict.UNEXPECTED,
}


class Judged(Value):
    """One attempt's meaning, with what it rests on."""

    outcome: Outcome
    reason: Reason | None
    message: str
    observations: Observations | None = None
    attestation: Attestation | None = None
    contradicts: bool = False
    """The cell is declared to be impossible, and it is not."""


def judge(
    cell: Cell,
    binary: Binary,
    server: Mapping[str, Any],
    raw: Mapping[str, Any],
    declared: Unsupported | None,
) -> Judged:
    """Judge one cell's JSON line. ``server`` is the session's first line."""
    try:
        proof = attest(cell, binary, server["machine"], server["vv"])
        seen = observe(cell, raw)
        judgement = _judgement(cell, proof, seen, server["vv_status"])
    except MALFORMED as error:
        message = f"The probe's answer has not the expected shape: {error!r}"
        return Judged(outcome=Outcome.ERROR, reason=Reason.INTERNAL, message=message)
    judgement, contradicts = _challenged(declared, judgement)
    return Judged(
        outcome=judgement.outcome,
        reason=judgement.reason,
        message=judgement.message,
        observations=seen,
        attestation=proof,
        contradicts=contradicts,
    )


def _judgement(cell: Cell, proof: Attestation, seen: Observations, vv_status: int | None) -> Judgement:
    if proof.haproxy_version is None and proof.elf_machine == cell.arch.arch.elf_machine:
        died = signal_name(vv_status)
        if died is not None:
            reason = Reason.KILLED if died == "SIGKILL" else Reason.SERVER_CRASHED
            return because(reason, f"`haproxy -vv` died of {died}.")
        return because(Reason.INTERNAL, f"`haproxy -vv` said nothing (status {vv_status}).")
    found = misbuilt(cell, proof)
    return because(*found) if found else classify(cell, seen)


def _challenged(declared: Unsupported | None, judgement: Judgement) -> tuple[Judgement, bool]:
    """Hold a declaration against what happened; the answer's second half: it does not hold."""
    if declared is None and judgement.outcome is Outcome.UNSUPPORTED:
        # Never green by itself: a client that lost its ciphers would turn every cell into a grey one.
        message = f"Nothing declares that the client cannot: {judgement.message}"
        return because(Reason.INTERNAL, message), False
    if declared is None or judgement.outcome in {Outcome.ERROR, Outcome.MISBUILT}:
        return judgement, False
    if judgement.reason == declared.reason or (
        judgement.reason in _CANNOT and declared.reason != Reason.CLIENT_CANNOT_OFFER
    ):
        message = f"{declared.message}; challenged, and so it is: {judgement.message}"
        return because(Reason(declared.reason), message), False
    if judgement.outcome is Outcome.UNSUPPORTED:  # the client sent nothing: that proves nothing of the server
        return judgement, False
    message = f"Declared unsupported ({declared.message}), which does not hold: {judgement.message}"
    return judgement._replace(message=message), True


def with_attempt(
    record: CellRecord,
    judged: Judged,
    *,
    why: str,
    started_at: str,
    duration_s: float,
    evidence: tuple[str, ...],
    features: tuple[str, ...] | None,
) -> CellRecord:
    """The record after one more attempt.

    Repeats reduce to the worst: one failure among them is a failure. An attempt that replaces a spoilt
    one takes its place, and both stay in the list.
    """
    attempt = Attempt(
        number=len(record.attempts) + 1,
        why=why,
        outcome=judged.outcome,
        reason=judged.reason,
        message=judged.message,
        started_at=started_at,
        duration_s=duration_s,
    )
    attempts = (*record.attempts, attempt)
    counted = _counted(attempts)
    outcome = worst(one.outcome for one in counted)
    unexpected = judged.contradicts or record.verdict is Verdict.UNEXPECTED
    execution = record.execution
    if features is not None:
        execution = execution.model_copy(update={"cpu_features": features})
    changed: dict[str, object] = {
        "attempts": attempts,
        "execution": execution,
        "duration_s": sum(one.duration_s for one in attempts),
        "verdict": Verdict.UNEXPECTED if unexpected else _VERDICTS.get(outcome, Verdict.NOT_JUDGED),
    }
    if outcome is judged.outcome:
        changed |= {
            "outcome": outcome,
            "reason": judged.reason,
            "message": judged.message,
            "observations": judged.observations,
            "attestation": judged.attestation,
            "evidence": evidence,
        }
    elif outcome is not record.outcome:  # the record showed the spoilt attempt that was replaced
        decisive = next(one for one in counted if one.outcome is outcome)
        changed |= {"outcome": outcome, "reason": decisive.reason, "message": decisive.message}
    return record.model_copy(update=changed)


def _counted(attempts: tuple[Attempt, ...]) -> list[Attempt]:
    counted: list[Attempt] = []
    for attempt in attempts:
        if attempt.why.startswith(AGAIN) and counted:
            counted.pop()
        counted.append(attempt)
    return counted
