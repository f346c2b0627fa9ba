"""Makes a container image, or finds it."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence

from orchestrator.app.context import Context
from orchestrator.app.emulators import Emulators
from orchestrator.arch import ARCHES
from orchestrator.execute.images.workshop import ImageRef
from orchestrator.plan.action import ImageAction
from orchestrator.record.model import ActionStatus

_QEMU = "qemu-user"
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
    if action.client is not None:
        image = context.images.get_client(action.client)
        noted = False  # what is in it beside the client is recorded of the image that it grew from
    else:
        image = context.images.get(action.image, arch, action.extra)
        noted = action.image in _NOTABLE
    packages = context.images.read_packages(action.image, arch, action.extra) if noted else {}
    if action.client is not None:
        place = f"{action.client.name} in {action.name.partition(' ')[0]}"
        context.recorder.add_component(
            "package", place, image.client, image.digest, image.origin, used_by=[action.key]
        )
    rest = _record_packages(context, action, packages)
    _record_emulator(context, action, packages, emulators)
    record_image(context, context.images.get("base", context.host), used_by=[action.key])
    record_image(context, image, action.name, used_by=[action.key], rest=rest)
    return "succeeded" if image.new else "cached"


def record_image(
    context: Context, image: ImageRef, name: str = "", *, used_by: Sequence[str] = (), rest: str | None = None
) -> None:
    """Write down an image. What captures or debugs is used by no action, as it decides nothing."""
    context.recorder.add_component(
        "image",
        name or f"{image.name}-{image.target}",
        image.tag,
        image.digest or image.id,
        image.origin,
        used_by=used_by,
        rest=rest,
    )


def _record_packages(context: Context, action: ImageAction, packages: Mapping[str, str]) -> str | None:
    """Write down the versions of what answers and of what asks: the runtime's libraries and the client's.

    Return a digest of all other packages, or ``None`` where none were looked at.
    """
    image, arch = action.image, ARCHES[action.arch]
    # Beside an emulator lie the libraries of the host's own architecture, which only its shell uses.
    suffix = "" if arch == context.host else f":{arch.name}"
    wanted = {f"{name}{suffix}" for name in (*_NOTABLE.get(action.image, ()), *action.extra)}
    for name, version in packages.items():
        if name in wanted:
            place = f"{name} in {action.name}"
            origin = f"{image} image"
            context.recorder.add_component("package", place, version, None, origin, used_by=[action.key])
    others = sorted((name, version) for name, version in packages.items() if name not in wanted | {_QEMU})
    return hashlib.sha256(json.dumps(others).encode()).hexdigest() if packages else None


def _record_emulator(
    context: Context, action: ImageAction, packages: Mapping[str, str], emulators: Emulators
) -> None:
    image, arch = action.image, ARCHES[action.arch]
    name = f"qemu-{arch.qemu}"
    if image == "emulated-toolchain":
        name = f"{name} of the compilers"
        version = emulators.find_host_version(arch) or "unknown"
        origin = "binfmt_misc of the engine's host"
    elif image == "emulated-runtime":
        package = packages[_QEMU]
        version = re.sub(r"^\d+:|[+-].*$", "", package)  # Debian's 1:10.0.13+ds-0 is QEMU's 10.0.13
        origin = f"qemu-user {package} of the image"
        emulators.note(arch, version)
    else:
        return
    context.recorder.add_component("emulator", name, version, None, origin, used_by=[action.key])
