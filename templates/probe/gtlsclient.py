"""ngtcp2's example client with GnuTLS: how it is called, and how its log is read.

It exits 0 whether or not it got anything, and it verifies no certificate: on the first connection it dumps the one
that the server showed, and `openssl verify` holds it against the run's authority. That the server has the key of that
certificate GnuTLS itself has checked, since no handshake of TLS 1.3 ends otherwise (RFC 8446, 4.4.3).
"""

import os
import re
import ssl
import subprocess
from pathlib import Path

# GnuTLS's names (https://gnutls.org/manual/html_node/Priority-Strings.html).
SUITES = {
    "TLS_AES_128_GCM_SHA256": "AES-128-GCM",
    "TLS_AES_256_GCM_SHA384": "AES-256-GCM",
    "TLS_CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305",
    "TLS_AES_128_CCM_SHA256": "AES-128-CCM",
}
NOTHING_RECEIVED, CUT, TIMED_OUT, CLOSED, BAD_CERTIFICATE, FAULT = 52, 18, 28, 56, 60, 96  # curl's numbers
DUMPED = 1 << 20  # bytes that one `*` of a dump may stand for
# What it found in a packet of the server's, but for the server's own end of the connection (ngtcp2.h).
READ_FAULT = r"^ngtcp2_conn_read_pkt: (ERR_(?!DRAINING|CLOSING|DROP_CONN|RETRY)\w{1,60})"
NO_ERROR = 0x100  # H3_NO_ERROR (RFC 9114, 8.1): how it says that a stream ended well


def make_argv(program: list, job: dict, asked: dict, download: Path) -> list:
    first = asked is job["requests"][0]
    seconds = f"{round(job['request_s'] * 1000)}ms"
    forced = f":-CIPHER-ALL:+{SUITES[job['suite']]}" if job["suite"] else ""
    upload = ["--http-method=POST", f"--data={job['bodies']}/{asked['upload']}"] if asked["upload"] else []
    return [
        *program,
        f"--ciphers=NORMAL:-VERS-ALL:+VERS-TLS1.3{forced}",
        f"--handshake-timeout={seconds}",
        f"--timeout={seconds}",
        "--exit-on-all-streams-close",
        *([f"--qlog-dir={os.environ['QLOGDIR']}"] if "QLOGDIR" in os.environ else []),
        "--no-http-dump",
        *([] if first else ["--no-quic-dump"]),
        f"--download={download}",
        *upload,
        "127.0.0.1",
        str(job["port"]),
        f"https://{job['server_name']}:{job['port']}{asked['path']}",
    ]


def read_log(log: str, asked: dict, received: int) -> dict:
    """Return the fields of a request that the log shows, with ``headers``."""
    headers = dict(re.findall(r"^http: stream 0x0 \[(:?[^:\]]+): (.*)\]$", log, re.M))
    handshake = _find_time(log, "QUIC handshake has completed")
    found = {
        "http_version": "3" if ":status" in headers else None,
        "status": _read_number(headers.get(":status")),
        "headers": headers,
        "bytes_sent": _count_sent(log) if asked["upload"] else 0,
        "handshake_s": handshake,
        "first_byte_s": _find_time(log, "http: stream 0x0 response headers started"),
        "total_s": _find_last_time(log),
        "close_code": None,
    }
    # From the beginning of a line of the log's own: a header is logged as well, and says what the server likes.
    closed = re.search(
        r"^I\d+ \S+ frm rx \d+ \w+ CONNECTION_CLOSE\(0x1(c|d)\) error_code=\S{0,64}?\((0x[0-9a-f]{1,16})\)", log, re.M
    )
    if closed and closed[1] == "c":
        found["close_code"] = int(closed[2], 16)
    return {**found, **_find_failure(log, found, closed, headers.get("content-length"), received)}


def _find_failure(log: str, found: dict, closed: "re.Match | None", wanted: "str | None", received: int) -> dict:
    """Return exit code and message; its download says whether a request succeeded."""
    ended = re.search(r"^HTTP stream 0 closed with error code ([0-9]{1,19})$", log, re.M)
    if closed and not (ended and int(ended[1]) == NO_ERROR):
        what = "CRYPTO_ERROR" if 0x100 <= int(closed[2], 16) <= 0x1FF and closed[1] == "c" else "error"
        return {"exit_code": CLOSED, "error": f"the server closed the connection: {what}({closed[2]})"}
    if ended is None:
        given_up = re.findall(r"ERR_\w+", log)
        what = "the handshake" if found["handshake_s"] is None else "the answer"
        if fault := re.search(READ_FAULT, log, re.M):
            error = f"{what} breaks a rule: {fault[1]}"
            return {"exit_code": FAULT, "error": error, "shows": "fault-in-answer"}
        return {"exit_code": TIMED_OUT, "error": f"{what} did not come: {given_up[-1] if given_up else 'time-out'}"}
    if int(ended[1]) != NO_ERROR:
        return {"exit_code": CLOSED, "error": f"the server reset the stream: H3 error {int(ended[1]):#x}"}
    if found["status"] is None:
        return {"exit_code": NOTHING_RECEIVED, "error": "the stream ended without an answer"}
    if _read_number(wanted) not in {None, received}:
        return {"exit_code": CUT, "error": f"{received} of {wanted} bytes came"}
    return {"exit_code": 0, "error": ""}


def _read_number(text: "str | None") -> "int | None":
    """Return what a server said, where it is a number; `isdigit` alone also holds for \u00b2."""
    return int(text) if text is not None and re.fullmatch("[0-9]{1,18}", text) else None


def _find_time(log: str, line: str) -> "float | None":
    """Return the seconds from the first packet to a line: the time stamp (in ms) of the log's last entry before it."""
    before, found, _ = log.partition(f"\n{line}")
    return _find_last_time(before) if found else None


def _find_last_time(log: str) -> "float | None":
    start = log.rfind("\nI0")
    stamp = re.match(r"I([0-9]{1,15}) ", log[start + 1 : start + 18])
    return int(stamp[1]) / 1000 if stamp else None


def _count_sent(log: str) -> int:
    """Return the bytes of the request's stream that were sent, HTTP/3's own framing included."""
    sent = re.findall(r" frm tx \d+ 1RTT STREAM\(0x\w+\) id=0x0 fin=\d offset=([0-9]{1,18}) len=([0-9]{1,18})\b", log)
    return max((int(offset) + int(length) for offset, length in sent), default=0)


def find_distrust(log: str, job: dict, folder: Path) -> str:
    """Return why the certificate that the server showed is not to be trusted, or an empty string."""
    shown = read_certificates(log)
    if not shown:
        return "the log shows no certificate"
    pem = [ssl.DER_cert_to_PEM_cert(one) for one in shown]
    leaf, others = folder.with_suffix(".pem"), folder.with_suffix(".chain.pem")
    leaf.write_text(pem[0])
    others.write_text("".join(pem))
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver"]
    command += ["-CAfile", job["ca"], "-untrusted", str(others), "-verify_hostname", job["server_name"], str(leaf)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error ")]
    return "" if done.returncode == 0 else f"the certificate does not verify: {''.join(lines[:1]) or done.stderr[:200]}"


def read_certificates(log: str) -> list:
    """Return the DER certificates of the handshake message Certificate (RFC 8446, 4.4.2), the server's own first."""
    stream = b"".join(_read_dumps(log, "Ordered CRYPTO data in Handshake crypto level"))
    while len(stream) >= 4:
        kind, length = stream[0], int.from_bytes(stream[1:4], "big")
        message, stream = stream[4 : 4 + length], stream[4 + length :]
        if kind == 11:
            return list(_read_entries(message))
    return []


def _read_entries(message: bytes) -> "object":
    at = 1 + (message[0] if message else 0) + 3  # the request's context, and the length of the list
    while at + 3 <= len(message):
        length = int.from_bytes(message[at : at + 3], "big")
        yield message[at + 3 : at + 3 + length]
        at += 3 + length
        at += 2 + int.from_bytes(message[at : at + 2], "big")  # the entry's extensions


def _read_dumps(log: str, title: str) -> "object":
    """Yield the bytes of each hex dump below a line; ``*`` stands for repetitions of the line before."""
    for part in log.split(f"\n{title}\n")[1:]:
        data, repeated = b"", False
        for line in part.splitlines():
            if line == "*":
                repeated = True
                continue
            found = re.match(r"([0-9a-f]{8})(?:  ((?:[0-9a-f]{2} ? ?)+) *\||$)", line)
            if not found:
                break
            missing = int(found[1], 16) - len(data) if repeated else 0
            if missing > DUMPED:
                break
            data += data[-16:] * -(-missing // 16)
            repeated = False
            data += bytes.fromhex(found[2] or "")
        yield data
