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


def make_labels(value: str, *, kept: bool = False) -> dict[str, str]:
    """Return the labels of what this process makes."""
    return {LABEL: value, OWNER: _make_owner(), **({KEPT: "true"} if kept else {})}


def make_own_label() -> str:
    """Return the label, with its value, of what this process made."""
    return f"{OWNER}={_make_owner()}"


def is_alive(found: Mapping[str, str]) -> bool | None:
    """Return whether the maker of what bears these labels still runs.

    ``None`` where that cannot be told from here: another machine's, an earlier boot's, another user's whose
    processes are hidden, or without a label.
    """
    boot, _, rest = found.get(OWNER, "").partition(".")
    namespace, _, process = rest.partition(".")
    pid, _, start = process.partition(".")
    if (boot, namespace) != _find_namespace() or not re.fullmatch("[0-9]{1,9}", pid):
        return None
    if not os.access(_PROC / pid / "stat", os.R_OK) and _is_others(int(pid)):
        return None
    return _find_start(int(pid)) == start


def _is_others(pid: int) -> bool:
    """Whether there is such a process of another user's, which a /proc with ``hidepid`` (proc(5)) hides."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    return False


@cache
def _make_owner() -> str:
    pid = os.getpid()
    return ".".join((*_find_namespace(), str(pid), _find_start(pid) or ""))


@cache
def _find_namespace() -> tuple[str, str]:
    boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    return boot, str((_PROC / "self/ns/pid").stat().st_ino)


def _find_start(pid: int) -> str | None:
    """Return the clock ticks from boot to the start of a process, ``None`` where it is gone."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in _ENDED else fields[_START_FIELD]
