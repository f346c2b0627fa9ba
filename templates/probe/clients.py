"""Asks one server as one client: an adapter per client, one shape of answer for all.

Each adapter takes a job and returns a list of requests in the shape of ``make_blank``; ``exit_code`` is in curl's
numbering for every client (https://curl.se/docs/manpage.html#EXIT), since gtlsclient exits 0 whatever happens.
Standard library only. A job: client, suite (None forces nothing), transport (h3, control), requests,
request_s, server_name, port, ca, bodies, folder; and own: the client is the one below own_client.ROOT.
"""

import glob
import hashlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import gtlsclient
import own_client

KEPT = 4096  # bytes of a body that are handed on
FILE = 16 << 20  # bytes of any file that a client writes: a server may send without end
OUTPUT = 1 << 20  # bytes of a client's stdout that are read
FAILED, TIMED_OUT, CANNOT_OFFER, OURS = 2, 28, 59, 124  # OURS: the client did not end by itself
AIOQUIC = "/opt/aioquic"


def make_blank(name: str) -> dict:
    """Return a request of which nothing came."""
    return {
        "name": name,
        "http_version": None,
        "status": None,
        "cipher": None,
        "protocol": None,
        "bytes_received": 0,
        "bytes_sent": 0,
        "sha256": None,
        "text": None,
        "exit_code": 0,
        "error": "",
        "handshake_s": None,
        "first_byte_s": None,
        "total_s": None,
        "close_code": None,
        "shows": None,
    }


def read_tls(headers: dict) -> dict:
    """Return what the server says of TLS."""
    return {
        "cipher": headers.get("x-matrixctl-cipher"),
        "protocol": headers.get("x-matrixctl-protocol"),
    }


def read_body(path: "Path | None", asked: dict) -> dict:
    """Return what the file that a client wrote shows; its beginning is kept. An upload is answered with text."""
    if path is None or not path.is_file():
        return {}
    data = path.read_bytes()
    path.write_bytes(data[:KEPT])
    text = data[:KEPT].decode(errors="replace") if asked["upload"] else None
    return {"bytes_received": len(data), "sha256": hashlib.sha256(data).hexdigest(), "text": text}


def limit_files() -> None:
    """Make a write beyond FILE an error of the program that writes; Python ignores the signal that would end it."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE, FILE))


def run(argv: list, stderr: Path, timeout: float, **environment: str) -> tuple:
    """Return exit code and output; OURS where it had to be stopped."""
    with stderr.open("wb") as errors, tempfile.TemporaryFile() as output:
        client = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env={**os.environ, **environment},
            restore_signals=False,  # SIGXFSZ stays ignored: see limit_files
        )
        # Not wait(timeout): it looks whether it ended after ever longer pauses, up to a third of curl's own time.
        timer, started = threading.Timer(timeout, client.kill), time.monotonic()
        timer.start()
        code = client.wait()
        timer.cancel()
        output.seek(0)
        stopped = code == -signal.SIGKILL and time.monotonic() - started >= timeout
        return OURS if stopped else code, output.read(OUTPUT)


def parse(line: bytes) -> "dict | None":
    """Return one line of JSON; ``None`` for one that was cut off, and for what is no mapping."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


# curl: one process and one connection, with a configuration file that a person can use as well.


CURL_SAYS = {
    *("http_version", "http_code", "num_connects", "size_upload", "exitcode", "errormsg"),
    *("time_appconnect", "time_starttransfer", "time_total"),
}
# Its exit codes 7, 28 and 56 cover many causes, which these words of its message tell apart (curl 8.14, lib/vquic).
# The last one is OpenSSL's, which also repeats an alert that the server sent.
CURL_SHOWS = (
    (r"no ciphers available", "cannot-offer"),
    (r"has been shut down|error:[0-9A-F]{8}:.* alert ", "closed-by-server"),
    (r"error:[0-9A-F]{8}:", "fault-in-answer"),
)


def ask_curl(job: dict) -> tuple:
    folder, transport = Path(job["folder"]), job["transport"]
    config = str(folder / f"{transport}.curlrc")
    code, output = run(
        [*find_program(job), "--config", config], folder / f"{transport}.stderr", job["request_s"] * 4
    )
    lines = [line for line in map(parse, output.splitlines()) if line and CURL_SAYS <= line.keys()]
    (folder / f"{transport}.json").write_text(json.dumps(lines, indent=1))
    requests, handshake = [], None
    for asked, line in zip(job["requests"], lines):
        path = folder / f"{transport}.{asked['name']}"
        # curl says 0 for what never happened, and for the handshake of a connection that it uses again.
        handshake = line["time_appconnect"] or (None if line["num_connects"] else handshake)
        requests.append(
            {
                **make_blank(asked["name"]),
                **read_tls(read_headers(path.with_name(f"{path.name}.headers"))),
                **read_body(path.with_name(f"{path.name}.body"), asked),
                "http_version": str(line["http_version"]) if line["http_code"] else None,
                "status": line["http_code"] or None,
                "bytes_sent": line["size_upload"],
                "exit_code": line["exitcode"],
                "error": line["errormsg"] or "",
                "shows": read_shows(str(line["errormsg"] or "")),
                "handshake_s": handshake,
                "first_byte_s": line["time_starttransfer"] or None,
                "total_s": line["time_total"] or None,
            }
        )
    return code, requests


def read_shows(message: str) -> "str | None":
    return next((shows for words, shows in CURL_SHOWS if re.search(words, message)), None)


def read_headers(path: Path) -> dict:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    return {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines) if v}


# gtlsclient: one process and one connection per request; see gtlsclient.py.


def ask_gtlsclient(job: dict) -> tuple:
    folder, requests = Path(job["folder"]), []
    if job["suite"] not in {None, *gtlsclient.SUITES}:
        error = f"gtlsclient knows no name for {job['suite']}"
        return CANNOT_OFFER, [{**make_blank(job["requests"][0]["name"]), "exit_code": CANNOT_OFFER, "error": error}]
    for asked in job["requests"]:
        log = folder / f"{job['transport']}.{asked['name']}.log"
        download = folder / f"{job['transport']}.{asked['name']}"
        download.mkdir(exist_ok=True)
        argv = gtlsclient.make_argv(find_program(job), job, asked, download)
        code, _ = run(argv, log, job["request_s"] + 2)
        output = log.read_text(errors="replace")
        log.write_text(f"$ {' '.join(argv)}\n{output}")
        found = {**make_blank(asked["name"]), **read_body(next(download.iterdir(), None), asked)}
        found.update(gtlsclient.read_log(output, asked, found["bytes_received"]))
        found.update(read_tls(found.pop("headers")))
        if code == OURS:
            found.update(exit_code=TIMED_OUT, error=f"no end after {job['request_s']} s")
        elif code:
            error = "".join(output.strip().splitlines()[-1:]) or f"exit status {code}"
            found.update(exit_code=CANNOT_OFFER if "priority" in error else FAILED, error=error)
        elif not (found["exit_code"] or requests) and (problem := gtlsclient.find_distrust(output, job, download)):
            found.update(exit_code=gtlsclient.BAD_CERTIFICATE, error=problem)
        requests.append(found)
        if found["exit_code"]:
            break
    (folder / f"{job['transport']}.json").write_text(json.dumps(requests, indent=1))
    return next((one["exit_code"] for one in requests if one["exit_code"]), 0), requests


# aioquic: our own script around it, which does the whole job over one connection.


def ask_aioquic(job: dict) -> tuple:
    folder, transport = Path(job["folder"]), job["transport"]
    script = str(Path(__file__).with_name("aioquic_client.py"))
    code, output = run(
        [sys.executable, script, json.dumps(job)],
        folder / f"{transport}.stderr",
        job["request_s"] * 4,
        PYTHONPATH=AIOQUIC,
    )
    requests = []
    for asked, line in zip(job["requests"], filter(None, map(parse, output.splitlines()))):
        path = folder / f"{transport}.{asked['name']}.body"
        headers_seen = line.pop("headers", None)
        told = read_tls(headers_seen if isinstance(headers_seen, dict) else {})
        requests.append({**make_blank(asked["name"]), **read_body(path, asked), **line, **told})
    (folder / f"{transport}.json").write_text(json.dumps(requests, indent=1))
    return code, requests


ADAPTERS = {"curl": ask_curl, "gtlsclient": ask_gtlsclient, "aioquic": ask_aioquic}


def find_program(job: dict) -> list:
    """Return how the client's program is called: ours by its name."""
    return own_client.find(job["client"]) if job["own"] else [job["client"]]


def ask(job: dict) -> tuple:
    """Return exit code and requests. Every output file is fresh."""
    folder = Path(job["folder"])
    for stale in folder.glob(f"{job['transport']}.*.*"):
        stale.unlink()
    for stale in folder.glob(f"{job['transport']}.*/*"):
        stale.unlink()
    if job["client"] not in ADAPTERS:
        error = f"the probe has no adapter for {job['client']}"
        return CANNOT_OFFER, [{**make_blank(job["requests"][0]["name"]), "exit_code": CANNOT_OFFER, "error": error}]
    return ADAPTERS[job["client"]](job)


def find_version(client: str, own: "str | None" = None) -> str:
    """Return what the client says of itself, or the packages that hold it; empty if it is not there.

    ``own``: it is the one below own_client.ROOT, and this is its version if it says none; else it is ours.
    """
    if own is not None:
        return own_client.find_version(client, own)
    if client == "aioquic":
        found = glob.glob(f"{AIOQUIC}/aioquic-*.dist-info")
        return "".join(Path(path).name.removesuffix(".dist-info").replace("-", " ") for path in found)
    argv = {
        "curl": ["curl", "--version"],
        "gtlsclient": ["dpkg-query", "-W", "-f", "${Package} ${Version} ", "ngtcp2-client", "libgnutls30t64"],
    }[client]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    words = done.stdout.partition("\n")[0].split()
    # curl 8.14.1 (x86_64-pc-linux-gnu) libcurl/8.14.1 OpenSSL/3.5.7 ...
    return " ".join([*words[:2], *words[4:5]] if client == "curl" else words)
