"""Whose a container or volume is: the process that made it, so that only what dead ones left is removed."""

import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

LABEL = "matrixctl"
"""Of everything that is made here: a run's id, or ``images``."""
OWNER = "matrixctl.owner"
"""Boot, namespace of process ids, process id and its start: no two processes share all four."""
KEPT = "matrixctl.kept"
"""Of what ``--keep`` leaves on purpose, so that the next run does not take it away."""

_PROC = Path("/proc")
_START_FIELD = 19
"""``starttime`` of proc_pid_stat(5), counted after the command's name, which may hold blanks."""
_ENDED = {"Z", "X"}


def labels(value: str, *, kept: bool = False) -> dict[str, str]:
    """The labels of whatever this process makes."""
    return {LABEL: value, OWNER: _me(), **({KEPT: "true"} if kept else {})}


def mine() -> str:
    """The label, with its value, that tells what this process made."""
    return f"{OWNER}={_me()}"


def alive(found: Mapping[str, str]) -> bool | None:
    """Whether the maker of what bears these labels still runs.

    ``None`` where that cannot be told from here: another machine's, an earlier boot's, another user's whose
    processes are hidden, or without a label.
    """
    boot, _, rest = found.get(OWNER, "").partition(".")
    namespace, _, process = rest.partition(".")
    pid, _, start = process.partition(".")
    if (boot, namespace) != _here() or not re.fullmatch("[0-9]{1,9}", pid):
        return None
    if not os.access(_PROC / pid / "stat", os.R_OK) and _others(int(pid)):
        return None
    return _start_of(int(pid)) == start


def _others(pid: int) -> bool:
    """Whether there is such a process of another user's, which a /proc with ``hidepid`` (proc(5)) hides."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    return False


@cache
def _me() -> str:
    pid = os.getpid()
    return ".".join((*_here(), str(pid), _start_of(pid) or ""))


@cache
def _here() -> tuple[str, str]:
    boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    return boot, str((_PROC / "self/ns/pid").stat().st_ino)


def _start_of(pid: int) -> str | None:
    """Clock ticks from boot to the start of a process, ``None`` where it is gone."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in _ENDED else fields[_START_FIELD]
