"""``shell`` on a real engine and a real terminal: Ctrl-D and a terminal that goes away leave nothing."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Ran

from orchestrator.execute.engine.docker_engine import DockerEngine

pytestmark = pytest.mark.containers

CELL = "TLS_AES_128_GCM_SHA256"


@pytest.fixture(scope="module")
def ran(run_once: Any) -> Ran:
    made = run_once("arch=amd64", "tls=openssl-distro", f"cipher={CELL}", "client=curl", haproxy="distro")
    assert isinstance(made, Ran)
    return made


def argv(ran: Ran, store: Path, *args: str) -> list[str]:
    where = ["--run", str(ran.folder), "--store", str(store)]
    return [sys.executable, "-m", "orchestrator", "shell", CELL, *args, *where]


def left(engine: DockerEngine) -> set[str]:
    containers = {entry["Names"][0].lstrip("/") for entry in engine.client.api.containers(all=True)}
    volumes = {entry["Name"] for entry in engine.client.api.volumes()["Volumes"] or ()}
    return {name for name in containers | volumes if name.startswith("matrixctl-shell-")}


def test_commands_come_from_stdin_and_the_client_reaches_the_server(
    engine: DockerEngine, ran: Ran, store: Path
) -> None:
    asks = "until curl -s --config cells/000/h3.curlrc; do sleep 0.2; done; echo to-stderr >&2; exit 5"
    done = subprocess.run(
        argv(ran, store, "client"), input=asks, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 5, done.stderr
    assert '"http_version":"3"' in done.stdout
    assert "to-stderr" in done.stderr
    assert left(engine) == set()


def read_until(master: int, text: str) -> str:
    """What the terminal shows, up to a text."""
    said, until = "", time.monotonic() + 120
    while text not in said:
        ready, _, _ = select.select([master], [], [], max(0.0, until - time.monotonic()))
        assert ready, said
        said += os.read(master, 65536).decode(errors="replace")
    return said


@pytest.mark.parametrize("end", ["Ctrl-D", "hangs up"])
def test_a_terminal_is_the_containers_own_and_its_end_removes_all(
    engine: DockerEngine, ran: Ran, store: Path, end: str
) -> None:
    master, slave = pty.openpty()
    command = ["setsid", "--ctty", "--wait", *argv(ran, store)]
    shell = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    try:
        read_until(master, "$ ")
        os.write(master, b"test -t 0 && echo it is a $((6 * 7)) terminal\n")
        read_until(master, "it is a 42 terminal")
        assert len(left(engine)) == 3, "two containers and a volume"
        if end == "Ctrl-D":
            os.write(master, b"\x04")
            assert shell.wait(timeout=60) == 0
        else:
            os.close(master)
            assert shell.wait(timeout=60) == 128 + signal.SIGHUP, "it did not end by itself"
    finally:
        shell.terminate()
    assert left(engine) == set()
