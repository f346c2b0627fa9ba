"""What dead runs left in the engine: containers, networks and volumes that bear our label."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

import docker

from orchestrator.errors import EngineError
from orchestrator.execute.engine import owner
from orchestrator.execute.engine.docker_errors import ENGINE_ERRORS

Kind = Literal["container", "network", "volume"]


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """One thing in the engine. ``alive``: whether its maker still runs, ``None`` if that is not known."""

    kind: Kind
    name: str
    run: str
    alive: bool | None
    kept: bool
    """Left on purpose, by ``--keep``."""


def find(client: docker.DockerClient) -> tuple[Leftover, ...]:
    """Everything that bears our label, in the order in which it can be removed."""
    api, ours = client.api, {"label": owner.LABEL}
    containers = [(_name_of(c), c["Labels"]) for c in api.containers(all=True, filters=ours)]
    networks = [(n["Name"], n["Labels"]) for n in api.networks(filters=ours)]
    volumes = [(v["Name"], v["Labels"]) for v in api.volumes(filters=ours)["Volumes"] or ()]
    found: dict[Kind, list[tuple[str, dict[str, str]]]] = {
        "container": containers,
        "network": networks,
        "volume": volumes,
    }
    return tuple(
        Leftover(
            kind=kind,
            name=name,
            run=labels[owner.LABEL],
            alive=owner.alive(labels),
            kept=owner.KEPT in labels,
        )
        for kind, things in found.items()
        for name, labels in sorted(things)
    )


def _name_of(container: dict[str, Any]) -> str:
    names = container["Names"] or [container["Id"]]  # one that is being removed has lost its name
    return str(names[0]).lstrip("/")


def sweep_dead(client: docker.DockerClient, *, resumed: str = "") -> tuple[Leftover, ...]:
    """Remove whatever the engine has of dead processes of this machine and boot; the answer is what went.

    :param resumed: the id of a run whose maker is known to be dead, even where an earlier boot hides that.

    What ``--keep`` left stays for the look inside that it was left for: only a person's ``matrixctl clean``
    takes it. Never touched are things without our label and those of whom nobody here can say whether they
    live. Two runs that sweep at once do not disturb each other.

    :raises EngineError: if the engine does not do what it is asked; what went is gone all the same.
    """
    try:
        dead = [one for one in find(client) if not one.kept and _is_dead(one, resumed)]
        return tuple(one for one in dead if remove(client, one))
    except ENGINE_ERRORS as error:
        raise EngineError(
            "Docker failed to remove what dead runs left.",
            details=str(error),
            resolution="Try again with `matrixctl clean`.",
        ) from error


def _is_dead(leftover: Leftover, resumed: str) -> bool:
    return leftover.alive is False or (leftover.alive is None and leftover.run == resumed != "")


def remove(client: docker.DockerClient, leftover: Leftover) -> bool:
    """Remove it, running or not; false where it is gone already, or another is about to remove it."""
    api: Any = client.api
    removes = {
        "container": lambda name: api.remove_container(name, force=True),
        "network": api.remove_network,
        "volume": lambda name: api.remove_volume(name, force=True),
    }
    try:
        removes[leftover.kind](leftover.name)
    except docker.errors.NotFound:
        return False
    except docker.errors.APIError as error:
        # Another sweeper removes this container, or the one that holds this volume, at this moment.
        if error.status_code != HTTPStatus.CONFLICT:
            raise
        return False
    return True
