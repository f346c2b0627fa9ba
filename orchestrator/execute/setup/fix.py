"""Gives a Debian or Ubuntu machine what a run needs. Idempotent, and never touches a daemon that answers."""

import logging
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import MatrixctlError, UnreachableError
from orchestrator.execute.setup import doctor
from orchestrator.execute.system.host import Host, is_debian, read_os_release

_log = logging.getLogger(__name__)

LOG = Path("/var/log/matrixctl-dockerd.log")

_DEFAULT_SOCKET = "unix:///var/run/docker.sock"
_APT_DEADLINE = 600
_DAEMON_DEADLINE = 60
"""Seconds from the start of a daemon to its first answer; 2 to 5 here."""


@dataclass(frozen=True, kw_only=True)
class Lacks:
    """What a look at the machine found missing."""

    daemon: bool
    docker: bool
    git: bool
    mmdebstrap: bool


def look(patient: doctor.Patient) -> Lacks:
    """Return what of all that ``fix`` can give is not there."""
    host, there = patient.host, _has_daemon(patient)
    return Lacks(
        daemon=not there,
        docker=not there and host.which("dockerd") is None,
        git=host.which("git") is None,
        mmdebstrap=is_debian(host) and host.which("mmdebstrap") is None,
    )


def can_fix(host: Host) -> bool:
    """Return whether this is a system whose packages we know."""
    return read_os_release(host).get("ID") in {"debian", "ubuntu"}


def fix(patient: doctor.Patient) -> None:
    """Install and start what is missing; says each command before it runs.

    :raises MatrixctlError: not root, another system, a remote daemon, or a command that failed.
    """
    lacks = look(patient)
    _refuse(patient, lacks)
    _install(patient, lacks)
    if lacks.daemon:
        _start_daemon(patient)


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
            resolution="Install Docker Engine 20.10 or newer.",
        )
    if patient.host.uid() != 0:
        lines = [f"  sudo {line}" for line in list_commands(patient.host, lacks)]
        raise MatrixctlError(
            "--fix needs root",
            resolution="\n".join([f"Run: {patient.fix_command}", "or, by hand:", *lines])
            if lines
            else "Nothing that --fix could give is missing.",
        )


def list_commands(host: Host, lacks: Lacks) -> Iterator[str]:
    """Yield what ``fix`` would run, for a person to run."""
    packages = _list_packages(lacks)
    if packages:
        yield "apt-get update"
        yield shlex.join(_make_install_argv(packages))
    if lacks.daemon and _has_systemd(host):
        yield "systemctl enable --now docker"
    elif lacks.daemon:
        yield f"sh -c 'setsid dockerd >>{LOG} 2>&1 </dev/null &'"


def _list_packages(lacks: Lacks) -> list[str]:
    wanted = ["docker.io"] if lacks.docker else []
    wanted += ["git"] if lacks.git else []
    return wanted + (["mmdebstrap"] if lacks.mmdebstrap else [])


def _make_install_argv(packages: Sequence[str]) -> tuple[str, ...]:
    return ("apt-get", "install", "-y", "--no-install-recommends", *packages)


def _install(patient: doctor.Patient, lacks: Lacks) -> None:
    packages = _list_packages(lacks)
    if not packages:
        return
    _run(patient, ("apt-get", "update"), timeout=_APT_DEADLINE)
    _run(
        patient,
        ("env", "DEBIAN_FRONTEND=noninteractive", *_make_install_argv(packages)),
        timeout=_APT_DEADLINE,
    )


def _run(patient: doctor.Patient, argv: Sequence[str], *, timeout: float) -> None:
    _log.info("%s", shlex.join(argv))
    done = patient.host.run(argv, timeout=timeout)
    if done.exit_code != 0:
        output = (done.stdout + done.stderr).decode(errors="replace").splitlines()
        raise MatrixctlError(
            f"`{shlex.join(argv)}` ended with exit code {done.exit_code}",
            details="\n".join(output[-20:]),
            resolution="Run it by hand, then once more: " + patient.fix_command,
        )


def _has_systemd(host: Host) -> bool:
    return host.exists("/run/systemd/system")


def _has_daemon(patient: doctor.Patient) -> bool:
    """Return whether a daemon is there, also one that this user may not talk to."""
    try:
        patient.connect()
    except UnreachableError as error:
        return error.why == "forbidden"
    return True


def _start_daemon(patient: doctor.Patient) -> None:
    """Start the daemon, which installing may have done; where no service manager runs, nothing does."""
    if _has_systemd(patient.host):
        _run(patient, ("systemctl", "enable", "--now", "docker"), timeout=60)
    elif not _has_daemon(patient):
        dockerd = patient.host.which("dockerd") or "dockerd"
        _log.info("%s (detached, log in %s)", dockerd, LOG)
        patient.host.spawn_detached([dockerd], LOG)
    _await(lambda: _has_daemon(patient))
    if not _has_daemon(patient):
        raise MatrixctlError(
            f"the Docker daemon does not answer after {_DAEMON_DEADLINE} s",
            details="\n".join((patient.host.read(str(LOG)) or "").splitlines()[-20:]),
            resolution="journalctl -u docker" if _has_systemd(patient.host) else f"less {LOG}",
        )


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _DAEMON_DEADLINE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.5)
