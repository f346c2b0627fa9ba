"""A HAProxy that ends while it is probed: in which phase, after what; and HTTP/3 is not hidden."""

import json
import math
import socket
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest
from builders import GCM, Raw, broken, dead, exchange, first_broken, judged, line, request
from client_scripts import loaded_driver
from fakes import cell

from orchestrator.outcome import Outcome, Reason
from orchestrator.probe.session_files import list_requests

CELL = cell()
SMALL, LARGE, UPLOAD = list_requests()
CLOSED = "Empty reply from server"


def after(number: int, *last: Raw, code: int = 0, version: str = "3") -> Raw:
    """An exchange whose first requests went well."""
    good = (request(wanted, http_version=version) for wanted in list_requests()[:number])
    return exchange([*good, *last], exit_code=code)


def in_control(control: Raw, **changed: Any) -> Raw:
    return line(CELL, exit_code=139, ended_in="control", control=control, **changed)


CUT = broken(LARGE, 52, CLOSED, handshake_s=0.01, total_s=0.5)


def test_a_crash_in_the_control_says_so_and_keeps_what_http3_showed() -> None:
    found = judged(CELL, in_control(after(1, CUT, code=52, version="2")))
    assert (found.outcome, found.reason) == (Outcome.FAIL, Reason.SERVER_CRASHED)
    assert found.message == (
        "HAProxy died of SIGSEGV in the control over HTTP/2: get-1k had passed, get-1m was under way"
        f" (curl 52 after 0.5 s: {CLOSED})."
        f" HTTP/3 before that: HTTP/3 with {GCM}: two bodies and an upload arrived whole."
    )
    assert found.observations is not None
    assert found.observations.h3 is not None
    assert [one.status for one in found.observations.h3.requests] == [200, 200, 200]
    assert found.observations.server is not None
    assert found.observations.server.ended_in == "control"


def test_a_failure_over_http3_before_a_crash_in_the_control_is_told_with_its_reason() -> None:
    wrong = exchange([request(SMALL), request(LARGE, sha256="0" * 64), request(UPLOAD)])
    found = judged(CELL, in_control(first_broken(7, "Connection refused"), h3=wrong))
    assert found.reason is Reason.SERVER_CRASHED
    assert "HTTP/3 before that: wrong-body: get-1m brought 1048576 bytes" in found.message
    assert "no request had passed, the handshake of get-1k was under way (curl 7" in found.message


@pytest.mark.parametrize(
    ("h3", "says"),
    [
        pytest.param(
            after(2, broken(UPLOAD, 28, "Operation timed out", handshake_s=0.2, total_s=40.0), code=28),
            "get-1k and get-1m had passed, post-1m was under way (curl 28 after 40.0 s: Operation",
            id="in the upload",
        ),
        pytest.param(
            after(1),
            "get-1k had passed, get-1m was under way, and the client says nothing of it.",
            id="the client died with it",
        ),
        pytest.param(after(3), "get-1k, get-1m and post-1m had passed.", id="after the last answer"),
        pytest.param(
            first_broken(28, "Connection timed out"),
            "no request had passed, the handshake of get-1k was under way (curl 28 after 8.0 s: Connection",
            id="in the handshake",
        ),
        pytest.param(
            exchange([request(SMALL, status=502), broken(LARGE, 28, "x", handshake_s=0.1)], exit_code=28),
            "no request had passed, get-1k had come back wrong, get-1m was under way",
            id="after a wrong answer",
        ),
    ],
)
def test_a_crash_over_http3_names_what_had_passed_and_what_was_under_way(h3: Raw, says: str) -> None:
    found = judged(CELL, dead(CELL, 139, ready_s=0.5, h3=h3))
    assert found.reason is Reason.SERVER_CRASHED
    assert found.message.startswith(f"HAProxy died of SIGSEGV while it was asked over HTTP/3: {says}")


def test_a_crash_after_the_last_answer() -> None:
    found = judged(CELL, line(CELL, exit_code=134, ended_in="stop"))
    assert found.reason is Reason.SERVER_CRASHED
    assert found.message.startswith(
        "HAProxy died of SIGABRT after the last answer of the control. HTTP/3 before"
    )


def test_the_control_is_told_with_the_client_that_asked_it() -> None:
    client = CELL.client.model_copy(update={"name": "gtlsclient", "family": "gtlsclient"})
    cell = replace(CELL, client=client)
    found = judged(cell, in_control(after(1, CUT, code=52, version="2")))
    assert "(curl 52 after" in found.message


def test_a_kill_says_when_as_well() -> None:
    found = judged(CELL, line(CELL, exit_code=137, ended_in="control", control=after(0, CUT, code=52)))
    assert (found.outcome, found.reason) == (Outcome.ERROR, Reason.KILLED)
    assert "in the control over HTTP/2: no request had passed, get-1m was under way" in found.message


def test_a_phase_that_nobody_knows_is_the_harness_s_fault() -> None:
    assert judged(CELL, line(CELL, exit_code=139, ended_in="lunch")).reason is Reason.INTERNAL


# The driver: which phase it tells.


class Clock:
    """Time that passes while somebody sleeps, and the hour at which the server ends."""

    def __init__(self, folder: Path) -> None:
        self.now, self.ends, self.folder = 0.0, math.inf, folder
        self.sleepers: list[threading.Thread] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleepers.append(threading.current_thread())
        self.now += seconds
        if self.now >= self.ends:
            (self.folder / "status").write_text("139\n")


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clock: Clock) -> Any:
    driver = loaded_driver(monkeypatch, tmp_path)
    monkeypatch.setattr(driver, "time", clock)
    return driver


class Probing(Protocol):
    def __call__(self, *cells: str) -> list[dict[str, Any]]: ...


@pytest.fixture
def probed(driver: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Probing:
    """Return the lines of these cells, each of a folder of its own; the first one's is the session's."""

    def probe(*cells: str) -> list[dict[str, Any]]:
        folders = [".", *cells[1:]]
        for folder in folders:
            (tmp_path / folder).mkdir(exist_ok=True)
        capsys.readouterr()
        driver.probe_all(
            [{"id": cell, "folder": folder} for cell, folder in zip(cells, folders, strict=True)]
        )
        return [json.loads(said) for said in capsys.readouterr().out.splitlines()]

    return probe


GOOD = {"exit_code": 0, "requests": [{"status": 200}]}
BAD = {"exit_code": 52, "requests": [{"status": None}]}
WHOLE = b"F.2.0.66.quic_hdshk_fail.1:MCP:u64:0\n\n"


@pytest.mark.parametrize(
    ("dies", "shown", "phase"),
    [
        ("start", {}, "start"),
        ("h3", {"h3": BAD}, "h3"),
        ("h3", {"h3": GOOD}, "h3"),
        ("control", {"h3": GOOD, "control": BAD}, "control"),
        ("control", {"h3": BAD, "control": BAD}, "control"),
        ("control", {"h3": GOOD, "control": GOOD}, "stop"),
        ("", {"h3": GOOD, "control": GOOD}, None),
        ("", {"h3": BAD, "control": BAD}, None),
    ],
)
def test_the_driver_tells_the_phase_and_asks_no_dead_process(
    probed: Probing, driver: Any, dies: str, shown: Mapping[str, Any], phase: str | None
) -> None:
    asked_of = []

    def die(step: str) -> None:
        if step == dies:
            (driver.WORK / "status").write_text("139\n")

    def wait_ready(*_: object) -> float | None:
        die("start")
        return None if dies == "start" else 0.1

    def exchange(_: object, transport: str) -> Any:
        asked_of.append(transport)
        die(transport)
        return shown[transport]

    driver.wait_ready, driver.run_exchange = wait_ready, exchange
    driver.read_statistics, driver.origin_answers = lambda _: WHOLE, lambda: True
    (said,) = probed("a")
    assert asked_of == list(shown)
    assert (said["ended_in"], said["exit_code"]) == (phase, 139 if dies else None)


@pytest.mark.parametrize(
    ("answers", "phase"),
    [
        pytest.param((BAD, WHOLE, 1.5), "h3", id="a crash under QEMU, after a failure"),
        pytest.param((BAD, WHOLE, 60.0), None, id="it lives"),
        pytest.param((GOOD, b"", 1.5), "h3", id="as it closes the connection"),
        pytest.param((GOOD, WHOLE[:-1], 0.03), "h3", id="its statistics break off"),
        pytest.param((GOOD, WHOLE, 0.03), "stop", id="after the last answer"),
        pytest.param((GOOD, WHOLE, 60.0), None, id="all goes well"),
    ],
)
def test_a_process_that_dies_slowly_is_waited_for(
    probed: Probing, driver: Any, clock: Clock, answers: tuple[Raw, bytes, float], phase: str | None
) -> None:
    """Under QEMU a crash takes its time, and until then nothing but a failure shows it."""
    said, statistics, clock.ends = answers
    driver.wait_ready, driver.run_exchange = lambda *_: 0.1, lambda *_: said
    driver.read_statistics, driver.origin_answers = lambda _: statistics, lambda: True
    (told,) = probed("a")
    assert told["ended_in"] == phase
    assert (told["control"] is None) == (phase == "h3"), "a dead server is asked no more"


def test_no_cell_waits_for_one_that_went_well_and_may_yet_die(
    probed: Probing, driver: Any, clock: Clock
) -> None:
    driver.wait_ready, driver.run_exchange = lambda *_: 0.1, lambda *_: GOOD
    driver.read_statistics, driver.origin_answers = lambda _: WHOLE, lambda: True
    names = [f"cell-{number}" for number in range(9)]
    assert [told["id"] for told in probed(*names)] == names
    assert threading.main_thread() not in clock.sleepers
    assert clock.now >= 9 * driver.CLOSING


def test_a_server_that_dies_while_the_next_one_is_asked_is_seen(
    probed: Probing, driver: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = threading.Event()

    def sleep(seconds: float) -> None:
        assert dead.wait(10)
        clock.now += seconds

    monkeypatch.setattr(clock, "sleep", sleep)

    def exchange(cell: Mapping[str, str], transport: str) -> Any:
        if (cell["id"], transport) == ("b", "control"):
            (driver.WORK / "status").write_text("139\n")
            dead.set()
        return GOOD

    driver.wait_ready, driver.run_exchange = lambda *_: 0.1, exchange
    driver.read_statistics, driver.origin_answers = lambda _: WHOLE, lambda: True
    assert [(one["id"], one["exit_code"], one["ended_in"]) for one in probed("a", "b")] == [
        ("a", 139, "stop"),
        ("b", None, None),
    ]


def test_a_fault_of_ours_in_one_cell_costs_no_line_of_another(
    probed: Probing, driver: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def exchange(cell: Mapping[str, str], _: str) -> Any:
        if cell["id"] == "b":
            raise ValueError("a fault of ours")
        return GOOD

    driver.wait_ready, driver.run_exchange = lambda *_: 0.1, exchange
    driver.read_statistics, driver.origin_answers = lambda _: WHOLE, lambda: True
    with pytest.raises(ValueError, match="a fault of ours"):
        probed("a", "b")
    assert json.loads(capsys.readouterr().out)["id"] == "a"


@pytest.mark.parametrize(
    ("answer", "lives"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", True),
        (b"HTTP/1.0 500 200\r\n\r\n", False),
        (b"no HTTP", False),
        (b"", False),
    ],
)
def test_an_origin_lives_that_answers_with_200(driver: Any, answer: bytes, lives: bool) -> None:
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        driver.SESSION["origin_port"] = listener.getsockname()[1]

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                asked.append(client.recv(1024))
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert driver.origin_answers() is lives
        thread.join(10)
    assert asked[0].startswith(b"GET /1k HTTP/1.")
    assert driver.origin_answers() is False, "nothing listens any more"


def test_a_server_is_described_once_its_machine_is_told_as_well(
    driver: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.SESSION["ready_s"] = 1
    (driver.WORK / "vv.status").write_text("0\n")
    driver.origin_listens = lambda: True

    def sleep(seconds: float) -> None:
        clock.now += seconds
        (driver.WORK / "cpu.txt").write_text('uname.machine="x86_64"\n')

    monkeypatch.setattr(clock, "sleep", sleep)
    said = driver.describe_server()
    assert (said["vv_status"], said["machine"]) == (0, "x86_64")
