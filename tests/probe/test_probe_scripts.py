"""The programs inside the containers: the origin answers, the supervisor tells how each process ended."""

import hashlib
import http.client
import json
import os
import py_compile
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator import resources
from orchestrator.arch import find_arch
from orchestrator.probe.session_files import make_bodies

SCRIPTS = resources.find_root() / "templates" / "probe"


def until(ready: Callable[[], bool], what: str) -> None:
    """Wait for it, ten seconds at most."""
    deadline = time.monotonic() + 10
    while not ready():
        assert time.monotonic() < deadline, f"{what} in time"
        time.sleep(0.01)


@pytest.mark.parametrize("name", ["driver.py", "origin.py"])
def test_the_python_scripts_compile(name: str, tmp_path: Path) -> None:
    py_compile.compile(str(SCRIPTS / name), cfile=str(tmp_path / "out.pyc"), doraise=True)


# The origin.


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    work = tmp_path_factory.mktemp("origin")
    (work / "bodies").mkdir()
    for name, body in make_bodies().items():
        (work / "bodies" / name).write_bytes(body)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
    with subprocess.Popen([sys.executable, str(SCRIPTS / "origin.py"), str(number), str(work)]) as origin:

        def answers() -> bool:
            assert origin.poll() is None, "the origin ended"
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", number)) == 0

        try:
            until(answers, "the origin listens")
            yield number
        finally:
            origin.kill()


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("name", ["1k", "1m"])
def test_the_origin_gives_the_bodies(port: int, name: str) -> None:
    assert ask(port, "GET", f"/{name}") == (200, make_bodies()[name])


@pytest.mark.parametrize("path", ["/", "/2k", "/../driver.py", "//etc/passwd"])
def test_the_origin_gives_nothing_else(port: int, path: str) -> None:
    assert ask(port, "GET", path) == (404, b"")


@pytest.mark.parametrize("body", [b"", b"x", make_bodies()["1m"]], ids=len)
def test_the_origin_confirms_what_it_received(port: int, body: bytes) -> None:
    status, answer = ask(port, "POST", "/upload", body)
    assert status == 200
    assert json.loads(answer) == {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}


def test_the_origin_tells_a_cut_upload_from_a_whole_one(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nonly this")
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {
        "length": 9,
        "sha256": hashlib.sha256(b"only this").hexdigest(),
    }


def test_one_connection_carries_several_requests(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for name in ("1k", "1m", "1k"):
        connection.request("GET", f"/{name}")
        assert connection.getresponse().read() == make_bodies()[name]
    connection.close()


# The supervisor.

HAPROXY = """\
#!/bin/sh
# Stands for haproxy: does what stands in its configuration, or says its version.
if [ "$1" = -vv ]; then echo "HAProxy version 3.0.11"; exit 0; fi
[ "$1" = -db ] && [ "$2" = -f ] || exit 99
exec sh "$3"
"""
ENDS = {
    "000": ("echo started; exit 0", 0),
    "001": ("exit 1", 1),
    "002": ("kill -SEGV $$", 139),
    "003": ("kill -ABRT $$", 134),
    "004": ("kill -KILL $$", 137),
    "005": ("echo '[ALERT] unknown keyword' >&2; exit 3", 3),
}


def test_the_supervisor_is_accepted_by_a_shell() -> None:
    subprocess.run(["sh", "-n", str(SCRIPTS / "supervise.sh")], check=True, timeout=10)


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    """A folder with a supervisor that runs in it; ended with all its children afterwards."""
    (tmp_path / "haproxy").write_text(HAPROXY)
    (tmp_path / "haproxy").chmod(0o755)
    for name, (script, _) in {**ENDS, "006": ("exec sleep 60", 0)}.items():
        (tmp_path / "cells" / name).mkdir(parents=True)
        (tmp_path / "cells" / name / "haproxy.cfg").write_text(script)
    loader = find_arch(os.uname().machine).loader
    command = ["/bin/sh", str(SCRIPTS / "supervise.sh"), str(tmp_path), loader, "env", "EMULATED=yes"]
    with subprocess.Popen(command, start_new_session=True) as supervisor:
        try:
            yield tmp_path
        finally:
            os.killpg(supervisor.pid, signal.SIGKILL)


def test_the_supervisor_tells_how_each_process_ended(work: Path) -> None:
    for name, (_, status) in ENDS.items():
        path = work / "cells" / name / "status"
        until(path.exists, f"{name} has a status")
        assert path.read_text() == f"{status}\n"
        assert not (path.parent / "status.new").exists()
    assert (work / "cells" / "000" / "haproxy.log").read_text() == "started\n"
    assert (work / "cells" / "005" / "haproxy.log").read_text() == "[ALERT] unknown keyword\n"


def test_a_process_that_runs_has_a_pid_and_no_status_until_it_is_killed(work: Path) -> None:
    folder = work / "cells" / "006"
    until((folder / "pid").exists, "a pid is written")
    until(lambda: bool((folder / "pid").read_text().strip()), "a pid is written")
    assert not (folder / "status").exists()
    os.kill(int((folder / "pid").read_text()), signal.SIGKILL)
    until((folder / "status").exists, "the killed process has a status")
    assert (folder / "status").read_text() == "137\n"


def test_the_supervisor_says_what_machine_and_binary_it_has(work: Path) -> None:
    until((work / "vv.status").exists, "the version is told")
    until(lambda: (work / "vv.status").read_text() == "0\n", "the version's status is told")
    assert (work / "vv.txt").read_text() == "HAProxy version 3.0.11\n"
    until((work / "cpu.txt").exists, "the machine is told")
    said = (work / "cpu.txt").read_text()
    assert "dl_hwcap=" in said
    assert not re.search(r"^x86\.(cpu_features\.preferred|processor)", said, re.MULTILINE), "it takes long"
    assert f'uname.machine="{os.uname().machine}"' in said
