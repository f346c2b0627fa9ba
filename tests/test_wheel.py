"""The wheel works by itself: templates, image files, matrix and sources travel in it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.whole

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the unpacked wheel; the dependencies come from the environment."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def matrixctl(installed: Path, cwd: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *args],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_finds_its_matrix_far_from_the_repository(installed: Path, tmp_path: Path) -> None:
    done = matrixctl(installed, tmp_path, "cells", "--profile", "quick", "--format", "ids")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 20


def test_the_wheel_renders_every_file(installed: Path, tmp_path: Path) -> None:
    done = matrixctl(installed, tmp_path, "render", "--profile", "quick", "--out", "made")
    assert done.returncode == 0, done.stderr
    made = {path.name for path in (tmp_path / "made").rglob("*") if path.is_file()}
    assert {"haproxy.cfg", "supervise.sh", "driver.py", "toolchain.Dockerfile", "reproduce.sh"} <= made


def test_what_travels_is_what_the_repository_has(installed: Path) -> None:
    packed = installed / "orchestrator" / "_resources"
    for name in ("templates", "images"):
        ours = {p.relative_to(ROOT / name) for p in (ROOT / name).rglob("*") if p.is_file()}
        theirs = {p.relative_to(packed / name) for p in (packed / name).rglob("*") if p.is_file()}
        assert {path for path in ours if "__pycache__" not in path.parts} == theirs
    assert (packed / "matrix.yaml").read_bytes() == (ROOT / "matrix.yaml").read_bytes()
