"""Judging: misbuilt before the rest, declarations that are challenged, attempts that add up to a record."""

from collections.abc import Sequence

import pytest
from builders import (
    BINARY,
    GCM,
    NO_QUIC_FEATURES,
    dead,
    exchange,
    first_broken,
    judged,
    line,
    server_line,
    vv,
)
from fakes import cell

from orchestrator.matrix import capabilities
from orchestrator.matrix.model import ExecutionValue, Unsupported
from orchestrator.outcome import REASONS, Outcome, Reason, Verdict
from orchestrator.probe.attest import Binary
from orchestrator.probe.judge import AGAIN, Judgement, add_attempt, judge
from orchestrator.record.model import Axes, Build, CellRecord, Execution, Expected, Observations

CELL = cell()
PASS, ERROR, FAIL = Outcome.PASS, Outcome.ERROR, Outcome.FAIL
UNSUPPORTED, MISBUILT = Outcome.UNSUPPORTED, Outcome.MISBUILT


def test_a_good_cell_passes_with_what_it_rests_on() -> None:
    found = judged(CELL, line(CELL))
    assert (found.outcome, found.reason, found.contradicts) == (PASS, None, False)
    assert found.observations is not None
    assert found.observations.negotiated_cipher == GCM
    assert found.attestation is not None
    assert found.attestation.quic_api == "compat"


def test_misbuilt_comes_before_whatever_the_probe_saw() -> None:
    found = judged(CELL, dead(CELL, 139), vv=vv(features=NO_QUIC_FEATURES))
    assert (found.outcome, found.reason) == (MISBUILT, Reason.NO_QUIC)
    assert found.observations is not None


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (139, Reason.SERVER_CRASHED),
        (132, Reason.SERVER_CRASHED),
        (137, Reason.KILLED),
        (127, Reason.INTERNAL),
        (None, Reason.INTERNAL),
    ],
)
def test_a_binary_that_cannot_even_tell_its_version(status: int | None, reason: Reason) -> None:
    assert judged(CELL, dead(CELL, 1), vv="", vv_status=status).reason is reason


def test_a_binary_of_another_machine_is_misbuilt_though_it_says_nothing() -> None:
    foreign = Binary(elf_machine="EM_AARCH64", needed=(), prefixes=())
    found = judge(CELL, foreign, server_line(vv="", vv_status=126), dead(CELL, 126), None)
    assert found.reason is Reason.WRONG_ARCH


def test_a_session_without_its_first_line_is_the_harnesss_fault() -> None:
    found = judge(CELL, BINARY, {}, line(CELL), None)
    assert (found.outcome, found.reason) == (ERROR, Reason.INTERNAL)
    assert "KeyError('machine')" in found.message


# A declaration that is challenged.

REFUSED = line(CELL, h3=first_broken(28, "timed out"), handshake_failures=1)
MUTE = line(CELL, h3=first_broken(28, "timed out"))
HANG = line(CELL, h3=first_broken(28, "timed out", handshake_s=0.1))
NOTHING_SENT = line(CELL, h3=first_broken(7, "no ciphers available", shows="cannot-offer"))
WRONG_CERTIFICATE = line(CELL, h3=first_broken(60, "self-signed"))
CONFIG = dead(CELL, 1, "[ALERT] unknown keyword 'ciphersuites'")
CLIENT, LIBRARY, HAPROXY = Reason.CLIENT_CANNOT_OFFER, Reason.LIBRARY_CANNOT, Reason.HAPROXY_CANNOT


def test_a_client_that_lost_a_cipher_undeclared_is_never_grey() -> None:
    found = judge(CELL, BINARY, server_line(), NOTHING_SENT, None)
    assert (found.outcome, found.reason) == (Outcome.ERROR, Reason.INTERNAL)
    assert "no ciphers available" in found.message


def challenged(declared: Reason, raw: dict[str, object]) -> Judgement:
    declaration = Unsupported(reason=declared.value, message="the table says no")
    return judge(CELL, BINARY, server_line(), raw, declaration)


@pytest.mark.parametrize(
    ("declared", "raw"),
    [
        (LIBRARY, REFUSED),
        (LIBRARY, CONFIG),
        (HAPROXY, REFUSED),
        (HAPROXY, MUTE),
        (HAPROXY, HANG),
        (CLIENT, NOTHING_SENT),
    ],
)
def test_a_declaration_that_holds(declared: Reason, raw: dict[str, object]) -> None:
    found = challenged(declared, raw)
    assert (found.outcome, found.reason, found.contradicts) == (UNSUPPORTED, declared, False)
    assert found.message.startswith("the table says no; challenged, and so it is: ")
    assert found.observations is not None


@pytest.mark.parametrize(
    ("declared", "raw", "outcome", "reason"),
    [
        pytest.param(LIBRARY, line(CELL), PASS, None, id="it works"),
        pytest.param(CLIENT, line(CELL), PASS, None, id="the client can"),
        pytest.param(CLIENT, REFUSED, FAIL, Reason.HANDSHAKE_REFUSED, id="the client did offer it"),
        pytest.param(
            LIBRARY, dead(CELL, 139, ready_s=0.1), FAIL, Reason.SERVER_CRASHED, id="a crash is no refusal"
        ),
        pytest.param(LIBRARY, WRONG_CERTIFICATE, FAIL, Reason.BAD_CERTIFICATE, id="the handshake went on"),
        pytest.param(HAPROXY, line(CELL, h3=exchange(status=500)), FAIL, Reason.BAD_STATUS, id="it answered"),
    ],
)
def test_a_declaration_that_does_not_hold(
    declared: Reason, raw: dict[str, object], outcome: Outcome, reason: Reason | None
) -> None:
    found = challenged(declared, raw)
    assert (found.outcome, found.reason, found.contradicts) == (outcome, reason, True)
    assert "Declared unsupported (the table says no), which does not hold: " in found.message


@pytest.mark.parametrize(
    ("declared", "raw", "outcome"),
    [
        pytest.param(LIBRARY, dead(CELL, 137, ready_s=0.1), ERROR, id="the harness failed"),
        pytest.param(LIBRARY, NOTHING_SENT, UNSUPPORTED, id="nothing was sent"),
    ],
)
def test_what_proves_nothing_stays_what_it_is(
    declared: Reason, raw: dict[str, object], outcome: Outcome
) -> None:
    found = challenged(declared, raw)
    assert (found.outcome, found.contradicts) == (outcome, False)
    assert "table says no" not in found.message


def test_a_library_without_the_suite_has_to_refuse_it() -> None:
    """haproxy#2569: an alert that ended no handshake. A hang there is no proof that all is as declared."""
    for raw, reason in ((MUTE, Reason.HANDSHAKE_TIMEOUT), (HANG, Reason.HANDSHAKE_THEN_HANG)):
        found = challenged(LIBRARY, raw)
        assert (found.outcome, found.reason, found.contradicts) == (FAIL, reason, True)
        assert "(the table says no), so it has to be refused, and is not: " in found.message


def test_a_haproxy_that_is_declared_without_quic_and_is_built_without_it() -> None:
    old = cell(haproxy="2.6.12")
    declared = capabilities.find_unsupported(old)
    server = server_line(vv=vv(version="2.6.12-d60d1a7", features=NO_QUIC_FEATURES))
    refused = dead(old, 1, "[ALERT] unsupported protocol family 'quic4@'")
    found = judge(old, BINARY, server, refused, declared)
    assert declared is not None
    assert (found.outcome, found.reason, found.contradicts) == (UNSUPPORTED, HAPROXY, False)
    assert (
        found.message == f"{declared.message}; challenged, and so it is: HAProxy's feature list says -QUIC."
    )


def test_a_haproxy_that_is_declared_without_quic_and_has_it() -> None:
    old = cell(haproxy="2.6.12")
    server = server_line(vv=vv(version="2.6.12-d60d1a7"))
    found = judge(old, BINARY, server, line(old), capabilities.find_unsupported(old))
    assert (found.outcome, found.contradicts) == (PASS, True)


def test_another_declaration_does_not_excuse_a_build_without_quic() -> None:
    declaration = Unsupported(reason=HAPROXY.value, message="the table says no to this suite")
    server = server_line(vv=vv(features=NO_QUIC_FEATURES))
    found = judge(CELL, BINARY, server, CONFIG, declaration)
    assert (found.outcome, found.reason) == (MISBUILT, Reason.NO_QUIC)


# Attempts.

PLANNED = CellRecord(
    id=CELL.id,
    axes=Axes.model_validate(CELL.axes),
    outcome=None,
    reason=None,
    message="not judged",
    verdict=Verdict.NOT_JUDGED,
    attempts=(),
    execution=Execution(mode="native", host_arch="amd64", qemu_version=None, cpu_features=()),
    build=Build(name="x", digest=None),
    observations=None,
    attestation=None,
    evidence=(),
    duration_s=None,
    reproducer="matrixctl run --cell x",
)
REASON_OF = {
    PASS: None,
    FAIL: Reason.HANDSHAKE_TIMEOUT,
    ERROR: Reason.KILLED,
    MISBUILT: Reason.NO_QUIC,
    UNSUPPORTED: Reason.LIBRARY_CANNOT,
}


DECLARED = Expected(
    outcome=UNSUPPORTED, reason=Reason.LIBRARY_CANNOT, cipher=None, because="no CCM", rule="", stale=""
)


def record(
    attempts: Sequence[tuple[str, Outcome]],
    *,
    contradict: Sequence[int] = (),
    expected: Expected | None = None,
) -> CellRecord:
    """A record after attempts of (why, outcome); each says its number."""
    made = PLANNED.model_copy(update={"expected": expected})
    for number, (why, outcome) in enumerate(attempts):
        made = add_attempt(
            made,
            Judgement(
                outcome=outcome,
                reason=REASON_OF[outcome],
                message=f"attempt {number}",
                contradicts=number in contradict,
            ),
            why=why,
            again=why == SPOILT,
            started_at="2026-01-01T00:00:00.000+00:00",
            duration_s=2.0,
            evidence=(f"cells/{number}.log",),
            features=("aes",) if number else None,
        )
    return made


FIRST, SECOND, THIRD = "first", "repeat 2", "repeat 3"
SPOILT = f"{AGAIN}HAProxy was killed"


@pytest.mark.parametrize(
    ("attempts", "outcome", "decisive", "verdict"),
    [
        ([(FIRST, PASS)], PASS, 0, "as-expected"),
        ([(FIRST, FAIL)], FAIL, 0, "regression"),
        ([(FIRST, MISBUILT)], MISBUILT, 0, "regression"),
        ([(FIRST, ERROR)], ERROR, 0, "not-judged"),
        ([(FIRST, PASS), (SECOND, PASS)], PASS, 1, "as-expected"),
        ([(FIRST, PASS), (SECOND, FAIL), (THIRD, PASS)], FAIL, 1, "regression"),
        ([(FIRST, FAIL), (SECOND, PASS)], FAIL, 0, "regression"),
        ([(FIRST, ERROR), (SPOILT, PASS)], PASS, 1, "as-expected"),
        ([(FIRST, ERROR), (SPOILT, ERROR), (SPOILT, PASS)], PASS, 2, "as-expected"),
        ([(FIRST, ERROR), (SPOILT, ERROR), (SPOILT, ERROR)], ERROR, 2, "not-judged"),
        ([(FIRST, PASS), (SECOND, ERROR), (SPOILT, PASS)], PASS, 2, "as-expected"),
        ([(FIRST, FAIL), (SECOND, ERROR), (SPOILT, PASS)], FAIL, 0, "regression"),
        ([(FIRST, PASS), (SECOND, ERROR)], ERROR, 1, "not-judged"),
        ([(FIRST, UNSUPPORTED), (SECOND, ERROR), (SPOILT, PASS)], UNSUPPORTED, 0, "as-expected"),
    ],
)
def test_repeats_reduce_to_the_worst_and_a_damaged_attempt_is_replaced(
    attempts: list[tuple[str, Outcome]], outcome: Outcome, decisive: int, verdict: str
) -> None:
    made = record(attempts, expected=DECLARED if (FIRST, UNSUPPORTED) in attempts else None)
    assert (made.outcome, made.reason, made.verdict) == (outcome, REASON_OF[outcome], verdict)
    assert made.message == f"attempt {decisive}"
    assert [(one.why, one.outcome) for one in made.attempts] == attempts
    assert [one.number for one in made.attempts] == list(range(1, len(attempts) + 1))
    assert made.duration_s == 2.0 * len(attempts)


def test_the_evidence_is_that_of_the_decisive_attempt() -> None:
    assert record([(FIRST, FAIL), (SECOND, PASS)]).evidence == ("cells/0.log",)
    assert record([(FIRST, PASS), (SECOND, FAIL)]).evidence == ("cells/1.log",)


def test_every_attempt_keeps_its_own_evidence() -> None:
    made = record([(FIRST, FAIL), (SECOND, PASS)])
    assert [one.evidence for one in made.attempts] == [("cells/0.log",), ("cells/1.log",)]


def test_a_variable_that_did_not_arrive_is_the_harness_s_fault() -> None:
    """What was measured without it says nothing of the mask, however it came out."""
    masked = cell(execution=ExecutionValue(name="masked", environment=("OPENSSL_ia32cap=~0x2",)))
    there = 'env_filtered[0x1]="OPENSSL_ia32cap"\n'
    assert judged(masked, line(masked), cpu=there).outcome is PASS
    found = judged(masked, line(masked), cpu='env_filtered[0x1]="OPENSSL_armcap"\n')
    assert (found.outcome, found.reason) == (ERROR, Reason.INTERNAL)
    assert found.message == "The server's programs did not get OPENSSL_ia32cap."


def test_features_are_kept_from_the_last_attempt_that_knew_them() -> None:
    assert record([(FIRST, PASS)]).execution.cpu_features == ()
    assert record([(FIRST, PASS), (SECOND, PASS)]).execution.cpu_features == ("aes",)


@pytest.mark.parametrize(
    "attempts", [[(FIRST, PASS)], [(FIRST, PASS), (SECOND, UNSUPPORTED)], [(FIRST, PASS), (SECOND, ERROR)]]
)
def test_a_contradiction_once_seen_stays_unexpected(attempts: list[tuple[str, Outcome]]) -> None:
    assert record(attempts, contradict=[0]).verdict is Verdict.REGRESSION


def test_a_contradiction_in_a_later_repeat_is_unexpected() -> None:
    made = record([(FIRST, UNSUPPORTED), (SECOND, PASS)], contradict=[1])
    assert (made.outcome, made.verdict) == (UNSUPPORTED, Verdict.REGRESSION)


# What a rule expects.

HANG_RULE = DECLARED.model_copy(
    update={"outcome": FAIL, "reason": Reason.HANDSHAKE_THEN_HANG, "rule": "matrix.yaml:1"}
)


def attempted(expected: Expected, *reasons: Reason | None) -> CellRecord:
    made = PLANNED.model_copy(update={"expected": expected})
    for number, reason in enumerate(reasons):
        outcome = REASONS[reason].outcome if reason else PASS
        made = add_attempt(
            made,
            Judgement(outcome=outcome, reason=reason, message=f"attempt {number}"),
            why=f"repeat {number}",
            started_at="2026-01-01T00:00:00.000+00:00",
            duration_s=2.0,
            evidence=(f"cells/{number}.log",),
            features=None,
        )
    return made


HUNG, CRASHED = Reason.HANDSHAKE_THEN_HANG, Reason.SERVER_CRASHED


@pytest.mark.parametrize(
    ("reasons", "decisive", "meant"),
    [
        ([HUNG], 0, Verdict.KNOWN_FAILURE),
        ([None], 0, Verdict.NOW_PASSING),
        ([None, HUNG], 1, Verdict.KNOWN_FAILURE),
        ([HUNG, None, HUNG], 2, Verdict.KNOWN_FAILURE),
        ([HUNG, CRASHED], 1, Verdict.CHANGED_FAILURE),
        ([CRASHED, HUNG], 0, Verdict.CHANGED_FAILURE),
        ([CRASHED, HUNG, None], 0, Verdict.CHANGED_FAILURE),
    ],
)
def test_a_known_failure_hides_no_other_among_the_repeats(
    reasons: list[Reason | None], decisive: int, meant: Verdict
) -> None:
    made = attempted(HANG_RULE, *reasons)
    assert (made.verdict, made.message) == (meant, f"attempt {decisive}")
    assert made.evidence == (f"cells/{decisive}.log",)


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        (GCM, (PASS, None, Verdict.AS_EXPECTED)),
        (None, (PASS, None, Verdict.AS_EXPECTED)),
        ("TLS_AES_256_GCM_SHA384", (FAIL, Reason.DEFAULT_CHANGED, Verdict.REGRESSION)),
    ],
)
def test_a_default_that_changed_names_both_suites(
    wanted: str | None, meant: tuple[Outcome, Reason | None, Verdict]
) -> None:
    rule = DECLARED.model_copy(update={"outcome": PASS, "reason": None, "cipher": wanted})
    made = add_attempt(
        PLANNED.model_copy(update={"expected": rule}),
        judged(CELL, line(CELL)),
        why="first",
        started_at="2026-01-01T00:00:00.000+00:00",
        duration_s=2.0,
        evidence=(),
        features=None,
    )
    assert (made.outcome, made.reason, made.verdict) == meant
    assert (made.attempts[0].outcome, made.attempts[0].reason) == meant[:2]
    assert isinstance(made.observations, Observations)
    if made.reason:
        assert made.message == f"With nothing forced, {GCM} was negotiated; {wanted} is expected."


def test_the_reasons_of_these_tests_belong_to_their_outcomes() -> None:
    assert all(reason is None or REASONS[reason].outcome is outcome for outcome, reason in REASON_OF.items())
