"""What a container may never get: a network, a folder of the host, a socket, a secret of our environment."""

import ast
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from hostile import CORPUS
from pydantic import ValidationError

import orchestrator
from orchestrator.arch import ARCHES
from orchestrator.errors import EngineError
from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.execute.engine.engine import ContainerSpec
from orchestrator.execute.images import image_build
from orchestrator.mask_passwords import mask_text
from orchestrator.matrix.model import Limits
from orchestrator.probe import trace_attempt
from orchestrator.probe.session import Session, make_specs

CANARY = "c4n4ry-0f-4-s3cr3t"
PACKAGE = Path(orchestrator.__file__).parent


class Recording(docker.APIClient):
    """Docker's own client, which says what it would have sent to make a container."""

    def __init__(self) -> None:
        super().__init__(base_url="http://127.0.0.1:9", version="1.41")
        self.made: list[dict[str, Any]] = []

    def create_container_from_config(self, config: Any, *_: Any, **__: Any) -> Any:
        self.made.append(json.loads(json.dumps(config)))
        return {"Id": "x"}


class Engine(DockerEngine):
    @property
    def cpus(self) -> int:
        return 2


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recording:
    """Of a user with secrets in the environment, and a proxy in the docker client's configuration."""
    proxy = f"http://user:{CANARY}@proxy.invalid:3128"
    (tmp_path / "config.json").write_text(json.dumps({"proxies": {"default": {"httpProxy": proxy}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for name in ("GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "MATRIXCTL_X"):
        monkeypatch.setenv(name, CANARY)
    monkeypatch.setenv("http_proxy", proxy)
    return Recording()


def spec(**changes: Any) -> ContainerSpec:
    values: dict[str, Any] = {
        "name": "x",
        "run_id": "r",
        "image": "i",
        "platform": "linux/amd64",
        "argv": ("true",),
        "network": "none",
        "volume": "x-work",
        "memory_bytes": 1 << 20,
        "cpus": 1,
    }
    return ContainerSpec(**(values | changes))


def engine(api: Recording) -> Engine:
    client = docker.DockerClient(base_url="http://127.0.0.1:9", version="1.41")
    client.api = api
    return Engine(client)


def made(api: Recording, one: ContainerSpec) -> dict[str, Any]:
    engine(api).create(one)
    return api.made[-1]


def session() -> Session:
    return Session(
        name="s",
        run_id="r",
        server_image="i",
        client_image="i",
        platform="linux/amd64",
        loader="",
        haproxy=b"",
        selftest=None,
        files={},
        cells=1,
        limits=Limits(),
        cpus=1,
        keep=False,
    )


def probe_specs() -> tuple[ContainerSpec, ...]:
    return make_specs(session())


def test_no_secret_of_the_environment_reaches_a_container(api: Recording) -> None:
    for one in (spec(), *probe_specs()):
        config = made(api, one)
        assert CANARY not in json.dumps(config)
        assert sorted(config["Env"]) == ["HOME=/work", "LC_ALL=C.UTF-8"]


def test_a_container_gets_one_volume_and_nothing_of_the_host(api: Recording) -> None:
    for one in (spec(), *probe_specs()):
        host = made(api, one)["HostConfig"]
        assert host["Binds"] == [f"{one.volume}:/work:rw"]
        assert "docker.sock" not in json.dumps(host)
        assert host["NetworkMode"] == "none" or host["NetworkMode"].startswith("container:")
        assert host["CapDrop"] == ["ALL"]
        assert host["ReadonlyRootfs"] is True
        assert host["SecurityOpt"] == ["no-new-privileges"]
        assert not {"Privileged", "Devices", "CapAdd", "PidMode", "IpcMode", "UsernsMode", "Mounts"} & set(
            host
        )
        assert made(api, one)["User"] == "65534:65534"
    server, client = probe_specs()
    assert (server.network, client.network) == ("none", f"container:{server.name}")


def test_what_captures_has_that_power_alone_and_what_reads_has_none(api: Recording) -> None:
    server, _ = probe_specs()
    capturing, reading = trace_attempt.make_specs(session(), "tools")
    for one in (capturing, reading):
        host = made(api, one)["HostConfig"]
        assert host["Binds"] == [f"{server.volume}:/work:rw"]
        assert (host["CapDrop"], host["ReadonlyRootfs"]) == (["ALL"], True)
        assert host["SecurityOpt"] == ["no-new-privileges"]
    assert made(api, capturing)["HostConfig"]["CapAdd"] == ["NET_RAW"]
    assert (capturing.network, reading.network) == (f"container:{server.name}", "none")
    assert "CapAdd" not in made(api, reading)["HostConfig"]
    assert made(api, reading)["User"] == "65534:65534"


@pytest.mark.parametrize("network", ["host", "bridge", "", "container:", "none ", "container:x --privileged"])
def test_no_other_network_can_be_said(network: str) -> None:
    with pytest.raises(ValidationError):
        spec(network=network)


@pytest.mark.parametrize("volume", ["/", "/var/run/docker.sock", "./x", "../x", "", "x:/etc", "~"])
def test_no_path_can_be_said_in_place_of_a_volume(volume: str) -> None:
    with pytest.raises(ValidationError):
        spec(volume=volume)


@pytest.mark.parametrize("value", CORPUS, ids=lambda value: value.name)
def test_no_hostile_value_is_a_volume_that_is_a_path(value: Any) -> None:
    try:
        one = spec(volume=value.text)
    except (ValidationError, UnicodeError):
        return
    assert "/" not in one.volume
    assert ":" not in one.volume


def test_one_room_alone_makes_containers() -> None:
    makers = {
        path.stem
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in {"create_container", "containers"}
    }
    assert makers == {"docker_engine", "docker_images", "docker_leftovers"}, "the last one lists them"


OPEN = {"Privileged", "Devices", "CapAdd", "PidMode", "IpcMode", "UsernsMode", "Mounts", "Binds"}


def of_images(api: Recording, make: Callable[[Engine], object]) -> dict[str, Any]:
    """The container of a moment that is made for images; it cannot be started here."""
    with pytest.raises(EngineError):
        make(engine(api))
    assert not OPEN & {name for name, value in (api.made[-1]["HostConfig"] or {}).items() if value}
    return api.made[-1]


def test_a_container_that_proves_an_image_has_nothing(api: Recording) -> None:
    config = of_images(api, lambda one: one.run("i", ("true",), timeout=1))
    host = config["HostConfig"]
    assert (host["NetworkMode"], host["CapDrop"], host["ReadonlyRootfs"]) == ("none", ["ALL"], True)
    assert (host["SecurityOpt"], config["User"]) == (["no-new-privileges"], "65534:65534")
    assert CANARY not in json.dumps(config)


def test_a_container_whose_file_is_copied_has_no_network(api: Recording) -> None:
    config = of_images(api, lambda one: one.copy_file("i", "/x", io.BytesIO()))
    assert config["HostConfig"]["NetworkMode"] == "none"
    assert CANARY not in json.dumps(config)


def test_the_one_container_with_a_network_is_told_of_its_proxy_and_of_no_other_secret(api: Recording) -> None:
    """It fetches packages."""
    given = {"http_proxy": "http://proxy.invalid"}
    config = of_images(
        api, lambda one: one.make_file("i", "x", "/x", io.BytesIO(), environment=given, timeout=1)
    )
    assert "http_proxy=http://proxy.invalid" in config["Env"]
    assert {name.partition("=")[0].lower() for name in config["Env"]} == {"http_proxy"}


class Builder:
    """An engine's builder that repeats the proxy that it was given."""

    def __init__(self, proxy: str) -> None:
        self.api = self
        self._proxy = proxy

    def build(self, **given: Any) -> Iterator[dict[str, str]]:
        assert given["buildargs"] == {"http_proxy": self._proxy}
        yield {"stream": f"Err:1 via {self._proxy}\n"}
        yield {"error": f"cannot reach {self._proxy}"}


def test_a_failed_image_build_does_not_tell_the_proxys_password() -> None:
    proxy = f"http://user:{CANARY}@proxy.invalid:3128/"
    client: Any = Builder(proxy)
    with pytest.raises(EngineError) as caught:
        image_build.build(
            Engine(client),
            tag="t",
            dockerfile="FROM scratch",
            arch=ARCHES["amd64"],
            labels={},
            proxies={"http_proxy": proxy},
            limit=10,
        )
    assert CANARY not in str(caught.value)
    assert "http://***@proxy.invalid:3128/" in caught.value.details


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:secret@host/x", "https://***@host/x"),
        ("https://:secret@host", "https://***@host"),
        ("https://user:se@cr:et@host/", "https://***@host/"),
        ("via 'http://u:p@h' and http://u:q@h.", "via 'http://***@h' and http://***@h."),
        ("ssh://git@host/x", "ssh://git@host/x"),
        ("https://host:443/a:b@c", "https://host:443/a:b@c"),
        ("127.0.0.1:80 user@host", "127.0.0.1:80 user@host"),
    ],
)
def test_what_is_masked(text: str, shown: str) -> None:
    assert mask_text(text) == shown
