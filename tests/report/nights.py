"""Nights as a maintainer meets them: a calm one, a bad one, and one that is very wide."""

from functools import cache

from samples import (
    ARCH_VALUES,
    CURL,
    DIGEST,
    DISTRO,
    LIBRESSL,
    OPENSSL,
    SUITES,
    haproxy,
    product,
    run,
)

from orchestrator.arch import ARCHES
from orchestrator.matrix.model import ArchValue, ClientValue, HaproxyValue, Patch, TlsValue
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.model import (
    AeadCheck,
    Axes,
    CellRecord,
    ClientProof,
    Component,
    Expected,
    Request,
    Rule,
    RunRecord,
    SelfTest,
)

THREAD = "https://github.com/haproxy/haproxy/issues/2569"
GTLS = ClientValue(name="gtlsclient", family="gtlsclient")
AIOQUIC = ClientValue(name="aioquic", family="aioquic")
WOLFSSL = TlsValue(name="wolfssl-5.7.2", family="wolfssl", version="5.7.2")
AWS_LC = TlsValue(name="aws-lc-5.1.0", family="aws-lc", version="5.1.0")
FIX = Patch(name="open-in-place.diff", sha256="c0ffee" * 10 + "beef", path="../open-in-place.diff")
PATCHED = TlsValue(
    name="wolfssl-5.9.2", family="wolfssl", version="5.9.2", patches=(FIX,), make_flags=("ADDLIB=-lm",)
)
MASTER = HaproxyValue(
    name="master",
    version="3.4-dev9",
    source="git",
    where="https://github.com/haproxy/haproxy.git",
    ref="master",
)
COMMIT = Component(
    kind="source",
    name="haproxy",
    version="3.4-dev9",
    digest=DIGEST,
    origin="git: https://github.com/haproxy/haproxy.git master -> 5d1a7b0c9e8f6a43210fedcba98765432100aa11",
)
CAUSE = (
    "wolfssl-5.7.2 on arm64 cannot open in place what it sealed"
    " (CHACHA20-POLY1305, EVP_CIPHER, 16 bytes at offset 1)."
)
HANG_RULE = "matrix.yaml:41"
CRASH_RULE = "matrix.yaml:47"
STALE_RULE = "matrix.yaml:53"


def rule(place: str, reason: Reason | None, *, met: int = 2, stale: str = "", until: str = "") -> Rule:
    return Rule(
        place=place,
        when=("tls=libressl<4.0", "haproxy<3.0-dev13", "cipher=TLS_CHACHA20_POLY1305_SHA256"),
        outcome=Outcome.FAIL,
        reason=reason,
        cipher=None,
        because=THREAD,
        until=until,
        stale=stale,
        met=met,
    )


RULES = (
    rule(HANG_RULE, Reason.HANDSHAKE_THEN_HANG, met=6),
    rule(CRASH_RULE, Reason.SERVER_CRASHED, met=6, until="haproxy 3.4"),
)
"""Of the calm night: both are met."""
BAD_RULES = (
    *RULES,
    rule(STALE_RULE, Reason.HANDSHAKE_REFUSED, stale="2026-11-01 is over", until="2026-11-01"),
    rule("matrix.yaml:61", Reason.NOT_READY, met=0),
)


def expected(place: str, reason: Reason, *, stale: str = "") -> Expected:
    return Expected(outcome=Outcome.FAIL, reason=reason, cipher=None, because=THREAD, rule=place, stale=stale)


def _known(axes: Axes) -> Reason | None:
    if axes.tls.name == LIBRESSL.name:
        hangs = {SUITES[2]} if axes.arch.name == "amd64" else {SUITES[2], "default"}
        if axes.cipher.name in hangs:
            return Reason.HANDSHAKE_THEN_HANG
        if axes.cipher.name == SUITES[3]:
            return Reason.SERVER_CRASHED
    return Reason.CLIENT_CANNOT_OFFER if axes.cipher.name == SUITES[3] and axes.client != GTLS else None


def _expect(cell: CellRecord) -> CellRecord:
    """What the two rules say of the cell, as a judge would write it down."""
    if cell.axes.tls.name != LIBRESSL.name or cell.outcome is Outcome.PASS:
        return cell
    place = HANG_RULE if cell.reason is Reason.HANDSHAKE_THEN_HANG else CRASH_RULE
    return cell.model_copy(
        update={"verdict": Verdict.KNOWN_FAILURE, "expected": expected(place, cell.reason or Reason.INTERNAL)}
    )


@cache
def calm() -> RunRecord:
    """Known failures, things declared to be impossible, and passes: nothing to do."""
    cells = product(_known, [haproxy("2.8.9")], [DISTRO, OPENSSL, LIBRESSL], clients=(CURL, GTLS))
    return run(tuple(map(_expect, cells))).model_copy(
        update={"rules": RULES, "clients": PROOFS, "selftests": (selftest(OPENSSL.name, "amd64"),)}
    )


def _bad(axes: Axes) -> Reason | None:  # noqa: PLR0911 - a story has many turns
    on_arm = axes.arch.name == "arm64"
    where = (axes.haproxy.name, axes.tls.name, axes.cipher.name)
    if where == ("2.8.9", WOLFSSL.name, SUITES[2]) and on_arm:
        return Reason.HANDSHAKE_THEN_HANG
    if where == ("2.8.9", LIBRESSL.name, "default") and on_arm:
        return None
    if where == ("2.8.9", LIBRESSL.name, SUITES[3]) and on_arm:
        return Reason.NOT_READY
    if where == ("master", OPENSSL.name, SUITES[1]) and axes.client == AIOQUIC:
        return Reason.HANDSHAKE_REFUSED
    if axes.tls.name == LIBRESSL.name and axes.haproxy.name == "master":
        return Reason.SOURCE_UNREACHABLE
    if where[:2] == ("master", WOLFSSL.name) and not on_arm:
        return Reason.NO_QUIC
    return _known(axes)


def _judge(cell: CellRecord) -> CellRecord:
    """The verdicts of the bad night."""
    if cell.axes.tls.name == WOLFSSL.name and cell.reason is Reason.HANDSHAKE_THEN_HANG:
        return cell.model_copy(update={"cause": CAUSE})
    if cell.axes.tls.name == LIBRESSL.name and cell.axes.haproxy.name == "2.8.9":
        if cell.reason is Reason.NOT_READY:
            was = expected(CRASH_RULE, Reason.SERVER_CRASHED)
            return cell.model_copy(update={"verdict": Verdict.CHANGED_FAILURE, "expected": was})
        if (
            cell.outcome is Outcome.PASS
            and cell.axes.cipher.name == "default"
            and cell.axes.arch.name != "amd64"
        ):
            was = expected(HANG_RULE, Reason.HANDSHAKE_THEN_HANG)
            return cell.model_copy(update={"verdict": Verdict.NOW_PASSING, "expected": was})
        return _expect(cell)
    if cell.reason is Reason.HANDSHAKE_REFUSED:
        return _refused(cell)
    return cell


def _refused(cell: CellRecord) -> CellRecord:
    """A client that shows the server's close code."""
    if cell.observations is None or cell.observations.h3 is None:
        return cell
    h3 = cell.observations.h3
    requests: tuple[Request, ...] = tuple(
        one.model_copy(update={"close_code": 0x128, "handshake_s": None, "total_s": 0.1, "exit_code": 1})
        for one in h3.requests
    )
    seen = cell.observations.model_copy(update={"h3": h3.model_copy(update={"requests": requests})})
    return cell.model_copy(update={"observations": seen})


@cache
def bad() -> RunRecord:
    """Every verdict, a stale and an unmet rule, patches, a moving source, a self-test that found a cause."""
    cells = product(
        _bad,
        [haproxy("2.8.9"), MASTER],
        [DISTRO, OPENSSL, LIBRESSL, WOLFSSL, PATCHED],
        clients=(CURL, GTLS, AIOQUIC),
    )
    record = run(tuple(map(_judge, cells)), profile="nightly", exit_code=1)
    emulated = record.cells[-1].execution.model_copy(update={"cpu_model": "max,aes=off"})
    last = record.cells[-1].model_copy(update={"execution": emulated})
    return record.model_copy(
        update={
            "cells": (*record.cells[:-1], last),
            "components": (*record.components, COMMIT),
            "rules": BAD_RULES,
            "clients": PROOFS,
            "selftests": (
                selftest(OPENSSL.name, "amd64"),
                selftest(WOLFSSL.name, "amd64"),
                selftest(WOLFSSL.name, "arm64", broken=True),
                selftest(LIBRESSL.name, "arm64", problem="It does not compile: aead.c:12: no evp.h"),
            ),
        }
    )


def proof(client: str, version: str, transport: str, suite: str, message: str = "") -> ClientProof:
    return ClientProof.model_validate(
        {
            "client": client,
            "version": version,
            "transport": transport,
            "suite": suite,
            "ok": not message,
            "message": message,
        }
    )


PROOFS = tuple(
    proof(
        client,
        version,
        transport,
        suite,
        "no ciphers available" if suite == SUITES[3] and client != "gtlsclient" else "",
    )
    for client, version in (("curl", "8.14.1"), ("gtlsclient", "1.11.0"), ("aioquic", "1.7.2"))
    for transport in ("h3", "h2")
    if (client, transport) != ("gtlsclient", "h2")
    for suite in SUITES
)
CHECKS = (
    "known-answer",
    "seal",
    "open",
    "open-in-place",
    "open-unaligned",
    "reject-tag",
    "reject-aad",
    "reject-ciphertext",
)


def selftest(tls: str, arch: str, *, broken: bool = False, problem: str = "") -> SelfTest:
    def ok(suite: str, api: str, check: str) -> bool | None:
        if suite == SUITES[3] and api == "evp-aead":
            return None
        return not (broken and suite == SUITES[2] and check in {"open-in-place", "open-unaligned"})

    checks = [
        AeadCheck.model_validate(
            {
                "suite": suite,
                "api": api,
                "check": check,
                "ok": (good := ok(suite, api, check)),
                "detail": "16 bytes at offset 1: the tag does not verify" if good is False else "",
            }
        )
        for suite in SUITES
        for api in ("evp-cipher", "evp-aead")
        for check in CHECKS
    ]
    return SelfTest(
        tls=tls,
        arch=arch,
        execution="default",
        library="" if problem else f"{tls} 7 Oct 2026",
        problem=problem,
        checks=() if problem else tuple(checks),
        evidence=(f"selftests/{tls}.{arch}.jsonl",),
    )


def wide(versions: int = 1) -> RunRecord:
    """4 architectures x 10 libraries x 5 ciphers x 3 clients, for each of so many HAProxy versions."""
    libraries = [DISTRO, LIBRESSL, AWS_LC, WOLFSSL, PATCHED] + [
        TlsValue(name=f"openssl-3.5.{i}", family="openssl", version=f"3.5.{i}") for i in range(5)
    ]
    others = (
        ArchValue(name=name, arch=ARCHES["arm64"].model_copy(update={"name": name}))
        for name in ("riscv64", "s390x")
    )
    arches = (*ARCH_VALUES, *others)
    releases = [haproxy("2.8.9"), *(haproxy(f"3.{i}.1") for i in range(versions - 1))]
    cells = product(_bad, releases, libraries, clients=(CURL, GTLS, AIOQUIC), arches=arches)
    return run(tuple(map(_judge, cells)), profile="full", exit_code=1).model_copy(
        update={"rules": BAD_RULES, "clients": PROOFS}
    )
