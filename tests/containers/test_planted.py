"""Faults planted with patches, as a developer would try a fix: each comes out as what it is, none is missed.

One run of real builds; each test looks at the cells of one of them. The patches lie in patches/.
"""

from pathlib import Path

import pytest
import yaml
from conftest import Ran, Runner

from orchestrator.matrix.model import Limits
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.model import CellRecord, Exchange, Observations, Server

pytestmark = pytest.mark.containers

PATCHES = Path(__file__).parent / "patches"
GCM, AES256, CHACHA = "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"
DEFAULT = "default"
EVERY = (GCM, AES256, CHACHA, DEFAULT)
ISSUE = "https://github.com/haproxy/haproxy/issues/2569"


def everywhere(reason: Reason) -> dict[str, Reason]:
    return dict.fromkeys(EVERY, reason)


HAPROXY: dict[str, tuple[dict[str, Reason], str]] = {
    "refuses-chacha20": ({CHACHA: Reason.HANDSHAKE_REFUSED}, ""),
    "never-answers-chacha20": ({CHACHA: Reason.HANDSHAKE_TIMEOUT}, "time ran out"),
    "breaks-the-handshake": (everywhere(Reason.HANDSHAKE_BROKEN), "quic protocol error"),
    "crashes-on-chacha20": ({CHACHA: Reason.SERVER_CRASHED}, "SIGSEGV"),
    "crashes-in-the-upload": (everywhere(Reason.SERVER_CRASHED), "get-1k and get-1m had passed, post-1m was"),
    # What was under way depends on whether curl had seen the connection end, and made another one.
    "crashes-in-the-control": (everywhere(Reason.SERVER_CRASHED), "control over HTTP/2: get-1k had passed, "),
    "exits-on-chacha20": ({CHACHA: Reason.SERVER_CRASHED}, "exit status 3"),
    "stalls-after-the-handshake": ({CHACHA: Reason.HANDSHAKE_THEN_HANG}, ""),
    "truncates-bodies": (everywhere(Reason.WRONG_BODY), "broke off"),
    "corrupts-bodies": (everywhere(Reason.WRONG_BODY), "another SHA-256"),
    "corrupts-uploads": (everywhere(Reason.UPLOAD_INCOMPLETE), "The origin confirms"),
    "answers-502": (everywhere(Reason.BAD_STATUS), "502"),
    "misnames-the-cipher": (
        {
            AES256: Reason.WRONG_CIPHER,
            CHACHA: Reason.WRONG_CIPHER,
            DEFAULT: Reason.DEFAULT_CHANGED,
        },
        f"{GCM}",
    ),
    "prefers-chacha20": ({DEFAULT: Reason.DEFAULT_CHANGED}, CHACHA),
    "never-listens": (everywhere(Reason.NOT_READY), ""),
    "without-quic": (everywhere(Reason.NO_QUIC), "-QUIC"),
    "of-another-version": (everywhere(Reason.WRONG_VERSION), "3.0.10"),
    "does-not-compile": (everywhere(Reason.BUILD_FAILED), "planted: this does not compile"),
    "does-not-apply": (everywhere(Reason.BUILD_FAILED), "haproxy-does-not-apply.diff"),
    "links-the-distro-library": (everywhere(Reason.WRONG_LIBRARY), "openssl-3.5.7"),
}
"""What a patch must come out as: the reason by cipher, and a part of the message. The other ciphers of its
build must pass. The last is declared to hold OpenSSL 3.5.7 from source; others have the distribution's."""


BROKEN = "breaks-the-handshake"
BREAKS = {"gtlsclient": "ERR_TRANSPORT_PARAM", "aioquic": "initial_source_connection_id does not match"}
"""What the other clients say of the fault that curl calls a protocol error."""


def haproxy(name: str) -> dict[str, object]:
    return {"name": name, "version": "3.0.11", "patches": [str(PATCHES / f"haproxy-{name}.diff")]}


def written(path: Path, axes: dict[str, object], **others: object) -> Path:
    path.write_text(yaml.safe_dump({"version": 1, "axes": axes, **others}, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def planted(run_once: Runner, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    *faults, links = HAPROXY
    axes = {
        "arch": ["amd64"],
        "haproxy": ["3.0.11", *(haproxy(name) for name in faults)],
        "tls": ["openssl-distro"],
        "cipher": list(EVERY),
        "client": ["curl"],
    }
    silent = {
        "arch": "amd64",
        "haproxy": haproxy(links),
        "tls": "openssl-3.5.7",
        "cipher": list(EVERY),
        "client": "curl",
    }
    broken = {
        "arch": "amd64",
        "haproxy": haproxy(BROKEN),
        "tls": "openssl-distro",
        "cipher": DEFAULT,
        "client": list(BREAKS),
    }
    rule = {"when": ["cipher=default"], "outcome": "pass", "cipher": AES256, "because": ISSUE}
    matrix = written(
        tmp_path_factory.mktemp("planted") / "matrix.yaml", axes, include=[silent, broken], expect=[rule]
    )
    return run_once(profile="full", matrix=matrix, limits=Limits(ready=5, request=4))


def built(ran: Ran, name: str) -> dict[str, CellRecord]:
    """The cells of one HAProxy by cipher, as curl saw them."""
    cells = [cell for cell in ran.record.cells if cell.axes.client.name == "curl"]
    return {cell.axes.cipher.name: cell for cell in cells if cell.axes.haproxy.name == name}


def test_the_unpatched_build_is_healthy(planted: Ran) -> None:
    cells = built(planted, "3.0.11")
    assert {cell.outcome for cell in cells.values()} == {Outcome.PASS}
    assert {cell.verdict for cell in cells.values()} == {Verdict.AS_EXPECTED}


@pytest.mark.parametrize("name", HAPROXY)
def test_a_planted_fault_comes_out_as_what_it_is(planted: Ran, name: str) -> None:
    reasons, says = HAPROXY[name]
    cells = built(planted, name)
    assert {cipher: cell.reason for cipher, cell in cells.items()} == {**dict.fromkeys(EVERY), **reasons}
    for cipher, cell in cells.items():
        assert cell.verdict is (Verdict.REGRESSION if cipher in reasons else Verdict.AS_EXPECTED)
        assert cipher not in reasons or says in cell.message


def measured(cell: CellRecord) -> tuple[Observations, Exchange, Server]:
    seen = cell.observations
    assert seen is not None
    assert seen.h3 is not None
    assert seen.server is not None
    return seen, seen.h3, seen.server


def test_a_crash_says_in_which_phase_and_hides_nothing_of_http3(planted: Ran) -> None:
    """HAProxy 3.0.11 died under QEMU in an upload, and its message said nothing but the signal."""
    for cell in built(planted, "crashes-in-the-upload").values():
        seen, h3, server = measured(cell)
        assert "while it was asked over HTTP/3" in cell.message
        assert [one.exit_code for one in h3.requests][:2] == [0, 0]
        assert (server.ended_in, seen.control) == ("h3", None)
    for cell in built(planted, "crashes-in-the-control").values():
        seen, h3, server = measured(cell)
        assert "in the control over HTTP/2" in cell.message
        assert "HTTP/3 before that: HTTP/3 with TLS_" in cell.message
        assert [one.status for one in h3.requests] == [200, 200, 200]
        assert seen.negotiated_cipher == (cell.axes.cipher.suite or AES256)
        assert server.ended_in == "control"
        assert {"h3.json", "haproxy.log"} <= {Path(path).name for path in cell.evidence}


@pytest.mark.parametrize("client", BREAKS)
def test_every_client_names_the_fault_of_a_broken_handshake(planted: Ran, client: str) -> None:
    (cell,) = [one for one in planted.record.cells if one.axes.client.name == client]
    assert (cell.outcome, cell.reason) == (Outcome.FAIL, Reason.HANDSHAKE_BROKEN), cell.message
    assert BREAKS[client] in cell.message


def test_every_patch_stands_in_the_report(planted: Ran) -> None:
    page = (planted.folder / "index.html").read_text()
    for name in HAPROXY:
        assert f"haproxy-{name}.diff" in page
        assert (planted.folder / "patches" / f"haproxy-{name}.diff").exists()
