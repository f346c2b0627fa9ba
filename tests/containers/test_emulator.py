"""Servers of another architecture are run by the emulator of their image, whatever the kernel knows."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Overlay, Runner

from orchestrator.arch import ARCHES, find_arch
from orchestrator.outcome import Outcome

pytestmark = pytest.mark.containers

HOST = find_arch(os.uname().machine)
OTHER = next(arch for arch in (ARCHES["amd64"], ARCHES["arm64"]) if arch != HOST)
_SAID = 'echo "$?" > vv.status'
_SHOWN = '\nfor cell in cells/*/; do readlink "/proc/$(cat "${cell}pid")/exe" > "${cell}exe.log"; done'


@pytest.fixture(params=["as it is", "without binfmt_misc"])
def kernel(request: pytest.FixtureRequest) -> Iterator[None]:
    """The kernel with whatever emulators it was told of, and with its entry for this one disabled."""
    entry = Path(f"/proc/sys/fs/binfmt_misc/qemu-{OTHER.qemu}")
    registered = entry.exists() and entry.read_text().startswith("enabled")
    if request.param == "as it is" or not registered:
        yield
        return
    if not os.access(entry, os.W_OK):
        pytest.skip("only root may disable an entry of binfmt_misc")
    entry.write_text("0")
    try:
        yield
    finally:
        entry.write_text("1")


@pytest.mark.usefixtures("kernel")
def test_a_foreign_server_is_the_emulator_of_its_image(run: Runner, overlay: Overlay) -> None:
    """Where the kernel has an emulator of its own, a forgotten prefix would pass unseen."""
    overlay.edit("probe/supervise.sh", (_SAID, _SAID + _SHOWN))
    ran = run(f"arch={OTHER.name}", "cipher=default", overlay=overlay.folder)
    (cell,) = ran.record.cells
    assert cell.outcome is Outcome.PASS, cell.message
    (path,) = [path for path in cell.evidence if path.endswith("/exe.log")]
    assert (ran.folder / path).read_text() == f"/usr/bin/qemu-{OTHER.qemu}\n"
    assert cell.attestation is not None
    assert cell.attestation.machine == OTHER.machine
    assert (cell.execution.mode, cell.execution.cpu_model) == ("emulated", OTHER.cpus.default)
    assert cell.execution.cpu_features
    (emulator,) = [part for part in ran.record.components if part.kind == "emulator"]
    assert (emulator.name, emulator.version) == (f"qemu-{OTHER.qemu}", cell.execution.qemu_version)
    assert emulator.origin.startswith("qemu-user ")
