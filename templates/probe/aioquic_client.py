"""One exchange with aioquic, over one connection; prints one JSON line per request.

Usage: PYTHONPATH=/opt/aioquic python3 aioquic_client.py JOB, a job as clients.py describes it. Exit codes are
curl's, where one has the meaning: 28 time-out, 56 closed, 59 cannot offer the suite, 60 bad certificate, 96 a fault
in what the server sent.
"""

import asyncio
import json
import logging
import os
import re
import ssl
import sys
import time
from pathlib import Path

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, StreamReset
from aioquic.quic.logger import QuicFileLogger
from aioquic.tls import CipherSuite

TIMED_OUT, CLOSED, CANNOT_OFFER, BAD_CERTIFICATE, FAULT = 28, 56, 59, 60, 96
BODY = 8 << 20  # bytes of an answer that are kept; curl's 63 is "maximum file size exceeded"
CERTIFICATE_ALERTS = range(0x100 + 41, 0x100 + 50)  # RFC 8446, 6.2: no_certificate to access_denied


class FromTheServer(logging.Handler):
    """Whether it was the server that closed: the event alone does not say who did."""

    seen = False

    def emit(self, record: logging.LogRecord) -> None:
        self.seen |= "Connection close received" in str(record.msg)


class Client(QuicConnectionProtocol):
    """Collects what comes, and when."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.started = time.monotonic()
        self.handshake_s = self.closed = self.answer = None

    def quic_event_received(self, event: object) -> None:
        if isinstance(event, HandshakeCompleted):
            self.handshake_s = time.monotonic() - self.started
        elif isinstance(event, ConnectionTerminated):
            self.closed = event
            self.settle()
        elif isinstance(event, StreamReset) and self.answer and event.stream_id == self.answer["stream"]:
            self.answer["reset"] = event.error_code
            self.settle()
        for found in self.http.handle_event(event):
            self.http_event_received(found)

    def http_event_received(self, event: object) -> None:
        if self.answer is None or event.stream_id != self.answer["stream"]:
            return
        if isinstance(event, HeadersReceived):
            self.answer["first_byte_s"] = time.monotonic() - self.answer["started"]
            self.answer["headers"] = {
                k.decode(errors="replace").lower(): v.decode(errors="replace") for k, v in event.headers
            }
        elif isinstance(event, DataReceived):
            room = BODY - len(self.answer["body"])
            self.answer["body"] += event.data[:room]
            self.answer["more"] |= len(event.data) > room
        if event.stream_ended:
            self.answer["ended"] = True
            self.settle()

    def settle(self) -> None:
        if self.answer and not self.answer["done"].done():
            self.answer["done"].set_result(None)

    async def ask(self, job: dict, asked: dict) -> dict:
        """Send one request and wait; the answer as it is when it ends, breaks off or the time is over."""
        started, upload = time.monotonic(), asked["upload"]
        data = (Path(job["bodies"]) / upload).read_bytes() if upload else b""
        stream = self._quic.get_next_available_stream_id()
        self.answer = {"stream": stream, "started": started, "headers": {}, "body": bytearray()}
        self.answer |= {"first_byte_s": None, "reset": None, "ended": False, "more": False}
        self.answer["done"] = asyncio.get_running_loop().create_future()
        if self.closed:
            self.settle()
        fields = [
            (b":method", b"POST" if upload else b"GET"),
            (b":scheme", b"https"),
            (b":authority", f"{job['server_name']}:{job['port']}".encode()),
            (b":path", asked["path"].encode()),
            *([(b"content-length", str(len(data)).encode())] if upload else []),
        ]
        self.http.send_headers(stream, fields, end_stream=not upload)
        if upload:
            self.http.send_data(stream, data, end_stream=True)
        self.transmit()
        try:
            await asyncio.wait_for(asyncio.shield(self.answer["done"]), job["request_s"])
        except asyncio.TimeoutError:
            pass
        return {**self.answer, "sent": len(data), "total_s": time.monotonic() - started}


def find_failure(answer: dict, client: Client, from_server: bool, seconds: float) -> tuple:
    """Return exit code and message; 0 if the answer came whole."""
    closed = client.closed
    wanted = answer["headers"].get("content-length")
    if answer["more"]:
        return 63, f"more than {BODY} bytes came"
    if answer["ended"] and wanted in {None, str(len(answer["body"]))}:
        return 0, ""
    if answer["ended"]:
        return 18, f"{len(answer['body'])} of {wanted} bytes came"
    if closed and not from_server:
        bad = closed.error_code in CERTIFICATE_ALERTS
        reason = closed.reason_phrase or f"error {closed.error_code:#x}"
        if bad:
            return BAD_CERTIFICATE, f"the certificate does not verify: {reason}"
        return (TIMED_OUT if "timeout" in reason.lower() else FAULT), f"aioquic closed the connection: {reason}"
    if closed:
        crypto = closed.frame_type is not None and 0x100 <= closed.error_code <= 0x1FF
        name = "CRYPTO_ERROR" if crypto else "error"
        said = f" {closed.reason_phrase}" if closed.reason_phrase else ""
        return CLOSED, f"the server closed the connection: {name}({closed.error_code:#x}){said}"
    if answer["reset"] is not None:
        return CLOSED, f"the server reset the stream: H3 error {answer['reset']:#x}"
    what = "the handshake" if client.handshake_s is None else "the answer"
    return TIMED_OUT, f"{what} did not come within {seconds} s"


def make_line(asked: dict, answer: dict, client: Client, from_server: bool, job: dict) -> dict:
    code, error = find_failure(answer, client, from_server, job["request_s"])
    status = answer["headers"].get(":status", "")
    body = Path(job["folder"]) / f"{job['transport']}.{asked['name']}.body"
    if answer["headers"]:
        body.write_bytes(answer["body"])
    closed = client.closed if from_server else None
    return {
        "name": asked["name"],
        "http_version": "3" if status else None,
        "status": int(status) if re.fullmatch("[0-9]{1,18}", status) else None,
        "headers": answer["headers"],
        "bytes_sent": answer["sent"],
        "exit_code": code,
        "error": error,
        "handshake_s": client.handshake_s,
        "first_byte_s": answer["first_byte_s"],
        "total_s": answer["total_s"],
        "close_code": closed.error_code if closed and closed.frame_type is not None else None,
        "shows": "fault-in-answer" if code == FAULT else None,
    }


async def main(job: dict) -> int:
    configuration = QuicConfiguration(
        is_client=True,
        alpn_protocols=H3_ALPN,
        server_name=job["server_name"],
        verify_mode=ssl.CERT_REQUIRED,
        idle_timeout=float(job["request_s"]) + 5,
    )
    configuration.load_verify_locations(cafile=job["ca"])
    if "QLOGDIR" in os.environ:
        configuration.quic_logger = QuicFileLogger(os.environ["QLOGDIR"])
    if "SSLKEYLOGFILE" in os.environ:
        configuration.secrets_log_file = keys = open(os.environ["SSLKEYLOGFILE"], "a")  # to the end of the process
        keys.reconfigure(line_buffering=True)
    if job["suite"]:
        configuration.cipher_suites = [CipherSuite[job["suite"].removeprefix("TLS_")]]
    close = FromTheServer()
    logging.getLogger("quic").addHandler(close)
    code = 0
    # wait_connected=False: it would raise a ConnectionError that has lost the close code.
    async with connect(
        "127.0.0.1", job["port"], configuration=configuration, create_protocol=Client, wait_connected=False
    ) as client:
        for asked in job["requests"]:
            made = make_line(asked, await client.ask(job, asked), client, close.seen, job)
            print(json.dumps(made), flush=True)
            if code := made["exit_code"]:
                break
    return code


def start(job: dict) -> int:
    if job["suite"] and job["suite"].removeprefix("TLS_") not in CipherSuite.__members__:
        error = f"aioquic has no {job['suite']}"
        first = {"name": job["requests"][0]["name"], "headers": {}, "exit_code": CANNOT_OFFER, "error": error}
        print(json.dumps(first))
        return CANNOT_OFFER
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)d ms %(message)s")
    return asyncio.run(main(job))


if __name__ == "__main__":
    sys.exit(start(json.loads(sys.argv[1])))
