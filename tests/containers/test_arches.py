"""Other architectures and other CPUs for real: 32 bits, big-endian s390x, and AES instructions on and off.

The soak has i386 and riscv64 (test_soak.py): they repeat what armhf and arm64 show.
"""

from pathlib import Path

import pytest
from conftest import Ran, Runner

from orchestrator.arch import ARCHES
from orchestrator.matrix.model import Limits
from orchestrator.outcome import Outcome, Reason, Verdict

# Images for four architectures and the builds of six are made in the first test's set-up.
pytestmark = [pytest.mark.containers, pytest.mark.timeout(2400)]

GCM = "TLS_AES_128_GCM_SHA256"
SUITES = (GCM, "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")


# On 32 bits HAProxy's cubic_root() hands 64 bits to my_flsl(unsigned long), reads beyond its table after a
# lost packet and dies of SIGSEGV: a few times in a thousand attempts, and 3.5-dev5 still has it.
# These cells are about the architecture, so they have the one line that mends it.
CUBIC_ROOT = Path(__file__).parent / "patches" / "haproxy-cubic-root-on-32-bits.diff"

MATRIX = f"""
version: 1
axes:
  arch: [armhf, s390x]
  haproxy: [{{name: mended, version: "3.0.11", patches: ["{CUBIC_ROOT}"]}}]
  tls: [openssl-distro]
  cipher: [{", ".join(SUITES)}, TLS_AES_128_CCM_SHA256, default]
  execution: [default]
include:
  - arch: [amd64, arm64]
    haproxy: "3.0.11"
    tls: openssl-distro
    cipher: {GCM}
    execution: [aes-on, aes-off, {{name: haswell, cpu: "Haswell,-aes"}}]
  - arch: [arm64, ppc64el]
    haproxy: distro
    tls: openssl-distro
    cipher: {GCM}
  - arch: amd64
    haproxy: "3.0.11"
    tls: aws-lc-5.1.0
    cipher: default
    execution: [aes-on, aes-off]
"""


@pytest.fixture(scope="module")
def ran(run_once: Runner, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One run for all: images, compilers and emulators keep each other's cores busy."""
    path = tmp_path_factory.mktemp("arches") / "matrix.yaml"
    path.write_text(MATRIX)
    return run_once(profile="full", matrix=path, limits=Limits(request=4))


@pytest.mark.parametrize("name", ["arm64", "ppc64el"])
def test_debian_s_own_haproxy_serves_on_a_foreign_architecture(ran: Ran, name: str) -> None:
    cell, arch = ran.cell(f"{name}--haproxy-distro--openssl-distro"), ARCHES[name]
    if (cell.outcome, cell.reason) == (Outcome.BLOCKED, Reason.SOURCE_UNREACHABLE):
        assert f"emulated-runtime for {name} needs" in cell.message
        pytest.skip(cell.message)  # as below
    assert (cell.outcome, cell.verdict) == (Outcome.PASS, Verdict.AS_EXPECTED), cell.message
    assert cell.attestation is not None
    assert (cell.attestation.machine, cell.attestation.elf_machine) == (arch.machine, arch.elf_machine)
    assert (cell.attestation.haproxy_version or "").startswith("3.0.11-1")


@pytest.mark.parametrize("name", ["armhf", "s390x"])
def test_armhf_and_s390x_serve_every_cipher(ran: Ran, name: str) -> None:
    arch = ARCHES[name]
    first = ran.cell(f"{name}--haproxy-mended--openssl-distro--{GCM}")
    if (first.outcome, first.reason) == (Outcome.BLOCKED, Reason.SOURCE_UNREACHABLE):
        pytest.skip(first.message)  # a mirror that is being updated lacks packages of one architecture
    for suite in (*SUITES, "default"):
        cell = ran.cell(f"{name}--haproxy-mended--openssl-distro--{suite}")
        assert (cell.outcome, cell.verdict) == (Outcome.PASS, Verdict.AS_EXPECTED), cell.message
        assert cell.observations is not None
        assert cell.observations.negotiated_cipher in ({suite} if suite in SUITES else set(SUITES))
        proof = cell.attestation
        assert proof is not None
        assert (proof.machine, proof.elf_machine) == (arch.machine, arch.elf_machine)
        assert cell.execution.mode == "emulated"
        assert cell.execution.qemu_version
    ccm = ran.cell(f"{name}--haproxy-mended--openssl-distro--TLS_AES_128_CCM_SHA256")
    assert ccm.reason is Reason.CLIENT_CANNOT_OFFER
    (test,) = [one for one in ran.record.selftests if (one.tls, one.arch) == ("openssl-distro", name)]
    assert [check for check in test.checks if check.ok]
    assert not [check for check in test.checks if check.ok is False]


def test_aes_instructions_are_really_on_or_off(ran: Ran) -> None:
    for arch in ("amd64", "arm64"):
        on = ran.cell(f"{arch}--haproxy-3.0.11--openssl-distro--{GCM}--execution.aes-on")
        assert on.outcome is Outcome.PASS, on.message
        assert on.execution.mode == "emulated"
        assert on.execution.cpu_model == ARCHES[arch].cpus.models["aes-on"]
        assert on.execution.qemu_version
        assert "aes" in on.execution.cpu_features
    for name in ("aes-off", "haswell"):
        off = ran.cell(f"amd64--haproxy-3.0.11--openssl-distro--{GCM}--execution.{name}")
        assert off.outcome is Outcome.PASS, off.message
        assert "aes" not in off.execution.cpu_features
        assert "avx2" in off.execution.cpu_features
    cannot = ran.cell(f"arm64--haproxy-3.0.11--openssl-distro--{GCM}--execution.aes-off")
    assert (cannot.outcome, cannot.reason) == (Outcome.UNSUPPORTED, Reason.EMULATOR_CANNOT)
    foreign = ran.cell(f"arm64--haproxy-3.0.11--openssl-distro--{GCM}--execution.haswell")
    assert (foreign.outcome, foreign.reason) == (Outcome.ERROR, Reason.EMULATION)
    assert "unable to find CPU model 'Haswell'" in foreign.message
    tests = [test for test in ran.record.selftests if (test.arch, test.tls) == ("amd64", "openssl-distro")]
    assert {test.execution: test.problem for test in tests} == dict.fromkeys(
        ("aes-on", "aes-off", "haswell"), ""
    )


def test_without_aes_instructions_a_default_fails_that_passes_with_them(ran: Ran) -> None:
    """AWS-LC prefers ChaCha20 there, and HAProxy before 3.1-dev5 cannot use that over QUIC with it."""
    on, off = (
        ran.cell(f"amd64--haproxy-3.0.11--aws-lc-5.1.0--default--execution.aes-{x}") for x in ("on", "off")
    )
    if on.outcome is Outcome.BLOCKED:
        pytest.skip(f"the library's source cannot be obtained any more: {on.message}")
    assert on.outcome is Outcome.PASS, on.message
    assert on.observations is not None
    assert on.observations.negotiated_cipher == "TLS_AES_256_GCM_SHA384"
    assert (off.outcome, off.reason) == (Outcome.FAIL, Reason.HANDSHAKE_REFUSED), off.message
    assert off.observations is not None
    assert off.observations.control is not None
    over_tcp = {request.cipher for request in off.observations.control.requests}
    assert over_tcp == {"TLS_CHACHA20_POLY1305_SHA256"}
