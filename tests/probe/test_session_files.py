"""The files of a session: golden configurations, and what the driver is told."""

import hashlib
import json
from collections.abc import Sequence

import pytest
from fakes import cell

from orchestrator.matrix.model import Cell, Limits
from orchestrator.plan.render import Renderer
from orchestrator.probe.certificates import Certificates
from orchestrator.probe.session_files import list_requests, make_bodies, make_session_files, scale_limits

DEFAULT = cell(tls="openssl-distro", cipher="default")
CCM = cell(arch="arm64", cipher="TLS_AES_128_CCM_SHA256")

HAPROXY_DEFAULT = """\
# amd64--3.0.11--openssl-distro--default: one HAProxy process, one QUIC and one TCP listener with the same certificate.
# The cipher is forced by the client, so that libraries can be compared; ciphersuites stand on the
# bind line only where the suite is outside the library's default list.
global
    log stdout format raw local0
    nbthread 1
    fd-hard-limit 1024
    stats socket /work/cells/000/stats.sock mode 666 level user
    limited-quic

defaults
    mode http
    log global
    option httplog
    timeout connect 3s
    timeout client 13s
    timeout server 13s

frontend probe
    bind quic4@127.0.0.1:20000 ssl crt /work/server.pem alpn h3
    bind 127.0.0.1:20000 ssl crt /work/server.pem alpn h2
    http-response set-header x-matrixctl-cipher %[ssl_fc_cipher]
    http-response set-header x-matrixctl-protocol %[ssl_fc_protocol]
    default_backend origin

backend origin
    server origin 127.0.0.1:19000
"""  # noqa: E501 - as it is rendered

CURL_CCM = """\
# arm64--3.0.11--openssl-3.5.7--TLS_AES_128_CCM_SHA256 over HTTP/3: rerun with `curl --config` of this file.
http3-only
tls13-ciphers = "TLS_AES_128_CCM_SHA256"
tlsv1.3
cacert = "/work/ca.pem"
resolve = "h3.matrixctl.test:20000:127.0.0.1"
noproxy = "*"
connect-timeout = 8
max-time = 8
url = "https://h3.matrixctl.test:20000/1k"
dump-header = "/work/cells/000/h3.get-1k.headers"
output = "/work/cells/000/h3.get-1k.body"
write-out = "%{json}\\n"
silent
show-error
fail-early
next
http3-only
tls13-ciphers = "TLS_AES_128_CCM_SHA256"
tlsv1.3
cacert = "/work/ca.pem"
resolve = "h3.matrixctl.test:20000:127.0.0.1"
noproxy = "*"
connect-timeout = 8
max-time = 8
url = "https://h3.matrixctl.test:20000/1m"
dump-header = "/work/cells/000/h3.get-1m.headers"
output = "/work/cells/000/h3.get-1m.body"
write-out = "%{json}\\n"
silent
show-error
fail-early
next
http3-only
tls13-ciphers = "TLS_AES_128_CCM_SHA256"
tlsv1.3
cacert = "/work/ca.pem"
resolve = "h3.matrixctl.test:20000:127.0.0.1"
noproxy = "*"
connect-timeout = 8
max-time = 8
url = "https://h3.matrixctl.test:20000/upload"
data-binary = "@/work/bodies/1m"
header = "content-type: application/octet-stream"
header = "expect:"
dump-header = "/work/cells/000/h3.post-1m.headers"
output = "/work/cells/000/h3.post-1m.body"
write-out = "%{json}\\n"
silent
show-error
fail-early
"""


def files(*cells: Cell, limits: Limits | None = None) -> dict[str, str]:
    made = make_session_files(
        Renderer(), cells, limits or Limits(), Certificates(ca=b"the ca", server=b"the server")
    )
    return {name: content.decode(errors="replace") for name, content in made.items()}


def changed(before: str, after: str) -> list[tuple[str, str]]:
    pairs = zip(before.splitlines(), after.splitlines(), strict=True)
    return [(old, new) for old, new in pairs if old != new]


def test_golden_haproxy_cfg_of_the_default_cell() -> None:
    assert files(DEFAULT)["cells/000/haproxy.cfg"] == HAPROXY_DEFAULT


def test_golden_curlrc_of_a_forced_cipher() -> None:
    assert files(CCM)["cells/000/h3.curlrc"] == CURL_CCM


def test_a_suite_outside_the_default_list_is_named_on_both_bind_lines_and_changes_nothing_else() -> None:
    text = files(CCM)["cells/000/haproxy.cfg"]
    named = "ssl crt /work/server.pem alpn"
    assert changed(HAPROXY_DEFAULT, text)[1:] == [
        (
            f"    bind {address} {named} {alpn}",
            f"    bind {address} {named} {alpn} ciphersuites {CCM.cipher.suite}",
        )
        for address, alpn in (("quic4@127.0.0.1:20000", "h3"), ("127.0.0.1:20000", "h2"))
    ]


@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"])
def test_a_suite_of_the_default_list_is_forced_by_the_client_alone(suite: str) -> None:
    made = files(cell(cipher=suite))
    assert suite not in made["cells/000/haproxy.cfg"].partition("\n")[2]
    assert made["cells/000/h3.curlrc"].count(f'tls13-ciphers = "{suite}"') == 3


def test_the_default_cell_forces_nothing() -> None:
    assert "ciphers" not in files(DEFAULT)["cells/000/h3.curlrc"]


def test_the_control_differs_in_the_transport_alone() -> None:
    made = files(CCM)
    for before, after in changed(made["cells/000/h3.curlrc"], made["cells/000/control.curlrc"]):
        swapped = before.replace("http3-only", "http2").replace("h3.get", "control.get")
        assert swapped.replace("h3.post", "control.post").replace("HTTP/3", "HTTP/2") == after


@pytest.mark.parametrize(
    ("haproxy", "tls", "limited"),
    [
        ("3.0.11", "openssl-3.5.7", True),
        ("3.2.0", "openssl-3.5.7", False),
        ("3.0.11", "libressl-4.0.0", False),
    ],
)
def test_the_compat_layer_needs_a_line_of_its_own(haproxy: str, tls: str, *, limited: bool) -> None:
    text = files(cell(haproxy=haproxy, tls=tls))["cells/000/haproxy.cfg"]
    assert ("limited-quic" in text.splitlines()[8].split()) is limited


def test_no_rendered_file_has_blank_lines_in_a_row_or_at_its_end() -> None:
    for name, text in files(DEFAULT, CCM).items():
        if name.endswith((".cfg", ".curlrc")):
            assert "\n\n\n" not in text
            assert text.endswith("\n")
            assert not text.endswith("\n\n")
            assert not any(line != line.rstrip() for line in text.splitlines())


def test_every_cell_has_a_folder_and_a_port_of_its_own() -> None:
    made = files(DEFAULT, CCM)
    told = json.loads(made["session.json"])
    asking = {"client": "curl", "own": False, "control_client": "curl"}
    assert told["cells"] == [
        {"id": DEFAULT.id, "folder": "cells/000", "port": 20000, "suite": None, **asking},
        {"id": CCM.id, "folder": "cells/001", "port": 20001, "suite": CCM.cipher.suite, **asking},
    ]
    assert "quic4@127.0.0.1:20001 " in made["cells/001/haproxy.cfg"]
    assert "/work/cells/001/stats.sock" in made["cells/001/haproxy.cfg"]
    assert "https://h3.matrixctl.test:20001/1k" in made["cells/001/h3.curlrc"]


def test_the_session_carries_the_limits_the_certificates_and_the_programs() -> None:
    made = files(DEFAULT, limits=Limits(ready=3, request=2.5))
    told = json.loads(made["session.json"])
    assert (told["ready_s"], told["request_s"], told["work"]) == (3, 2.5, "/work")
    assert [request["name"] for request in told["requests"]] == ["get-1k", "get-1m", "post-1m"]
    assert (made["ca.pem"], made["server.pem"]) == ("the ca", "the server")
    assert made["driver.py"] == Renderer().read_source("probe/driver.py")
    assert "max-time = 2.5\n" in made["cells/000/h3.curlrc"]
    assert "timeout client 7s\n" in made["cells/000/haproxy.cfg"]


def test_the_server_outlasts_the_client_so_that_a_hang_shows_as_one() -> None:
    for seconds in (0.5, 1, 7.9, 100):
        text = files(DEFAULT, limits=Limits(request=seconds))["cells/000/haproxy.cfg"]
        assert int(text.partition("timeout client ")[2].partition("s\n")[0]) > seconds


def test_bodies_are_what_their_digests_say_and_never_change() -> None:
    content = make_bodies()
    assert {name: len(body) for name, body in content.items()} == {"1k": 1024, "1m": 1 << 20}
    # Fixed, so that records of two runs can be compared.
    assert [request.sha256[:16] for request in list_requests()] == [
        "369b5bafe1ca5f56",
        "642607a558c9c932",
        "642607a558c9c932",
    ]
    assert list_requests()[0].sha256 == hashlib.sha256(content["1k"]).hexdigest()
    assert [request.upload for request in list_requests()] == [None, None, "1m"]


def test_emulation_stretches_what_runs_under_it_and_nothing_else() -> None:
    limits = Limits(ready=2, request=3, emulated=4, build=5)
    assert scale_limits(limits, emulated=False) == limits
    assert scale_limits(limits, emulated=True) == Limits(ready=8, request=12, emulated=4, build=5)


def paths(cells: Sequence[Cell]) -> list[str]:
    return [name for name in files(*cells) if name.startswith("cells/")]


def test_a_hundred_cells_keep_the_path_of_a_socket_short() -> None:
    many = [cell(cipher="default")] * 100
    assert len(paths(many)) == 300
    assert max(len(f"/work/{name}") for name in paths(many)) < 60
