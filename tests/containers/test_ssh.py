"""The same engine through ``DOCKER_HOST=ssh://``: a real ssh server on loopback, our own key."""

import getpass
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.containers


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Environment variables with which the engine is asked over ssh."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    for name in ("key", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    host_key = " ".join((tmp_path / "host.pub").read_text().split()[:2])
    (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    (home / ".ssh" / "config").write_text(f"Host *\n  IdentityFile {tmp_path / 'key'}\n")
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path / 'host'}\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {tmp_path / 'key.pub'}\nPidFile none\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen(
        ["/usr/sbin/sshd", "-D", "-e", "-f", str(tmp_path / "sshd_config")], stderr=subprocess.DEVNULL
    )
    try:
        wait_for_port(port)
        yield {"HOME": str(home), "DOCKER_HOST": f"ssh://{getpass.getuser()}@127.0.0.1:{port}"}
    finally:
        server.terminate()
        server.wait()


def wait_for_port(port: int) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.05)
        else:
            return


def test_a_run_over_ssh(remote: dict[str, str], store: Path, tmp_path: Path) -> None:
    command = (
        "run --profile quick --filter arch=amd64 --filter haproxy=3.0.11 --filter cipher=default"
        f" --store {store} --out {tmp_path}"
    )
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", *command.split()],
        env={**os.environ, **remote},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "1 pass" in done.stderr


def test_a_host_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "run", "--profile", "quick", "--out", str(tmp_path)],
        env={**os.environ, "DOCKER_HOST": "ssh://nobody@127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 4
    assert "No Docker engine answers" in done.stderr
    assert "Traceback" not in done.stderr
