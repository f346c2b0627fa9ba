"""Clients that a matrix brings, for real: another curl in an image, a gtlsclient, and two that are none."""

import io
import secrets
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import Ran, Runner

from orchestrator.arch import find_arch
from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.execute.images.imageset import ImageSet
from orchestrator.execute.images.workshop import Workshop
from orchestrator.execute.store.store import Store
from orchestrator.execute.system.host import LocalHost
from orchestrator.outcome import Outcome, Reason
from orchestrator.record.model import CellRecord

pytestmark = pytest.mark.containers

GCM = "TLS_AES_128_GCM_SHA256"
# Debian's curl and gtlsclient with all their libraries and their loader, as a root of their own. Another
# version in curl shows which one ran; a libcurl without the word HTTP3 is one without it.
ROOT = r"""
set -eu
mkdir -p /made/root /made/plain
for program in /usr/bin/curl /usr/bin/gtlsclient; do
  cp -L --parents "$program" $(ldd "$program" | grep -o '/[^ ]*') /made/root
done
sed -i 's/8\.14\.1/9.99.9/g' /made/root/usr/bin/curl $(find /made/root -name 'libcurl.so.4')
cp -a /made/root /made/old
sed -i 's/HTTP3/HTTP0/g' $(find /made/old -name 'libcurl.so.4')
cp /usr/bin/gtlsclient /made/plain/gtlsclient-1.11
cp /usr/bin/curl /made/plain/curl-arm64
printf '\267' | dd of=/made/plain/curl-arm64 bs=1 seek=18 conv=notrunc 2> /dev/null
tar -C /made/root -cf /made/image.tar .
tar -C /made -cf /root.tar old plain image.tar
"""


@pytest.fixture(scope="module")
def made(engine: DockerEngine, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the clients' files; and ``image``, the name of an image that has one."""
    folder, content = tmp_path_factory.mktemp("clients"), io.BytesIO()
    shop = Workshop(
        engine=engine,
        host=LocalHost(),
        arch=find_arch(engine.describe().arch),
        store=Store(store),
    )
    ours = ImageSet(shop=shop).get("client", shop.arch)
    done = engine.make_file(ours.id, ROOT, "/root.tar", content, environment={}, timeout=120)
    assert done.exit_code == 0, done.stdout
    content.seek(0)
    with tarfile.open(fileobj=content) as tar:
        tar.extractall(folder, filter="data")
    name = f"matrixctl-test-own-curl:{secrets.token_hex(4)}"
    repository, tag = name.split(":")
    engine.client.api.import_image_from_file(str(folder / "image.tar"), repository=repository, tag=tag)
    (folder / "image").write_text(name)
    yield folder
    engine.remove_image(name)


@pytest.fixture(scope="module")
def ran(run_once: Runner, made: Path) -> Ran:
    clients: list[object] = [
        "curl",
        {"name": "curl-image", "family": "curl", "image": (made / "image").read_text()},
        {"name": "gtls-path", "family": "gtlsclient", "path": "plain/gtlsclient-1.11", "version": "1.11"},
        {"name": "curl-old", "family": "curl", "path": "old"},
        {"name": "curl-arm64", "family": "curl", "path": "plain/curl-arm64"},
    ]
    axes = {"arch": ["amd64"], "haproxy": ["3.0.11"], "tls": ["openssl-distro"], "cipher": [GCM]}
    matrix = made / "matrix.yaml"
    matrix.write_text(yaml.safe_dump({"version": 1, "axes": {**axes, "client": clients}}, sort_keys=False))
    return run_once(profile="full", matrix=matrix)


def cell(ran: Ran, client: str) -> CellRecord:
    (found,) = (one for one in ran.record.cells if one.axes.client.name == client)
    return found


def test_a_client_of_an_image_and_one_of_a_path_ask_and_are_answered(ran: Ran) -> None:
    for client in ("curl", "curl-image", "gtls-path"):
        found = cell(ran, client)
        assert (found.outcome, found.message[:6]) == (Outcome.PASS, "HTTP/3"), found.message


def test_each_is_proved_and_its_version_is_its_own(ran: Ran) -> None:
    proofs = [one for one in ran.record.clients if one.transport == "h3"]
    versions = {one.client: one.version for one in proofs}
    assert versions["curl-image"].startswith("curl 9.99.9 OpenSSL/")
    assert versions["curl"].startswith("curl 8.14.1 OpenSSL/")
    assert versions["gtls-path"] == "gtlsclient 1.11"
    assert {one.client for one in proofs if one.suite == GCM and one.ok} == set(versions)
    # The control is about the server: ours asks, no matter who the client is.
    control = {one.client: one.version for one in ran.record.clients if one.transport == "h2"}
    assert control == {"curl": versions["curl"]}


@pytest.mark.parametrize(
    ("client", "says"),
    [
        ("curl-old", "curl 9.99.9 has no HTTP/3 in it"),
        ("curl-arm64", "bin/curl is a program for arm64, and clients run on amd64"),
    ],
)
def test_what_is_no_such_client_is_blocked_and_says_why(ran: Ran, client: str, says: str) -> None:
    found = cell(ran, client)
    assert (found.outcome, found.reason) == (Outcome.BLOCKED, Reason.SOURCE_UNREACHABLE)
    assert says in found.message
