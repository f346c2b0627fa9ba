"""A hang that is captured: its packets are decrypted, and say what was asked and which suite was in use."""

from pathlib import Path

import pytest
import yaml
from conftest import ROOT, Ran, Runner

from orchestrator.analyse.attributes import describe
from orchestrator.execute.engine.archive import pack
from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.execute.engine.engine import WORK, ContainerSpec, container, volume
from orchestrator.matrix.model import Limits
from orchestrator.outcome import Outcome, Reason
from orchestrator.record.model import Traced

pytestmark = pytest.mark.containers

CHACHA = "TLS_CHACHA20_POLY1305_SHA256"
STALLS = ROOT / "tests/containers/patches/haproxy-stalls-after-the-handshake.diff"


@pytest.fixture(scope="module")
def hang(run_once: Runner, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    axes = {
        "arch": ["amd64"],
        "haproxy": [{"name": "stalls", "version": "3.0.11", "patches": [str(STALLS)]}],
        "tls": ["openssl-distro"],
        "cipher": [CHACHA],
        "client": ["curl"],
    }
    matrix = tmp_path_factory.mktemp("hang") / "matrix.yaml"
    matrix.write_text(yaml.safe_dump({"version": 1, "axes": axes}))
    return run_once(profile="full", matrix=matrix, limits=Limits(request=4), evidence="failing")


def traced(ran: Ran) -> Traced:
    (cell,) = ran.record.cells
    assert (cell.outcome, cell.reason, len(cell.attempts)) == (
        Outcome.FAIL,
        Reason.HANDSHAKE_THEN_HANG,
        1,
    )
    assert cell.traced is not None
    assert (cell.traced.outcome, cell.traced.reason) == (cell.outcome, cell.reason)
    assert cell.traced.missing == ()
    return cell.traced


def content(ran: Ran, name: str) -> bytes:
    (path,) = [path for path in traced(ran).evidence if path.endswith(f"/{name}")]
    return (ran.folder / path).read_bytes()


def test_the_capture_opens_by_itself_and_shows_the_request_over_http3(
    hang: Ran, engine: DockerEngine
) -> None:
    """As a person would open it: the file alone, whose keys are in it."""
    image = engine.list_images("matrixctl.image=capture")[0].tags[0]
    name = "matrixctl-test-decrypt"
    spec = ContainerSpec(
        name=name,
        run_id="test-decrypt",
        image=image,
        platform="linux/amd64",
        argv=("sleep", "infinity"),
        network="none",
        volume=f"{name}-work",
        memory_bytes=512 << 20,
        cpus=1,
    )
    files = pack({"capture.pcapng": content(hang, "capture.pcapng")})
    fields = ("-T", "fields", "-e", "http3.headers.method", "-e", "http3.headers.path")
    argv = ("tshark", "-n", "-r", f"{WORK}/capture.pcapng", "-Y", "http3.headers.method", *fields)
    with (
        volume(engine, spec.volume, spec.run_id, keep=False),
        container(engine, spec, files=files, keep=False),
    ):
        found = engine.exec(name, argv, timeout=60, on_line=None)
    assert found.stdout.decode().split() == ["GET", "/1k"]


def test_the_suite_comes_from_the_server_hello_alone(hang: Ran) -> None:
    assert traced(hang).negotiated_cipher == CHACHA
    (cell,) = hang.record.cells
    offered = cell.axes.cipher.model_copy(update={"name": "default", "suite": None})
    default = cell.model_copy(update={"axes": cell.axes.model_copy(update={"cipher": offered})})
    found = describe(default, {})["negotiated"]
    assert found is not None
    assert found.name == CHACHA


def test_haproxys_trace_and_the_qlog_say_what_it_did_with_the_packets(hang: Ran) -> None:
    assert b"packet decryption failed" in content(hang, "haproxy.log")
    assert b"GET" in content(hang, "packets.txt")
    assert content(hang, "qlog-1.sqlog").startswith(b"\x1e{")


def test_each_file_lies_in_the_folder_of_the_second_run(hang: Ran) -> None:
    (cell,) = hang.record.cells
    assert {Path(path).parent.as_posix() for path in traced(hang).evidence} == {f"cells/{cell.id}/traced"}
