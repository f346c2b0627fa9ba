"""What the capture says, which cells are worth one, and the driver's part of it."""

import os
import re
import time
from pathlib import Path
from socketserver import StreamRequestHandler, UnixStreamServer
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from client_scripts import loaded

from orchestrator.probe.trace_attempt import read_suite


@pytest.mark.parametrize(
    ("said", "suite"),
    [
        ("0x1303\n", "TLS_CHACHA20_POLY1305_SHA256"),
        ("0x1301\n0x1302\n", "TLS_AES_256_GCM_SHA384"),
        ("0x1399\n", "0x1399"),
        ("", None),
        ("tshark: cut short\n", None),
    ],
)
def test_the_suite_is_the_last_server_hellos(said: str, suite: str | None) -> None:
    assert read_suite(said) == suite


@pytest.fixture
def tracing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("SSLKEYLOGFILE", "QLOGDIR"):
        monkeypatch.setenv(name, "")
    module: Any = loaded("tracing")
    module.STARTS = module.ENDS = 0
    (tmp_path / "haproxy.log").write_bytes(b"")
    return module


def test_without_a_capture_it_says_why_and_the_rest_goes_on(tracing: Any, tmp_path: Path) -> None:
    one = tracing.Tracing(tmp_path)
    one.begin()
    assert (tmp_path / "traced").stat().st_mode & 0o777 == 0o777, "another user writes there"
    Path(os.environ["SSLKEYLOGFILE"]).write_text("CLIENT_RANDOM")
    (Path(os.environ["QLOGDIR"]) / "a.sqlog").write_text("{}")
    found = one.end(tmp_path)
    assert found == {
        "notes": ["no packets were captured in 0 s: its container did not begin"],
        "qlogs": ["qlog-1.sqlog"],
    }


def test_a_long_log_keeps_its_beginning_and_its_end_and_says_what_is_cut(
    tracing: Any, tmp_path: Path
) -> None:
    (tmp_path / "haproxy.log").write_bytes(b"a" * tracing.LOG + b"b" * 1000)
    one = tracing.Tracing(tmp_path)
    one.begin()
    found = one.end(tmp_path)
    kept = (tmp_path / "traced" / "haproxy.log").read_bytes()
    assert re.fullmatch(rb"a+\n\(cut: 1000 of 1049576 bytes\)\na+b{1000}", kept)
    assert "haproxy.log: 1000 of its 1049576 bytes are cut, in the middle" in found["notes"]
    assert "the client wrote no TLS keys" in found["notes"]


def test_between_them_it_keeps_the_lines_that_are_not_about_packets(tracing: Any, tmp_path: Path) -> None:
    packets = b"[00|quic|2|quic_tx.c:448] TX pkt\n  odcid(8)\n" * 30000
    middle = packets.splitlines(keepends=True)
    middle.insert(len(middle) // 3, b"[00|qcm|3|mux_quic.c:91] releasing QUIC stream\n")
    (tmp_path / "haproxy.log").write_bytes(b"".join(middle))
    one = tracing.Tracing(tmp_path)
    one.begin()
    found = one.end(tmp_path)
    kept = (tmp_path / "traced" / "haproxy.log").read_bytes()
    assert kept.count(b"releasing QUIC stream") == 1
    assert tracing.LOG < len(kept) < tracing.LOG + 300
    total = len(b"".join(middle))
    cut = total - tracing.LOG - len(b"[00|qcm|3|mux_quic.c:91] releasing QUIC stream\n")
    said = f"haproxy.log: {cut} of its {total} bytes are cut, most of it about single packets"
    assert said in found["notes"]


def test_what_is_too_much_between_them_is_cut_whole(tracing: Any, tmp_path: Path) -> None:
    line = b"[00|h3|3|h3.c:91] a frame\n"
    (tmp_path / "haproxy.log").write_bytes(line * (2 * (tracing.LOG + tracing.MIDDLE) // len(line)))
    one = tracing.Tracing(tmp_path)
    one.begin()
    assert any("are cut, in the middle" in note for note in one.end(tmp_path)["notes"])
    assert (tmp_path / "traced" / "haproxy.log").stat().st_size < tracing.LOG + 300


def test_a_slow_server_has_as_long_for_its_socket_as_for_its_listener(tracing: Any, tmp_path: Path) -> None:
    assert tracing.Tracing(tmp_path, 30).patience_s == 30


def test_a_large_qlog_is_left_out_and_named(tracing: Any, tmp_path: Path) -> None:
    tracing.QLOG = 3
    one = tracing.Tracing(tmp_path)
    one.begin()
    (Path(os.environ["QLOGDIR"]) / "a.qlog").write_text("1234")
    found = one.end(tmp_path)
    assert found["qlogs"] == []
    assert "a qlog of 4 bytes is left out, which is more than 3" in found["notes"]


def test_haproxy_is_asked_to_trace_and_waited_for_until_it_has_heard_all(
    tracing: Any, tmp_path: Path
) -> None:
    heard: list[str] = []

    class Stats(StreamRequestHandler):
        def handle(self) -> None:
            heard.append(self.rfile.readline().decode())
            self.wfile.write(b"\nUnknown trace source\n")

    with UnixStreamServer(str(tmp_path / "stats.sock"), Stats) as server:
        asked = Thread(target=server.handle_request)
        asked.start()
        one = tracing.Tracing(tmp_path)
        one.ask_for_traces(tmp_path)
        asked.join()
    assert "trace quic sink stdout; trace quic level data" in heard[0]
    assert "trace qmux verbosity minimal" in heard[0], "else no line names its stream"
    assert one.notes == ["HAProxy says to `trace`: Unknown trace source"]


def test_a_socket_that_opens_late_is_waited_for(
    tracing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "STARTS", 60)
    slept: list[UnixStreamServer] = []

    class Silent(StreamRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()

    def open_it(_: float) -> None:
        slept.append(UnixStreamServer(str(tmp_path / "stats.sock"), Silent))
        Thread(target=slept[0].handle_request, daemon=True).start()

    monkeypatch.setattr(tracing, "time", SimpleNamespace(monotonic=time.monotonic, sleep=open_it))
    one = tracing.Tracing(tmp_path)
    one.ask_for_traces(tmp_path)
    assert (len(slept), one.notes) == (1, [])
    slept[0].server_close()


def test_a_server_that_is_gone_is_a_note(tracing: Any, tmp_path: Path) -> None:
    one = tracing.Tracing(tmp_path)
    one.ask_for_traces(tmp_path)
    assert one.notes[0].startswith("HAProxy traces nothing: ")
