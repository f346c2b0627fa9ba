"""Real implementations in memory: an engine that records its calls, and cells made without a file."""

import io
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from typing import IO, cast, get_args

from pydantic import TypeAdapter

from orchestrator import bounds
from orchestrator.arch import ARCHES
from orchestrator.errors import EngineError, TooLargeError
from orchestrator.execute.engine import owner
from orchestrator.execute.engine.archive import pack, read_member
from orchestrator.execute.engine.engine import WORK, ContainerSpec, Engine, ExecResult, Image, Leftover
from orchestrator.execute.images.dockerfiles import PACKAGE
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
from orchestrator.plan.action import Action, ActionKind, BuildKind
from orchestrator.record.model import EngineInfo

DEFAULT_EXECUTION = ExecutionValue(name="default")
Files = dict[str, bytes]
"""What lies in a volume, by path below WORK."""
Packages = Mapping[str, Mapping[str, str]]
"""Versions by package (``name:arch`` for foreign ones), by the image's name."""
DEB = {PACKAGE: b"!<arch>\nDebian's HAProxy", f"{PACKAGE}.name": b"haproxy_3.0.11-1_arm64.deb\n"}
"""Debian's own HAProxy, in each image."""
Program = Callable[[Files, tuple[str, ...]], ExecResult]
"""Stands for what runs in a container: it may read and write the volume, and raise what an engine raises."""


def ran(
    *, exit_code: int = 0, stdout: bytes = b"", stderr: bytes = b"", timed_out: bool = False
) -> ExecResult:
    return ExecResult(exit_code=exit_code, stdout=stdout, stderr=stderr, timed_out=timed_out)


_LABELS = "from orchestrator.execute.engine import owner; print(owner.make_labels('')[owner.OWNER])"


def dead_labels(run: str) -> dict[str, str]:
    """The labels of a process that has ended."""
    said = subprocess.run([sys.executable, "-c", _LABELS], check=True, capture_output=True, text=True)
    return {owner.LABEL: run, owner.OWNER: said.stdout.strip()}


class FakeEngine:
    """An ``Engine`` without containers; ``refuses`` are verbs that fail: ``"get"``, ``"create:-client"``.

    It has no images, and builds each as it is asked to: ``builder`` gets the Dockerfile's text.
    """

    cpus, memory, folder = 2, 1 << 33, "/var/lib/fake"

    def __init__(
        self,
        program: Program = lambda _files, _argv: ran(),
        *,
        builder: Callable[[str], ExecResult] = lambda _dockerfile: ran(),
        packages: Packages | None = None,
        refuses: tuple[str, ...] = (),
    ) -> None:
        self.calls: list[tuple[str, str]] = []
        self.specs: list[ContainerSpec] = []
        self.timeouts: list[float] = []
        self.volumes: dict[str, Files] = {}
        self.containers: dict[str, ContainerSpec] = {}
        self.started: set[str] = set()
        self.built: list[str] = []
        self.images: dict[str, Image] = {}
        self._contents: dict[str, Mapping[str, str]] = {}
        """The packages of each image, by its id."""
        self.of_others: dict[tuple[str, str], dict[str, str]] = {}
        """Labels of what other processes left, by kind and name."""
        self.digest: str | None = "sha256:" + "d" * 64
        """That a registry has for each tag."""
        self.client_says = b'{"command": ["curl"], "version": "curl 9", "problem": ""}\n'
        """What a client that a matrix brings says, when it is asked what it is."""
        self._program, self.refuses = program, refuses
        self._builder, self._packages = builder, packages or {}

    @property
    def left(self) -> set[str]:
        """What nobody removed."""
        return {*self.volumes, *self.containers}

    def _called(self, verb: str, name: str) -> None:
        self.calls.append((verb, name))
        if verb in self.refuses or any(
            refused.startswith(f"{verb}:") and name.endswith(refused.partition(":")[2])
            for refused in self.refuses
        ):
            raise EngineError(f"the fake engine refuses to {verb} {name}")

    def _files(self, name: str) -> Files:
        return self.volumes[self.containers[name].volume]

    def describe(self) -> EngineInfo:
        return EngineInfo(name="docker", version="20.10.24", api_version="1.41", arch="amd64")

    def answers(self) -> bool:
        return "answers" not in self.refuses

    def is_running(self, name: str) -> bool:
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

    def interact(self, name: str, argv: tuple[str, ...]) -> int:
        self._called("interact", name)
        assert name in self.started, "a program needs a started container"
        return self._program(self._files(name), argv).exit_code

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
            raise TooLargeError(f"{path} in {name} is larger than {bounds.format_size(limit)}.")
        yield from (archive[start : start + 1000] for start in range(0, len(archive), 1000))

    def remove(self, name: str) -> None:
        self._called("remove", name)
        self.containers.pop(name, None)
        self.started.discard(name)

    def find_image(self, name: str) -> Image | None:
        self._called("find_image", name)
        return next((one for tag, one in self.images.items() if name in {tag, one.id}), None)

    def list_images(self, label: str) -> tuple[Image, ...]:
        self._called("list_images", label)
        key, _, value = label.partition("=")
        found = [one for one in self.images.values() if key in one.labels and value in {"", one.labels[key]}]
        return tuple(sorted(found, key=lambda one: one.created, reverse=True))

    def find_digest(self, tag: str) -> str | None:
        self._called("find_digest", tag)
        return self.digest

    def build_image(
        self,
        tag: str,
        context: IO[bytes],
        *,
        platform: str,
        labels: Mapping[str, str],
        arguments: Mapping[str, str],
        timeout: float,
    ) -> ExecResult:
        self._called("build_image", tag)
        assert timeout > 0
        assert not arguments, "no proxy is known here"
        dockerfile = read_member([context.read()], "Dockerfile").decode()
        self.built.append(dockerfile)
        parent = re.findall("^FROM (.*)$", dockerfile, re.MULTILINE)[-1]
        assert parent in {"scratch", *self.images} or parent.startswith("debian:"), parent
        done = self._builder(dockerfile)
        if done.exit_code == 0:
            own = dict(re.findall('^LABEL (.*)="(.*)"$', dockerfile, re.MULTILINE))
            number = len(self.built)
            content = self._packages.get(own.get("matrixctl.image", ""), {})
            # Not of its turn: threads build images.
            made_of = sha256(f"{platform} {tag} {dockerfile} {sorted(content.items())}".encode())
            self._contents[f"sha256:{made_of.hexdigest()}"] = content
            self.images[tag] = Image(
                id=f"sha256:{made_of.hexdigest()}",
                tags=(tag,),
                arch=platform.split("/")[1],
                labels={**own, **labels},
                created=f"2026-01-01T00:00:{number:02}Z",
            )
        return done

    def save_image(self, tag: str, into: IO[bytes]) -> None:
        self._called("save_image", tag)
        image = self._image(tag)
        held = {"image": image.model_dump(), "packages": self._contents.get(image.id)}
        into.write(json.dumps(held).encode())

    def load_image(self, saved: IO[bytes]) -> None:
        self._called("load_image", "")
        held = json.loads(saved.read())
        image = Image.model_validate(held["image"])
        self._contents[image.id] = held["packages"]
        self.images[image.tags[0]] = image

    def remove_image(self, image: str) -> None:
        self._called("remove_image", image)
        self.images = {tag: one for tag, one in self.images.items() if one.id != image}

    def _image(self, name: str) -> Image:
        found = self.find_image(name)
        if found is None:
            raise EngineError(f"No such image: {name}")
        return found

    def run(self, image: str, argv: tuple[str, ...], *, timeout: float) -> ExecResult:
        self._called("run", image)
        assert timeout > 0
        machines = {arch.platform.split("/")[1]: arch.machine for arch in ARCHES.values()}
        emulators = {f"qemu-{arch.qemu}": arch.machine for arch in ARCHES.values()}
        own = machines[self._image(image).arch]
        if argv[:2] == ("python3", "-c"):
            return ran(stdout=self.client_says)
        if argv[-1] == "--list-diagnostics":
            machine = emulators.get(argv[0].rpartition("/")[2], own)
            return ran(stdout=f'uname.machine="{machine}"\n'.encode())
        return ran(stdout=f"{own}\n".encode() if argv == ("/usr/bin/uname", "-m") else b"")

    def make_file(
        self,
        image: str,
        script: str,
        path: str,
        into: IO[bytes],
        *,
        environment: Mapping[str, str],
        timeout: float,
    ) -> ExecResult:
        self._called("make_file", image)
        assert timeout > 0
        assert not environment, "no proxy is known here"
        assert path in script
        assert self._image(image)
        into.write(pack({"bin/sh": b"a shell"}))
        return ran()

    def copy_file(self, image: str, path: str, into: IO[bytes]) -> None:
        self._called("copy_file", image)
        there = self._image(image)
        if path in DEB:
            into.write(DEB[path])
            return
        assert path == "/var/lib/dpkg/status", "the file of an image that is asked for"
        own = self._packages.get(there.labels["matrixctl.image"], {})
        for package, version in self._contents.get(there.id, own).items():
            name, _, arch = package.partition(":")
            fields = {"Package": name, "Architecture": arch or there.arch, "Version": version}
            lines = [f"{field}: {value}\n" for field, value in fields.items()]
            into.write("".join([*lines, "Status: install ok installed\n\n"]).encode())

    def sweep(self, run_id: str = "") -> tuple[str, ...]:
        self._called("sweep", run_id)
        left = tuple(self.left)
        self.containers.clear()
        self.volumes.clear()
        return left

    def find_leftovers(self) -> tuple[Leftover, ...]:
        self._called("find_leftovers", "")
        return tuple(
            Leftover(
                kind="container" if kind == "container" else "volume",
                name=name,
                run=labels[owner.LABEL],
                alive=owner.is_alive(labels),
                kept=owner.KEPT in labels,
            )
            for (kind, name), labels in sorted(self.of_others.items())
            if owner.LABEL in labels
        )

    def remove_leftover(self, leftover: Leftover) -> bool:
        self._called("remove_leftover", leftover.name)
        return self.of_others.pop((leftover.kind, leftover.name), None) is not None


_IS_AN_ENGINE: type[Engine] = FakeEngine


_FIELDS: dict[ActionKind, dict[str, object]] = {
    "image": {"image": "client", "arch": "amd64"},
    "probe": {"build": ""},
    **{kind: {"recipe": None, "toolchain": ""} for kind in get_args(BuildKind)},
}
"""What a kind of action has to have."""


def action(key: str, *needs: str, kind: ActionKind = "source", **fields: object) -> Action:
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
        arch=cast("ArchValue", schema.make_value("arch", arch)),
        haproxy=cast("HaproxyValue", schema.make_value("haproxy", haproxy)),
        tls=cast("TlsValue", schema.make_value("tls", tls)),
        cipher=cast("CipherValue", schema.make_value("cipher", cipher)),
        client=ClientValue(name=client, family=client),
        execution=execution,
    )
