"""What follows from a finished cell, and where it is read."""

from typing import Any

import pytest
from samples import ARCH_VALUES, CIPHERS, CURL, LIBRESSL, OPENSSL, SUITES, cell, haproxy

from orchestrator.analyse.attributes import ATTRIBUTES, choose, describe
from orchestrator.arch import ARCHES
from orchestrator.matrix.clients import CLIENTS
from orchestrator.matrix.model import ArchValue, ExecutionValue, Patch
from orchestrator.outcome import Outcome, Reason
from orchestrator.record.model import AeadCheck, Axes, CellRecord, SelfTest, Traced

GCM, _, CHACHA20, _ = SUITES
DEFAULT = CIPHERS[-1]


def made(reason: Reason | None = None, **axes: Any) -> CellRecord:
    known: dict[str, Any] = {
        "arch": ARCH_VALUES[0],
        "haproxy": haproxy("3.0.11"),
        "tls": LIBRESSL,
        "cipher": CIPHERS[2],
        "client": CURL,
        "execution": ExecutionValue(name="default"),
    }
    return cell(Axes(**(known | axes)), reason)


def seen(one: CellRecord, **changes: Any) -> CellRecord:
    assert one.observations is not None
    return one.model_copy(update={"observations": one.observations.model_copy(update=changes)})


def of(one: CellRecord, name: str, tests: dict[Any, SelfTest] | None = None) -> str | None:
    value = describe(one, tests or {})[name]
    return value.name if value is not None else None


def test_each_cell_has_each_attribute() -> None:
    assert set(describe(made(), {})) == set(ATTRIBUTES)


def test_the_suite_is_what_the_server_says_else_the_only_one_that_was_offered() -> None:
    assert of(seen(made(), negotiated_cipher=GCM), "negotiated") == GCM
    assert of(seen(made(Reason.HANDSHAKE_THEN_HANG), negotiated_cipher=None), "negotiated") == CHACHA20
    hang = made(Reason.HANDSHAKE_THEN_HANG, cipher=DEFAULT)
    assert of(seen(hang, negotiated_cipher=None), "negotiated") is None
    assert of(made(Reason.PREREQUISITE), "negotiated") is None, "nothing was offered"


def test_the_quic_api_is_the_one_that_was_seen_else_the_declared_one() -> None:
    built = made(tls=OPENSSL)
    assert built.attestation is not None
    other = built.attestation.model_copy(update={"quic_api": "native"})
    assert of(built.model_copy(update={"attestation": other}), "quic-api") == "native"
    assert of(made(Reason.PREREQUISITE, tls=OPENSSL), "quic-api") == "compat"
    strange = LIBRESSL.model_copy(update={"family": "nobody-knows"})
    assert of(made(Reason.PREREQUISITE, tls=strange), "quic-api") is None


@pytest.mark.parametrize(
    ("arch", "size", "order"),
    [("amd64", "64", "little"), ("i386", "32", "little"), ("armhf", "32", "little"), ("s390x", "64", "big")],
)
def test_an_architecture_has_a_word_size_and_a_byte_order(arch: str, size: str, order: str) -> None:
    one = made(arch=ArchValue(name=arch, arch=ARCHES[arch]))
    assert (of(one, "word-size"), of(one, "byte-order")) == (size, order)
    assert of(one, "emulated") == ("no" if arch == "amd64" else "yes")


def test_aes_instructions_are_not_known_where_nothing_tells_of_them() -> None:
    def features(one: CellRecord, *names: str) -> CellRecord:
        return one.model_copy(update={"execution": one.execution.model_copy(update={"cpu_features": names})})

    assert of(features(made(), "aes", "avx2"), "aes") == "yes"
    assert of(features(made(), "avx2"), "aes") == "no"
    assert of(features(made()), "aes") is None, "never probed"
    s390x = made(arch=ArchValue(name="s390x", arch=ARCHES["s390x"]))
    assert of(features(s390x, "msa"), "aes") is None


def test_patches_are_told_by_what_they_change() -> None:
    patch = Patch(name="fix.diff", sha256="0" * 64, path="fix.diff")
    broken = LIBRESSL.model_copy(update={"patches": (patch,)})
    assert of(made(), "patched") == "no"
    assert of(made(tls=broken), "patched") == "tls"
    both = haproxy("3.0.11").model_copy(update={"patches": (patch,)})
    assert of(made(tls=broken, haproxy=both), "patched") == "haproxy+tls"


def test_each_client_has_a_stack() -> None:
    assert of(made(), "client-stack") == CLIENTS["curl"].stack


def test_the_self_test_counts_for_the_suite_that_was_negotiated() -> None:
    checks = tuple(
        AeadCheck(suite=suite, api="evp-cipher", check=check, ok=ok, detail="")
        for suite, check, ok in ((GCM, "seal", True), (CHACHA20, "seal", True), (CHACHA20, "open", False))
    )
    test = SelfTest(
        tls=LIBRESSL.name,
        arch="amd64",
        execution="default",
        library="",
        problem="",
        checks=checks,
        evidence=(),
    )
    tests = {(test.tls, test.arch, test.execution): test}
    assert of(made(), "selftest", tests) == "open"
    assert of(seen(made(), negotiated_cipher=GCM), "selftest", tests) == "passed"
    assert of(made(arch=ARCH_VALUES[1]), "selftest", tests) is None


def test_a_cell_of_which_an_attribute_is_not_known_matches_no_filter_on_it() -> None:
    unknown = seen(made(Reason.HANDSHAKE_THEN_HANG, cipher=DEFAULT), negotiated_cipher=None)
    cells = [unknown, made(), seen(made(), negotiated_cipher=GCM)]
    attributes = [describe(one, {}) for one in cells]
    assert choose(cells, attributes, [f"negotiated={CHACHA20}"]) == [1]
    assert choose(cells, attributes, [f"negotiated!={GCM}"]) == [1]
    assert choose(cells, attributes, ["arch=amd64"]) == [0, 1, 2]


def test_the_suite_of_a_hang_on_the_default_offer_is_the_captured_one() -> None:
    hang = seen(made(Reason.HANDSHAKE_THEN_HANG, cipher=DEFAULT), negotiated_cipher=None)
    trace = Traced(
        outcome=Outcome.FAIL,
        reason=Reason.HANDSHAKE_THEN_HANG,
        message="",
        started_at="2026-11-22T07:00:00Z",
        duration_s=1.0,
        negotiated_cipher=CHACHA20,
        evidence=(),
        missing=(),
    )
    assert of(hang.model_copy(update={"traced": trace}), "negotiated") == CHACHA20
    other = trace.model_copy(update={"outcome": Outcome.PASS, "reason": None})
    assert of(hang.model_copy(update={"traced": other}), "negotiated") is None, "it is another run"
    told = seen(hang.model_copy(update={"traced": trace}), negotiated_cipher=GCM)
    assert of(told, "negotiated") == GCM, "the server's own word goes first"
