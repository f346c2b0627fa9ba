"""Real implementations in memory: an engine that records its calls, and cells made without a file."""

import io
import tarfile
from collections.abc import Callable, Iterator
from typing import cast, get_args

import docker
from fake_docker import FakeClient
from pydantic import TypeAdapter

from orchestrator import bounds
from orchestrator.errors import EngineError
from orchestrator.execute.engine.archive import pack
from orchestrator.execute.engine.engine import WORK, ContainerSpec, Engine, ExecResult
from orchestrator.matrix import schema
from orchestrator.matrix.model import (
    ArchValue,
    Cell,
    CipherValue,
    ClientValue,
    ExecutionValue,
    HaproxyValue,
    TlsValue,
)
from orchestrator.plan.action import Action, BuildKind, Kind
from orchestrator.record.model import EngineInfo

DEFAULT_EXECUTION = ExecutionValue(name="default")
Files = dict[str, bytes]
"""What lies in a volume, by path below WORK."""
Program = Callable[[Files, tuple[str, ...]], ExecResult]
"""Stands for what runs in a container: it may read and write the volume, and raise what an engine raises."""


def ran(
    *, exit_code: int = 0, stdout: bytes = b"", stderr: bytes = b"", timed_out: bool = False
) -> ExecResult:
    return ExecResult(exit_code=exit_code, stdout=stdout, stderr=stderr, timed_out=timed_out)


class FakeEngine:
    """An ``Engine`` without containers; ``refuses`` are verbs that fail: ``"get"``, ``"create:-client"``."""

    def __init__(
        self, program: Program = lambda _files, _argv: ran(), *, refuses: tuple[str, ...] = ()
    ) -> None:
        self.calls: list[tuple[str, str]] = []
        self.specs: list[ContainerSpec] = []
        self.timeouts: list[float] = []
        self.volumes: dict[str, Files] = {}
        self.containers: dict[str, ContainerSpec] = {}
        self.started: set[str] = set()
        self._program, self._refuses = program, refuses
        self._client = FakeClient()

    @property
    def client(self) -> docker.DockerClient:
        """What of Docker's own client is asked for dead runs' leftovers: there are none."""
        return self._client.client

    @property
    def memory(self) -> int:
        return 1 << 33

    def sweep_own(self) -> tuple[str, ...]:
        return self.sweep("own")

    @property
    def left(self) -> set[str]:
        """What nobody removed."""
        return {*self.volumes, *self.containers}

    def _called(self, verb: str, name: str) -> None:
        self.calls.append((verb, name))
        if verb in self._refuses or any(
            refused.startswith(f"{verb}:") and name.endswith(refused.partition(":")[2])
            for refused in self._refuses
        ):
            raise EngineError(f"the fake engine refuses to {verb} {name}")

    def _files(self, name: str) -> Files:
        return self.volumes[self.containers[name].volume]

    def info(self) -> EngineInfo:
        return EngineInfo(name="fake", version="1", api_version="1", arch="amd64")

    def answers(self) -> bool:
        return "answers" not in self._refuses

    def running(self, name: str) -> bool:
        return name in self.started

    def create_volume(self, name: str, run_id: str) -> None:
        self._called("create_volume", name)
        assert run_id
        self.volumes[name] = {}

    def remove_volume(self, name: str) -> None:
        self._called("remove_volume", name)
        assert name not in {spec.volume for spec in self.containers.values()}, "the volume is in use"
        self.volumes.pop(name, None)

    def create(self, spec: ContainerSpec) -> None:
        self._called("create", spec.name)
        assert spec.name not in self.containers, "the name is taken"
        assert spec.volume in self.volumes, "a container needs its volume"
        self.specs.append(spec)
        self.containers[spec.name] = spec

    def put(self, name: str, archive: bytes) -> None:
        self._called("put", name)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for entry in tar:
                if (content := tar.extractfile(entry)) is not None:
                    self._files(name)[entry.name] = content.read()

    def start(self, name: str) -> None:
        self._called("start", name)
        assert name in self.containers
        self.started.add(name)

    def exec(
        self, name: str, argv: tuple[str, ...], *, timeout: float, on_line: Callable[[bytes], None] | None
    ) -> ExecResult:
        self._called("exec", name)
        assert name in self.started, "a program needs a started container"
        self.timeouts.append(timeout)
        result = self._program(self._files(name), argv)
        if on_line is not None:
            for line in result.stdout.split(b"\n")[:-1]:
                on_line(line)
        return result

    def get(self, name: str, path: str, *, limit: int = bounds.ARCHIVE) -> Iterator[bytes]:
        self._called("get", name)
        inside = path.removeprefix(f"{WORK}/")
        base = inside.rpartition("/")[2]
        found = {
            base + file.removeprefix(inside): content
            for file, content in self._files(name).items()
            if file == inside or file.startswith(f"{inside}/")
        }
        if not found:
            raise EngineError(f"Docker failed to get {path} from {name}.")
        archive = pack(found)
        if len(archive) > limit:
            raise EngineError(f"{path} in {name} is larger than {bounds.size(limit)}.")
        yield from (archive[start : start + 1000] for start in range(0, len(archive), 1000))

    def remove(self, name: str) -> None:
        self._called("remove", name)
        self.containers.pop(name, None)
        self.started.discard(name)

    def sweep(self, run_id: str) -> tuple[str, ...]:
        self._called("sweep", run_id)
        left = tuple(self.left)
        self.containers.clear()
        self.volumes.clear()
        return left


_IS_AN_ENGINE: type[Engine] = FakeEngine


_FIELDS: dict[Kind, dict[str, object]] = {
    "image": {"image": "client", "arch": "amd64"},
    "probe": {"build": ""},
    **{kind: {"recipe": None, "toolchain": ""} for kind in get_args(BuildKind)},
}
"""What a kind of action has to have."""


def action(key: str, *needs: str, kind: Kind = "source", **fields: object) -> Action:
    """An action of any kind, of which only the graph matters."""
    made = {"key": key, "kind": kind, "name": key, "needs": needs, **_FIELDS.get(kind, {}), **fields}
    return TypeAdapter[Action](Action).validate_python(made)


def cell(
    arch: str = "amd64",
    haproxy: str = "3.0.11",
    tls: str = "openssl-3.5.7",
    cipher: str = "TLS_AES_128_GCM_SHA256",
    *,
    client: str = "curl",
    execution: ExecutionValue = DEFAULT_EXECUTION,
) -> Cell:
    """A cell by the short names of its axes."""
    return Cell(
        id=f"{arch}--{haproxy}--{tls}--{cipher}"
        + ("" if client == "curl" else f"--client.{client}")
        + ("" if execution == DEFAULT_EXECUTION else f"--{execution.name}"),
        arch=cast("ArchValue", schema.value("arch", arch)),
        haproxy=cast("HaproxyValue", schema.value("haproxy", haproxy)),
        tls=cast("TlsValue", schema.value("tls", tls)),
        cipher=cast("CipherValue", schema.value("cipher", cipher)),
        client=ClientValue(name=client, family=client),
        execution=execution,
    )
