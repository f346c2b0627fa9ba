"""The origin server behind HAProxy, in the client's container.

GET /NAME answers with the file bodies/NAME; POST answers with the length and SHA-256 of what came.
Usage: origin.py PORT FOLDER
"""

import hashlib
import json
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BODIES = {path.name: path.read_bytes() for path in (Path(sys.argv[2]) / "bodies").iterdir()}


class Origin(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def setup(self) -> None:
        # Without it each request waits 40 ms for a delayed acknowledgement.
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().setup()

    def do_GET(self) -> None:
        body = BODIES.get(self.path.lstrip("/"))
        self.answer(404 if body is None else 200, body or b"")

    def do_POST(self) -> None:
        left, length, digest = int(self.headers.get("content-length", 0)), 0, hashlib.sha256()
        while left and (data := self.rfile.read(min(left, 1 << 16))):
            digest.update(data)
            length += len(data)
            left -= len(data)
        answer = {"length": length, "sha256": digest.hexdigest()}
        self.answer(200, json.dumps(answer).encode())

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the container's log is not read."""


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Origin).serve_forever()
