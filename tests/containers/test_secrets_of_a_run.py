"""A run of somebody with secrets in the environment: none is in a container, a log or a report."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import runner_in

from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.execute.engine.engine import ContainerSpec

pytestmark = pytest.mark.containers
CANARY = "c4n4ry-0f-4-s3cr3t"
NAMES = ("GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "ACTIONS_RUNTIME_TOKEN", "PYPI_TOKEN")
PROXY = f"http://user:{CANARY}@127.0.0.1:9"


class Watching(DockerEngine):
    """Looks at each container as Docker made it."""

    def __init__(self, engine: DockerEngine) -> None:
        super().__init__(engine.client)
        self.seen: list[dict[str, Any]] = []

    def create(self, spec: ContainerSpec) -> None:
        super().create(spec)
        self.seen.append(self.client.api.inspect_container(spec.name))


def test_no_secret_of_the_environment_goes_anywhere(
    engine: DockerEngine, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, CANARY)
    watching = Watching(engine)
    run = runner_in(tmp_path, watching, store)
    ran = run(
        "arch=amd64", "cipher=default", "tls=openssl-distro", mirrors=(PROXY,), proxies={"http_proxy": PROXY}
    )
    assert ran.record.run.judged == 1
    files = [path for path in ran.folder.rglob("*") if path.is_file()]
    assert {"journal.jsonl", "run.json", "index.html"} <= {path.name for path in files}
    assert [path.name for path in files if CANARY.encode() in path.read_bytes()] == []
    assert len(watching.seen) >= 2
    for container in watching.seen:
        assert CANARY not in json.dumps(container)
        assert container["HostConfig"]["NetworkMode"].startswith(("none", "container:"))
        assert container["HostConfig"]["Binds"] == [f"{container['Mounts'][0]['Name']}:/work:rw"]
        assert [mount["Type"] for mount in container["Mounts"]] == ["volume"]
