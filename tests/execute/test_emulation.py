import docker
import pytest
from fake_host import BINFMT, ENTRY, FakeHost, done

from orchestrator.arch import ARCHES, Arch
from orchestrator.errors import EmulationError
from orchestrator.execute.images import base_image, emulation, workshop
from orchestrator.execute.system.host import LocalHost

ARM, AMD = ARCHES["arm64"], ARCHES["amd64"]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (ENTRY, True),
        (ENTRY.replace("PF", "OCF"), True),
        (ENTRY.replace("PF", "P"), False),
        (ENTRY.replace("enabled", "disabled"), False),
        (ENTRY.replace("PF", ""), False),
        (None, False),
    ],
)
def test_only_an_enabled_entry_that_holds_its_emulator_open_counts(entry: str | None, expected: bool) -> None:
    files = {} if entry is None else {f"{BINFMT}/qemu-aarch64": entry}
    assert emulation.registered(FakeHost(files=files), ARM) is expected


def test_the_emulator_says_its_version() -> None:
    said = "qemu-aarch64 version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright (c) 2003-2022\n"
    host = FakeHost(programs={"qemu-aarch64-static"}, answers={"/usr/bin/qemu-aarch64-static": done(said)})
    assert emulation.qemu_version(host, ARM) == "7.2.22 (Debian 1:7.2+dfsg-7)"
    assert emulation.qemu_version(host, ARM, remote=True) is None
    assert emulation.qemu_version(FakeHost(), ARM) is None


@pytest.mark.containers
def test_a_container_of_another_architecture_is_no_proof() -> None:
    client = docker.from_env(timeout=60)
    shop = workshop.Workshop(client=client, host=LocalHost(), arch=_daemon_arch(client), say=lambda _: None)
    base = base_image.ensure_base(shop)
    other = next(arch for arch in ARCHES.values() if arch != shop.arch)
    with pytest.raises(EmulationError, match=f"does not run as {other.machine}"):
        emulation.proof(client, base.tag, other)
    client.close()


def _daemon_arch(client: docker.DockerClient) -> Arch:
    return ARM if client.info()["Architecture"] == ARM.machine else AMD
