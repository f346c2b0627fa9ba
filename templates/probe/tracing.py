"""What a traced attempt leaves behind beside an ordinary one; part of the driver. Standard library only.

The clients write their TLS keys and qlogs where the environment says, HAProxy its QUIC traces into its own log, and
capture.sh, in a container beside this one, the packets.
"""

import os
import re
import shutil
import socket
import time
from pathlib import Path

STARTS, ENDS = 5, 5  # seconds that a capture, and HAProxy's socket, has to begin; a capture, to be written to its end
LOG, HEAD = 1 << 20, 1 << 18  # bytes that are kept of HAProxy's log with its traces, and of them at its beginning
MIDDLE = 1 << 19  # bytes that are kept beside, of lines from between
QLOG, QLOGS = 2 << 20, 4  # bytes of one, and how many
ANSWER_S = 2
COMMANDS = "; ".join(
    [
        "expert-mode on",  # what HAProxy before 3.1 wants for `trace`
        *(
            f"trace {source} {words}"
            # Not "developer", which is each function's beginning and end, and four fifths of the text.
            # From 3.4 on qmux is an alias of qcm. Only "minimal" names the stream.
            for source, level, verbosity in (
                ("quic", "data", "clean"), ("qmux", "state", "minimal"), ("h3", "state", "minimal")
            )
            for words in ("sink stdout", f"level {level}", f"verbosity {verbosity}", "start now")
        ),
    ]
)


# What is sent and received packet by packet, with its further lines: four fifths of the text, and in the capture.
PACKETS = re.compile(rb"\[\d+\|quic\||\s")


class Tracing:
    """One attempt at one cell. ``patience_s``: seconds that this server may take to begin."""

    def __init__(self, work: Path, patience_s: float = 0) -> None:
        self.patience_s = max(STARTS, patience_s)
        self.folder, self.notes = work / "traced", []
        self.qlogs = work / "qlogs"

    def begin(self) -> None:
        """Let the capture begin, and set where the clients write their keys."""
        self.qlogs.mkdir()
        before = os.umask(0)
        self.folder.mkdir(0o777)  # capture.sh is another user, who waits for this
        os.umask(before)
        os.environ.update(SSLKEYLOGFILE=str(self.folder / "keys.log"), QLOGDIR=str(self.qlogs))
        if not wait_for(lambda: read_size(self.folder / "capture.pcapng"), STARTS):
            self.notes.append(f"no packets were captured in {STARTS} s: {read_reason(self.folder / 'dumpcap.log')}")

    def ask_for_traces(self, folder: Path) -> None:
        """Have HAProxy trace from now on, to its log."""
        try:
            with connect(folder / "stats.sock", self.patience_s) as client:
                client.sendall(f"{COMMANDS}\n".encode())
                answer = b""
                while piece := client.recv(4096):  # to its end: a client that goes away takes its commands with it
                    answer = (answer + piece)[:4096]
        except OSError as error:
            self.notes.append(f"HAProxy traces nothing: {error}")
        else:
            if words := answer.decode(errors="replace").split():
                self.notes.append(f"HAProxy says to `trace`: {' '.join(words)[:400]}")

    def end(self, folder: Path) -> dict:
        """Have the capture written to its end; return the names of what is to be kept, and what is missing or cut."""
        (self.folder / "stop").touch()
        if read_size(self.folder / "capture.pcapng") and not wait_for((self.folder / "captured").exists, ENDS):
            self.notes.append(f"the capture was not written to its end in {ENDS} s")
        self.keep_log(folder / "haproxy.log")
        self.keep_qlogs()
        if not read_size(self.folder / "keys.log"):
            self.notes.append("the client wrote no TLS keys")
        return {"notes": self.notes, "qlogs": sorted(path.name for path in self.folder.glob("qlog-*"))}

    def keep_log(self, path: Path) -> None:
        """Keep beginning and end of HAProxy's log; from between the lines that are not about single packets."""
        total = read_size(path)
        with path.open("rb") as file, (self.folder / "haproxy.log").open("wb") as kept:
            if total <= LOG:
                shutil.copyfileobj(file, kept)
                return
            kept.write(file.read(HEAD))
            between = total - LOG
            lines = file.read(between).splitlines(keepends=True)
            # The first and the last are parts of lines.
            others = [line for line in lines[1:-1] if not PACKETS.match(line)]
            told, cut = b"".join(others), between
            if others and len(told) <= MIDDLE:
                cut -= len(told)
                kept.write(f"\n(cut: {cut} of {total} bytes, these are lines of between)\n".encode() + told)
            kept.write(f"\n(cut: {cut} of {total} bytes)\n".encode())
            kept.write(file.read(LOG - HEAD))
        which = "most of it about single packets" if cut < between else "in the middle"
        self.notes.append(f"haproxy.log: {cut} of its {total} bytes are cut, {which}")

    def keep_qlogs(self) -> None:
        found = sorted(path for path in self.qlogs.iterdir() if path.is_file())
        for number, path in enumerate(found[:QLOGS], 1):
            if read_size(path) > QLOG:
                self.notes.append(f"a qlog of {read_size(path)} bytes is left out, which is more than {QLOG}")
            else:
                path.rename(self.folder / f"qlog-{number}{path.suffix}")
        if len(found) > QLOGS:
            self.notes.append(f"{len(found) - QLOGS} qlogs more are left out")


def connect(path: Path, patience_s: float) -> socket.socket:
    """Return a connection to HAProxy's socket, which opens a moment after its QUIC listener; under QEMU later."""
    until = time.monotonic() + patience_s
    while True:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(ANSWER_S)
        try:
            client.connect(str(path))
        except OSError:
            client.close()
            if time.monotonic() >= until:
                raise
            time.sleep(0.02)
        else:
            return client


def read_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def read_reason(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()[:400] or "nothing says why"
    except OSError:
        return "its container did not begin"


def wait_for(is_there: object, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not (found := is_there()) and time.monotonic() < until:
        time.sleep(0.02)
    return bool(found)
