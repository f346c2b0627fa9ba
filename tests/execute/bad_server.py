"""A real server on loopback that behaves in every bad way: the first part of a path says how."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from orchestrator.execute.engine.archive import pack
from orchestrator.execute.sources.download import MAX_BYTES

CONTENT = pack({"x-1.0/source.c": b"the source " * 20_000})
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FILE = "x-1.0.tar.gz"
HANGS_S = 3600
"""How long a server that hangs does so, unless the test ends before: longer than pytest lets a test last."""


@dataclass
class Server:
    """``base`` ends in no slash; ``seen`` has every path asked for."""

    base: str
    seen: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def times(self, path: str) -> int:
        return self.seen.count(path)


class Handler(BaseHTTPRequestHandler):
    """The first part of the path says how to behave."""

    state: Server

    def do_GET(self) -> None:
        self.state.seen.append(self.path)
        behave = getattr(self, self.path.split("/")[1].replace("-", "_"), self.missing)
        behave()

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def answer(self, content: bytes, *, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        headers.setdefault("Content_Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def ok(self) -> None:
        self.answer(CONTENT)

    def missing(self) -> None:
        self.answer(b"no", status=404)

    def flaky(self) -> None:
        if self.state.times(self.path) <= 2:
            self.answer(b"busy", status=500)
        else:
            self.answer(CONTENT)

    def broken(self) -> None:
        self.answer(b"broken", status=503)

    def wrong(self) -> None:
        self.answer(CONTENT[:-1] + b"!")

    def cut(self) -> None:
        self.answer(CONTENT[:1000], Content_Length=str(len(CONTENT)))

    def cut_once(self) -> None:
        if self.state.times(self.path) == 1:
            self.cut()
        else:
            self.ok()

    def hanging(self) -> None:
        self.state.ended.wait(HANGS_S)

    def trickle(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.drip()

    def trickle_headers(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        self.drip()

    def drip(self) -> None:
        try:
            while not self.state.ended.wait(0.05):
                self.wfile.write(b"x")
                self.wfile.flush()
        except OSError:
            pass  # the client went away

    def endless(self) -> None:
        self.answer(b"", status=302, Location=self.path)

    def moved(self) -> None:
        self.answer(b"", status=302, Location=f"/ok/{FILE}")

    def huge(self) -> None:
        self.answer(b"x", Content_Length=str(MAX_BYTES + 1))

    def unannounced(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(CONTENT)

    def labelled_gzip(self) -> None:
        self.answer(CONTENT, Content_Encoding="gzip")

    # Answers that are no answers.

    def closes(self) -> None:
        self.close_connection = True

    def speaks_ssh(self) -> None:
        self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        self.close_connection = True

    def many_headers(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000 + b"\r\n")

    def long_header(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000 + b"\r\n\r\n")

    def no_content(self) -> None:
        self.answer(b"", status=204)

    def busy_once(self) -> None:
        if self.state.times(self.path) == 1:
            self.answer(b"later", status=429, Retry_After="3600")
        else:
            self.ok()

    # Too much, too little, never.

    def stops_midway(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:1000])
        self.state.ended.wait(HANGS_S)

    def more_than_announced(self) -> None:
        self.answer(CONTENT, Content_Length="1000")

    def endless_body(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.pour(b"x" * 65536)

    def endless_chunks(self) -> None:
        self.protocol_version = "HTTP/1.1"
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.pour(b"10000\r\n" + b"x" * 65536 + b"\r\n")

    def pour(self, data: bytes) -> None:
        try:
            while not self.state.ended.is_set():
                self.wfile.write(data)
        except OSError:
            pass  # the client went away

    # Redirects that lead astray.

    def to_file(self) -> None:
        self.answer(b"", status=302, Location="file:///etc/passwd")

    def to_ftp(self) -> None:
        self.answer(b"", status=302, Location="ftp://127.0.0.1/x")

    def to_data(self) -> None:
        self.answer(b"", status=302, Location="data:text/plain,x")

    def to_no_address(self) -> None:
        self.answer(b"", status=302, Location="http://[/x")

    def to_a_closed_port(self) -> None:
        self.answer(b"", status=302, Location="http://127.0.0.1:9/x")

    def ping(self) -> None:
        self.answer(b"", status=302, Location=self.path.replace("ping", "pong"))

    def pong(self) -> None:
        self.answer(b"", status=302, Location=self.path.replace("pong", "ping"))


@contextmanager
def serving() -> Iterator[Server]:
    """The server, for as long as the context lasts."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        state = Handler.state = Server(base=f"http://127.0.0.1:{http.server_port}")
        thread = threading.Thread(target=http.serve_forever, args=(0.05,))
        thread.start()
        yield state
        state.ended.set()
        http.shutdown()
        thread.join()
