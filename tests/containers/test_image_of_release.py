"""The image of release.yml, as ``make image`` builds it, with the engine of this machine by its socket."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.arch import find_arch
from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.execute.images import workshop

pytestmark = [pytest.mark.containers, pytest.mark.soak]

ROOT = Path(__file__).parents[2]
IMAGE = f"matrixctl-test-image:{os.getpid()}"
CELL = "{arch}--haproxy-distro--openssl-distro--TLS_CHACHA20_POLY1305_SHA256"


@pytest.fixture
def cell(engine: DockerEngine, store: Path, tmp_path: Path) -> str:
    """A cell that passes here; so there is a base image without any registry."""
    chosen = CELL.format(arch=find_arch(engine.describe().arch).name)
    argv = [sys.executable, "-m", "orchestrator", "run", "--cell", chosen, "--quiet"]
    places = ["--store", str(store), "--reports", str(tmp_path / "here")]
    subprocess.run([*argv, *places], cwd=ROOT, check=True)
    return chosen


@pytest.fixture
def image(engine: DockerEngine, cell: str) -> Iterator[str]:
    assert cell
    base = workshop.find_newest(engine, "base", find_arch(engine.describe().arch))
    assert base is not None
    tag = next(one for one in base.tags if one.startswith("matrixctl/base:"))
    try:
        subprocess.run(["make", "image", f"IMAGE={IMAGE}", f"BASE={tag}"], cwd=ROOT, check=True)
        yield IMAGE
    finally:
        stages = [one.id for one in engine.list_images("matrixctl.image=installed")]
        subprocess.run(["docker", "image", "rm", "--force", IMAGE, *stages], capture_output=True, check=False)


def in_image(image: str, *args: str, folder: Path) -> str:
    socket = "/var/run/docker.sock"
    argv = ["docker", "run", "--rm", f"--volume={socket}:{socket}", f"--volume={folder}:/work", image, *args]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(1800)
def test_it_runs_a_cell(image: str, cell: str, tmp_path: Path) -> None:
    assert in_image(image, "--version", folder=tmp_path).startswith("matrixctl, version ")
    listed = in_image(image, "cells", "--profile", "quick", "--format", "ids", folder=tmp_path)
    assert cell in listed.splitlines()
    in_image(image, "run", "--cell", cell, folder=tmp_path)
    (path,) = (tmp_path / "reports").glob("*/run.json")
    (judged,) = json.loads(path.read_text())["cells"]
    assert (judged["id"], judged["outcome"]) == (cell, "pass")
    tools = subprocess.run(
        ["docker", "run", "--rm", "--entrypoint=ls", image, "/opt/matrixctl/bin"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"ruff", "mypy", "pytest"}.isdisjoint(tools.stdout.split()), "what only development needs"
