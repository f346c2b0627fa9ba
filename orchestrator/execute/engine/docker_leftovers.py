"""What runs left in a Docker daemon: containers and volumes that bear our label."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import docker
from docker.errors import APIError

from orchestrator.execute.engine import owner
from orchestrator.execute.engine.docker_errors import explain_errors
from orchestrator.execute.engine.engine import Leftover

_GONE = {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}
"""How the daemon says that another sweeper removed it, or removes it (or what holds it) at this moment."""


def find(api: docker.APIClient, label: str) -> tuple[Leftover, ...]:
    """Return what bears a label: containers, then the volumes that they may hold."""
    with explain_errors(f"list what bears the label {label}"):
        # One label alone: two at once Podman 4.3 takes for either.
        containers = api.containers(all=True, filters={"label": label})
        volumes = api.volumes(filters={"label": label})["Volumes"] or ()
    found = [_make_leftover("container", _find_name(one), one) for one in containers]
    found += [_make_leftover("volume", one["Name"], one) for one in volumes]
    return tuple(sorted(found, key=lambda one: (one.kind, one.name)))


def _make_leftover(kind: Any, name: str, said: Mapping[str, Any]) -> Leftover:
    labels: dict[str, str] = said.get("Labels") or {}
    run, kept = labels.get(owner.LABEL, ""), owner.KEPT in labels
    return Leftover(kind=kind, name=name, run=run, alive=owner.is_alive(labels), kept=kept)


def _find_name(container: Mapping[str, Any]) -> str:
    names = container["Names"] or [container["Id"]]  # one that is being removed has lost its name
    return str(names[0]).lstrip("/")


def remove(api: docker.APIClient, leftover: Leftover) -> bool:
    """See ``Engine.remove_leftover``."""
    remove_it = api.remove_container if leftover.kind == "container" else api.remove_volume
    with explain_errors(f"remove the {leftover.kind} {leftover.name}"):
        try:
            remove_it(leftover.name, force=True)
        except APIError as error:
            if error.status_code not in _GONE:
                raise
            return False
    return True
