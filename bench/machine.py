"""The machine on which the figures were taken."""

import os
import re
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.app import local_host
from orchestrator.arch import ARCHES, Arch, by_machine
from orchestrator.errors import MatrixctlError
from orchestrator.execute.engine import docker_engine
from orchestrator.execute.images import emulation
from orchestrator.execute.system import process
from orchestrator.execute.system.host import LocalHost


def foreign(host: Arch) -> Arch:
    """The architecture that is emulated here."""
    return next(arch for arch in ARCHES.values() if arch != host)


def describe() -> str:
    """One Markdown list: date, CPU, memory, system, Docker, QEMU, and how busy it was."""
    host = local_host()
    compilers = emulation.qemu_version(LocalHost(), foreign(by_machine(host.arch)))
    lines = (
        ("Date", f"{datetime.now(UTC):%Y-%m-%d}"),
        ("CPU", f"{_cpu()}, {host.cpus} cores, {host.arch}"),
        ("Memory", f"{host.memory_bytes / (1 << 30):.0f} GiB"),
        ("System", f"{host.system}, Linux {host.kernel.partition('-')[0]}"),
        ("Docker", _docker()),
        ("QEMU of an emulated build", compilers or "none"),
        ("Load before the start", f"{os.getloadavg()[0]:.1f}"),
    )
    return "\n".join(f"- {name}: {value}" for name, value in lines)


def describe_short() -> str:
    """The same in one phrase, for figures that are taken on their own."""
    host = local_host()
    return f"{_cpu()}, {host.cpus} cores, load {os.getloadavg()[0]:.1f}"


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo").read_text()
    found = re.search(r"^model name\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    if found is not None:
        return found[1]
    # arm64's /proc/cpuinfo has numbers only; lscpu knows their names.
    said = process.run(["lscpu"], timeout=10).stdout.decode(errors="replace")
    found = re.search(r"^Model name:\s*(.*)$", said, re.MULTILINE)
    return found[1] if found else "unknown"


def _docker() -> str:
    try:
        return docker_engine.connect().info().version
    except MatrixctlError:
        return "none"
