"""Programs of other architectures: what stands before them, and do they run.

A server is emulated by the QEMU of its image. Only the image ``emulated-toolchain``, of ``--build emulated``,
is of a foreign architecture itself: the kernel of the engine's machine has to hand its programs to a QEMU.
"""

import re
from pathlib import Path

from orchestrator.arch import ARCHES, Arch
from orchestrator.errors import DeadlineError, EmulationError
from orchestrator.execute.engine.engine import Engine
from orchestrator.execute.system.host import Host
from orchestrator.matrix.environment import make_command as environment_command

ROOT = "/target"
"""The folder of the image ``emulated-runtime`` that holds the target's loader and libraries."""

_PROOF_DEADLINE = 60
"""Seconds. A container that says its machine takes 0.5 s, an emulated one 0.7 s, on an idle machine."""
_REGISTER = """\
`--build emulated` alone runs programs of that architecture on the Docker host. Either cross-compile, which is
the default, or register QEMU's static emulators with binfmt_misc (flag F). As root, on Debian and Ubuntu:
  apt-get install --no-install-recommends qemu-user-static binfmt-support
or with a registry:
  docker run --privileged --rm tonistiigi/binfmt --install all"""


def make_emulator_prefix(arch: Arch, cpu: str) -> tuple[str, ...]:
    """Return what runs a program in the image ``emulated-runtime`` on QEMU's CPU ``cpu``.

    Nothing if that is empty. The emulator looks for the program's loader and libraries below ``ROOT`` first.
    The program is said by its path, and must not execute itself again (``haproxy -W`` would).
    """
    return (f"/usr/bin/qemu-{arch.qemu}", "-cpu", cpu, "-L", ROOT) if cpu else ()


def make_prefix(arch: Arch, cpu: str, environment: tuple[str, ...]) -> tuple[str, ...]:
    """Return what is before each program of the server: its variables, and the emulator where one runs it.

    QEMU's user mode hands its own variables on to the program.
    """
    return (*environment_command(environment), *make_emulator_prefix(arch, cpu))


def find_loader(arch: Arch, cpu: str) -> str:
    """Return the loader's path: the image's own, or that in the target's root where HAProxy is emulated."""
    return f"{ROOT}{arch.loader}" if cpu else arch.loader


def make_diagnostics(arch: Arch, cpu: str, environment: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return a command that says what the C library sees of the machine: natively, or emulated on ``cpu``."""
    return (*make_prefix(arch, cpu, environment), find_loader(arch, cpu), "--list-diagnostics")


def prove_cpu(engine: Engine, image: str, arch: Arch, cpu: str) -> None:
    """Run a program of ``arch`` by the emulator of ``image`` on QEMU's CPU ``cpu``.

    :raises EmulationError: with QEMU's words, where it has no such CPU.
    """
    code, output = _run(engine, image, make_diagnostics(arch, cpu))
    said = output.splitlines() or ["it said nothing"]
    if code != 0 or f'uname.machine="{arch.machine}"' not in said:
        raise EmulationError(
            f"QEMU cannot run {arch.name} on the CPU {cpu!r}: {said[-1]}",
            details="\n".join(said[-20:]),
            resolution=f"See which there are: docker run --rm {image} qemu-{arch.qemu} -cpu help",
        )


def prove_machine(engine: Engine, image: str, arch: Arch) -> str:
    """Run ``uname -m`` in a container of ``image`` and return what it says.

    :raises EmulationError: when programs of ``arch`` cannot run, or the machine is another one.
    :raises DeadlineError: when the container did not end in time.
    """
    code, machine = _run(engine, image, ("/usr/bin/uname", "-m"))
    if code != 0 or machine != arch.machine:
        raise EmulationError(
            f"a container of {image} does not run as {arch.machine}",
            details=f"`uname -m` ended with exit code {code} and said: {machine or 'nothing'}",
            resolution=_REGISTER,
        )
    return machine


def _run(engine: Engine, image: str, argv: tuple[str, ...]) -> tuple[int, str]:
    done = engine.run(image, argv, timeout=_PROOF_DEADLINE)
    if done.timed_out:
        raise DeadlineError(f"`{argv[-2]} {argv[-1]}` in {image} did not end within {_PROOF_DEADLINE} s")
    return done.exit_code, done.stdout.decode(errors="replace").strip()


def is_emulators(line: str) -> bool:
    """Return whether a line is what QEMU itself says, not the program that it runs.

    QEMU 10.0's user mode begins each line with its name: ``qemu-aarch64: Could not open ...``
    (util/error-report.c), ``qemu: uncaught target signal ...`` (linux-user/signal.c).
    """
    return line.startswith("qemu")


def list_registered(entries: Path = Path("/proc/sys/fs/binfmt_misc")) -> tuple[str, ...]:
    """Return the names of the architectures whose programs the local kernel hands to a QEMU."""
    return tuple(
        arch.name
        for arch in ARCHES.values()
        if (entry := entries / f"qemu-{arch.qemu}").is_file() and entry.read_text().startswith("enabled")
    )


def find_qemu_version(host: Host, arch: Arch, *, remote: bool = False) -> str | None:
    """Return the version of the local kernel's emulator, which runs foreign compilers; ``None``: not known.

    :param remote: the daemon is on another machine, whose emulator cannot be asked.
    """
    # Debian's binfmt entry names a link of its own, which has no ``--version``.
    names = (f"qemu-{arch.qemu}-static", f"qemu-{arch.qemu}")
    program = None if remote else next(filter(None, map(host.which, names)), None)
    if program is None:
        return None
    said = host.run([program, "--version"], timeout=10).stdout.decode(errors="replace")
    match = re.search(r"version (\S+(?: \([^)]*\))?)", said)
    return match[1] if match else None
