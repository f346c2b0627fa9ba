"""The AEAD self-test in real runs: sound libraries pass, planted faults are found and explain their cells."""

from pathlib import Path

import pytest
from conftest import Overlay, Ran, Runner

from orchestrator.analyse.explain import explain
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.model import AeadCheck, SelfTest

# A library and its HAProxy are built anew for each fault, twice for two architectures.
pytestmark = [pytest.mark.containers, pytest.mark.timeout(2400)]

PATCHES = Path(__file__).parent / "patches"
TLS = "openssl-3.5.7"
CHACHA, GCM, CCM = "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256", "TLS_AES_128_CCM_SHA256"

MATRIX = """
version: 1
axes:
  arch: [{arches}]
  haproxy: ["3.0.11"]
  tls:
    - {{name: openssl-3.5.7, version: "3.5.7", family: openssl, patches: [{patches}]}}
  cipher: [{suites}]
"""
BESIDE = f"""
include:
  - arch: [amd64, arm64]
    haproxy: "3.0.11"
    tls: openssl-distro
    cipher: [{GCM}, {CHACHA}]
    client: [curl, gtlsclient]
  - arch: [amd64, arm64]
    haproxy: "3.0.11"
    tls: openssl-3.5.7
    cipher: [{GCM}, {CHACHA}]
    client: gtlsclient
"""
"""Cells beside those of the fault: of a sound library, and of another client."""


def of(ran: Ran, arch: str, tls: str = "") -> SelfTest:
    (found,) = [one for one in ran.record.selftests if one.arch == arch and one.tls == (tls or one.tls)]
    return found


def failed(test: SelfTest) -> dict[tuple[str, str], AeadCheck]:
    return {(one.suite, one.check): one for one in test.checks if one.ok is False}


def planted(
    run: Runner,
    folder: Path,
    *names: str,
    arches: str = "amd64",
    suites: str = f"{GCM}, {CHACHA}",
    beside: str = "",
) -> Ran:
    """A run with patches in OpenSSL, which has its usual name: ccache sees that in the compiler's flags."""
    patches = ", ".join(str(PATCHES / f"openssl-{name}.diff") for name in names)
    matrix = folder / "matrix.yaml"
    matrix.write_text(MATRIX.format(arches=arches, patches=patches, suites=suites) + beside)
    return run(profile="full", matrix=matrix)


def test_the_distros_openssl_is_sound_on_both_architectures(run: Runner) -> None:
    ran = run(f"cipher={GCM}")
    assert {one.outcome for one in ran.record.cells} == {Outcome.PASS}
    for arch in ("amd64", "arm64"):
        test = of(ran, arch)
        assert (test.problem, failed(test)) == ("", {})
        assert test.library.startswith("OpenSSL 3.")
        assert {one.suite for one in test.checks if one.ok} >= {GCM, CHACHA, CCM}
        assert {one.api for one in test.checks if one.ok is None} == {"evp-aead"}
        (evidence,) = test.evidence
        assert evidence == f"selftests/openssl-distro--{arch}.json"
        assert (ran.folder / evidence).read_text().count('"ok": true') == sum(
            one.ok is True for one in test.checks
        )


def test_what_cannot_open_in_place_on_arm64_alone(run: Runner, tmp_path: Path) -> None:
    ran = planted(run, tmp_path, "chacha20-in-place-arm64", arches="amd64, arm64", beside=BESIDE)
    assert failed(of(ran, "amd64", TLS)) == {}
    faults = {(CHACHA, "open-in-place"), (CHACHA, "open-in-place-unaligned")}
    assert set(failed(of(ran, "arm64", TLS))) == faults
    broken = [one for one in ran.record.cells if one.outcome is not Outcome.PASS]
    assert sorted(one.axes.client.name for one in broken) == ["curl", "gtlsclient"]
    for one in broken:
        assert (one.axes.arch.name, one.axes.tls.name, one.axes.cipher.name) == ("arm64", TLS, CHACHA)
        assert (one.outcome, one.reason) == (Outcome.FAIL, Reason.HANDSHAKE_THEN_HANG), one.message
        assert one.cause == (
            f"OpenSSL 3.5.7 cannot open in place what it sealed with {CHACHA} (EVP_CIPHER: every length from "
            "1 byte on; first with 1 byte, AAD of 0 bytes, offset 0: the library refuses what it sealed "
            "itself); out of place it can."
        )
    (cluster,) = explain([ran.record]).clusters
    assert cluster.when == ("arch=arm64", f"tls={TLS}", f"cipher={CHACHA}")
    assert (len(cluster.cells), cluster.passing, cluster.others_failing) == (2, 0, 0)
    assert cluster.irrelevant == ("client",)
    assert cluster.cause.endswith("selftest=open-in-place in 2 of 2 of these cells, and in 0 of 14 others.")


def test_a_wrong_poly1305_and_a_gcm_that_accepts_forgeries(run: Runner, tmp_path: Path) -> None:
    """Two patches in suites of their own; forgeries that are accepted make no cell fail."""
    ran = planted(run, tmp_path, "poly1305-unaligned", "gcm-accepts-forgeries")
    found = failed(of(ran, "amd64"))
    assert {check for suite, check in found if suite == CHACHA} == {
        *("seal-unaligned", "seal-in-place-unaligned", "open-unaligned", "open-in-place-unaligned")
    }
    cell = ran.cell(CHACHA)
    assert cell.outcome is Outcome.FAIL
    assert f"at an unaligned address with {CHACHA}" in cell.cause
    assert cell.cause.endswith("at an aligned one it does.")
    forged = {(suite, check) for suite, check in found if suite != CHACHA}
    assert {check for _, check in forged} == {"reject-tag", "reject-aad", "reject-ciphertext"}
    assert {suite for suite, _ in forged} == {GCM, "TLS_AES_256_GCM_SHA384"}
    cell = ran.cell(GCM)
    assert (cell.outcome, cell.verdict, cell.cause) == (Outcome.PASS, Verdict.AS_EXPECTED, "")
    assert "1 failed self-test (openssl-3.5.7 on amd64)" in (ran.folder / "index.html").read_text()


@pytest.mark.soak
def test_a_library_that_crashes(run: Runner, tmp_path: Path) -> None:
    ran = planted(run, tmp_path, "chacha20-in-place-crash")
    found = failed(of(ran, "amd64"))
    assert set(found) == {(CHACHA, "open-in-place"), (CHACHA, "open-in-place-unaligned")}
    cell = ran.cell(CHACHA)
    assert (cell.outcome, cell.reason) == (Outcome.FAIL, Reason.SERVER_CRASHED)
    assert cell.cause.startswith("OpenSSL 3.5.7 crashes with SIGSEGV with ")
    assert ran.cell(GCM).outcome is Outcome.PASS


def test_a_self_test_that_does_not_compile_blocks_nothing(run: Runner, overlay: Overlay) -> None:
    overlay.edit("aead/aead.c", ("#include <signal.h>", "#error planted fault\n#include <signal.h>"))
    ran = run("arch=amd64", f"cipher={GCM}", overlay=overlay.folder)
    assert [one.outcome for one in ran.record.cells] == [Outcome.PASS]
    test = of(ran, "amd64")
    assert test.checks == ()
    assert "exit code 1" in test.problem
    assert "planted fault" in (ran.folder / test.evidence[0]).read_text()


def test_a_self_test_that_cannot_run_is_told(run: Runner, overlay: Overlay) -> None:
    overlay.edit("aead/aead.c", ("	make_messages();", "	raise(SIGABRT);\n	make_messages();"))
    ran = run("arch=amd64", f"cipher={GCM}", overlay=overlay.folder)
    assert [one.outcome for one in ran.record.cells] == [Outcome.PASS]
    assert of(ran, "amd64").problem == "The self-test died of SIGABRT."
