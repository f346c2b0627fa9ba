"""The adapters of the clients: what real programs said, in one shape."""

import json
import os
import shutil
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from client_scripts import SCRIPTS, loaded
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from orchestrator.probe import certificates
from orchestrator.probe.session_files import list_requests

LOGS = Path(__file__).parent / "gtlsclient"
GET = {"name": "get-1k", "path": "/1k", "upload": None}
POST = {"name": "post-1m", "path": "/upload", "upload": "1m"}


@pytest.fixture(scope="module")
def gtlsclient() -> Any:
    return loaded("gtlsclient")


@pytest.fixture(scope="module")
def clients() -> Iterator[Any]:
    sys.path.insert(0, str(SCRIPTS))
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    yield loaded("clients")
    sys.path.remove(str(SCRIPTS))
    sys.dont_write_bytecode = written
    sys.modules.pop("gtlsclient", None)


def log(name: str) -> str:
    return (LOGS / f"{name}.log").read_text()


# gtlsclient: logs of ngtcp2-client 1.11.0 with GnuTLS 3.8.9.


def test_an_answer_of_gtlsclient(gtlsclient: Any) -> None:
    found = gtlsclient.read_log(log("answered"), GET, 1024)
    assert (found["exit_code"], found["error"], found["close_code"]) == (0, "", None)
    assert (found["http_version"], found["status"]) == ("3", 200)
    assert found["headers"]["x-matrixctl-cipher"] == "TLS_AES_128_GCM_SHA256"
    assert 0 < found["handshake_s"] <= found["first_byte_s"] <= found["total_s"] < 5


def test_a_refused_suite_has_a_close_code(gtlsclient: Any) -> None:
    found = gtlsclient.read_log(log("refused"), GET, 0)
    assert found["close_code"] == 0x128
    assert found["handshake_s"] is None
    assert (found["exit_code"], found["status"]) == (56, None)
    assert found["error"] == "the server closed the connection: CRYPTO_ERROR(0x128)"


def test_a_silent_server_and_one_that_hangs_after_the_handshake_differ(gtlsclient: Any) -> None:
    silent, hang = (gtlsclient.read_log(log(name), GET, 0) for name in ("silent", "hang"))
    assert (silent["exit_code"], hang["exit_code"]) == (28, 28)
    assert (silent["handshake_s"], silent["close_code"]) == (None, None)
    assert silent["error"] == "the handshake did not come: ERR_HANDSHAKE_TIMEOUT"
    assert hang["handshake_s"] is not None
    assert hang["error"] == "the answer did not come: ERR_IDLE_CLOSE"
    assert silent["total_s"] > 1


def test_a_fault_in_the_handshake_is_no_time_out(gtlsclient: Any) -> None:
    found = gtlsclient.read_log(log("broken"), GET, 0)
    assert (found["handshake_s"], found["close_code"]) == (None, None)
    assert (found["exit_code"], found["shows"]) == (96, "fault-in-answer")
    assert found["error"] == "the handshake breaks a rule: ERR_TRANSPORT_PARAM"


def test_another_status_is_an_answer(gtlsclient: Any) -> None:
    found = gtlsclient.read_log(log("missing"), GET, 146)
    assert (found["exit_code"], found["status"], found["http_version"]) == (0, 404, "3")


def test_a_download_that_is_short_is_a_failure_though_gtlsclient_exits_0(gtlsclient: Any) -> None:
    found = gtlsclient.read_log(log("answered"), GET, 1000)
    assert (found["exit_code"], found["error"]) == (18, "1000 of 1024 bytes came")


def test_its_own_close_is_no_close_of_the_server(gtlsclient: Any) -> None:
    text = log("answered")
    assert "frm tx" in text
    assert "CONNECTION_CLOSE(0x1d)" in text
    # H3_NO_ERROR is 0x100, which among transport errors would be a TLS alert.
    by_server = text.replace("1RTT CONNECTION_CLOSE", "1RTT X").replace(
        "HTTP stream 0 closed",
        "I00000009 0xab frm rx 7 1RTT CONNECTION_CLOSE(0x1d) error_code=(unknown)(0x100) ",
    )
    found = gtlsclient.read_log(by_server, GET, 1024)
    assert found["close_code"] is None
    assert (found["exit_code"], found["error"]) == (56, "the server closed the connection: error(0x100)")


def test_a_reset_stream(gtlsclient: Any) -> None:
    text = log("answered").replace("closed with error code 256", "closed with error code 258")
    found = gtlsclient.read_log(text, GET, 0)
    assert (found["exit_code"], found["error"]) == (56, "the server reset the stream: H3 error 0x102")


@pytest.mark.parametrize("text", ["", "\n", "$ gtlsclient\n", "I00000000 0xab pkt tx\n", "I0x\x00\n"])
def test_whatever_the_log_says_it_is_read(gtlsclient: Any, text: str) -> None:
    assert gtlsclient.read_log(text, POST, 0)["exit_code"] == 28


def test_the_call_forces_the_suite_and_nothing_else(gtlsclient: Any) -> None:
    job = {"suite": "TLS_AES_128_CCM_SHA256", "request_s": 2.5, "port": 20001, "bodies": "/work/bodies"}
    job |= {"server_name": "h3.matrixctl.test", "requests": [GET, POST]}
    call = gtlsclient.make_argv(["gtlsclient"], job, POST, Path("/work/x"))
    assert "--ciphers=NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-CCM" in call
    assert {"--timeout=2500ms", "--http-method=POST", "--data=/work/bodies/1m"} <= set(call)
    assert call[-3:] == ["127.0.0.1", "20001", "https://h3.matrixctl.test:20001/upload"]
    free = gtlsclient.make_argv(["gtlsclient"], {**job, "suite": None}, GET, Path("/work/x"))
    assert "--ciphers=NORMAL:-VERS-ALL:+VERS-TLS1.3" in free
    assert "--no-quic-dump" not in gtlsclient.make_argv(["gtlsclient"], job, GET, Path("/work/x")), (
        "the first shows the certificate"
    )
    assert "--no-quic-dump" in call


# The certificate, which gtlsclient shows and does not verify.


def test_the_certificate_is_read_from_a_real_log(gtlsclient: Any) -> None:
    (der,) = gtlsclient.read_certificates(log("answered"))
    found = x509.load_der_x509_certificate(der)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [certificates.SERVER_NAME]


def shown(pem: bytes) -> str:
    """A log with the handshake messages of a server that has this certificate."""
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    entry = len(der).to_bytes(3, "big") + der + b"\0\0"
    message = b"\0" + len(entry).to_bytes(3, "big") + entry
    stream = b"\x08\0\0\x02\0\0" + b"\x0b" + len(message).to_bytes(3, "big") + message
    lines = [
        f"{at:08x}  {stream[at : at + 8].hex(' '):24} {stream[at + 8 : at + 16].hex(' '):23}  |x|"
        for at in range(0, len(stream), 16)
    ]
    return "\n".join(
        ["x", "Ordered CRYPTO data in Handshake crypto level", *lines, f"{len(stream):08x}", "x"]
    )


def distrust(gtlsclient: Any, folder: Path, server: certificates.Certificates, ca: bytes, name: str) -> str:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed here; the client image has it")
    (folder / "ca.pem").write_bytes(ca)
    job = {"ca": str(folder / "ca.pem"), "server_name": name}
    return str(gtlsclient.find_distrust(shown(server.server), job, folder / "h3.get-1k"))


def test_a_certificate_is_held_against_the_authority_and_the_name(gtlsclient: Any, tmp_path: Path) -> None:
    own, other = certificates.make(), certificates.make()
    name = certificates.SERVER_NAME
    assert distrust(gtlsclient, tmp_path, own, own.ca, name) == ""
    assert "does not verify: error" in distrust(gtlsclient, tmp_path, own, other.ca, name)
    assert "hostname mismatch" in distrust(gtlsclient, tmp_path, own, own.ca, "other.test").lower()
    assert gtlsclient.find_distrust("no dump", {}, tmp_path / "x") == "the log shows no certificate"


def test_repeated_lines_of_a_dump_are_filled_in(gtlsclient: Any) -> None:
    text = "x\nT\n00000000  " + "00 " * 8 + " " + "00 " * 7 + "00  |x|\n*\n00000030  ab  |x|\n00000031\ny"
    (data,) = gtlsclient._read_dumps(text, "T")
    assert data == bytes(48) + b"\xab"


# curl and aioquic, by programs that stand for them.


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "cell").mkdir()
    return {
        "client": "curl",
        "own": False,
        "suite": None,
        "transport": "h3",
        "folder": str(tmp_path / "cell"),
        "request_s": 2,
        "requests": [{"name": one.name, "path": one.path, "upload": one.upload} for one in list_requests()],
    }


CURL = {"http_version": "3", "http_code": 200, "size_upload": 0, "exitcode": 0, "errormsg": None} | {
    "time_appconnect": 0.01,
    "num_connects": 1,
    "time_starttransfer": 0.02,
    "time_total": 0.03,
}


def told(lines: list[dict[str, Any]]) -> str:
    return "cat <<'END'\n" + "\n".join(json.dumps({**CURL, **line}) for line in lines) + "\nEND"


def test_curl_in_the_shape_of_all(clients: Any, job: dict[str, Any], tmp_path: Path) -> None:
    again = {"time_appconnect": 0, "num_connects": 0}
    program(
        tmp_path, "curl", told([{}, again, {**again, "exitcode": 95, "errormsg": "gone", "http_code": 0}])
    )
    (tmp_path / "cell" / "h3.get-1k.headers").write_text("stale: file\r\n")
    code, requests = clients.ask(job)
    assert code == 0
    first, second, third = requests
    assert (first["handshake_s"], second["handshake_s"]) == (0.01, 0.01), "they share a connection"
    assert first["sha256"] is None, "it wrote nothing, and what was left of an earlier request does not count"
    assert (third["status"], third["http_version"], third["exit_code"], third["error"]) == (
        None,
        None,
        95,
        "gone",
    )
    assert {tuple(one) for one in requests} == {tuple(clients.make_blank(""))}


def test_a_handshake_that_never_ended_has_no_time(clients: Any, job: dict[str, Any], tmp_path: Path) -> None:
    program(tmp_path, "curl", told([{"time_appconnect": 0, "exitcode": 28, "http_code": 0}]) + "\nexit 28")
    code, (first,) = clients.ask(job)
    assert (code, first["handshake_s"]) == (28, None)


@pytest.mark.parametrize(
    ("message", "shows"),
    [
        ("QUIC connection has been shut down", "closed-by-server"),
        ("error:0A0000B5:SSL routines::no ciphers available", "cannot-offer"),
        ("error:0A000410:SSL routines::sslv3 alert handshake failure", "closed-by-server"),
        ("error:0A00017E:SSL routines::quic protocol error", "fault-in-answer"),
        ("error:0A000182:SSL routines::not on record boundary", "fault-in-answer"),
        ("QUIC connection has been shut", None),
        (None, None),
        ({"exitcode": 7}, None),
    ],
)
def test_what_the_words_of_curl_show(
    clients: Any, job: dict[str, Any], tmp_path: Path, message: object, shows: str | None
) -> None:
    failed = {"time_appconnect": 0, "exitcode": 7, "http_code": 0, "errormsg": message}
    program(tmp_path, "curl", told([failed]) + "\nexit 7")
    _, (first,) = clients.ask(job)
    assert (first["error"], first["shows"]) == (message or "", shows)


def test_a_client_that_does_not_end_is_stopped(clients: Any, job: dict[str, Any], tmp_path: Path) -> None:
    program(tmp_path, "curl", "exec sleep 60")
    assert clients.ask({**job, "request_s": 0.05}) == (clients.OURS, [])


def test_a_client_that_another_kills_is_not_stopped_by_us(
    clients: Any, job: dict[str, Any], tmp_path: Path
) -> None:
    program(tmp_path, "curl", "kill -KILL $$")
    assert clients.ask(job) == (-signal.SIGKILL, [])


def test_gtlsclient_is_judged_by_what_it_downloaded(
    clients: Any, job: dict[str, Any], tmp_path: Path
) -> None:
    program(tmp_path, "gtlsclient", f"cat {LOGS / 'answered.log'} >&2")
    job |= {"client": "gtlsclient", "port": 1, "server_name": "x", "bodies": "/x"}
    code, requests = clients.ask(job)
    assert (code, len(requests)) == (18, 1), "it exits 0, and nothing was downloaded"
    assert requests[0]["cipher"] == "TLS_AES_128_GCM_SHA256"
    assert set(requests[0]) == set(clients.make_blank(""))


def test_gtlsclient_without_a_name_for_the_suite(clients: Any, job: dict[str, Any]) -> None:
    code, (first,) = clients.ask({**job, "client": "gtlsclient", "suite": "TLS_AES_128_CCM_8_SHA256"})
    assert (code, first["exit_code"]) == (59, 59)


def test_gtlsclient_that_takes_no_such_suite(clients: Any, job: dict[str, Any], tmp_path: Path) -> None:
    program(tmp_path, "gtlsclient", "echo 'gnutls_priority_set_direct failed: invalid.' >&2; exit 1")
    job |= {"client": "gtlsclient", "port": 1, "server_name": "x", "bodies": "/x"}
    code, (first,) = clients.ask(job)
    assert (code, first["error"]) == (59, "gnutls_priority_set_direct failed: invalid.")


def test_an_unknown_client_asks_nothing(clients: Any, job: dict[str, Any]) -> None:
    code, (first,) = clients.ask({**job, "client": "netcat"})
    assert (code, first["error"]) == (59, "the probe has no adapter for netcat")
