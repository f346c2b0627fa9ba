"""What dead runs left in the engine: containers, networks and volumes that bear our label."""

from dataclasses import dataclass
from typing import Any, Literal

import docker

from orchestrator.execute import owner

Kind = Literal["container", "network", "volume"]


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """One thing in the engine. ``alive``: whether its maker still runs, ``None`` if that is not known."""

    kind: Kind
    name: str
    run: str
    alive: bool | None


def find(client: docker.DockerClient) -> tuple[Leftover, ...]:
    """Everything that bears our label, in the order in which it can be removed."""
    api, ours = client.api, {"label": owner.LABEL}
    containers = [(c["Names"][0].lstrip("/"), c["Labels"]) for c in api.containers(all=True, filters=ours)]
    networks = [(n["Name"], n["Labels"]) for n in api.networks(filters=ours)]
    volumes = [(v["Name"], v["Labels"]) for v in api.volumes(filters=ours)["Volumes"] or ()]
    found: dict[Kind, list[tuple[str, dict[str, str]]]] = {
        "container": containers,
        "network": networks,
        "volume": volumes,
    }
    return tuple(
        Leftover(kind=kind, name=name, run=labels[owner.LABEL], alive=owner.alive(labels))
        for kind, things in found.items()
        for name, labels in sorted(things)
    )


def remove(client: docker.DockerClient, leftover: Leftover) -> None:
    """Remove it, running or not; no error where it is gone already."""
    api: Any = client.api
    removes = {
        "container": lambda name: api.remove_container(name, force=True),
        "network": api.remove_network,
        "volume": lambda name: api.remove_volume(name, force=True),
    }
    try:
        removes[leftover.kind](leftover.name)
    except docker.errors.NotFound:
        return
