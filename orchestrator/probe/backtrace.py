"""Run one cell, whose server crashed, once more under gdb, and read what gdb said of it."""

import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from orchestrator import bounds
from orchestrator.execute.engine.engine import Engine
from orchestrator.matrix.model import Cell, Limits
from orchestrator.outcome import Reason
from orchestrator.plan.render import Renderer
from orchestrator.probe import session
from orchestrator.probe.certificates import Certificates
from orchestrator.probe.classify import CRASHES
from orchestrator.probe.session_files import make_session_files
from orchestrator.record.model import CellRecord

TRIES = 3
"""How often a cell is run under gdb until it crashes again."""
_CLOSING = 5
"""Seconds after an exchange that went well in which a process may yet die."""
_FRAMES = 12
"""Frames that a record keeps; the file has all."""
_STOPPED = re.compile(r"^(?:Program|Thread .*) received signal (SIG[A-Z0-9]+)", re.MULTILINE)
_FRAMES_OF = re.compile(r"^== bt\n(.*?)(?=^== |\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class GdbOutput:
    """What gdb said in one run. ``signal`` is empty where the server did not crash."""

    signal: str
    frames: tuple[str, ...]
    text: str


def is_crash(cell: CellRecord) -> bool:
    """Return whether its server died of a signal at which gdb can stop, or a sanitizer ended it."""
    server = cell.observations.server if cell.observations else None
    died = cell.reason is Reason.SERVER_CRASHED and server is not None and server.signal in CRASHES
    return died or cell.reason is Reason.SANITIZER


def make_debug_files(
    renderer: Renderer, cell: Cell, limits: Limits, certificates: Certificates
) -> Mapping[str, bytes]:
    """Return the files of a session of one cell, with gdb in place of the supervisor."""
    files = make_session_files(renderer, [cell], limits, certificates)
    patience = {"dying_s": session.DEBUGGING, "closing_s": _CLOSING}
    return {
        **files,
        "supervise.sh": renderer.read_source("probe/debug.sh").encode(),
        "session.json": json.dumps({**json.loads(files["session.json"]), **patience}).encode(),
        **{name: renderer.read_source(f"probe/{name}").encode() for name in ("handle.gdb", "backtrace.gdb")},
    }


def run_under_gdb(engine: Engine, made: session.Session) -> GdbOutput:
    """Run the session of one cell under gdb, once.

    :raises EngineError, DeadlineError: where the harness failed.
    """
    said: list[str] = []

    def read(raw: session.Raw) -> None:
        if raw.get("kind") == "cell" and isinstance(files := raw.get("files"), Mapping):
            said.append(str(files.get("backtrace.txt", "")))

    session.run(engine, replace(made, debugged=True), read)
    return parse("".join(said))


def parse(text: str) -> GdbOutput:
    """Read what gdb said: the signal at which it stopped, and the frames of that thread."""
    text = bounds.cut(text, bounds.EVIDENCE)
    stopped = [name for name in _STOPPED.findall(text) if name in CRASHES]
    return GdbOutput(
        signal=stopped[-1] if stopped else "", frames=_read_frames(text) if stopped else (), text=text
    )


def _read_frames(text: str) -> tuple[str, ...]:
    found = _FRAMES_OF.search(text)
    frames = [line for line in found[1].splitlines() if line.startswith("#")] if found else []
    return tuple(bounds.cut(line, bounds.WORDS) for line in frames[:_FRAMES])


def hash_code(program: bytes) -> str:
    """Return the SHA-256 of a program's section .text; empty where it has none or is no ELF file."""
    try:
        section = ELFFile(io.BytesIO(program)).get_section_by_name(".text")
        return hashlib.sha256(section.data()).hexdigest() if section else ""
    except (ELFError, AssertionError, OverflowError, ValueError):
        return ""


def has_lines(program: bytes) -> bool:
    """Return whether a program carries debug information (the section .debug_info)."""
    try:
        return ELFFile(io.BytesIO(program)).get_section_by_name(".debug_info") is not None
    except (ELFError, AssertionError, OverflowError, ValueError):
        return False


def write_head(cell: Cell, tries: Sequence[GdbOutput], symbols: str) -> str:
    """Return the lines above what gdb said: what this is, and how much it is worth."""
    ended = f"it crashed in try {len(tries)}" if tries[-1].signal else "it did not crash again"
    count = "1 try" if len(tries) == 1 else f"{len(tries)} tries"
    return (
        f"A second run of {cell.id} under gdb: it changes no outcome. {count} of {TRIES}, {ended}.\n"
        f"Symbols: {symbols}.\n\n"
    )
