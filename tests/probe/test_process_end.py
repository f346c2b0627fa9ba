"""A HAProxy that ends while it is probed: in which phase, after what; and HTTP/3 is not hidden."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

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

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
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
    driver: Any, dies: str, shown: Mapping[str, Any], phase: str | None, tmp_path: Path
) -> None:
    asked_of = []

    def die(step: str) -> None:
        if step == dies:
            (tmp_path / "status").write_text("139\n")

    def wait_ready(*_: object) -> float | None:
        die("start")
        return None if dies == "start" else 0.1

    def exchange(_: object, transport: str) -> Any:
        asked_of.append(transport)
        die(transport)
        return shown[transport]

    driver.wait_ready, driver.run_exchange = wait_ready, exchange
    driver.read_statistics, driver.origin_answers = lambda _: WHOLE, lambda: True
    (said,) = driver.finish_each([{"id": "a", "folder": "."}])
    assert asked_of == list(shown)
    assert (said["ended_in"], said["exit_code"]) == (phase, 139 if dies else None)
    assert not {"phase", "over"} & said.keys()


@pytest.mark.parametrize(
    ("answers", "takes", "phase"),
    [
        pytest.param((BAD, WHOLE), 1.5, "h3", id="a crash under QEMU, after a failure"),
        pytest.param((BAD, WHOLE), 60.0, None, id="it lives"),
        pytest.param((GOOD, b""), 1.5, "h3", id="as it closes the connection"),
        pytest.param((GOOD, WHOLE[:-1]), 0.03, "h3", id="its statistics break off"),
        pytest.param((GOOD, WHOLE), 0.03, "stop", id="after the last answer"),
        pytest.param((GOOD, WHOLE), 60.0, None, id="all goes well"),
    ],
)
def test_a_process_that_dies_slowly_is_waited_for(
    driver: Any, clock: Clock, answers: tuple[Raw, bytes], takes: float, phase: str | None
) -> None:
    """Under QEMU a crash takes its time, and until then nothing but a failure shows it."""
    clock.ends, (said, statistics) = takes, answers
    driver.wait_ready, driver.run_exchange = lambda *_: 0.1, lambda *_: said
    driver.read_statistics, driver.origin_answers = lambda _: statistics, lambda: True
    (told,) = driver.finish_each([{"id": "a", "folder": "."}])
    assert told["ended_in"] == phase
    assert (told["control"] is None) == (phase == "h3"), "a dead server is asked no more"


def test_what_goes_well_waits_for_nothing_but_at_the_end(driver: Any, clock: Clock) -> None:
    def exchange(*_: object) -> Raw:
        clock.sleep(0.06)
        return GOOD

    driver.wait_ready, driver.run_exchange = lambda *_: 0.1, exchange
    driver.read_statistics, driver.origin_answers = lambda _: WHOLE, lambda: True
    assert len(list(driver.finish_each([{"id": str(number), "folder": "."} for number in range(9)]))) == 9
    assert clock.now == pytest.approx(9 * 2 * 0.06 + driver.CLOSING)


def test_a_server_that_dies_while_the_next_one_is_asked_is_seen(driver: Any, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()

    def exchange(cell: Mapping[str, str], transport: str) -> Any:
        if (cell["id"], transport) == ("b", "control"):
            (tmp_path / "status").write_text("139\n")
        return GOOD

    driver.wait_ready, driver.run_exchange = lambda *_: 0.1, exchange
    driver.read_statistics, driver.origin_answers = lambda _: WHOLE, lambda: True
    told = list(driver.finish_each([{"id": "a", "folder": "."}, {"id": "b", "folder": "b"}]))
    assert [(one["id"], one["exit_code"], one["ended_in"]) for one in told] == [
        ("a", 139, "stop"),
        ("b", None, None),
    ]
