"""``matrixctl serve`` as a process of its own: a run that it follows, its end, and what it refuses."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from engine_run import GCM, EngineRun, Programs, chosen

from orchestrator.cli.main import main
from orchestrator.errors import Exit

NAME = "20261201-020000-0001"
SCRATCH = "matrixctl-scratch-*"
LONG = 120
"""Seconds after which it hangs."""


@dataclass
class Running:
    process: "subprocess.Popen[str]"
    port: int
    temporary: Path

    def connect(self) -> "closing[http.client.HTTPConnection]":
        return closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG))

    def status(self, path: str, **headers: str) -> int:
        with self.connect() as connection:
            connection.putrequest("GET", path, skip_host="Host" in headers)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            with connection.getresponse() as answer:
                return answer.status

    def events(self) -> Generator[dict[str, Any], None, None]:
        with self.connect() as connection:
            connection.request("GET", "/events")
            with connection.getresponse() as answer:
                for line in answer:
                    if line.startswith(b"data: "):
                        yield json.loads(line.removeprefix(b"data: "))

    def end(self, number: int) -> tuple[int, str]:
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=LONG)
        return self.process.returncode, said


@contextmanager
def serving(folder: Path, *args: str) -> Iterator[Running]:
    temporary = folder / "tmp"
    temporary.mkdir()
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    program += "from orchestrator.cli.main import process; process()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "serve", "--port", "0", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(temporary)},
    ) as process:
        try:
            assert process.stdout
            first = process.stdout.readline()
            assert first.startswith("http://"), process.communicate(timeout=LONG)
            yield Running(process, int(first.split("/")[2].rpartition(":")[2]), temporary)
        finally:
            process.kill()


def test_it_follows_a_run_from_another_process_to_its_end(tmp_path: Path) -> None:
    """The run waits at each program in a container until the page has shown what came before."""
    reports = tmp_path / "reports"
    reports.mkdir()
    shown = threading.Semaphore(0)

    def wait(kind: str) -> None:
        assert kind != "driver" or shown.acquire(timeout=LONG)

    programs = Programs(before=wait)
    cells = chosen("arch=amd64,arm64", "tls=openssl-3.5.7", f"cipher={GCM}")
    run = EngineRun(reports, cells, programs=programs, name=NAME, choices={"jobs": 1})
    with serving(tmp_path) as server, closing(server.events()) as events:
        thread = threading.Thread(target=run.go)
        thread.start()
        seen: list[dict[str, Any]] = []
        given = 0
        for told in events:
            seen.append(told)
            if told["judged"] == given < len(cells) and any(
                one["kind"] == "probe" for one in told["running"]
            ):
                given += 1
                shown.release()
            if told["status"] == "finished":
                break
        thread.join(LONG)
        assert server.status(f"/reports/{NAME}/index.html") == 200
    assert {one["judged"] for one in seen} >= {0, 1, 2}, "each cell was seen before the next was probed"
    last = seen[-1]
    assert (last["run"], last["level"]) == (NAME, "calm")
    assert [(one["outcome"], one["verdict"]) for one in last["last"]] == [("pass", "as-expected")] * 2
    assert {one["cell"] for one in last["last"]} == {cell.id for cell in cells}


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_it_ends_at_once_beside_an_open_stream_and_leaves_nothing(
    tmp_path: Path, number: int, code: int
) -> None:
    with serving(tmp_path) as server, closing(server.events()) as events:
        next(events)
        assert list(server.temporary.glob(SCRATCH))
        assert server.end(number)[0] == code
        assert list(events) == [], "the stream has ended as a stream does"
        assert list(server.temporary.glob(SCRATCH)) == []


def test_it_says_nothing_but_where_it_is(tmp_path: Path) -> None:
    """No traceback at Ctrl-C, and no line for each request, however odd."""
    with serving(tmp_path) as server:
        for request in (b"\0\xff\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", server.port), timeout=LONG) as raw:
                raw.sendall(request)
                assert raw.recv(1000).startswith(b"HTTP/1.1 4")
        code, said = server.end(signal.SIGINT)
        assert code == 130
        assert said.splitlines() == [
            f"There is no history {tmp_path}/reports/history.db yet, so there is only the run that goes on."
        ]


def test_a_socket_has_the_same_guard(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert server.status("/live.html", Host="evil.example") == 421
        assert server.status("/live.html", Host=f"127.0.0.1:{server.port}") == 200
        assert server.status("/live.html", Origin="http://evil.example") == 403
        for path in ("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/reports/../x"):
            assert server.status(path) == 404


def invoke(*args: str | Path) -> Result:
    return CliRunner().invoke(main, ["serve", *map(str, args)])


def test_what_cannot_be_served_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = invoke("--port", str(port))
        assert (done.exit_code, done.stdout) == (Exit.USAGE, "")
        assert f"port {port} is in use" in done.stderr
    other = invoke("--host", "192.0.2.1")
    assert other.exit_code == Exit.USAGE
    assert "192.0.2.1 is no address of this machine" in other.stderr
    name = invoke("--host", "a b\n")
    assert name.exit_code == Exit.USAGE
    assert "is no address and no name of this machine" in name.stderr
    history = invoke("--port", "0", "--history", tmp_path / "nowhere.db")
    assert history.exit_code == Exit.USAGE
    assert "there is no history" in history.stderr
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("x")
    assert invoke("--port", "70000").exit_code == Exit.USAGE
    assert list(tmp_path.iterdir()) == [mine], "nothing was made"


def test_without_its_packages_it_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.setattr("orchestrator.cli.serve.find_spec", lambda name: None if name == "uvicorn" else name)
    done = invoke()
    assert done.exit_code == Exit.USAGE
    assert ".venv/bin/pip install '.[serve]'" in done.stderr
    assert "pip install matrixctl" not in done.stderr


def test_who_opens_it_to_others_is_warned(tmp_path: Path) -> None:
    with serving(tmp_path, "--host", "0.0.0.0") as server:
        code, said = server.end(signal.SIGINT)
        assert code == 130
        assert "warning: everybody who can reach this machine can read this" in said
