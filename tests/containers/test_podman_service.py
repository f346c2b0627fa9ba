"""A real Podman behind Docker's API: its own service, storage and socket, beside the machine's engine."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import docker
import pytest
from click.testing import CliRunner
from conftest import runner_in

from orchestrator.cli.main import main
from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.outcome import Outcome

pytestmark = [
    pytest.mark.containers,
    pytest.mark.soak,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        shutil.which("podman") is None, reason="needs podman and catatonit, Debian's packages"
    ),
]

GCM = "TLS_AES_128_GCM_SHA256"
# Podman's own limits may exceed those of the machine, which then starts no container.
LIMITS = '[containers]\ndefault_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]\n'


@pytest.fixture(scope="module")
def podman() -> Iterator[str]:
    """The address of a Podman that leaves nothing behind."""
    folder = Path(tempfile.mkdtemp(prefix="mxp-"))  # short, as the path of a socket has to be
    (folder / "containers.conf").write_text(LIMITS)
    command = [
        "podman",
        "--root",
        f"{folder}/root",
        "--runroot",
        f"{folder}/run",
        "--cgroup-manager=cgroupfs",
    ]
    address = f"unix://{folder}/sock"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTAINERS_CONF", str(folder / "containers.conf"))
        service = subprocess.Popen([*command, "system", "service", "--time=0", address])
        try:
            wait_for(address)
            yield address
        finally:
            subprocess.run([*command, "rm", "--all", "--force"], check=False, capture_output=True)
            service.terminate()
            service.wait(60)
            for mount in ("root/overlay", "root"):
                subprocess.run(["umount", "--quiet", str(folder / mount)], check=False)
            shutil.rmtree(folder)


def wait_for(address: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.connect(address.removeprefix("unix://"))
            return
        time.sleep(0.2)
    raise AssertionError("podman's service does not answer")


def test_doctor_knows_podman(podman: str) -> None:
    found = CliRunner().invoke(main, ["doctor"], env={"DOCKER_HOST": podman, "COLUMNS": "200"})
    (line,) = [line for line in found.stdout.splitlines() if line.startswith("podman version")]
    assert "ok" in line


def test_a_native_and_an_emulated_cell_pass(podman: str, store: Path, tmp_path: Path) -> None:
    with closing(docker.DockerClient(base_url=podman, timeout=60, num_pools=1)) as client:
        engine = DockerEngine(client)
        ran = runner_in(tmp_path, engine, store)("haproxy=3.0.11", "tls=openssl-distro", f"cipher={GCM}")
        assert engine.sweep() == (), "nothing is left"
    assert ran.record.run.engine is not None
    assert ran.record.run.engine.name == "podman"
    found = {cell.axes.arch.name: (cell.outcome, cell.execution.mode) for cell in ran.record.cells}
    assert found == {"amd64": (Outcome.PASS, "native"), "arm64": (Outcome.PASS, "emulated")}
