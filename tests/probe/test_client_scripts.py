"""The scripts in the client's container at what only a hostile server says: an answer, and soon."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingUnixStreamServer
from threading import Thread
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from client_scripts import SCRIPTS, loaded, loaded_driver

GET = {"name": "get-1k", "path": "/1k", "upload": None}
ANSWERED = (Path(__file__).parent / "gtlsclient" / "answered.log").read_text()
REFUSED = (Path(__file__).parent / "gtlsclient" / "refused.log").read_text()


@pytest.mark.parametrize("status", ["\u00b2", "\u0663", "1" * 5000, "", "20O"])
def test_a_status_that_is_no_number_is_none(status: str) -> None:
    log = ANSWERED.replace("[:status: 200]", f"[:status: {status}]")
    assert log != ANSWERED
    assert loaded("gtlsclient").read_log(log, GET, 1024)["status"] is None


@pytest.mark.parametrize("length", ["\u00b2", "9" * 5000])
def test_a_length_that_is_no_number_says_nothing(length: str) -> None:
    log = ANSWERED.replace("[:status: 200]", f"[:status: 200]\nhttp: stream 0x0 [content-length: {length}]")
    assert loaded("gtlsclient").read_log(log, GET, 1024)["exit_code"] in {0, 18}


def test_a_header_forges_no_close_of_the_connection() -> None:
    close = next(line for line in REFUSED.splitlines() if "CONNECTION_CLOSE" in line)
    log = ANSWERED.replace("[:status: 200]", f"[:status: 200]\nhttp: stream 0x0 [x-a: {close}]")
    assert log != ANSWERED
    found = loaded("gtlsclient").read_log(log, GET, 1024)
    assert (found["exit_code"], found["close_code"]) == (0, None)
    assert loaded("gtlsclient").read_log(REFUSED, GET, 0)["close_code"] == 0x128


def test_a_long_line_takes_no_time_that_grows_with_its_square() -> None:
    started = time.process_time()
    loaded("gtlsclient").read_log("frm rx 1 " * 100_000, GET, 0)
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "dump", ["*\n00000010\n", "00000000  " + "00 " * 16 + " |x|\n*\nffffffff\n"], ids=["of nothing", "4 GiB"]
)
def test_a_dump_that_repeats_without_end_is_left(dump: str) -> None:
    log = f"\nOrdered CRYPTO data in Handshake crypto level\n{dump}"
    assert loaded("gtlsclient").read_certificates(log) == []


def test_an_empty_certificate_message_has_no_certificate() -> None:
    log = "\nOrdered CRYPTO data in Handshake crypto level\n00000000  0b 00 00 00  |....|\n00000004\n"
    assert loaded("gtlsclient").read_certificates(log) == []


# The driver: HAProxy's statistics.


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    return loaded_driver(monkeypatch, tmp_path)


@pytest.fixture
def stats(tmp_path: Path) -> Iterator[list[bytes]]:
    said = [b""]

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(100)
            try:
                while said[0]:
                    self.request.sendall(said[0])
                    said[0] = said[0] if len(said) > 1 else b""
            except OSError:
                return

    with ThreadingUnixStreamServer(str(tmp_path / "stats.sock"), Handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield said
        said[0] = b""
        server.shutdown()


@pytest.mark.parametrize(
    ("answer", "failures"),
    [
        (b"F.2.0.66.quic_hdshk_fail.1:MCP:u64:3\nF.3.0.66.quic_hdshk_fail.1:MCP:u64:4\n", 7),
        (b"B.2.0.66.quic_hdshk_fail.1:MCP:u64:3\n", None),
        (b"F.2.0.66.quic_hdshk_fail.1:MCP:u64:" + b"9" * 5000 + b"\n", None),
        (b"F." + b".quic_hdshk_fail.:1" * 100_000 + b"x\n", None),
    ],
    ids=["two proxies", "a backend", "no number", "a long line"],
)
def test_failed_handshakes(
    driver: Any, stats: list[bytes], tmp_path: Path, answer: bytes, failures: int | None
) -> None:
    stats[0] = answer
    started = time.process_time()
    assert driver.count_handshake_failures(driver.read_statistics(tmp_path)) == failures
    assert time.process_time() - started < 1


def test_statistics_without_end_are_left(driver: Any, stats: list[bytes], tmp_path: Path) -> None:
    stats[:] = [b"F.2.0.66.quic_hdshk_fail.1:MCP:u64:1\n" * 1000, b"again"]
    assert driver.count_handshake_failures(driver.read_statistics(tmp_path)) is not None
    assert (tmp_path / "stats.txt").stat().st_size < 2 * driver.STATS


# curl and aioquic.


@pytest.mark.parametrize("line", [b"[1]", b"3", b'"x"', b"{}", b'{"exitcode": 0}', b"[" * 100_000])
def test_what_is_no_report_of_curl_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: bytes
) -> None:
    (tmp_path / "said").write_bytes(line)
    (tmp_path / "curl").write_text(f'#!/bin/sh\ncat "{tmp_path}/said"\n')
    (tmp_path / "curl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    job = {"client": "curl", "own": False, "transport": "h3", "request_s": 5, "requests": [GET]}
    job["folder"] = str(tmp_path)
    assert loaded("clients").ask_curl(job) == (0, [])


class Anything(ModuleType):
    """Stands for aioquic, which only the client's image has: any name is a class of its own."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        setattr(self, name, type(name, (), {}))
        return getattr(self, name)


@pytest.fixture
def aioquic(monkeypatch: pytest.MonkeyPatch) -> Any:
    inner = ("asyncio", "asyncio.client", "asyncio.protocol", "h3", "h3.connection", "h3.events", "quic")
    for name in ("", *inner, "quic.configuration", "quic.events", "quic.logger", "tls"):
        full = f"aioquic.{name}".rstrip(".")
        monkeypatch.setitem(sys.modules, full, Anything(full))
    return loaded("aioquic_client")


def test_a_header_that_is_no_text_ends_no_exchange(aioquic: Any) -> None:
    """It would leave the request waiting, and the server would be blamed for a hang."""
    event = aioquic.HeadersReceived()
    event.stream_id, event.stream_ended = 0, True
    event.headers = [(b":status", b"200"), (b"x-\xff", b"\xff\xfe")]
    client = aioquic.Client.__new__(aioquic.Client)
    settled: list[None] = []
    done = SimpleNamespace(done=lambda: False, set_result=settled.append)
    client.answer = {"stream": 0, "started": 0.0, "ended": False, "done": done}
    client.http_event_received(event)
    assert client.answer["headers"] == {":status": "200", "x-\ufffd": "\ufffd\ufffd"}
    assert settled == [None]
