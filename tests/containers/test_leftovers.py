"""What dead runs left is found and removed; what a living one has is not."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from orchestrator.app.leftovers import sweep_dead
from orchestrator.arch import find_arch
from orchestrator.cli.main import main
from orchestrator.execute.engine import owner
from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.execute.images import workshop

pytestmark = pytest.mark.containers
RUN = "20260102-030405-left"
LABEL = "matrixctl-test-leftovers"
"""In place of our own: a run that begins beside these tests removes what the dead left, too."""
MAKE = f"""
from orchestrator.arch import find_arch
from orchestrator.execute.engine import owner
from orchestrator.execute.engine.engine import ContainerSpec, connect
from orchestrator.execute.images import workshop
owner.LABEL = "{LABEL}"
engine = connect()
engine.create_volume("matrixctl-{RUN}-dead", "{RUN}")
arch = find_arch(engine.describe().arch)
image = workshop.find_newest(engine, "client", arch)
if image is not None:
    engine.create(ContainerSpec(
        name="matrixctl-{RUN}-dead", run_id="{RUN}", image=image.id, platform=arch.platform,
        argv=("sleep", "infinity"), network="none", volume="matrixctl-{RUN}-dead",
        memory_bytes=64 << 20, cpus=1,
    ))
    engine.start("matrixctl-{RUN}-dead")
"""


@pytest.fixture
def left(engine: DockerEngine, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A volume of this process, and what a process that is dead by now made."""
    monkeypatch.setattr(owner, "LABEL", LABEL)
    try:
        engine.create_volume(f"matrixctl-{RUN}-alive", RUN)
        engine.client.volumes.create(name=f"matrixctl-{RUN}-foreign", labels={LABEL: RUN})
        subprocess.run([sys.executable, "-c", MAKE], check=True, timeout=60)
        yield
    finally:
        for one in engine.find_leftovers():
            if one.run == RUN:
                engine.remove_leftover(one)


@pytest.mark.usefixtures("left")
def test_only_what_the_dead_left_goes(engine: DockerEngine) -> None:
    mine = [one for one in engine.find_leftovers() if one.run == RUN]
    with_container = workshop.find_newest(engine, "client", find_arch(engine.describe().arch)) is not None
    states = {(one.kind, one.name.rpartition("-")[2]): one.alive for one in mine}
    expected = {("volume", "alive"): True, ("volume", "foreign"): None, ("volume", "dead"): False}
    assert states == expected | ({("container", "dead"): False} if with_container else {})
    dead = [one for one in mine if one.alive is False]
    gone = list(sweep_dead(engine))
    assert set(dead) <= set(gone)
    assert not [one for one in gone if one.alive is not False]
    assert not [one for one in dead if one.kind == "container" and engine.remove_leftover(one)]
    found = {one.name.rpartition("-")[2] for one in engine.find_leftovers() if one.run == RUN}
    assert found == {"alive", "foreign"}


@pytest.mark.usefixtures("left")
def test_a_dry_run_says_what_would_go_and_what_stays(engine: DockerEngine) -> None:
    before = [one.name for one in engine.find_leftovers() if one.run == RUN]
    said = CliRunner().invoke(main, ["clean", "--dry-run"]).stdout.splitlines()
    assert f"would remove volume matrixctl-{RUN}-dead" in said
    assert f"kept volume matrixctl-{RUN}-alive: its run still goes on" in said
    assert any(line.startswith(f"kept volume matrixctl-{RUN}-foreign: of another machine") for line in said)
    assert f"would remove volume matrixctl-{RUN}-foreign" in (
        CliRunner().invoke(main, ["clean", "--dry-run", "--foreign"]).stdout
    )
    assert [one.name for one in engine.find_leftovers() if one.run == RUN] == before


@pytest.mark.usefixtures("left")
def test_images_stay_while_a_run_goes_on(engine: DockerEngine) -> None:
    before = workshop.remove_images(engine, dry_run=True)
    result = CliRunner().invoke(main, ["clean", "--dry-run", "--images"])
    assert result.exit_code == 4
    assert "the images stay" in result.stderr
    assert {*before} <= {*workshop.remove_images(engine, dry_run=True)}
