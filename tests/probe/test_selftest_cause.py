"""What a self-test says of a failed cell: a sentence for people, and none where it says nothing."""

import re

import pytest
from fakes import cell

from orchestrator import resources
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.probe import selftest
from orchestrator.probe.selftest import find_cause, find_faults, join_results, read
from orchestrator.record.model import (
    AeadCheck,
    Axes,
    Build,
    CellRecord,
    Exchange,
    Execution,
    Observations,
    Request,
    SelfTest,
)

CHACHA, GCM, GCM256 = "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"
DETAIL = "every length from 1 byte on; first with 1 byte, AAD of 0 bytes, offset 0: refused"


def check(name: str, *, ok: bool | None = False, suite: str = CHACHA, detail: str = DETAIL) -> AeadCheck:
    return AeadCheck(
        suite=suite, api="evp-cipher", check=name, ok=ok, detail="" if ok is not False else detail
    )


def result(*checks: AeadCheck, library: str = "LibreSSL 3.9.2", execution: str = "default") -> SelfTest:
    return SelfTest(
        tls="openssl-3.5.7",
        arch="arm64",
        execution=execution,
        library=library,
        problem="",
        checks=checks,
        evidence=("selftests/a.json",),
    )


def failing(suite: str = CHACHA, reason: Reason = Reason.HANDSHAKE_THEN_HANG) -> CellRecord:
    one = cell(arch="arm64", tls="openssl-3.5.7", cipher=suite)
    return CellRecord(
        id=one.id,
        axes=Axes.model_validate(one.axes),
        outcome=Outcome.FAIL,
        reason=reason,
        message="",
        verdict=Verdict.REGRESSION,
        attempts=(),
        execution=Execution(mode="emulated", host_arch="amd64", qemu_version=None, cpu_features=()),
        build=Build(name="b", digest=None),
        observations=None,
        attestation=None,
        evidence=(),
        duration_s=None,
        reproducer="",
    )


def seen(cipher: str | None, *, over_tcp: str) -> Observations:
    """Of a cell: what was negotiated over QUIC, and over TCP."""
    request = Request(
        name="get-1k",
        http_version="2",
        status=200,
        cipher=over_tcp,
        protocol="TLSv1.3",
        bytes_received=0,
        bytes_sent=0,
        sha256=None,
        expected_sha256="",
        exit_code=0,
        error="",
        handshake_s=None,
        first_byte_s=None,
        total_s=None,
    )
    return Observations(
        h3=None,
        control=Exchange(exit_code=0, duration_s=0.1, requests=(request,)),
        negotiated_cipher=cipher,
        negotiated_protocol=None,
        server=None,
        origin_ok=None,
    )


def test_the_sentence_of_haproxy_2569() -> None:
    test = result(check("open", ok=True), check("open-in-place"), check("open-in-place-unaligned"))
    assert find_cause(failing(), [test], "evp-cipher") == (
        "LibreSSL 3.9.2 cannot open in place what it sealed with TLS_CHACHA20_POLY1305_SHA256 "
        f"(EVP_CIPHER: {DETAIL}); out of place it can."
    )


def test_out_of_place_is_not_praised_where_it_fails_too() -> None:
    test = result(check("open"), check("open-in-place"))
    assert find_cause(failing(), [test], "evp-cipher").startswith(
        "LibreSSL 3.9.2 cannot open what it sealed with TLS_CHACHA20_POLY1305_SHA256"
    )


def test_a_crash_comes_first() -> None:
    died = check(
        "open-in-place-unaligned", detail="crashes with SIGSEGV with 64 bytes, AAD of 13 bytes, offset 3"
    )
    said = find_cause(failing(), [result(check("open"), died)], "evp-cipher")
    assert said == (
        "LibreSSL 3.9.2 crashes with SIGSEGV with 64 bytes, AAD of 13 bytes, offset 3, in the self-test's "
        "check open-in-place-unaligned of TLS_CHACHA20_POLY1305_SHA256 (EVP_CIPHER)."
    )


def test_a_check_that_never_ended_is_known_by_the_programs_own_words() -> None:
    source = (resources.find_root() / "templates/aead/aead.c").read_text()
    told = re.findall(r'snprintf\(how, sizeof\(how\), "([^%"]+)', source)
    assert sorted(told) == sorted(selftest._DEATHS)
    for words in told:
        found = find_faults(result(check("seal"), check("open", detail=f"{words}x")), CHACHA, "evp-cipher")
        assert found[0].check == "open"


@pytest.mark.parametrize("reason", [Reason.BUILD_FAILED, Reason.CONFIG_REFUSED, Reason.BAD_CERTIFICATE])
def test_other_failures_have_other_causes(reason: Reason) -> None:
    assert not find_cause(failing(reason=reason), [result(check("open"))], "evp-cipher")


def test_a_passed_cell_has_no_cause() -> None:
    healthy = failing().model_copy(update={"outcome": Outcome.PASS, "reason": None})
    assert not find_cause(healthy, [result(check("open"))], "evp-cipher")


@pytest.mark.parametrize(
    "test",
    [
        result(check("open", ok=True), check("open-in-place", ok=True)),
        result(check("available", ok=None)),
        result(check("open", suite=GCM256)),
        result(check("reject-tag")),
        result(check("open"), execution="aes-off"),
        result(),
    ],
    ids=["sound", "lacking", "another suite", "forgeries only", "another CPU", "no result"],
)
def test_a_library_that_did_not_fail_at_it_is_not_accused(test: SelfTest) -> None:
    assert not find_cause(failing(), [test], "evp-cipher")


def test_the_interface_that_haproxy_does_not_use_is_not_accused() -> None:
    assert not find_cause(failing(), [result(check("open"))], "evp-aead")


def test_what_is_no_suite_of_the_library_is_never_the_cause() -> None:
    """LibreSSL has the cipher CCM and no such suite: what its cipher does, no connection has ever met."""
    test, ccm = result(check("open", suite="TLS_AES_128_CCM_SHA256")), failing("TLS_AES_128_CCM_SHA256")
    assert find_cause(ccm, [test], "evp-cipher") != ""
    assert find_cause(ccm, [test], "evp-cipher", lacks={"TLS_AES_128_CCM_SHA256"}) == ""


def test_without_aes_128_gcm_no_connection_begins() -> None:
    said = find_cause(failing(GCM256), [result(check("open", suite=GCM))], "evp-cipher")
    assert "TLS_AES_128_GCM_SHA256" in said
    assert said.endswith("Every QUIC connection begins with that suite.")


def test_a_default_cell_is_explained_by_the_suite_that_was_negotiated_if_need_be_over_tcp() -> None:
    accused = result(check("open", suite=GCM256))
    for negotiated, over_tcp, explained in (
        (GCM256, CHACHA, True),
        (CHACHA, GCM256, False),
        (None, GCM256, True),
    ):
        update = {"observations": seen(negotiated, over_tcp=over_tcp)}
        default = failing("default").model_copy(update=update)
        assert bool(find_cause(default, [accused], "evp-cipher")) is explained


def test_a_default_cell_of_which_nothing_is_known_may_have_met_any_suite() -> None:
    assert find_cause(failing("default"), [result(check("open"))], "evp-cipher")


def test_openssls_date_of_release_is_left_out() -> None:
    said = find_cause(failing(), [result(check("open"), library="OpenSSL 3.5.7 7 Jul 2026")], "evp-cipher")
    assert said.startswith("OpenSSL 3.5.7 cannot")


# Several builds of one library.


def test_two_builds_that_agree_are_one_result() -> None:
    one, two = result(check("open", ok=True)), result(check("open", ok=True))
    assert join_results(one, two, "build-2") == one


def test_two_builds_that_differ_are_told() -> None:
    one, two = result(check("open", ok=True)), result(check("open"))
    (told,) = join_results(one, two, "build-2").checks
    assert told.ok is False
    assert told.detail == f"not each time, in build-2 it failed: {DETAIL}"
    (told,) = join_results(two, one, "build-1").checks
    assert told.ok is False
    assert told.detail == f"not each time, in build-1 it did not: {DETAIL}"


def test_a_result_replaces_none() -> None:
    none = result().model_copy(update={"problem": "it did not compile", "evidence": ("actions/x.log",)})
    both = join_results(none, result(check("open", ok=True)), "build-2")
    assert both.checks
    assert both.problem == ""
    assert both.evidence == ("actions/x.log", "selftests/a.json")


# What the program said.


@pytest.mark.parametrize(
    ("output", "exit_code", "timed_out", "problem"),
    [
        ("", 0, False, "The self-test was silent."),
        ("", 139, False, "The self-test died of SIGSEGV."),
        ("", 127, False, "The self-test ended with exit code 127."),
        ('{"library": "X"}', 124, True, "The self-test did not end in time; what it said before is here."),
        ("error while loading\n[]\n", 0, False, "The self-test wrote 2 lines that are no result."),
    ],
)
def test_what_is_wrong_with_an_output_is_said(
    output: str, exit_code: int, timed_out: bool, problem: str
) -> None:
    assert read(output, exit_code=exit_code, timed_out=timed_out)[2] == problem


def test_what_was_said_before_a_crash_counts() -> None:
    line = check("open", ok=True).model_dump_json()
    _, found, problem = read(f'{{"library": "X"}}\n{line}\n{{"suite": "TLS_', exit_code=139, timed_out=False)
    assert [one.check for one in found] == ["open"]
    assert problem == "The self-test died of SIGSEGV."
