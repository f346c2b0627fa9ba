"""Podman behind Docker's API: what it answers otherwise. A real one: containers/test_podman_service.py."""

from typing import Any, cast

import docker
import pytest

from orchestrator.arch import ARCHES
from orchestrator.execute.engine import owner
from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.execute.images import workshop

AMD = ARCHES["amd64"]


def image(*tags: str, arch: str = "amd64", created: str = "2026-01-01") -> dict[str, Any]:
    labels = {"matrixctl.image": "base", "matrixctl.arch": arch}
    said = {"RepoTags": list(tags), "Created": created, "Config": {"Labels": labels}}
    return {"Id": created, "Architecture": arch, **said}


class Images:
    """Answers as Podman 4.3 does: nothing where two labels are asked for."""

    def __init__(self, *held: dict[str, Any]) -> None:
        self.held = {one["Id"]: one for one in held}

    def images(self, *, filters: dict[str, Any]) -> list[dict[str, Any]]:
        return list(self.held.values()) if isinstance(filters["label"], str) else []

    def inspect_image(self, name: str) -> dict[str, Any]:
        return self.held[name]


class Client:
    def __init__(self, api: object) -> None:
        self.api = api


def engine_of(api: object) -> DockerEngine:
    return DockerEngine(cast("docker.DockerClient", Client(api)))


@pytest.mark.parametrize("prefix", ["", "localhost/", "docker.io/"])
def test_an_image_is_found_whatever_stands_before_its_tag(prefix: str) -> None:
    engine = engine_of(
        Images(
            image(f"{prefix}matrixctl/base:old"),
            image(f"{prefix}matrixctl/base:new", created="2026-02-02"),
            image(f"{prefix}matrixctl/base:arm", arch="arm64", created="2026-03-03"),
            image(f"{prefix}elsewhere/base:x", created="2026-04-04"),
        )
    )
    newest = workshop.find_newest(engine, "base", AMD)
    assert newest is not None
    assert newest.tags == ("matrixctl/base:new",)
    assert workshop.remove_images(engine, dry_run=True)[-1] == "matrixctl/base:old"


def test_an_image_that_was_made_by_hand_is_left_alone() -> None:
    """As the script of a reproducer makes it: it has the Dockerfile's label alone, and any tag."""
    by_hand = image("matrixctl/base:mine", created="2026-09-09")
    del by_hand["Config"]["Labels"]["matrixctl.arch"]
    engine = engine_of(Images(by_hand, image("matrixctl/base:ours")))
    newest = workshop.find_newest(engine, "base", AMD)
    assert newest is not None
    assert newest.tags == ("matrixctl/base:ours",)


class Api:
    """Things of two runs of this process; it looks at the first label alone, as Podman does with volumes."""

    def __init__(self) -> None:
        self.gone: list[str] = []

    def containers(self, *, all: bool, filters: dict[str, str]) -> list[dict[str, Any]]:  # noqa: A002
        assert all
        assert filters == {"label": owner.make_own_label()}
        return [
            {"Names": [f"/{run}-c"], "Id": "x", "Labels": owner.make_labels(run)} for run in ("one", "two")
        ]

    def volumes(self, *, filters: dict[str, str]) -> dict[str, Any]:
        assert filters == {"label": owner.make_own_label()}
        return {"Volumes": [{"Name": f"{run}-v", "Labels": owner.make_labels(run)} for run in ("one", "two")]}

    def remove_container(self, name: str, **_: Any) -> None:
        self.gone.append(name)

    remove_volume = remove_container


def test_a_run_removes_what_is_its_own_alone() -> None:
    api = Api()
    engine = engine_of(api)
    assert engine.sweep("one") == ("one-c", "one-v") == tuple(api.gone)
    assert engine.sweep() == ("one-c", "two-c", "one-v", "two-v")
