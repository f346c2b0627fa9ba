"""A second Docker daemon, the tests' own, that may be stopped, killed and started again.

It shares nothing with the machine's daemon but the kernel: its data, sockets and bridge are its own, and it
leaves the firewall alone. (``--bridge none`` would delete the docker0 of the *other* daemon.)
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

import docker
import requests

from orchestrator.execute.engine.docker_errors import ENGINE_ERRORS

_NETWORKS = [(f"mxtest{number}", f"172.31.254.{16 * number + 1}/28") for number in range(16)]
"""Names and subnets of bridges: a run of the tests beside this one, or one that was killed, has its own."""
_UP_S, _DOWN_S = 60, 40
"""Seconds for its start; for its end, in which it waits up to 15 for its containers."""


def lacking() -> str:
    """Why there can be no second daemon here; empty if there can."""
    if os.geteuid() != 0:
        return "a second Docker daemon needs root"
    missing = [name for name in ("dockerd", "ip", "mount") if shutil.which(name) is None]
    return f"a second Docker daemon needs {', '.join(missing)}" if missing else ""


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


def _add_bridge() -> tuple[str, str]:
    """Add the first bridge that does not exist yet, and return its name and its address."""
    for name, address in _NETWORKS:
        added = subprocess.run(
            ["ip", "link", "add", name, "type", "bridge"], check=False, capture_output=True
        )
        if added.returncode == 0:
            return name, address
    raise AssertionError(f"all of {_NETWORKS[0][0]} to {_NETWORKS[-1][0]} exist: ip link delete NAME")


class SecondDaemon:
    """Started and stopped as often as a test wants; ``close`` leaves nothing of it."""

    def __init__(self) -> None:
        # Short, since the path of a socket has 108 bytes at most, and containerd's lies deep below.
        self.folder = Path(tempfile.mkdtemp(prefix="mxd-"))
        self.socket = self.folder / "sock"
        self.host = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None
        self._clients: list[docker.DockerClient] = []
        self._bridge = ""

    def prepare(self) -> None:
        """Make its place and its bridge."""
        # In memory: a gigabyte of images comes, and goes, sooner than on a disk.
        _run("mount", "-t", "tmpfs", "-o", "size=6g", "tmpfs", str(self.folder))
        self._bridge, address = _add_bridge()
        _run("ip", "address", "add", address, "dev", self._bridge)
        _run("ip", "link", "set", self._bridge, "up")

    def client(self) -> docker.DockerClient:
        """A new one, which ``close`` closes."""
        made = docker.DockerClient(base_url=self.host, timeout=60, num_pools=1)
        self._clients.append(made)
        return made

    @cached_property
    def _own(self) -> docker.DockerClient:
        return self.client()

    def start(self) -> None:
        """Start it, unless it runs, and wait until it answers; begin again where it ends, as systemd does."""
        until = time.monotonic() + _UP_S
        while self.process is None or not self.answers():
            if self.process is not None and self.process.poll() is not None:
                # Its containerd outlived it and takes no calls: "timeout waiting for containerd".
                self.process = None
                self._kill_what_is_left()
            assert time.monotonic() < until, (self.folder / "log").read_text()[-2000:]
            self.process = self.process or self._begun()
            time.sleep(0.1)

    def _begun(self) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [
                    "dockerd",
                    f"--host={self.host}",
                    f"--data-root={self.folder}/data",
                    f"--exec-root={self.folder}/exec",
                    f"--pidfile={self.folder}/pid",
                    f"--bridge={self._bridge}",
                    "--iptables=false",
                    "--ip-masq=false",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def answers(self) -> bool:
        if not self.socket.exists():
            return False
        try:
            return bool(self._own.ping())
        except (*ENGINE_ERRORS, requests.RequestException, OSError):
            return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, as a package's upgrade does (TERM) or as a crash does (KILL)."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(_DOWN_S)
            self.process = None

    def load(self, images: Sequence[str], other: docker.DockerClient) -> None:
        """Copy images by their tags, so that nothing has to be made here."""
        for image in images:
            self._own.images.load(other.api.get_image(image, chunk_size=1 << 20))

    def running(self) -> list[str]:
        """Names of the containers that run."""
        return [one["Names"][0] for one in self._own.api.containers()]

    def left(self) -> list[str]:
        """Containers and volumes that bear our label."""
        api = self._own.api
        wanted = {"label": "matrixctl"}
        names = [one["Names"][0] for one in api.containers(all=True, filters=wanted)]
        return names + [one["Name"] for one in api.volumes(filters=wanted)["Volumes"] or ()]

    def empty(self) -> None:
        """Away with the containers and volumes, no matter who made them."""
        for container in self._own.containers.list(all=True):
            container.remove(force=True)
        for volume in self._own.volumes.list():
            volume.remove(force=True)

    def close(self) -> None:
        """Processes, mounts, bridge and folder."""
        for client in self._clients:
            client.close()
        with suppress(subprocess.TimeoutExpired):
            self.stop()
        self._kill_what_is_left()
        for place in (*self._mounts(), str(self.folder)):
            subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)
        if self._bridge:
            subprocess.run(["ip", "link", "delete", self._bridge], check=False, capture_output=True)
        self.folder.rmdir()

    def _kill_what_is_left(self) -> None:
        for pid in self._processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _processes(self) -> list[int]:
        """Those that have our folder among their arguments: the daemon's, containerd's, its shims."""
        own = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if str(self.folder).encode() in path.read_bytes():
                    own.append(int(path.parent.name))
        return own

    def _mounts(self) -> list[str]:
        lines = Path("/proc/self/mounts").read_text().splitlines()
        places = [line.split()[1] for line in lines]
        return sorted((place for place in places if place.startswith(f"{self.folder}/")), reverse=True)


@contextmanager
def second_daemon() -> Iterator[SecondDaemon]:
    """A daemon that answers, and of which nothing is left afterwards."""
    daemon = SecondDaemon()
    try:
        daemon.prepare()
        daemon.start()
        yield daemon
    finally:
        daemon.close()
