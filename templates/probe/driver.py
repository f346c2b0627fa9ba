"""Asks the servers of one build, cell by cell, and prints one JSON line per cell.

Runs in the client's container with the standard library alone. It judges nothing: it reports what
curl, the server's process and the origin showed. Usage: driver.py SESSION.json
"""

import hashlib
import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

SESSION = json.loads(Path(sys.argv[1]).read_text())
WORK = Path(SESSION["work"])
KEPT = 4096  # bytes of a body that are handed on
TAIL = 65536  # bytes of a log that are handed on


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


def headers(path: Path) -> dict:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    return {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines) if v}


def body(path: Path) -> dict:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {"length": 0, "sha256": None, "text": None}
    path.write_bytes(data[:KEPT])
    text = data.decode(errors="replace") if len(data) < KEPT else None
    return {"length": len(data), "sha256": hashlib.sha256(data).hexdigest(), "text": text}


def parsed(line: str) -> "dict | None":
    """One line of curl's; ``None`` for one that its end has cut."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def exchange(transport: str, folder: Path) -> dict:
    """One curl process; every request has its own fresh output files."""
    for stale in folder.glob(f"{transport}.*.*"):
        stale.unlink()
    started = time.monotonic()
    with (folder / f"{transport}.stderr").open("wb") as stderr:
        try:
            done = subprocess.run(
                ["curl", "--config", str(folder / f"{transport}.curlrc")],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                timeout=SESSION["request_s"] * 4,
                check=False,
            )
            code, output = done.returncode, done.stdout
        except subprocess.TimeoutExpired as error:
            code, output = 124, error.stdout or b""
    lines = list(filter(None, map(parsed, output.decode(errors="replace").splitlines())))
    requests = [
        {
            "name": name,
            "curl": line,
            "headers": headers(folder / f"{transport}.{name}.headers"),
            "body": body(folder / f"{transport}.{name}.body"),
        }
        for name, line in zip(SESSION["requests"], lines)
    ]
    (folder / f"{transport}.json").write_text(json.dumps(lines, indent=1))
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
            client.settimeout(2)
            client.connect(str(folder / "stats.sock"))
            client.sendall(b"show stat typed\n")
            answer = b"".join(iter(lambda: client.recv(65536), b""))
    except OSError:
        return None
    (folder / "stats.txt").write_bytes(answer)
    counts = re.findall(rb"^F\..*\.quic_hdshk_fail\..*:(\d+)$", answer, re.M)
    return sum(map(int, counts)) if counts else None


def probe(cell: dict) -> dict:
    folder = WORK / cell["folder"]
    started = time.monotonic()
    ready = wait_ready(cell, folder)
    result = {"id": cell["id"], "ready_s": ready, "h3": None, "control": None, "handshake_failures": None}
    result["origin_ok"] = None
    if ready is not None:
        result["h3"] = exchange("h3", folder)
        result["handshake_failures"] = handshake_failures(folder)
        result["origin_ok"] = origin_answers()
        if result["origin_ok"]:
            result["control"] = exchange("control", folder)
        if result["h3"]["exit_code"] or any(
            request["curl"]["http_code"] != 200 for request in result["h3"]["requests"]
        ):
            time.sleep(0.2)  # a dying process needs a moment until its status is written
    result["exit_code"] = status(folder)
    result["duration_s"] = time.monotonic() - started
    result["files"] = evidence(folder)
    return result


def evidence(folder: Path) -> dict:
    """The small text files of a cell, the end of each where it is long."""
    kept = (".log", ".stderr", ".json", ".txt", ".headers", ".cfg", ".curlrc")
    return {path.name: tail(path) for path in sorted(folder.iterdir()) if path.suffix in kept}


def tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        return file.read(TAIL).decode(errors="replace")


def server() -> dict:
    """What the machine and the binary say of themselves; both are written by the supervisor."""
    until = time.monotonic() + SESSION["ready_s"]
    while not (WORK / "vv.status").exists() and time.monotonic() < until:
        time.sleep(0.01)
    # The origin starts with this container: an early request would meet a closed port, and HAProxy
    # would answer 503 for it.
    while not origin_listens() and time.monotonic() < until:
        time.sleep(0.01)
    written = {name: WORK / f"{name}.txt" for name in ("machine", "auxv", "vv")}
    texts = {name: tail(path) if path.exists() else "" for name, path in written.items()}
    cpuinfo = Path("/proc/cpuinfo").read_text()
    return {"kind": "server", "vv_status": status(WORK, "vv.status"), "cpuinfo": cpuinfo[:TAIL], **texts}


print(json.dumps(server()), flush=True)
for declared in SESSION["cells"]:
    print(json.dumps({"kind": "cell", **probe(declared)}), flush=True)
