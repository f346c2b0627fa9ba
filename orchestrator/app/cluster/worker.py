"""A machine that does a part of others' runs: a Dask worker with an engine and a store."""

import asyncio
import logging
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from distributed import Worker
from distributed.diagnostics.plugin import WorkerPlugin
from distributed.security import Security

from orchestrator.app.cluster.dispatch import PLUGIN, Description
from orchestrator.app.cluster.perform import Machine
from orchestrator.app.cluster.task import find_tool
from orchestrator.app.demand import GIB
from orchestrator.errors import MatrixctlError

_log = logging.getLogger(__name__)


@dataclass
class Plugin(WorkerPlugin):
    """Keeps the machine where the worker's tasks find it."""

    machine: Machine
    memory: int
    name: str = PLUGIN

    def describe(self) -> Description:
        """Return what this worker is."""
        return Description(
            tool=find_tool(), arch=self.machine.host.name, cpus=self.machine.cpus, memory=self.memory
        )

    def list_resources(self) -> dict[str, float]:
        """Return what Dask gives tasks by: of each label as much as tasks can be under way."""
        machine = self.machine
        labels = (f"arch={machine.host.name}", *(f"emulate={name}" for name in machine.emulates))
        own = dict.fromkeys(labels, float(machine.cpus))
        return {"cpu": machine.cpus, "memory": self.memory / GIB, **own}


class QuietWorker(Worker):
    """A Dask worker without its page: ``dashboard=False`` alone leaves a server that tells metrics."""

    def start_http_server(self, *_: Any, **__: Any) -> None:
        """Start none."""


async def work(
    address: str, security: Security | None, machine: Machine, memory: int, *, folder: Path
) -> None:
    """Do tasks until the scheduler is gone or the process is told to end.

    It listens on the address alone from which it reaches the scheduler, and has no dashboard.

    :raises MatrixctlError: where the scheduler does not answer.
    """
    plugin = Plugin(machine=machine, memory=memory)
    options: dict[str, Any] = {
        "host": _find_own_address(address),
        "nthreads": machine.cpus,
        "memory_limit": 0,
        "resources": plugin.list_resources(),
        "local_directory": str(folder),
        "security": security,
        "plugins": [plugin],
    }
    try:
        async with asyncio.timeout(30):
            worker = await QuietWorker(address, **options)
    except (OSError, TimeoutError, ValueError) as error:
        raise MatrixctlError(f"the scheduler {address} does not answer: {error}") from None
    machine.address = worker.address
    _log.info("%s does tasks for %s: %d CPUs, %.1f GiB", worker.address, address, machine.cpus, memory / GIB)
    try:
        await worker.finished()
    finally:
        await worker.close()


def _find_own_address(scheduler: str) -> str:
    """Return the address of this machine on the way to the scheduler; no packet is sent for that."""
    parts = urlsplit(scheduler)
    try:
        family, kind, number, _, where = socket.getaddrinfo(
            parts.hostname, parts.port, type=socket.SOCK_DGRAM
        )[0]
        with socket.socket(family, kind, number) as probe:
            probe.connect(where)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise MatrixctlError(f"the scheduler {scheduler} cannot be reached: {error}") from None
