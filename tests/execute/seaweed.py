"""A real S3 server of the session's own: SeaweedFS, from its package on PyPI."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

_PROGRAM = Path(sys.executable).parent / "weed"
_PATIENCE = 300
"""Seconds that it may take to start on a busy machine."""
_SERVERS = ("master", "volume", "filer", "s3")
_PORTS = [f"{name}.{port}" for name in _SERVERS for port in ("port", "port.grpc")]
_RIGHTS = {"writer": ["Admin", "Read", "Write", "List"], "reader": ["Read", "List"]}


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A server, by its address; the bucket in it is called ``matrixctl``."""

    address: str

    def environment(self, user: str, *, secret: str = "secret") -> dict[str, str]:
        """Return what names the server and its user to whoever speaks S3."""
        return {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": user,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@pytest.fixture(scope="session")
def bucket() -> Iterator[Bucket]:
    """A server on the loopback, with one that may write and one that may only read."""
    folder = Path(tempfile.mkdtemp(prefix="matrixctl-s3-", dir="/tmp"))
    users = [
        {"name": name, "credentials": [{"accessKey": name, "secretKey": "secret"}], "actions": rights}
        for name, rights in _RIGHTS.items()
    ]
    (folder / "users.json").write_text(json.dumps({"identities": users}))
    ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
    address = f"http://127.0.0.1:{ports['s3.port']}"
    argv = [
        *(str(_PROGRAM), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"),
        *(f"-{name}={port}" for name, port in ports.items()),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={folder / 'users.json'}"),
        *("-master.volumeSizeLimitMB=64", "-volume.max=60"),
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
    try:
        _wait(server, address, folder / "log")
        made = Bucket(address=address)
        _make_bucket(made, folder / "log")
        yield made
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder)


def _free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        assert server.poll() is None, log.read_text()
        try:
            urlopen(address, timeout=5).close()
        except HTTPError:
            return  # it answers; whom, is another question
        except (URLError, OSError):
            time.sleep(0.1)
        else:
            return
    raise AssertionError(log.read_text())


def _make_bucket(bucket: Bucket, log: Path) -> None:
    """Make it; S3 answers before its volumes do."""
    code = "import s3fs; s3fs.S3FileSystem().mkdir('matrixctl')"
    environment = os.environ | bucket.environment("writer")
    until = time.monotonic() + _PATIENCE
    while True:
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        if not done.returncode:
            return
        assert time.monotonic() < until, f"{done.stderr}\n{log.read_text()}"
        time.sleep(0.2)
