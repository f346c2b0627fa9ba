"""The labelled things of a Docker engine, in memory, and what dead processes left there."""

import subprocess
import sys
from typing import Any, cast

import docker

from orchestrator.execute.engine import docker_leftovers, owner

_LABEL = "from orchestrator.execute.engine import owner; print(owner.labels('')[owner.OWNER])"


def dead_labels(run: str) -> dict[str, str]:
    """The labels of a process that has ended."""
    said = subprocess.run([sys.executable, "-c", _LABEL], check=True, capture_output=True, text=True)
    return {owner.LABEL: run, owner.OWNER: said.stdout.strip()}


class FakeApi:
    """Docker's lists of labelled things, and what it answers when one is to be removed."""

    def __init__(self) -> None:
        self.things: dict[str, dict[str, dict[str, str]]] = {"container": {}, "network": {}, "volume": {}}
        self.refuses: dict[str, Exception] = {}

    def _listed(self, kind: str, label: str) -> list[dict[str, Any]]:
        found = [(name, labels) for name, labels in self.things[kind].items() if label in labels]
        return [{"Name": name, "Names": [f"/{name}"], "Id": name, "Labels": labels} for name, labels in found]

    def containers(self, *, all: bool, filters: dict[str, str]) -> list[dict[str, Any]]:  # noqa: A002
        assert all
        return self._listed("container", filters["label"])

    def networks(self, *, filters: dict[str, str]) -> list[dict[str, Any]]:
        return self._listed("network", filters["label"])

    def volumes(self, *, filters: dict[str, str]) -> dict[str, Any]:
        return {"Volumes": self._listed("volume", filters["label"]) or None}

    def _removed(self, kind: str, name: str) -> None:
        if name in self.refuses:
            raise self.refuses[name]
        del self.things[kind][name]

    def remove_container(self, name: str, *, force: bool) -> None:
        assert force
        self._removed("container", name)

    def remove_network(self, name: str) -> None:
        self._removed("network", name)

    def remove_volume(self, name: str, *, force: bool) -> None:
        assert force
        self._removed("volume", name)


class FakeClient:
    def __init__(self) -> None:
        self.api = FakeApi()

    @property
    def names(self) -> set[str]:
        return {name for things in self.api.things.values() for name in things}

    def sweep(self) -> list[str]:
        return [one.name for one in docker_leftovers.sweep_dead(self.client)]

    @property
    def client(self) -> docker.DockerClient:
        """For whoever wants the real type."""
        return cast("docker.DockerClient", self)
