"""The engine of containers: a real Docker daemon through the ``docker`` package."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, cast

import docker
from docker.errors import APIError, NotFound
from docker.types import Ulimit
from docker.utils import kwargs_from_env
from tenacity import (
    Retrying,
    retry,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential,
    wait_fixed,
)

from orchestrator import bounds
from orchestrator.arch import ARCHES, find_arch
from orchestrator.errors import EngineError, TooLargeError
from orchestrator.execute.engine import docker_exec, docker_leftovers, docker_shell, owner
from orchestrator.execute.engine.docker_errors import (
    ENGINE_ERRORS,
    Refusal,
    explain_errors,
    explain_unreachable,
    find_refusal,
)
from orchestrator.execute.engine.docker_images import DockerImages
from orchestrator.execute.engine.engine import UID, WORK, ContainerSpec, ExecResult, Leftover
from orchestrator.record.model import EngineInfo

_API_TIMEOUT = 60
# The package keeps a pool with an idle connection per URL, and over ssh each is a session: with its 9 pools
# a few requests at once exceed the 10 that OpenSSH's MaxSessions grants one connection. Ours hardly ever
# ask for the same URL twice, so that an idle connection saves nothing.
# https://github.com/docker/docker-py/issues/2246
_POOLS = 1
PATIENCE = 60.0
"""Seconds that a run waits for an engine that went away: its shutdown may take 15, its start a few."""
_PING = 5
"""Seconds that it has for the answer to a ping."""


def connect(*, keep: bool = False) -> "DockerEngine":
    """See ``engine.connect``."""
    try:
        client = docker.DockerClient(timeout=_API_TIMEOUT, num_pools=_POOLS, **kwargs_from_env())
        client.ping()
    except (*ENGINE_ERRORS, OSError) as error:
        raise explain_unreachable(error) from error
    return DockerEngine(client, keep=keep)


def find_engine_name(version: Mapping[str, Any]) -> str:
    """Return ``docker``, or ``podman`` where Podman answers Docker's API.

    :param version: the answer of the API's ``/version``.
    """
    components = version.get("Components") or ()
    return "podman" if any("podman" in str(one.get("Name", "")).lower() for one in components) else "docker"


# Only calls that may be repeated without harm are retried: removing what is gone is no error, and a
# second create would meet the name of the first.
_again = retry(
    retry=retry_if_exception_type(EngineError),
    stop=stop_after_attempt(3),
    wait=wait_exponential(multiplier=0.2, max=2),
    reraise=True,
)


class DockerEngine(DockerImages):
    """See ``Engine``; hardening is the same for build, server and client containers."""

    def __init__(
        self, client: docker.DockerClient, *, keep: bool = False, patience: float = PATIENCE
    ) -> None:
        super().__init__(client)
        self._keep = keep
        self._patience, self._down_since = patience, 0.0
        self._asking = threading.Lock()

    def answers(self) -> bool:
        """Whether it answers, now or within its patience; once that has run out, whether it does now.

        The patience is one for all who wait, so that a run ends soon when its engine is gone for good.
        """
        with self._asking:
            self._down_since = self._down_since or time.monotonic()
            left = self._down_since + self._patience - time.monotonic()
            if Retrying(
                retry=retry_if_result(lambda answered: not answered),
                stop=stop_after_delay(max(0.0, left)),
                wait=wait_fixed(0.5),
                retry_error_callback=lambda _: False,
            )(self._ping):
                self._down_since = 0.0
            return not self._down_since

    def _ping(self) -> bool:
        try:
            return bool(self._api.get(f"{self._api.base_url}/_ping", timeout=_PING).ok)
        except ENGINE_ERRORS:
            return False

    def describe(self) -> EngineInfo:
        with explain_errors("tell its version"):
            version = self.client.version()
        try:
            arch = find_arch(version["Arch"])
        except KeyError:
            raise EngineError(
                f"The engine runs on {version['Arch']}, and matrixctl knows no such architecture.",
                resolution=f"Name one on {' or '.join(ARCHES)} with DOCKER_HOST.",
            ) from None
        return EngineInfo(
            name=find_engine_name(version),
            version=version["Version"],
            api_version=version["ApiVersion"],
            arch=arch.name,
        )

    @cached_property
    def _host(self) -> Mapping[str, Any]:
        with explain_errors("describe its host"):
            return cast("Mapping[str, Any]", self.client.info())

    @property
    def cpus(self) -> int:
        return int(self._host["NCPU"])  # a container that asks for more would be refused

    @property
    def memory(self) -> int:
        return int(self._host["MemTotal"])

    @property
    def folder(self) -> str:
        return str(self._host["DockerRootDir"])

    def is_running(self, name: str) -> bool:
        return docker_exec.is_running(self._api, name)

    def create_volume(self, name: str, run_id: str) -> None:
        with explain_errors(f"create the volume {name}"):
            self.client.volumes.create(name=name, labels=owner.make_labels(run_id, kept=self._keep))

    @_again
    def remove_volume(self, name: str) -> None:
        with explain_errors(f"remove the volume {name}"):
            try:
                self._api.remove_volume(name, force=True)
            except NotFound:
                return

    def create(self, spec: ContainerSpec) -> None:
        api = self._api
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
                Ulimit(name="nproc", soft=spec.processes, hard=spec.processes),
            ],
            cap_drop=["ALL"],
            cap_add=["NET_RAW"] if spec.captures else [],
            security_opt=["no-new-privileges"],
            read_only=True,
            tmpfs={"/tmp": "size=256m"},  # noqa: S108 - inside the container
            init=True,
        )
        with explain_errors(f"create the container {spec.name}"):
            api.create_container(
                spec.image,
                command=list(spec.argv),
                name=spec.name,
                # Without new privileges only root has a power from its first program on.
                user="0:0" if spec.captures else f"{UID}:{UID}",
                working_dir=WORK,
                labels=owner.make_labels(spec.run_id, kept=self._keep),
                host_config=host_config,
                platform=spec.platform,
                environment={"HOME": WORK, "LC_ALL": "C.UTF-8"},
                stdin_open=False,
                tty=False,
                use_config_proxy=False,
            )

    def put(self, name: str, archive: bytes) -> None:
        with explain_errors(f"put files into {name}"):
            self._api.put_archive(name, WORK, archive)

    def start(self, name: str) -> None:
        with explain_errors(f"start {name}"):
            self._api.start(name)

    def exec(
        self, name: str, argv: tuple[str, ...], *, timeout: float, on_line: Callable[[bytes], None] | None
    ) -> ExecResult:
        return docker_exec.execute(self._api, name, argv, timeout=timeout, on_line=on_line)

    def interact(self, name: str, argv: tuple[str, ...]) -> int:
        return docker_shell.interact(self._api, name, argv)

    def get(self, name: str, path: str, *, limit: int = bounds.ARCHIVE) -> Iterator[bytes]:
        left = limit
        with explain_errors(f"get {path} from {name}"):
            chunks, _ = self._api.get_archive(name, path)
            for chunk in chunks:
                left -= len(chunk)
                if left < 0:
                    raise TooLargeError(f"{path} in {name} is larger than {bounds.format_size(limit)}.")
                yield chunk

    @_again
    def remove(self, name: str) -> None:
        with explain_errors(f"remove {name}"):
            try:
                self._api.remove_container(name, force=True, v=False)
            except NotFound:
                return
            except APIError as error:
                if find_refusal(error) is not Refusal.BEING_REMOVED:
                    raise

    def sweep(self, run_id: str = "") -> tuple[str, ...]:
        # This process's alone: with reports in two folders, two runs could have one id.
        found = docker_leftovers.find(self._api, owner.make_own_label())
        meant = [one for one in found if run_id in {"", one.run}]
        for one in meant:
            (self.remove if one.kind == "container" else self.remove_volume)(one.name)
        return tuple(one.name for one in meant)

    def find_leftovers(self) -> tuple[Leftover, ...]:
        return docker_leftovers.find(self._api, owner.LABEL)

    def remove_leftover(self, leftover: Leftover) -> bool:
        return docker_leftovers.remove(self._api, leftover)
