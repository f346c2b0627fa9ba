import pytest
from fake_host import FakeHost, done

from orchestrator.arch import ARCHES
from orchestrator.errors import EmulationError
from orchestrator.execute.engine.engine import Engine
from orchestrator.execute.images import base_image, emulation, workshop
from orchestrator.execute.system.host import LocalHost

ARM, AMD = ARCHES["arm64"], ARCHES["amd64"]


def test_a_native_program_has_nothing_before_it() -> None:
    assert emulation.make_emulator_prefix(AMD, "") == ()
    assert emulation.make_diagnostics(AMD, "") == ("/lib64/ld-linux-x86-64.so.2", "--list-diagnostics")


def test_an_emulated_program_is_run_by_the_images_emulator_in_the_targets_root() -> None:
    emulator = ("/usr/bin/qemu-aarch64", "-cpu", "max", "-L", "/target")
    assert emulation.make_emulator_prefix(ARM, "max") == emulator
    loader = "/target/lib/ld-linux-aarch64.so.1"
    assert emulation.make_diagnostics(ARM, "max") == (*emulator, loader, "--list-diagnostics")


def test_the_emulator_says_its_version() -> None:
    said = "qemu-aarch64 version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright (c) 2003-2022\n"
    host = FakeHost(programs={"qemu-aarch64-static"}, answers={"/usr/bin/qemu-aarch64-static": done(said)})
    assert emulation.find_qemu_version(host, ARM) == "7.2.22 (Debian 1:7.2+dfsg-7)"
    assert emulation.find_qemu_version(host, ARM, remote=True) is None
    assert emulation.find_qemu_version(FakeHost(), ARM) is None


@pytest.mark.containers
def test_a_container_of_another_architecture_is_no_proof(engine: Engine) -> None:
    arch = ARCHES[engine.describe().arch]
    shop = workshop.Workshop(engine=engine, host=LocalHost(), arch=arch)
    base = base_image.ensure_base(shop)
    other = next(arch for arch in ARCHES.values() if arch != shop.arch)
    with pytest.raises(EmulationError, match=f"does not run as {other.machine}") as caught:
        emulation.prove_machine(engine, base.tag, other)
    assert "qemu-user-static binfmt-support" in caught.value.resolution
