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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import clients

SESSION = json.loads(Path(sys.argv[1]).read_text())
WORK = Path(SESSION["work"])
TAIL = 65536  # bytes of a log that are handed on
FILES = 64  # of a cell that are handed on
# Seconds in which a process that died has its status written; QEMU needs some for a crash, and gdb more.
DYING = SESSION.get("dying_s", 2)
# Seconds in which it may yet die where all went well, as it closes the connection.
CLOSING = SESSION.get("closing_s", 0.05)
NAP = 0.02  # seconds that it sleeps beside a client, to see how late it wakes
TRACING = None  # of a traced attempt, which has one cell
STATS, STATS_S = 1 << 22, 2  # HAProxy's own statistics: some 100 KiB, at once


def is_listening(port: int) -> bool:
    """Return whether the QUIC listener is open: the client shares the server's network namespace."""
    wanted = f":{port:04X} "
    return any(wanted in line.split(" rem")[0] for line in Path("/proc/net/udp").read_text().splitlines()[1:])


def read_status(folder: Path, name: str = "status") -> "int | None":
    try:
        return int((folder / name).read_text())
    except (FileNotFoundError, ValueError):
        return None


def wait_ready(cell: dict, folder: Path) -> "float | None":
    started = time.monotonic()
    while time.monotonic() - started < SESSION["ready_s"]:
        if is_listening(cell["port"]):
            return time.monotonic() - started
        if read_status(folder) is not None:
            return None
        time.sleep(0.01)
    return None


def run_exchange(cell: dict, transport: str) -> dict:
    """Make the requests of one exchange. Over TCP our curl asks, whatever the cell's client is."""
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
    # By hand: each session waits for what this script imports, and urllib.request imports a lot.
    try:
        with socket.create_connection(("127.0.0.1", SESSION["origin_port"]), timeout=3) as origin:
            origin.sendall(b"GET /1k HTTP/1.0\r\n\r\n")
            return read_all(origin).split(maxsplit=2)[1:2] == [b"200"]
    except OSError:
        return False


def origin_listens() -> bool:
    try:
        socket.create_connection(("127.0.0.1", SESSION["origin_port"]), timeout=1).close()
    except OSError:
        return False
    return True


def read_statistics(folder: Path) -> bytes:
    """Return HAProxy's statistics; empty where it does not answer."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(STATS_S)
            client.connect(str(folder / "stats.sock"))
            client.sendall(b"show stat typed\n")
            answer = read_all(client)
    except OSError:
        return b""
    (folder / "stats.txt").write_bytes(answer)
    return answer


def count_handshake_failures(statistics: bytes) -> "int | None":
    """Return HAProxy's counter quic_hdshk_fail: a refusal shows there at once, while curl tries until its time-out."""
    # F.2.0.66.quic_hdshk_fail.1:MCP:u64:3
    lines = (line.rpartition(b":") for line in statistics.splitlines() if line.startswith(b"F."))
    values = [value for name, _, value in lines if b".quic_hdshk_fail." in name]
    counts = [int(value) for value in values if value.isdigit() and len(value) < 19]
    return sum(counts) if counts else None


def read_all(client: socket.socket) -> bytes:
    """Return what the server says until it closes; no more than STATS bytes, and for no more than STATS_S seconds."""
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


def probe(cell: dict) -> tuple:
    """Return the phase in which the exchanges ended, and what they showed."""
    with Lateness() as lateness:
        phase, result = ask(cell, WORK / cell["folder"])
    return phase, {**result, "late_s": lateness.worst}


def ask(cell: dict, folder: Path) -> tuple:
    started = time.monotonic()
    ready = wait_ready(cell, folder)
    result = {"id": cell["id"], "ready_s": ready, "h3": None, "control": None, "handshake_failures": None}
    result["origin_ok"] = None
    phase = "start"
    if ready is not None:
        if TRACING:
            TRACING.ask_for_traces(folder)
        phase = "h3"
        result["h3"] = run_exchange(cell, phase)
        statistics = read_statistics(folder)
        result["handshake_failures"] = count_handshake_failures(statistics)
        result["origin_ok"] = origin_answers()
        # Its one thread writes statistics in several turns: one that ends them has outlived the connection's end.
        lives = is_good(result["h3"]) and statistics.endswith(b"\n\n")
        if not wait_for_end(folder, 0 if lives else DYING) and result["origin_ok"]:
            result["control"] = run_exchange(cell, "control")
            phase = "stop" if is_good(result["control"]) else "control"
    result["duration_s"] = time.monotonic() - started
    return phase, result


def report(cell: dict, phase: str, result: dict) -> None:
    """Print a cell's line, once its process has had time to die, which it may do after the last exchange."""
    folder = WORK / cell["folder"]
    wait_for_end(folder, {"control": DYING, "stop": CLOSING}.get(phase, 0))
    result["exit_code"] = read_status(folder)
    result["ended_in"] = None if result["exit_code"] is None else phase
    result["files"] = read_evidence(folder)
    if TRACING:
        result["traced"] = TRACING.end(folder)
    print(json.dumps({"kind": "cell", **result}), flush=True)


def probe_all(cells: list) -> None:
    """Ask cell by cell; the next one is asked while a cell is reported, which may take a while."""
    with ThreadPoolExecutor(1) as reporter:
        reports = [reporter.submit(report, cell, *probe(cell)) for cell in cells]
    for one in reports:
        one.result()


def is_good(exchange: dict) -> bool:
    return not exchange["exit_code"] and all(one["status"] == 200 for one in exchange["requests"])


def wait_for_end(folder: Path, seconds: float) -> bool:
    """Wait, at most so many seconds, until the process has ended; return whether it has."""
    until = time.monotonic() + seconds
    while read_status(folder) is None and time.monotonic() < until:
        time.sleep(0.01)
    return read_status(folder) is not None


def read_evidence(folder: Path) -> dict:
    """Return the small text files of a cell, the end of each where it is long."""
    kept = (".log", ".stderr", ".json", ".txt", ".headers", ".cfg", ".curlrc")
    # The server writes into this folder, too: a million files are looked at no more than a few.
    found = sorted(itertools.islice(folder.iterdir(), 1000))
    chosen = [path for path in found if path.suffix in kept and path.is_file()]
    return {path.name: read_tail(path) for path in chosen[:FILES]}


def read_tail(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - TAIL))
        text = file.read(TAIL).decode(errors="replace")
    return text if size <= TAIL else f"(cut: the last {TAIL} of {size} bytes)\n{text}"


def describe_server() -> dict:
    """Return what the machine and the binary say of themselves; both are written by the supervisor."""
    until = time.monotonic() + SESSION["ready_s"]
    while not all((WORK / name).exists() for name in ("vv.status", "cpu.txt")) and time.monotonic() < until:
        time.sleep(0.01)
    # The origin starts with this container: an early request would meet a closed port, and HAProxy
    # would answer 503 for it.
    while not origin_listens() and time.monotonic() < until:
        time.sleep(0.01)
    written = {name: WORK / f"{name}.txt" for name in ("cpu", "vv")}
    texts = {name: read_tail(path) if path.exists() else "" for name, path in written.items()}
    # Not of `uname -m`: the shell is native where HAProxy is emulated.
    machine = re.search(r'^uname\.machine="(.*)"$', texts["cpu"], re.MULTILINE)
    said = {"machine": machine[1] if machine else "", **texts}
    return {"kind": "server", "vv_status": read_status(WORK, "vv.status"), **said}


clients.limit_files()
if SESSION.get("traced"):
    import tracing

    TRACING = tracing.Tracing(WORK, SESSION["ready_s"])
    TRACING.begin()
print(json.dumps(describe_server()), flush=True)
probe_all(SESSION["cells"])
