"""The machine that we run on, as far as set-up looks at it and changes it; tests bring one of their own."""

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from orchestrator.execute.system import process
from orchestrator.execute.system.process import Completed


class Host(Protocol):
    """What set-up may ask of a machine, and do to it."""

    def run(self, argv: Sequence[str], *, timeout: float) -> Completed:
        """See ``process.run``."""

    def spawn_detached(self, argv: Sequence[str], log: Path) -> int:
        """See ``process.spawn_detached``."""

    def which(self, program: str) -> str | None:
        """Return the program's path, or ``None`` if it is not installed."""

    def read(self, path: str) -> str | None:
        """Return the text of a file, or ``None`` if there is none or we may not read it."""

    def exists(self, path: str) -> bool:
        """Return whether the path exists."""

    def uid(self) -> int:
        """Return our user id; 0 is root."""

    def disk_free(self, path: str) -> int | None:
        """Return the free bytes of the path's file system; ``None`` if the path is not visible."""


class LocalHost:
    """The real one."""

    def run(self, argv: Sequence[str], *, timeout: float) -> Completed:
        return process.run(argv, timeout=timeout)

    def spawn_detached(self, argv: Sequence[str], log: Path) -> int:
        return process.spawn_detached(argv, log)

    def which(self, program: str) -> str | None:
        # A user's PATH often lacks the folders in which Debian keeps dockerd.
        return shutil.which(program, path=os.pathsep.join([*os.get_exec_path(), "/usr/sbin", "/sbin"]))

    def read(self, path: str) -> str | None:
        try:
            return Path(path).read_text(errors="replace")
        except OSError:
            return None

    def exists(self, path: str) -> bool:
        return Path(path).exists()

    def uid(self) -> int:
        return os.geteuid()

    def disk_free(self, path: str) -> int | None:
        try:
            return shutil.disk_usage(path).free
        except OSError:
            return None


def is_debian(host: Host) -> bool:
    """Return whether the machine runs Debian itself: its derivatives have mirrors without Debian's suites."""
    return read_os_release(host).get("ID") == "debian"


def read_os_release(host: Host) -> dict[str, str]:
    """Return the fields of ``/etc/os-release``; empty where there is none."""
    text = host.read("/etc/os-release") or ""
    return {key: value.strip("\"'") for key, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE)}
