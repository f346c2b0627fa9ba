"""Limits for what containers, servers and the engine say; a text that was cut says so.

Without a limit a server that logs without end, or a build that prints a gigabyte, would fill the memory or
the disk of the machine that tests it. The limits inside the containers stand in templates/probe/clients.py,
templates/probe/supervise.sh and orchestrator/execute/compile.py.
"""

from collections.abc import Iterable

_MIB = 1 << 20
OUTPUT = _MIB
"""Bytes of a program's stdout, and of its stderr: the beginning."""
LINE = 32 * _MIB
"""Bytes of one line of the probe driver: a cell's evidence, which is 64 files of 64 KiB at most."""
LOG = 8 * _MIB
"""Bytes of a build's log; of a longer one only the end is kept, which has LOG_END bytes."""
LOG_END = 256 << 10
ARCHIVE = 1024 * _MIB
"""Bytes of one archive out of a container; the largest library that we build has 100 MiB."""
IMAGE = 4096 * _MIB
"""Bytes of one saved image, and of all files in it; the largest toolchain of ours has 1.4 GiB."""
REFS = 32 * _MIB
"""Bytes that git may say of a repository's refs, and of itself; HAProxy's refs have 100 KiB."""
BLOB = 64 * _MIB
"""Bytes of one file on the branch of a history, packed; GitHub takes files of up to 100 MiB."""
UNPACKED = 1024 * _MIB
"""Bytes of the same, unpacked."""
EVIDENCE = _MIB
"""Characters of one file of evidence, as the driver handed it on."""
EVIDENCE_FILES = 64
"""Files of evidence of one attempt."""
CAPTURE = 8 * _MIB
"""Bytes of the packets of one traced cell: the beginning. An exchange and its control take 4.5 MiB."""
TRACED = 16 * _MIB
"""Bytes of all files of one traced cell."""
TRACED_RUN = 256 * _MIB
"""Bytes of all files of the traced cells of a run; no further cell is traced beyond it."""
SENT = 256 * _MIB
"""Bytes of evidence of one task of a cluster: they are in memory on the worker, and where the run is."""
MESSAGE = 16 << 10
"""Characters of one message in a record."""
WORDS = 400
"""Characters of what is one line in a record: of a log, of a client, of `haproxy -vv`."""


def cut(text: str, limit: int) -> str:
    """Return at most ``limit`` characters of ``text``, and how many are missing."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… (cut after {format_size(limit)}; {len(text) - limit} more characters)"


def format_size(count: int) -> str:
    """Return a limit for people, as ``1 MiB``."""
    for unit, name in ((_MIB, "MiB"), (1 << 10, "KiB")):
        if count >= unit and count % unit == 0:
            return f"{count // unit} {name}"
    return str(count)


class Head:
    """The beginning of a text that comes in pieces; the rest is counted and dropped."""

    def __init__(self, limit: int) -> None:
        self._limit, self._lost = limit, 0
        self._kept = bytearray()

    def add(self, data: bytes) -> None:
        """Add one more piece."""
        room = self._limit - len(self._kept)
        self._kept += data[:room]
        self._lost += max(0, len(data) - room)

    def get_content(self) -> bytes:
        """Return the kept part, and on an extra line how much was dropped."""
        if not self._lost:
            return bytes(self._kept)
        return (
            bytes(self._kept)
            + f"\n(cut after {format_size(self._limit)}; {self._lost} more bytes)\n".encode()
        )


class Lines:
    """Whole lines out of pieces.

    :raises OverflowError: by ``split``, where a line has more than ``limit`` bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._begun = bytearray()

    def split(self, data: bytes) -> Iterable[bytes]:
        """Return the lines that ``data`` completes, without their newlines."""
        *whole, rest = data.split(b"\n")
        for line in whole:
            yield bytes(self._begun + line)
            self._begun.clear()
        if len(self._begun) + len(rest) > self._limit:
            raise OverflowError(f"a line of more than {format_size(self._limit)}")
        self._begun += rest
