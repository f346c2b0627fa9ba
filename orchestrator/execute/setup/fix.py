"""Gives a Debian or Ubuntu machine what a run needs. Idempotent, and never touches a daemon that answers."""

import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.arch import Arch
from orchestrator.errors import MatrixctlError
from orchestrator.execute.engine.docker_errors import ENGINE_ERRORS
from orchestrator.execute.images import bootstrap, emulation
from orchestrator.execute.setup import doctor
from orchestrator.execute.system.host import Host

LOG = Path("/var/log/matrixctl-dockerd.log")

_DEFAULT_SOCKET = "unix:///var/run/docker.sock"
_APT_DEADLINE = 600
_DAEMON_DEADLINE = 60
"""Seconds from the start of a daemon to its first answer; 2 to 5 here."""
_BINFMT_MOUNT = ("mount", "-t", "binfmt_misc", "binfmt_misc", emulation.BINFMT)
_QEMU_PACKAGES = (("qemu-user-static", "binfmt-support"), ("qemu-user", "qemu-user-binfmt"))
"""Newest Debian and Ubuntu have the first name only as a transition to the second set. The second set of
older releases is linked dynamically and useless in containers, so the order matters."""


@dataclass(frozen=True, kw_only=True)
class Lacks:
    """What a look at the machine found missing."""

    daemon: bool
    docker: bool
    git: bool
    mmdebstrap: bool
    qemu: bool
    foreign: tuple[Arch, ...]
    """Architectures that are not registered with the kernel."""


def look(patient: doctor.Patient) -> Lacks:
    """What of all that ``fix`` can give is not there."""
    host, there = patient.host, _answers(patient)
    foreign = [arch for arch in patient.arches if arch.machine != host.machine()]
    return Lacks(
        daemon=not there,
        docker=not there and host.which("dockerd") is None,
        git=host.which("git") is None,
        mmdebstrap=bootstrap.is_debian(host) and host.which("mmdebstrap") is None,
        qemu=not all(emulation.interpreter(host, arch) for arch in foreign),
        foreign=tuple(arch for arch in foreign if not emulation.registered(host, arch)),
    )


def can_fix(host: Host) -> bool:
    """Whether this is a system whose packages we know."""
    return bootstrap.os_release(host).get("ID") in {"debian", "ubuntu"}


def fix(patient: doctor.Patient) -> None:
    """Install, start, mount and register what is missing; says each command before it runs.

    :raises MatrixctlError: not root, another system, a remote daemon, or a command that failed.
    """
    lacks = look(patient)
    _refuse(patient, lacks)
    _install(patient, lacks)
    if lacks.daemon:
        _start_daemon(patient)
    if lacks.foreign and not patient.host.exists(f"{emulation.BINFMT}/register"):
        _run(patient, _BINFMT_MOUNT, timeout=30)
    for arch in lacks.foreign:
        _register(patient, arch)


def _refuse(patient: doctor.Patient, lacks: Lacks) -> None:
    if patient.remote:
        raise MatrixctlError(
            f"DOCKER_HOST points at {patient.docker_host}, which cannot be set up from here",
            resolution="Run there: sudo matrixctl doctor --fix",
        )
    if lacks.daemon and patient.docker_host not in {"", _DEFAULT_SOCKET}:
        raise MatrixctlError(
            f"DOCKER_HOST points at {patient.docker_host}, where nothing answers",
            resolution="Start that daemon, or run: unset DOCKER_HOST",
        )
    if not can_fix(patient.host):
        raise MatrixctlError(
            "--fix knows Debian and Ubuntu only",
            resolution="Install Docker Engine 20.10 or newer, and QEMU's user-mode emulators, statically\n"
            "linked and registered with binfmt_misc (flag F). With a registry, as root:\n"
            + "\n".join(
                f"  docker run --privileged --rm tonistiigi/binfmt --install {arch.name}"
                for arch in lacks.foreign
            ),
        )
    if patient.host.uid() != 0:
        lines = [f"  sudo {line}" for line in commands(patient.host, lacks)]
        raise MatrixctlError(
            "--fix needs root",
            resolution="\n".join([f"Run: {patient.fix_command}", "or, by hand:", *lines])
            if lines
            else "Nothing that --fix could give is missing.",
        )


def commands(host: Host, lacks: Lacks) -> Iterator[str]:
    """What ``fix`` would run, for a person to run."""
    packages = _packages(host, lacks)
    if packages:
        yield "apt-get update"
        yield shlex.join(_install_argv(packages))
    if lacks.daemon and _systemd(host):
        yield "systemctl enable --now docker"
    elif lacks.daemon:
        yield f"sh -c 'setsid dockerd >>{LOG} 2>&1 </dev/null &'"
    if lacks.foreign and not host.exists(f"{emulation.BINFMT}/register"):
        yield shlex.join(_BINFMT_MOUNT)
    for arch in lacks.foreign:
        line = f"/usr/lib/binfmt.d/qemu-{arch.qemu}.conf"
        otherwise = f"cat {line} > {emulation.BINFMT}/register"
        yield f"sh -c 'update-binfmts --enable qemu-{arch.qemu} || {otherwise}'"


def _packages(host: Host, lacks: Lacks) -> list[str]:
    wanted = ["docker.io"] if lacks.docker else []
    wanted += ["git"] if lacks.git else []
    wanted += ["mmdebstrap"] if lacks.mmdebstrap else []
    return wanted + (_qemu_packages(host) if lacks.qemu else [])


def _qemu_packages(host: Host) -> list[str]:
    for names in _QEMU_PACKAGES:
        policy = host.run(["apt-cache", "policy", names[0]], timeout=30).stdout.decode(errors="replace")
        if "Candidate:" in policy and "Candidate: (none)" not in policy:
            return list(names)
    return list(_QEMU_PACKAGES[0])  # the lists are empty before the first `apt-get update`


def _install_argv(packages: Sequence[str]) -> tuple[str, ...]:
    return ("apt-get", "install", "-y", "--no-install-recommends", *packages)


def _install(patient: doctor.Patient, lacks: Lacks) -> None:
    if not _packages(patient.host, lacks):
        return
    _run(patient, ("apt-get", "update"), timeout=_APT_DEADLINE)
    packages = _packages(patient.host, lacks)  # which QEMU there is, is known only now
    _run(patient, ("env", "DEBIAN_FRONTEND=noninteractive", *_install_argv(packages)), timeout=_APT_DEADLINE)


def _run(patient: doctor.Patient, argv: Sequence[str], *, timeout: float) -> None:
    patient.say(shlex.join(argv))
    done = patient.host.run(argv, timeout=timeout)
    if done.exit_code != 0:
        output = (done.stdout + done.stderr).decode(errors="replace").splitlines()
        raise MatrixctlError(
            f"`{shlex.join(argv)}` ended with exit code {done.exit_code}",
            details="\n".join(output[-20:]),
            resolution="Run it by hand, then once more: " + patient.fix_command,
        )


def _systemd(host: Host) -> bool:
    return host.exists("/run/systemd/system")


def _answers(patient: doctor.Patient) -> bool:
    """Whether a daemon is there, be it one that this user may not talk to."""
    try:
        patient.connect().close()
    except (*ENGINE_ERRORS, OSError) as error:
        return doctor.forbidden(str(error))
    return True


def _start_daemon(patient: doctor.Patient) -> None:
    """Installing the package may have started it; where no service manager runs, nothing does."""
    if _systemd(patient.host):
        _run(patient, ("systemctl", "enable", "--now", "docker"), timeout=60)
    elif not _answers(patient):
        dockerd = patient.host.which("dockerd") or "dockerd"
        patient.say(f"{dockerd} (detached, log in {LOG})")
        patient.host.spawn_detached([dockerd], LOG)
    _await(lambda: _answers(patient))
    if not _answers(patient):
        raise MatrixctlError(
            f"the Docker daemon does not answer after {_DAEMON_DEADLINE} s",
            details="\n".join((patient.host.read(str(LOG)) or "").splitlines()[-20:]),
            resolution="journalctl -u docker" if _systemd(patient.host) else f"less {LOG}",
        )


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _DAEMON_DEADLINE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.5)


def _register(patient: doctor.Patient, arch: Arch) -> None:
    """By update-binfmts where it knows the emulator; newer packages bring a line for systemd instead."""
    host, name = patient.host, f"qemu-{arch.qemu}"
    if host.which("update-binfmts") is not None:
        patient.say(f"update-binfmts --enable {name}")
        host.run(["update-binfmts", "--enable", name], timeout=30)
    line = host.read(f"/usr/lib/binfmt.d/{name}.conf")
    if not emulation.registered(host, arch) and line is not None:
        patient.say(f"cat /usr/lib/binfmt.d/{name}.conf > {emulation.BINFMT}/register")
        host.write(f"{emulation.BINFMT}/register", line.strip())
    if not emulation.registered(host, arch):
        raise MatrixctlError(
            f"QEMU for {arch.name} could not be registered with the kernel",
            resolution=f"See why: update-binfmts --display {name}; ls {emulation.BINFMT}",
        )
