"""Every family of libraries that can be obtained here, built for real and asked for all ciphers.

One run for all: compilers and emulators keep each other's cores busy, and a failing build blocks no other.
Older releases, and builds for the other architecture, are the soak's (test_soak.py): they only repeat.
"""

import pytest
import yaml
from conftest import Ran, Runner

from orchestrator.matrix.model import Limits
from orchestrator.outcome import Outcome, Reason

# Four libraries and four HAProxys are built in the first test's set-up.
pytestmark = [pytest.mark.containers, pytest.mark.timeout(3600)]

OPENSSL, WOLFSSL, AWS_LC = "openssl-3.5.7", "wolfssl-5.7.2", "aws-lc-5.1.0"
GCM, AES256, CHACHA = "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"
CCM = "TLS_AES_128_CCM_SHA256"

ARCHES: dict[str, tuple[str, ...]] = {
    OPENSSL: ("amd64", "arm64"),
    WOLFSSL: ("arm64",),
    AWS_LC: ("amd64",),  # test_arches.py has the same
}
"""Each way of building: Configure natively and across, autotools across, CMake."""


def cells(tls: str, arches: tuple[str, ...]) -> list[dict[str, object]]:
    """Every suite by curl, and CCM by gtlsclient, which can offer it: the server's answer is proved."""
    common = {"arch": list(arches), "haproxy": "3.0.11", "tls": tls}
    return [
        {**common, "cipher": [GCM, AES256, CHACHA, CCM, "default"], "client": "curl"},
        {**common, "cipher": CCM, "client": "gtlsclient"},
    ]


@pytest.fixture(scope="module")
def libraries(run_once: Runner, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """All of them at once. What is declared impossible is tried as well, so that the table is proved too."""
    first, *others = (one for tls, arches in ARCHES.items() for one in cells(tls, arches))
    axes = {axis: value if isinstance(value, list) else [value] for axis, value in first.items()}
    matrix = tmp_path_factory.mktemp("libraries") / "matrix.yaml"
    matrix.write_text(yaml.safe_dump({"version": 1, "axes": axes, "include": others}, sort_keys=False))
    return run_once(profile="full", matrix=matrix, challenge_unsupported=True, limits=Limits(request=4))


def skip_if_gone(ran: Ran) -> None:
    """Skip where the archive no longer has the file of a library that Debian's stable suites lack."""
    found = [cell for cell in ran.record.cells if cell.axes.tls.name == AWS_LC]
    if {cell.reason for cell in found} == {Reason.SOURCE_UNREACHABLE}:
        pytest.skip(f"the library's source cannot be downloaded any more: {found[0].message}")


def passing(ran: Ran, tls: str, *, suites: tuple[str, ...], api: str, says: str) -> None:
    """These suites and the default pass, with the declared library in the binary."""
    for arch in ARCHES[tls]:
        for suite in (*suites, "default"):
            cell = ran.cell(f"{arch}--haproxy-3.0.11--{tls}--{suite}")
            assert cell.outcome is Outcome.PASS, cell.message
            assert cell.observations is not None
            negotiated = cell.observations.negotiated_cipher
            assert negotiated in suites if suite == "default" else negotiated == suite
            proof = cell.attestation
            assert proof is not None
            assert (proof.tls_prefix_found, proof.quic_api) == (True, api)
            assert str(proof.tls_running).startswith(says)
            assert not [name for name in proof.needed if name.startswith(("libssl", "libcrypto", "libwolf"))]


def impossible(ran: Ran, tls: str, suite: str, reason: Reason, *, client: str = "curl") -> None:
    """It is declared to be impossible, and so it was."""
    for arch in ARCHES[tls]:
        (cell,) = [
            one
            for one in ran.record.cells
            if (one.axes.arch.name, one.axes.tls.name, one.axes.cipher.name, one.axes.client.name)
            == (arch, tls, suite, client)
        ]
        assert (cell.outcome, cell.reason) == (Outcome.UNSUPPORTED, reason), cell.message
        assert "challenged, and so it is" in cell.message


def test_openssl(libraries: Ran) -> None:
    passing(libraries, OPENSSL, suites=(GCM, AES256, CHACHA), api="compat", says="OpenSSL 3.5.7 ")
    impossible(libraries, OPENSSL, CCM, Reason.CLIENT_CANNOT_OFFER)
    impossible(libraries, OPENSSL, CCM, Reason.HAPROXY_CANNOT, client="gtlsclient")


def test_wolfssl(libraries: Ran) -> None:
    passing(libraries, WOLFSSL, suites=(GCM, AES256, CHACHA), api="native", says="wolfSSL 5.7.2")
    impossible(libraries, WOLFSSL, CCM, Reason.CLIENT_CANNOT_OFFER)
    impossible(libraries, WOLFSSL, CCM, Reason.LIBRARY_CANNOT, client="gtlsclient")


def test_aws_lc(libraries: Ran) -> None:
    skip_if_gone(libraries)
    passing(libraries, AWS_LC, suites=(GCM, AES256), api="native", says="AWS-LC 5.1.0")
    impossible(libraries, AWS_LC, CHACHA, Reason.HAPROXY_CANNOT)
    impossible(libraries, AWS_LC, CCM, Reason.CLIENT_CANNOT_OFFER)
    impossible(libraries, AWS_LC, CCM, Reason.LIBRARY_CANNOT, client="gtlsclient")


def test_such_a_night_is_green(libraries: Ran) -> None:
    skip_if_gone(libraries)
    assert libraries.record.run.exit_code == 0
