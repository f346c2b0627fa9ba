"""One probe session: the server container of one build, the client beside it, cell after cell.

The server has no network but its own loopback; the client joins that namespace and brings the origin.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from orchestrator import bounds
from orchestrator.errors import EngineError
from orchestrator.execute.engine.archive import pack
from orchestrator.execute.engine.engine import WORK, ContainerSpec, Engine, container, volume
from orchestrator.execute.system.deadline import explain_deadline
from orchestrator.frozen_value import replace_surrogates
from orchestrator.matrix.model import Limits
from orchestrator.probe.session_files import ORIGIN_PORT

_MIB = 1 << 20
_SERVER_BASE = 256 * _MIB
_SERVER_EACH = 64 * _MIB
"""Five emulated HAProxy processes take 166 MiB together, measured."""
_SERVER_EACH_ASAN = 512 * _MIB
"""With AddressSanitizer, which keeps up to 256 MiB of freed memory beside its shadow of the rest."""
_SERVER_DEBUGGED = 1024 * _MIB
"""With gdb beside it, which reads the symbols of a HAProxy and of its libraries."""
_CLIENT_MEMORY = 512 * _MIB

_SELFTEST = 15
"""Times the limit of a request. It takes less than a second, under QEMU a few (docs/performance.md)."""

DEBUGGING = 60
"""Seconds after an exchange in which gdb ends with what it says of a crash."""

Raw = Mapping[str, Any]
"""One JSON line of templates/probe/driver.py, or what the self-test said, of the kind ``selftest``."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """What one session needs. ``limits`` are already scaled for the server's architecture."""

    name: str
    """Unique among the containers of the engine; the run's id is part of it."""
    run_id: str
    server_image: str
    client_image: str
    platform: str
    """The engine's own: the server's emulator is a program of it, too."""
    haproxy: bytes
    selftest: bytes | None
    """The AEAD self-test, which is run before anything is asked; ``None``: not this time."""
    files: Mapping[str, bytes]
    cells: int
    limits: Limits
    cpus: float
    keep: bool
    loader: str
    """The path of the C library's loader, which says what a program sees of the server's machine."""
    asan: bool = False
    """HAProxy is compiled with AddressSanitizer."""
    debugged: bool = False
    """HAProxy runs under gdb, in an image that has one."""
    longest: float | None = None
    """Seconds after which it is cut off, where that is earlier than its limits say."""
    before: tuple[str, ...] = ()
    """Stands before HAProxy, the self-test and the loader: their variables, and any emulator."""


OnLine = Callable[[Raw], None]
"""Gets each line as it comes."""


def run(engine: Engine, session: Session, on_line: OnLine) -> None:
    """Start everything, probe, remove everything.

    :raises EngineError, DeadlineError: where the harness failed; lines that came before are good.
    """
    with open_session(engine, session):
        if session.selftest is not None:
            on_line(_run_selftest(engine, make_specs(session)[0].name, session))
        drive(engine, session, on_line)


@contextmanager
def open_session(engine: Engine, session: Session) -> Iterator[None]:
    """Start the server and the client beside it; both are gone afterwards, and so is their volume."""
    server, client = make_specs(session)
    programs = {"haproxy": session.haproxy}
    if session.selftest is not None:
        programs["selftest"] = session.selftest
    files = pack({**programs, **session.files}, executable=tuple(programs))
    with (
        volume(engine, server.volume, session.run_id, keep=session.keep),
        container(engine, server, files=files, keep=session.keep),
        container(engine, client, keep=session.keep),
    ):
        yield


def drive(engine: Engine, session: Session, on_line: OnLine) -> None:
    """Probe in containers that are there.

    :raises EngineError, DeadlineError: as ``run``.
    """
    name, (_, client) = session.name, make_specs(session)
    done = engine.exec(
        client.name,
        ("python3", f"{WORK}/driver.py", f"{WORK}/session.json"),
        timeout=_count_seconds(session),
        on_line=lambda line: on_line(_parse(line)),
    )
    if done.timed_out:
        raise explain_deadline(f"The probe session {name}", _count_seconds(session), "request")
    if done.exit_code != 0:
        tail = done.stderr.decode(errors="replace").strip().splitlines()[-5:]
        details = "\n".join(bounds.cut(line, bounds.WORDS) for line in tail)
        raise EngineError(
            f"The probe driver of {name} ended with exit code {done.exit_code}.", details=details
        )


def _run_selftest(engine: Engine, server: str, session: Session) -> Raw:
    argv = (*session.before, f"{WORK}/selftest")
    done = engine.exec(server, argv, timeout=_SELFTEST * session.limits.request, on_line=None)
    said = (done.stdout + done.stderr).decode(errors="replace")
    said = re.sub(r"^\S+: warning: TCG doesn't support requested feature.*\n", "", said, flags=re.MULTILINE)
    return {"kind": "selftest", "output": said, "exit_code": done.exit_code, "timed_out": done.timed_out}


def make_specs(session: Session) -> tuple[ContainerSpec, ContainerSpec]:
    """Return the server's container, and the client's in the same network namespace."""
    name = session.name
    server = ContainerSpec(
        name=f"{name}-server",
        run_id=session.run_id,
        image=session.server_image,
        platform=session.platform,
        argv=("sh", f"{WORK}/supervise.sh", WORK, session.loader, *session.before),
        network="none",
        volume=f"{name}-work",
        memory_bytes=_count_server_memory(session.cells, asan=session.asan)
        + (_SERVER_DEBUGGED if session.debugged else 0),
        cpus=session.cpus,
        pids=64 + 32 * session.cells,
    )
    client = server.model_copy(
        update={
            "name": f"{name}-client",
            "image": session.client_image,
            "argv": ("python3", f"{WORK}/origin.py", str(ORIGIN_PORT), WORK),
            "network": f"container:{server.name}",
            "memory_bytes": _CLIENT_MEMORY,
            "pids": 256,
        }
    )
    return server, client


def count_memory(cells: int, *, asan: bool = False) -> int:
    """Return the bytes that both containers of a session of so many cells may take together.

    :param asan: HAProxy is compiled with AddressSanitizer.
    """
    return _count_server_memory(cells, asan=asan) + _CLIENT_MEMORY


def _count_server_memory(cells: int, *, asan: bool) -> int:
    return _SERVER_BASE + (_SERVER_EACH_ASAN if asan else _SERVER_EACH) * cells


def _parse(line: bytes) -> Raw:
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError):
        raw = None
    if not isinstance(raw, dict):
        raise EngineError(f"The probe driver wrote a line that is no JSON object: {line[:80]!r}")
    return replace_surrogates(raw) if b"\\ud" in line.lower() else raw


def _count_seconds(session: Session) -> float:
    """Return the seconds: every cell may wait for its listener and for two exchanges, each with a grace."""
    each = (
        session.limits.ready
        + 2 * 4 * session.limits.request
        + 10
        + (2 * DEBUGGING if session.debugged else 0)
    )
    return min(30 + session.cells * each, math.inf if session.longest is None else session.longest)
