"""An engine that went away: how long a run waits for it, and what its words are taken for.

The daemon is a real HTTP server on loopback that knows the few calls that are made here.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import docker
import pytest

from orchestrator.errors import EngineError, EngineLostError, ExhaustedError
from orchestrator.execute.engine import owner
from orchestrator.execute.engine.docker_engine import DockerEngine


@dataclass
class Daemon:
    """``answer`` gives status and JSON for a path below the version; it may be stopped and started."""

    answer: Callable[[str], tuple[int, Any]] = lambda _: (200, "OK")
    port: int = 0
    pings: int = 0
    _server: ThreadingHTTPServer | None = None
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        daemon = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                daemon.pings += self.path.endswith("_ping")
                status, said = daemon.answer(self.path.partition("/v1.41")[2] or self.path)
                body = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_DELETE = do_GET  # noqa: N815 - the names that http.server wants

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        thread.start()
        self._threads.append(thread)

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def engine(self, *, patience: float) -> DockerEngine:
        client = docker.DockerClient(base_url=f"tcp://127.0.0.1:{self.port}", version="1.41", timeout=5)
        return DockerEngine(client, patience=patience)


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    daemon = Daemon()
    daemon.start()
    yield daemon
    daemon.stop()


def test_a_restart_is_waited_for(daemon: Daemon) -> None:
    engine = daemon.engine(patience=20)
    assert engine.answers()
    daemon.stop()
    threading.Timer(1, daemon.start).start()
    started = time.monotonic()
    assert engine.answers()
    assert 0.5 < time.monotonic() - started < 20


@pytest.mark.fault(
    "five actions wait for an engine that is gone",
    "they give up together, not one after another",
)
def test_patience_is_one_for_all_who_wait(daemon: Daemon) -> None:
    engine = daemon.engine(patience=1.5)
    daemon.stop()
    found: list[bool] = []
    threads = [threading.Thread(target=lambda: found.append(engine.answers())) for _ in range(5)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [False] * 5
    assert 1.4 < time.monotonic() - started < 5 * 1.5, "not 1.5 s each"
    daemon.start()
    assert engine.answers(), "who comes back late is welcome"


def test_an_engine_that_answers_is_asked_once(daemon: Daemon) -> None:
    assert daemon.engine(patience=20).answers()
    assert daemon.pings == 1


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (409, "Container x is not running", EngineLostError),
        (404, "No such container: x", EngineLostError),
        (404, "No such image: x", EngineError),
        (500, "write /var/lib/docker/x: no space left on device", ExhaustedError),
        (500, "something else", EngineError),
    ],
)
def test_what_the_engine_says_decides(daemon: Daemon, status: int, said: str, kind: type) -> None:
    daemon.answer = lambda _: (status, {"message": said})
    with pytest.raises(EngineError, match="Docker failed to start x") as caught:
        daemon.engine(patience=0).start("x")
    assert type(caught.value) is kind
    assert said in caught.value.details


def test_nobody_there_is_a_loss(daemon: Daemon) -> None:
    engine = daemon.engine(patience=0)
    daemon.stop()
    with pytest.raises(EngineLostError):
        engine.start("x")


def test_whether_a_container_runs(daemon: Daemon) -> None:
    engine = daemon.engine(patience=0)
    daemon.answer = lambda _: (200, {"State": {"Running": True}})
    assert engine.running("x")
    daemon.answer = lambda _: (200, {"State": {"Running": False}})
    assert not engine.running("x")
    daemon.answer = lambda _: (404, {"message": "No such container: x"})
    assert not engine.running("x")


def test_a_container_that_is_being_removed_has_no_name_and_breaks_no_sweep(daemon: Daemon) -> None:
    labels = {owner.LABEL: "r"}
    nameless, named = ({"Id": "0a1b", "Names": None}, {"Id": "2c3d", "Names": ["/x"]})
    names = {"/containers/json": [{**nameless, "Labels": labels}, {**named, "Labels": labels}]}
    daemon.answer = lambda path: (200, names.get(path.partition("?")[0], {"Volumes": None}))
    assert daemon.engine(patience=0).sweep("r") == ("0a1b", "x")
