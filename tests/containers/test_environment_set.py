"""Masks of the CPU by the libraries' own variables: they reach the server, and change what it does."""

import pytest
import yaml
from conftest import Ran, Runner

from orchestrator.outcome import Outcome, Reason

pytestmark = [pytest.mark.containers, pytest.mark.timeout(2400)]

AWS_LC, AES256, CHACHA = "aws-lc-5.1.0", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"
NO_AES = {"name": "no-aes", "environment": {"OPENSSL_ia32cap": "~0x200000000000000"}}
"""Bit 57 is AES-NI (OPENSSL_ia32cap(3)); AWS-LC prefers ChaCha20 without it, which fails over QUIC."""
NO_ARM = {"name": "no-crypto", "environment": {"OPENSSL_armcap": "0"}}


@pytest.fixture(scope="module")
def masked(run_once: Runner, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    common = {"haproxy": "3.0.11", "cipher": "default", "client": "curl"}
    axes = {
        "arch": ["amd64"],
        "haproxy": ["3.0.11"],
        "tls": [AWS_LC],
        "cipher": ["default"],
        "client": ["curl"],
        "execution": ["default", NO_AES],
    }
    arm = {**common, "arch": "arm64", "tls": "openssl-distro", "execution": NO_ARM}
    matrix = tmp_path_factory.mktemp("masked") / "matrix.yaml"
    matrix.write_text(yaml.safe_dump({"version": 1, "axes": axes, "include": [arm]}, sort_keys=False))
    return run_once(profile="full", matrix=matrix)


def test_a_mask_makes_a_library_choose_as_on_a_cpu_without_aes(masked: Ran) -> None:
    plain, without = (cell for cell in masked.record.cells if cell.axes.tls.name == AWS_LC)
    if plain.reason is Reason.SOURCE_UNREACHABLE:
        pytest.skip(f"the library's source cannot be downloaded any more: {plain.message}")
    assert (plain.outcome, plain.axes.execution.environment) == (Outcome.PASS, ()), plain.message
    assert plain.observations is not None
    assert plain.observations.negotiated_cipher == AES256
    assert (without.outcome, without.reason) == (Outcome.FAIL, Reason.HANDSHAKE_REFUSED), without.message
    assert without.axes.execution.environment == ("OPENSSL_ia32cap=~0x200000000000000",)
    assert without.execution.mode == "native"
    assert without.observations is not None
    assert without.observations.control is not None
    assert {one.cipher for one in without.observations.control.requests} == {CHACHA}


def test_a_mask_goes_through_the_emulator_and_the_self_test_runs_with_it(masked: Ran) -> None:
    (cell,) = [one for one in masked.record.cells if one.axes.execution.name == "no-crypto"]
    assert (cell.outcome, cell.execution.mode) == (Outcome.PASS, "emulated"), cell.message
    (test,) = [one for one in masked.record.selftests if one.execution == "no-crypto"]
    assert (test.arch, test.problem) == ("arm64", "")
    assert all(one.ok is not False for one in test.checks)
    page = (masked.folder / "index.html").read_text()
    assert "CPU model max, OPENSSL_armcap=0; CPU can aes" in page
