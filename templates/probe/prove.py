"""Proves what the clients of a run can do, against servers that are known to be good: ngtcp2's over QUIC,
nghttp2's over TCP. Prints one JSON line per proof. Ends with an error where a server is at fault.

Runs in the client's container, without HAProxy. Usage: prove.py PROOF.json
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import clients

PROOF = json.loads(Path(sys.argv[1]).read_text())
WORK = Path(PROOF["work"])
PATIENCE_S = 5  # until a server listens
# As gtlsserver names them in its log.
NAMES = {
    "AES-128-GCM": "TLS_AES_128_GCM_SHA256",
    "AES-256-GCM": "TLS_AES_256_GCM_SHA384",
    "CHACHA20-POLY1305": "TLS_CHACHA20_POLY1305_SHA256",
    "AES-128-CCM": "TLS_AES_128_CCM_SHA256",
}
# OpenSSL's defaults leave CCM out, and nghttpd has no option for the suites of TLS 1.3; its library reads them here.
OPENSSL_CONF = """\
openssl_conf = matrixctl
[matrixctl]
ssl_conf = ssl
[ssl]
system_default = suites
[suites]
Ciphersuites = {suites}
"""


class Server:
    """A good server on one port. Ends the script if it does not listen, or is gone."""

    def __init__(self, name: str, argv: list, port: int, **environment: str) -> None:
        self.log = WORK / f"{name}-{port}.log"
        self.port = port
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **environment}
            )

    def wait(self, listens: "object") -> "Server":
        until = time.monotonic() + PATIENCE_S
        while not listens(self.port):
            self.check()
            if time.monotonic() > until:
                sys.exit(f"{self.process.args[0]}, which the clients are proved against, does not listen")
            time.sleep(0.01)
        return self

    def check(self) -> None:
        if (status := self.process.poll()) is not None:
            last = self.log.read_text(errors="replace").strip().splitlines()[-1:]
            sys.exit(f"{self.process.args[0]}, which the clients are proved against, ended ({status}): {''.join(last)}")


def listens_udp(port: int) -> bool:
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    return any(f":{port:04X} " in line.split(" rem")[0] for line in lines)


def listens_tcp(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def start(argv: list, *rest: object, **environment: str) -> Server:
    try:
        return Server(Path(argv[0]).name, argv, *rest, **environment)
    except OSError as error:
        sys.exit(f"{argv[0]}, which the clients are proved against, cannot be started: {error.strerror}")


def start_good_quic(port: int) -> Server:
    """Start a server that offers all four suites and logs the one that was negotiated."""
    pem = PROOF["server_pem"]
    argv = ["/usr/sbin/gtlsserver", "--no-quic-dump", "--no-http-dump", "-d", PROOF["bodies"]]
    return start([*argv, "127.0.0.1", str(port), pem, pem], port)


def start_good_tcp(port: int, suites: list) -> Server:
    """Start a server that has these suites alone, so that an answer proves which one it was."""
    config = WORK / f"openssl-{port}.cnf"
    config.write_text(OPENSSL_CONF.format(suites=":".join(suites)))
    pem = PROOF["server_pem"]
    argv = ["/usr/sbin/nghttpd", "--address=127.0.0.1", f"--htdocs={PROOF['bodies']}", str(port), pem, pem]
    return start(argv, port, OPENSSL_CONF=str(config))


def ask(proof: dict) -> dict:
    """Make one request; on a machine that is short of time a client may need a second try."""
    for _ in range(3):
        got = ask_once(proof)
        if got["exit_code"] != clients.TIMED_OUT:
            break
    return got


def ask_once(proof: dict) -> dict:
    job = {
        **{key: PROOF[key] for key in ("server_name", "ca", "bodies", "request_s", "requests")},
        **{key: proof[key] for key in ("client", "own", "suite", "transport", "port")},
        "folder": str(WORK / proof["folder"]),
    }
    code, requests = clients.ask(job)
    return requests[0] if requests else {**clients.make_blank(""), "exit_code": code, "error": "it said nothing"}


def make_line(proof: dict, got: dict, negotiated: "str | None") -> dict:
    """Return the line of one proof. ``negotiated``: as the server says; ``None`` where it has no choice."""
    wanted, (request,) = proof["suite"], PROOF["requests"]
    if got["exit_code"]:
        problem = got["error"] or f"exit code {got['exit_code']}"
    elif got["status"] != 200 or got["sha256"] != request["sha256"]:
        problem = f"status {got['status']}, {got['bytes_received']} bytes"
    elif got["http_version"] != proof["http_version"]:
        problem = f"answered over HTTP/{got['http_version']}"
    elif wanted and negotiated is not None and negotiated != wanted:
        problem = f"forced to {wanted}, it negotiated {negotiated}"
    else:
        problem = ""
    return {
        "client": proof["name"],
        "version": VERSIONS[proof["name"]],
        "transport": proof["transport"],
        "suite": wanted,
        "ok": not problem,
        "message": problem or f"negotiated {negotiated or wanted or 'what it likes'}",
    }


def prove_over_quic(proof: dict, server: Server) -> dict:
    server.check()
    before = server.log.stat().st_size
    got = ask(proof)
    server.check()
    with server.log.open("rb") as log:
        log.seek(before)
        found = re.findall(rb"^Negotiated cipher suite is (\S+)", log.read(), re.M)
    name = found[-1].decode() if found else "nothing"
    return make_line(proof, got, NAMES.get(name, name))


def prove_over_tcp(proof: dict, server: Server) -> dict:
    server.check()
    got = ask(proof)
    server.check()
    return make_line(proof, got, None)


def prove(proof: dict) -> dict:
    server = SERVERS[find_place(proof)]
    if not VERSIONS[proof["name"]]:
        missing = {**clients.make_blank(""), "exit_code": 1, "error": f"the client image has no {proof['client']}"}
        return make_line(proof, missing, None)
    if proof["transport"] == "h3":
        return prove_over_quic(proof, server.wait(listens_udp))
    return prove_over_tcp(proof, server.wait(listens_tcp))


def start_server(proof: dict) -> Server:
    if proof["transport"] == "h3":
        return start_good_quic(proof["port"])
    return start_good_tcp(proof["port"], [proof["suite"]] if proof["suite"] else list(NAMES.values()))


def find_place(proof: dict) -> tuple:
    return proof["transport"], proof["port"]


def find_chain(proof: dict) -> tuple:
    """Return the chain of a proof. Those of one chain run in turn: a line of the server's log is of the current one."""
    return proof["transport"], proof["name"]


def prove_chain(key: tuple) -> list:
    return [prove(proof) for proof in PROOF["proofs"] if find_chain(proof) == key]


# All servers start at once, and the chains are proved side by side: a run waits for this.
SERVERS = {key: start_server(proof) for key, proof in {find_place(one): one for one in PROOF["proofs"]}.items()}
VERSIONS = {
    name: clients.find_version(client, declared if own else None)
    for name, client, own, declared in {
        tuple(proof[key] for key in ("name", "client", "own", "declared_version")) for proof in PROOF["proofs"]
    }
}
with ThreadPoolExecutor() as pool:
    for lines in pool.map(prove_chain, dict.fromkeys(map(find_chain, PROOF["proofs"]))):
        for line in lines:
            print(json.dumps(line), flush=True)
