"""A cross-build against an emulated build of the same HAProxy for the other architecture.

Each is `matrixctl run` with a store of its own: no artifact and no compiler cache to start with. The time
is that of the build action alone: images and sources are actions of their own.
"""

import shutil
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import command
from bench.figures import Section, check_target
from orchestrator.arch import Arch
from orchestrator.errors import MatrixctlError
from orchestrator.execute.images import emulation
from orchestrator.execute.system.host import LocalHost

TARGET_RATIO = 8.0
_TIMEOUT = 3 * 3600
BINFMT = Path("/proc/sys/fs/binfmt_misc")


def refuse_without_emulator(target: Arch, registered: Path = BINFMT) -> None:
    """Refuse before the first figure what would fail after an hour.

    :raises MatrixctlError: where the kernel hands no program of the target to QEMU.
    """
    if not (registered / f"qemu-{target.qemu}").exists():
        raise MatrixctlError(
            f"`builds` needs QEMU for {target.name} registered with binfmt_misc, and it is not.",
            resolution="docs/setup.md says how; or name the other benchmarks.",
        )


def measure(target: Arch, store: Path, *, jobs: int, say: Callable[[str], None]) -> Section:
    """Build three times: cross, emulated, cross; the last shows how much the machine wavered.

    ``store`` lends its sources and images' archives, so that nothing is fetched twice.
    """
    seconds: dict[str, list[float]] = {"cross": [], "emulated": []}
    for build in ("cross", "emulated", "cross"):
        say(f"builds: {build}" + (", ten to thirty minutes" if build == "emulated" else ""))
        seconds[build].append(_build(target, build, store, jobs=jobs))
    qemu = emulation.find_qemu_version(LocalHost(), target)
    return make_section(target, seconds["cross"], seconds["emulated"], jobs=jobs, qemu=qemu)


def make_section(
    target: Arch, cross: list[float], emulated: list[float], *, jobs: int, qemu: str | None
) -> Section:
    """Return the table; the ratio is that of the means."""
    ratio = statistics.fmean(emulated) / statistics.fmean(cross)
    return Section(
        key="builds",
        title="Cross-build and emulated build",
        header=("build of HAProxy 3.0.11 with the distribution's OpenSSL", "seconds"),
        rows=(
            (f"cross-compiled for {target.name}, first", f"{cross[0]:.1f}"),
            (f"compiled by {target.name}'s own compiler under QEMU", f"{emulated[0]:.1f}"),
            *((f"cross-compiled for {target.name}, again", f"{again:.1f}") for again in cross[1:]),
        ),
        notes=(
            f"`make -j{jobs}` each time, with an empty compiler cache. The host's QEMU: {qemu or 'unknown'}.",
            check_target("The cross-build is cheaper", ratio, TARGET_RATIO, "times", at_least=True),
        ),
    )


def _build(target: Arch, build: str, lender: Path, *, jobs: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        for name in ("sources", "images"):
            if (lender / name).is_dir():
                shutil.copytree(lender / name, fresh / name)
        options = ["--filter", f"arch={target.name}", "--filter", "tls=openssl-distro"]
        options += ["--filter", "haproxy=3.0.11", "--filter", "cipher=default"]
        record = command.run([*options, "--build", build, "--jobs", str(jobs)], store=fresh, timeout=_TIMEOUT)
    action = next(action for action in record.actions if action.kind == "haproxy")
    if action.status != "succeeded" or action.duration_s is None:
        raise RuntimeError(f"the build was not made anew: {action.status}")
    return action.duration_s
