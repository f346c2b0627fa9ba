"""An engine that went away: how long a run waits for it, and what its words are taken for.

The daemon is a real HTTP server on loopback that knows the few calls that are made here.
"""

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import docker
import pytest
import requests
from docker.errors import DockerException
from paramiko.ssh_exception import SSHException
from urllib3.exceptions import ProtocolError

from orchestrator.errors import EngineError, EngineLostError, ExhaustedError
from orchestrator.execute.engine import owner
from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.execute.engine.docker_errors import explain_errors
from orchestrator.execute.engine.engine import Image, Leftover


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
        (409, "cannot join network of a non running container: x", EngineLostError),
        (404, "No such image: x", EngineError),
        (404, "Could not find the file /work/out in container x", EngineError),
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


def test_a_container_that_another_call_removes_is_removed(daemon: Daemon) -> None:
    said = "removal of container x is already in progress"
    daemon.answer = lambda _: (409, {"message": said})
    daemon.engine(patience=0).remove("x")
    said = "You cannot remove a running container x"
    with pytest.raises(EngineError, match="Docker failed to remove x"):
        daemon.engine(patience=0).remove("x")


def test_nobody_there_is_a_loss(daemon: Daemon) -> None:
    engine = daemon.engine(patience=0)
    daemon.stop()
    with pytest.raises(EngineLostError):
        engine.start("x")


@pytest.mark.parametrize(
    "error",
    [
        *(requests.ConnectionError("x"), ProtocolError("x"), SSHException("x"), EOFError("x")),
        *(ConnectionResetError("x"), DockerException("x")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_the_package_and_its_transports_raise_is_a_loss(error: Exception) -> None:
    with pytest.raises(EngineLostError, match="Docker failed to do it") as caught, explain_errors("do it"):
        raise error
    assert caught.value.__cause__ is error


def test_whether_a_container_runs(daemon: Daemon) -> None:
    engine = daemon.engine(patience=0)
    daemon.answer = lambda _: (200, {"State": {"Running": True}})
    assert engine.is_running("x")
    daemon.answer = lambda _: (200, {"State": {"Running": False}})
    assert not engine.is_running("x")
    daemon.answer = lambda _: (404, {"message": "No such container: x"})
    assert not engine.is_running("x")


def test_a_container_that_is_being_removed_has_no_name_and_breaks_no_sweep(daemon: Daemon) -> None:
    labels = {owner.LABEL: "r"}
    nameless, named = ({"Id": "0a1b", "Names": None}, {"Id": "2c3d", "Names": ["/x"]})
    names = {"/containers/json": [{**nameless, "Labels": labels}, {**named, "Labels": labels}]}
    daemon.answer = lambda path: (200, names.get(path.partition("?")[0], {"Volumes": None}))
    assert daemon.engine(patience=0).sweep("r") == ("0a1b", "x")


LABELS = owner.make_labels("20260102-030405-live")
LISTS = {
    "/containers/json": [
        {"Id": "1", "Names": ["/b"], "Labels": LABELS},
        {"Id": "a", "Labels": LABELS, "Names": None},
    ],
    "/volumes": {"Volumes": [{"Name": "v", "Labels": {owner.LABEL: "r", owner.KEPT: "true"}}]},
}


def test_what_bears_our_label_is_listed_in_the_order_in_which_it_can_go(daemon: Daemon) -> None:
    daemon.answer = lambda path: (200, LISTS[path.partition("?")[0]])
    assert [tuple(one.model_dump().values()) for one in daemon.engine(patience=0).find_leftovers()] == [
        ("container", "a", "20260102-030405-live", True, False),
        ("container", "b", "20260102-030405-live", True, False),
        ("volume", "v", "r", None, True),
    ]
    daemon.answer = lambda path: (200, {"/volumes": {"Volumes": None}}.get(path.partition("?")[0], []))
    assert daemon.engine(patience=0).find_leftovers() == ()


@pytest.mark.parametrize("kind", ["container", "volume"])
def test_what_another_sweeper_removes_at_this_moment_is_left_to_it(
    daemon: Daemon, kind: Literal["container", "volume"]
) -> None:
    left = Leftover(kind=kind, name="x", run="r", alive=False, kept=False)
    engine, said = daemon.engine(patience=0), {"message": "x"}
    for status, gone in ((204, True), (404, False), (409, False)):
        daemon.answer = lambda _, status=status: (status, said)  # type: ignore[misc]
        assert engine.remove_leftover(left) is gone
    daemon.answer = lambda _: (500, said)
    with pytest.raises(EngineError, match=f"Docker failed to remove the {kind} x"):
        engine.remove_leftover(left)


def test_an_image_without_labels_or_tags_is_one(daemon: Daemon) -> None:
    daemon.answer = lambda _: (
        200,
        {"Id": "i", "Architecture": "arm", "Created": "x", "Config": {}, "RepoTags": None},
    )
    engine = daemon.engine(patience=0)
    assert engine.find_image("i") == Image(id="i", tags=(), arch="arm", labels={}, created="x")
    daemon.answer = lambda _: (404, {"message": "No such image: i"})
    assert engine.find_image("i") is None
    daemon.answer = lambda _: (500, {"message": "no"})
    with pytest.raises(EngineError, match="look for the image i"):
        engine.find_image("i")


def programs(daemon: Daemon, **answers: tuple[int, Any]) -> list[str]:
    """Let the daemon have one container, with its answers by a path's last word; return the calls made."""
    calls: list[str] = []
    usual = {
        "create": (201, {"Id": "c"}),
        "start": (204, ""),
        "wait": (200, {"StatusCode": 3}),
        "json": (200, {"Config": {"Tty": True}}),
    }

    def answer(path: str) -> tuple[int, Any]:
        word = path.partition("?")[0].rpartition("/")[2]
        calls.append("remove" if word.startswith("matrixctl-images-") else word)
        return {**usual, **answers}.get(word, (200, "said"))

    daemon.answer = answer
    return calls


def test_a_program_of_a_moment_leaves_no_container(daemon: Daemon) -> None:
    calls = programs(daemon)
    done = daemon.engine(patience=0).run("i", ("x",), timeout=30)
    assert (done.exit_code, done.stdout, done.timed_out) == (3, b'"said"', False)
    assert calls == ["create", "start", "wait", "logs", "json", "remove"]


def test_a_program_that_the_machine_cannot_run_has_the_shells_code(daemon: Daemon) -> None:
    calls = programs(daemon, start=(400, {"message": "exec /x: exec format error"}))
    assert daemon.engine(patience=0).run("i", ("x",), timeout=30).exit_code == 126
    assert calls[-1] == "remove"


@pytest.mark.parametrize(("seconds", "late"), [(1, True), (30, False)])
def test_silence_is_the_programs_deadline_or_a_lost_engine(
    daemon: Daemon, seconds: float, late: bool
) -> None:
    programs(daemon)
    answer = daemon.answer

    def hang(path: str) -> tuple[int, Any]:
        if path.endswith("/wait"):
            time.sleep(1.5)
            if not late:
                raise ConnectionResetError
        return answer(path)

    daemon.answer = hang
    engine = daemon.engine(patience=0)
    if late:
        assert engine.run("i", ("x",), timeout=seconds).timed_out
    else:
        with pytest.raises(EngineLostError, match="Docker failed to run x in i"):
            engine.run("i", ("x",), timeout=seconds)


def test_a_script_that_fails_gives_no_file(daemon: Daemon) -> None:
    calls = programs(daemon)
    into = io.BytesIO()
    done = daemon.engine(patience=0).make_file("i", "exit 3", "/x", into, environment={}, timeout=30)
    assert (done.exit_code, into.getvalue()) == (3, b"")
    assert "archive" not in calls
