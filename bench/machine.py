"""The machine on which the figures were taken."""

import os
import re
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.app.first_record import describe_local_host
from orchestrator.arch import ARCHES, Arch
from orchestrator.errors import MatrixctlError
from orchestrator.execute.engine import docker_engine
from orchestrator.execute.system import process


def find_foreign(host: Arch) -> Arch:
    """Return the architecture that is emulated here."""
    return next(arch for arch in ARCHES.values() if arch != host)


def describe() -> str:
    """Return one sentence: date, CPU, memory, system, Docker, and how busy the machine is now."""
    host = describe_local_host()
    memory = f"{host.memory_bytes / (1 << 30):.0f} GiB"
    system = f"{host.system}, Linux {host.kernel.partition('-')[0]}"
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {_read_cpu()}, {host.cpus} cores, {memory}, {system},"
        f" {_ask_docker()}, load {os.getloadavg()[0]:.1f} before it."
    )


def _read_cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo").read_text()
    found = re.search(r"^model name\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    if found is not None:
        return found[1]
    # arm64's /proc/cpuinfo has numbers only; lscpu knows their names.
    said = process.run(["lscpu"], timeout=10).stdout.decode(errors="replace")
    found = re.search(r"^Model name:\s*(.*)$", said, re.MULTILINE)
    return found[1] if found else "unknown"


def _ask_docker() -> str:
    try:
        return f"Docker {docker_engine.connect().describe().version}"
    except MatrixctlError:
        return "no Docker"
