"""Every client for real: all ciphers on two architectures, the proof, and what each makes of a fault."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.probe import certificates
from orchestrator.probe.certificates import Certificates
from orchestrator.report.disagreements import find_disagreements

pytestmark = pytest.mark.containers

GCM, AES256, CHACHA, CCM = (
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256",
)
ALL = ("curl", "gtlsclient", "aioquic")


@pytest.fixture
def matrix(tmp_path: Path) -> Any:
    """A matrix of distribution builds, asked by every client."""

    def write(*ciphers: str, arches: tuple[str, ...] = ("amd64",), clients: tuple[str, ...] = ALL) -> Path:
        path = tmp_path / "matrix.yaml"
        path.write_text(
            "version: 1\naxes:\n"
            f"  arch: [{', '.join(arches)}]\n"
            '  haproxy: ["3.0.11"]\n  tls: [openssl-distro]\n'
            f"  cipher: [{', '.join(ciphers)}]\n  client: [{', '.join(clients)}]\n"
        )
        return path

    return write


def outcomes(ran: Any) -> dict[str, tuple[Outcome, Reason | None]]:
    return {cell.axes.client.name: (cell.outcome, cell.reason) for cell in ran.record.cells}


def test_every_client_with_every_cipher_on_both_architectures(run: Any, matrix: Any) -> None:
    ran = run(profile="full", matrix=matrix(GCM, AES256, CHACHA, CCM, "default", arches=("amd64", "arm64")))
    for cell in ran.record.cells:
        client, suite = cell.axes.client.name, cell.axes.cipher.suite
        if suite == CCM:
            reason = Reason.HAPROXY_CANNOT if client == "gtlsclient" else Reason.CLIENT_CANNOT_OFFER
            assert (cell.outcome, cell.reason) == (Outcome.UNSUPPORTED, reason)
            continue
        assert (cell.outcome, cell.verdict) == (Outcome.PASS, Verdict.AS_EXPECTED), cell.message
        requests = cell.observations.h3.requests
        assert [one.bytes_received for one in requests][:2] == [1024, 1 << 20]
        assert {one.cipher for one in requests} == {suite or cell.observations.negotiated_cipher}
        # gtlsclient counts milliseconds, and on an idle machine a handshake takes less than one.
        assert all(None not in {one.handshake_s, one.first_byte_s, one.total_s} for one in requests), client
        assert {one.http_version for one in cell.observations.control.requests} == {"2"}
        assert f"{cell.id}/h3.json" in " ".join(cell.evidence)
    assert ran.record.run.exit_code == 0
    assert find_disagreements(ran.record) == ()
    _proofs(ran.record)


def _proofs(record: Any) -> None:
    can: dict[tuple[str, str], set[str]] = {(one.client, one.transport): set() for one in record.clients}
    for one in record.clients:
        assert one.version
        if one.ok:
            can[one.client, one.transport].add(one.suite)
        else:
            assert one.message
    three = {GCM, AES256, CHACHA, "default"}
    assert can == {
        ("curl", "h3"): three,
        ("aioquic", "h3"): three,
        ("gtlsclient", "h3"): three | {CCM},
        ("curl", "h2"): three | {CCM},
    }


def test_a_refused_suite_shows_its_close_code_at_once(run: Any, matrix: Any, overlay: Any) -> None:
    # Where the bind names CCM, the compat layer never answers; where it does not, it refuses at once.
    overlay.edit(
        "probe/haproxy.cfg.j2", ("{% if ciphersuites %} ciphersuites {{ ciphersuites }}{% endif %}", "")
    )
    ran = run(
        profile="full",
        matrix=matrix(CCM, clients=("gtlsclient",)),
        overlay=overlay.folder,
        challenge_unsupported=True,
    )
    (cell,) = ran.record.cells
    (request,) = cell.observations.h3.requests
    assert (request.close_code, request.handshake_s) == (0x128, None)
    assert "TLS alert 40 (handshake_failure), close code 0x128" in cell.message
    assert (cell.outcome, cell.reason) == (Outcome.UNSUPPORTED, Reason.HAPROXY_CANNOT)


def test_all_clients_see_a_refusal(run: Any, matrix: Any, overlay: Any) -> None:
    overlay.edit("probe/haproxy.cfg.j2", ("alpn h3", f"alpn h3 ciphersuites {GCM}"))
    ran = run(profile="full", matrix=matrix(CHACHA), overlay=overlay.folder)
    assert set(outcomes(ran).values()) == {(Outcome.FAIL, Reason.HANDSHAKE_REFUSED)}
    codes = {cell.axes.client.name: cell.observations.h3.requests[0].close_code for cell in ran.record.cells}
    assert codes == {"curl": None, "gtlsclient": 0x128, "aioquic": 0x128}


def test_all_clients_verify_the_certificate(run: Any, matrix: Any) -> None:
    def mixed() -> Certificates:
        return Certificates(ca=certificates.make().ca, server=certificates.make().server)

    ran = run(profile="full", matrix=matrix(GCM), certificates=mixed)
    assert set(outcomes(ran).values()) == {(Outcome.FAIL, Reason.BAD_CERTIFICATE)}, outcomes(ran)


@pytest.mark.parametrize(
    ("called", "said"),
    [
        pytest.param("AES-128-GCM", f"it negotiated {GCM}", id="it offers another suite than it was told to"),
        pytest.param("NO-SUCH-CIPHER", "gnutls_priority_set_direct failed", id="its library lost the suite"),
    ],
)
def test_a_client_that_lost_a_cipher_is_never_silently_grey(
    run: Any, matrix: Any, overlay: Any, *, called: str, said: str
) -> None:
    overlay.edit("probe/gtlsclient.py", ('"CHACHA20-POLY1305"', f'"{called}"'))
    both = matrix(CHACHA, GCM, clients=("curl", "gtlsclient"))
    ran = run(profile="full", matrix=both, overlay=overlay.folder)
    lost = ran.cell(f"{CHACHA}--client.gtlsclient")
    assert (lost.outcome, lost.reason) == (Outcome.UNSUPPORTED, Reason.CLIENT_CANNOT_OFFER)
    assert lost.verdict is Verdict.NOT_JUDGED
    assert said in lost.message
    assert lost.observations is None, "it was not even asked"
    others = [cell for cell in ran.record.cells if cell.id != lost.id]
    assert {cell.outcome for cell in others} == {Outcome.PASS}
    assert ran.record.run.exit_code == 4


def test_a_good_server_that_is_gone_is_the_harness(run: Any, matrix: Any, overlay: Any) -> None:
    overlay.edit("probe/prove.py", ("/usr/sbin/gtlsserver", "/usr/sbin/no-such-server"))
    ran = run(profile="full", matrix=matrix(GCM, clients=("gtlsclient",)), overlay=overlay.folder)
    (cell,) = ran.record.cells
    assert (cell.outcome, cell.verdict) == (Outcome.ERROR, Verdict.NOT_JUDGED)
    assert "no-such-server" in cell.message


def test_a_table_that_says_too_little_is_told_so(run: Any, matrix: Any, overlay: Any) -> None:
    # A proof that gives every suite as negotiated contradicts the table about curl and CCM.
    overlay.edit("probe/prove.py", ('"ok": not problem', '"ok": True'))
    ran = run(profile="full", matrix=matrix(GCM, clients=("curl",)), overlay=overlay.folder)
    (wrong,) = [one for one in ran.record.clients if "the table is wrong" in one.message]
    assert (wrong.client, wrong.transport, wrong.suite) == ("curl", "h3", CCM)


def test_clients_that_disagree_are_named(run: Any, matrix: Any, overlay: Any) -> None:
    of_one = '{% if cell.client.family == "gtlsclient" %}\n    http-request deny\n{% endif %}\n'
    backend = "    default_backend origin"
    overlay.edit("probe/haproxy.cfg.j2", (backend, of_one + backend))
    ran = run(profile="full", matrix=matrix(GCM), overlay=overlay.folder)
    (one,) = find_disagreements(ran.record)
    assert one.sentence == "curl: pass; gtlsclient: fail (bad-status); aioquic: pass"
    assert (one.arch, one.cipher) == ("amd64", GCM)
