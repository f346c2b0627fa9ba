"""Makes a container image, or finds it."""

import re
from collections.abc import Mapping

from orchestrator.app.context import Context
from orchestrator.app.emulators import Emulators
from orchestrator.arch import ARCHES, Arch
from orchestrator.plan.action import ImageAction
from orchestrator.record.model import ActionStatus

_NOTABLE = {
    "client": {
        *("curl", "libcurl4t64", "libssl3t64", "libnghttp3-9"),
        *("ngtcp2-client", "libgnutls30t64", "libngtcp2-16"),
    },
    "runtime": {"libc6", "libssl3t64"},
    "emulated-runtime": {"libc6", "libssl3t64"},
}
"""Packages of an image that decide what a cell shows; the toolchain's are part of the digests."""


def do(context: Context, action: ImageAction, emulators: Emulators) -> ActionStatus:
    """Make the image, and write down what is in it.

    :raises EngineError, DeadlineError, EmulationError, MatrixctlError: see ``ImageSet.get``.
    """
    arch = ARCHES[action.arch]
    image = context.images.get(action.image, arch)
    for made in (context.images.get("base", context.host), image):
        name = f"{made.name}-{made.target}"
        context.recorder.component("image", name, made.tag, made.digest or made.id, made.origin)
    packages = context.images.packages(action.image, arch) if action.image in _NOTABLE else {}
    _record_packages(context, action.image, arch, packages)
    _record_emulator(context, action.image, arch, packages, emulators)
    return "succeeded" if image.new else "cached"


def _record_packages(context: Context, image: str, arch: Arch, packages: Mapping[str, str]) -> None:
    """Write down the versions of what answers and of what asks: the runtime's libraries and the client's."""
    # Beside an emulator lie the libraries of the host's own architecture, which only its shell uses.
    suffix = "" if arch == context.host else f":{arch.name}"
    wanted = {f"{name}{suffix}" for name in _NOTABLE.get(image, ())}
    for name, version in packages.items():
        if name in wanted:
            place = f"{name} in {image}-{arch.name}"
            context.recorder.component("package", place, version, None, f"{image} image")


def _record_emulator(
    context: Context, image: str, arch: Arch, packages: Mapping[str, str], emulators: Emulators
) -> None:
    name = f"qemu-{arch.qemu}"
    if image == "emulated-toolchain":
        name = f"{name} of the compilers"
        version = emulators.find_host_version(arch) or "unknown"
        origin = "binfmt_misc of the engine's host"
    elif image == "emulated-runtime":
        package = packages["qemu-user"]
        version = re.sub(r"^\d+:|[+-].*$", "", package)  # Debian's 1:10.0.13+ds-0 is QEMU's 10.0.13
        origin = f"qemu-user {package} of the image"
        emulators.note(arch, version)
    else:
        return
    context.recorder.component("emulator", name, version, None, origin)
