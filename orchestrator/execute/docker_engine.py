"""The engine of containers: a real Docker daemon through the ``docker`` package."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, cast

import docker
import requests
from docker.errors import APIError, DockerException, NotFound
from docker.types import Ulimit
from paramiko.ssh_exception import SSHException
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential

from orchestrator.arch import by_machine
from orchestrator.errors import DeadlineError, EngineError
from orchestrator.execute import owner
from orchestrator.execute.engine import UID, WORK, ContainerSpec, ExecResult
from orchestrator.record.model import EngineInfo

_API_TIMEOUT = 60
_GRACE = 5
"""Seconds between TERM and KILL of a program past its deadline."""
_BACKSTOP = 15
"""Seconds after KILL until the engine itself is taken to hang."""
_HEADER = 8
_UPGRADE = {"Connection": "Upgrade", "Upgrade": "tcp"}
ENGINE_ERRORS = (DockerException, requests.RequestException, SSHException, EOFError, ConnectionError)
"""Whatever the ``docker`` package and the transports below it raise."""
_DOCTOR = "Run `matrixctl doctor` to see what is missing."


def connect() -> "DockerEngine":
    """The engine that the environment names (DOCKER_HOST, ssh:// included), or the local socket.

    :raises EngineError: if nothing answers there, with the remedy.
    """
    try:
        client = docker.from_env(timeout=_API_TIMEOUT)
        client.ping()
    except (*ENGINE_ERRORS, OSError) as error:
        raise EngineError(
            "No Docker engine answers.", details=str(error), resolution=_DOCTOR + " `--fix` installs it."
        ) from error
    return DockerEngine(client)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except ENGINE_ERRORS as error:
        explanation = error.explanation if isinstance(error, APIError) else None
        raise EngineError(
            f"Docker failed to {what}.", details=str(explanation or error), resolution=_DOCTOR
        ) from error


# Only calls that may be repeated without harm are retried: removing what is gone is no error, and a
# second create would meet the name of the first.
_again = retry(
    retry=retry_if_exception_type(EngineError),
    stop=stop_after_attempt(3),
    wait=wait_exponential(multiplier=0.2, max=2),
    reraise=True,
)


class DockerEngine:
    """See ``Engine``; hardening is the same for build, server and client containers."""

    def __init__(self, client: docker.DockerClient) -> None:
        self.client = client

    def info(self) -> EngineInfo:
        with _explained("tell its version"):
            version = self.client.version()
        try:
            arch = by_machine(version["Arch"])
        except KeyError:
            raise EngineError(
                f"The engine runs on {version['Arch']}, and matrixctl knows no such architecture.",
                resolution="Name one on amd64 or arm64 with DOCKER_HOST.",
            ) from None
        return EngineInfo(
            name="docker",
            version=version["Version"],
            api_version=version["ApiVersion"],
            arch=arch.name,
        )

    @cached_property
    def cpus(self) -> int:
        """How many CPUs the engine's host has; a container that asks for more would be refused."""
        with _explained("tell how many CPUs it has"):
            return int(self.client.info()["NCPU"])

    def create_volume(self, name: str, run_id: str) -> None:
        with _explained(f"create the volume {name}"):
            self.client.volumes.create(name=name, labels=owner.labels(run_id))

    @_again
    def remove_volume(self, name: str) -> None:
        with _explained(f"remove the volume {name}"):
            try:
                self.client.api.remove_volume(name, force=True)
            except NotFound:
                return

    def create(self, spec: ContainerSpec) -> None:
        api = self.client.api
        host_config = api.create_host_config(
            network_mode=spec.network,
            binds={spec.volume: {"bind": WORK, "mode": "rw"}},
            mem_limit=spec.memory_bytes,
            memswap_limit=spec.memory_bytes,
            nano_cpus=int(min(spec.cpus, self.cpus) * 1e9),
            pids_limit=spec.pids,
            ulimits=[
                Ulimit(name="nofile", soft=spec.files, hard=spec.files),
                Ulimit(name="core", soft=0, hard=0),
            ],
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            read_only=True,
            tmpfs={"/tmp": "size=256m"},  # noqa: S108 - inside the container
            init=True,
        )
        with _explained(f"create the container {spec.name}"):
            api.create_container(
                spec.image,
                command=list(spec.argv),
                name=spec.name,
                user=f"{UID}:{UID}",
                working_dir=WORK,
                labels=owner.labels(spec.run_id),
                host_config=host_config,
                platform=spec.platform,
                environment={"HOME": WORK, "LC_ALL": "C.UTF-8"},
                stdin_open=False,
                tty=False,
            )

    def put(self, name: str, archive: bytes) -> None:
        with _explained(f"put files into {name}"):
            self.client.api.put_archive(name, WORK, archive)

    def start(self, name: str) -> None:
        with _explained(f"start {name}"):
            self.client.api.start(name)

    def exec(
        self, name: str, argv: tuple[str, ...], *, timeout: float, on_line: Callable[[bytes], None] | None
    ) -> ExecResult:
        api = self.client.api
        bounded = ["timeout", "-k", str(_GRACE), f"{timeout:.1f}", *argv]
        backstop = timeout + _GRACE + _BACKSTOP
        started = time.monotonic()
        with _explained(f"run {argv[0]} in {name}"):
            exec_id = api.exec_create(name, bounded, stdin=False)["Id"]
            stdout, stderr = self._stream(exec_id, started + backstop, on_line)
            exit_code = self._exit_code(exec_id)
        if exit_code is None:  # the stream ended, the program did not: the container is being removed
            raise EngineError(f"{argv[0]} in {name} was cut off.", resolution=_DOCTOR)
        timed_out = exit_code in {124, 137} and time.monotonic() - started >= timeout
        return ExecResult(exit_code=exit_code, stdout=stdout, stderr=stderr, timed_out=timed_out)

    def _stream(
        self, exec_id: str, deadline: float, on_line: Callable[[bytes], None] | None
    ) -> tuple[bytes, bytes]:
        # Not docker-py's own exec_start: it reads the socket beneath http.client's buffer, so that
        # output which arrives together with the response's header is lost, and it waits for ever.
        # Without the upgrade http.client closes the connection that it hands over, which paramiko's
        # channel, unlike a socket, takes at its word; the buffer itself is `fp`.
        api = self.client.api
        url = f"{api.base_url}/v{api.api_version}/exec/{exec_id}/start"
        wait = max(1.0, deadline - time.monotonic())
        parts: dict[int, list[bytes]] = {1: [], 2: []}
        pending = b""
        options: Any = {"json": {"Detach": False, "Tty": False}, "headers": _UPGRADE, "stream": True}
        with api.post(url, **options, timeout=wait) as response:
            response.raise_for_status()
            connection: Any = response.raw._fp  # noqa: SLF001 - the way that docker-py goes, too
            for stream, data in _frames(connection.fp, deadline):
                parts[stream].append(data)
                if on_line is not None and stream == 1:
                    *lines, pending = (pending + data).split(b"\n")
                    for line in lines:
                        on_line(line)
        return b"".join(parts[1]), b"".join(parts[2])

    def _exit_code(self, exec_id: str) -> int | None:
        """The program's exit code; ``None`` if its stream ended and it did not, so that it was cut off."""
        until = time.monotonic() + _GRACE
        while (state := self.client.api.exec_inspect(exec_id))["Running"] and time.monotonic() < until:
            time.sleep(0.02)  # the engine notes the end a moment after the stream's
        return None if state["Running"] else state["ExitCode"]

    def get(self, name: str, path: str) -> Iterator[bytes]:
        with _explained(f"get {path} from {name}"):
            chunks, _ = self.client.api.get_archive(name, path)
            yield from chunks

    def stop(self, name: str) -> None:
        with _explained(f"stop {name}"):
            self.client.api.stop(name, timeout=_GRACE)

    @_again
    def remove(self, name: str) -> None:
        with _explained(f"remove {name}"):
            try:
                self.client.api.remove_container(name, force=True, v=False)
            except NotFound:
                return
            except APIError as error:
                if "already in progress" not in str(error.explanation):
                    raise

    def sweep(self, run_id: str) -> tuple[str, ...]:
        return self._sweep({"label": f"{owner.LABEL}={run_id}"}, f"list what belongs to {run_id}")

    def sweep_own(self) -> tuple[str, ...]:
        """Remove whatever this process made, the containers in which images are made included."""
        return self._sweep({"label": owner.mine()}, "list what this process made")

    def _sweep(self, wanted: dict[str, str], what: str) -> tuple[str, ...]:
        with _explained(what):
            found = self.client.api.containers(all=True, filters=wanted)
            containers = [entry["Names"][0].lstrip("/") for entry in found]
            volumes = [v["Name"] for v in self.client.api.volumes(filters=wanted)["Volumes"] or ()]
        for name in containers:
            self.remove(name)
        for name in volumes:
            self.remove_volume(name)
        return (*containers, *volumes)


def _frames(raw: Any, deadline: float) -> Iterator[tuple[int, bytes]]:
    """Docker's multiplexed stream: stream number, three zero bytes, length, data.

    Source: https://docs.docker.com/reference/api/engine/ (ContainerAttach, "stream format").
    """
    while True:
        header = _exactly(raw, _HEADER)
        if len(header) < _HEADER:
            return
        yield header[0], _exactly(raw, int.from_bytes(header[4:], "big"))
        if time.monotonic() > deadline:
            raise DeadlineError("A program in a container outlived its deadline and its KILL.")


def _exactly(raw: Any, size: int) -> bytes:
    data = b""
    while len(data) < size:
        try:
            more = cast("bytes", raw.read(size - len(data)))
        except TimeoutError as error:
            raise DeadlineError("The Docker engine stopped answering.", resolution=_DOCTOR) from error
        if not more:
            break
        data += more
    return data
