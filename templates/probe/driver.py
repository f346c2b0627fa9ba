"""Asks the servers of one build, cell by cell, and prints one JSON line per cell.

Runs in the client's container with the standard library alone. It judges nothing: it reports what
the client, the server's process and the origin showed. Usage: driver.py SESSION.json
"""

import itertools
import json
import re
import socket
import sys
import threading
import time
import urllib.request
from pathlib import Path

import clients

SESSION = json.loads(Path(sys.argv[1]).read_text())
WORK = Path(SESSION["work"])
TAIL = 65536  # bytes of a log that are handed on
FILES = 64  # of a cell that are handed on
# Seconds in which a process that died has its status written; QEMU needs some for a crash, and gdb more.
DYING = SESSION.get("dying_s", 2)
CLOSING = SESSION.get("closing_s", 0.05)  # of them where all went well, since a process may also die as it closes the connection
NAP = 0.02  # seconds that it sleeps beside a client, to see how late it wakes
TRACING = None  # of a traced attempt, which has one cell
STATS, STATS_S = 1 << 22, 2  # HAProxy's own statistics: some 100 KiB, at once


def listening(port: int) -> bool:
    """The QUIC listener is open: the client shares the server's network namespace."""
    wanted = f":{port:04X} "
    return any(wanted in line.split(" rem")[0] for line in Path("/proc/net/udp").read_text().splitlines()[1:])


def status(folder: Path, name: str = "status") -> "int | None":
    try:
        return int((folder / name).read_text())
    except (FileNotFoundError, ValueError):
        return None


def wait_ready(cell: dict, folder: Path) -> "float | None":
    started = time.monotonic()
    while time.monotonic() - started < SESSION["ready_s"]:
        if listening(cell["port"]):
            return time.monotonic() - started
        if status(folder) is not None:
            return None
        time.sleep(0.01)
    return None


def exchange(cell: dict, transport: str) -> dict:
    """The requests of one exchange. Over TCP it is our curl that asks, whoever the cell's client is."""
    job = {
        **{key: SESSION[key] for key in ("server_name", "ca", "bodies", "request_s", "requests")},
        **{key: cell[key] for key in ("suite", "port")},
        "client": cell["client" if transport == "h3" else "control_client"],
        "own": cell["own"] and transport == "h3",
        "folder": str(WORK / cell["folder"]),
        "transport": transport,
    }
    started = time.monotonic()
    code, requests = clients.ask(job)
    return {"exit_code": code, "duration_s": time.monotonic() - started, "requests": requests}


def origin_answers() -> bool:
    try:
        url = f"http://127.0.0.1:{SESSION['origin_port']}/1k"
        with urllib.request.urlopen(url, timeout=3) as answer:
            return answer.status == 200
    except OSError:
        return False


def origin_listens() -> bool:
    try:
        socket.create_connection(("127.0.0.1", SESSION["origin_port"]), timeout=1).close()
    except OSError:
        return False
    return True


def handshake_failures(folder: Path) -> "int | None":
    """HAProxy's counter quic_hdshk_fail: a refusal shows there at once, while curl tries until its time-out."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(STATS_S)
            client.connect(str(folder / "stats.sock"))
            client.sendall(b"show stat typed\n")
            answer = everything(client)
    except OSError:
        return None
    (folder / "stats.txt").write_bytes(answer)
    # F.2.0.66.quic_hdshk_fail.1:MCP:u64:3
    lines = (line.rpartition(b":") for line in answer.splitlines() if line.startswith(b"F."))
    values = [value for name, _, value in lines if b".quic_hdshk_fail." in name]
    counts = [int(value) for value in values if value.isdigit() and len(value) < 19]
    return sum(counts) if counts else None


def everything(client: socket.socket) -> bytes:
    """What the server says until it closes; no more than STATS bytes, and for no more than STATS_S seconds."""
    answer, until = b"", time.monotonic() + STATS_S
    while len(answer) < STATS and time.monotonic() < until and (piece := client.recv(65536)):
        answer += piece
    return answer


class Lateness(threading.Thread):
    """Measures how late this process wakes up: a client that wakes as late may miss its deadline."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.over, self.worst = threading.Event(), 0.0

    def run(self) -> None:
        while not self.over.is_set():
            due = time.monotonic() + NAP
            self.over.wait(NAP)
            if not self.over.is_set():
                self.worst = max(self.worst, time.monotonic() - due)

    def __enter__(self) -> "Lateness":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()


def probe(cell: dict) -> dict:
    with Lateness() as lateness:
        result = ask(cell)
    return {**result, "late_s": lateness.worst}


def ask(cell: dict) -> dict:
    folder = WORK / cell["folder"]
    started = time.monotonic()
    ready = wait_ready(cell, folder)
    result = {"id": cell["id"], "ready_s": ready, "h3": None, "control": None, "handshake_failures": None}
    result["origin_ok"] = None
    phase = "start"
    if ready is not None:
        if TRACING:
            TRACING.ask_for_traces(folder)
        phase = "h3"
        result["h3"] = exchange(cell, phase)
        result["handshake_failures"] = handshake_failures(folder)
        result["origin_ok"] = origin_answers()
        if not ended(folder, result["h3"]) and result["origin_ok"]:
            phase = "control"
            result["control"] = exchange(cell, phase)
            ended(folder, result["control"])
            phase = "stop" if went_well(result["control"]) else phase
    result["exit_code"] = status(folder)
    result["ended_in"] = None if result["exit_code"] is None else phase
    result["duration_s"] = time.monotonic() - started
    result["files"] = evidence(folder)
    if TRACING:
        result["traced"] = TRACING.end(folder)
    return result


def went_well(exchange: dict) -> bool:
    return not exchange["exit_code"] and all(one["status"] == 200 for one in exchange["requests"])


def ended(folder: Path, exchange: dict) -> bool:
    """Whether the process has ended, by an exchange that is over: a dying one is waited for, until it says so."""
    until = time.monotonic() + (CLOSING if went_well(exchange) else DYING)
    while status(folder) is None and time.monotonic() < until:
        time.sleep(0.01)
    return status(folder) is not None


def evidence(folder: Path) -> dict:
    """The small text files of a cell, the end of each where it is long."""
    kept = (".log", ".stderr", ".json", ".txt", ".headers", ".cfg", ".curlrc")
    # The server writes into this folder, too: a million files are looked at no more than a few.
    found = sorted(itertools.islice(folder.iterdir(), 1000))
    chosen = [path for path in found if path.suffix in kept and path.is_file()]
    return {path.name: tail(path) for path in chosen[:FILES]}


def tail(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - TAIL))
        text = file.read(TAIL).decode(errors="replace")
    return text if size <= TAIL else f"(cut: the last {TAIL} of {size} bytes)\n{text}"


def server() -> dict:
    """What the machine and the binary say of themselves; both are written by the supervisor."""
    until = time.monotonic() + SESSION["ready_s"]
    while not (WORK / "vv.status").exists() and time.monotonic() < until:
        time.sleep(0.01)
    # The origin starts with this container: an early request would meet a closed port, and HAProxy
    # would answer 503 for it.
    while not origin_listens() and time.monotonic() < until:
        time.sleep(0.01)
    written = {name: WORK / f"{name}.txt" for name in ("cpu", "vv")}
    texts = {name: tail(path) if path.exists() else "" for name, path in written.items()}
    # Not of `uname -m`: the shell is native where HAProxy is emulated.
    machine = re.search(r'^uname\.machine="(.*)"$', texts["cpu"], re.MULTILINE)
    said = {"machine": machine[1] if machine else "", **texts}
    return {"kind": "server", "vv_status": status(WORK, "vv.status"), **said}


clients.limit_files()
if SESSION.get("traced"):
    import tracing

    TRACING = tracing.Tracing(WORK, SESSION["ready_s"])
    TRACING.begin()
print(json.dumps(server()), flush=True)
for declared in SESSION["cells"]:
    print(json.dumps({"kind": "cell", **probe(declared)}), flush=True)
