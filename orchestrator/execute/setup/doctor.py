"""What this machine lacks for a run, with the command that remedies it. It changes nothing.

The emulators for other architectures are in the images, so the machine has to bring none.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import requests

from orchestrator.arch import ARCHES
from orchestrator.errors import EngineError, MatrixctlError, UnreachableError
from orchestrator.execute.engine.engine import Engine
from orchestrator.execute.images import base_image, bootstrap, dockerfiles, workshop
from orchestrator.execute.system.host import Host, is_debian
from orchestrator.frozen_value import Value

_OLDEST = {"docker": ((20, 10), "docker.io"), "podman": ((4, 3), "podman")}
"""Engine: the oldest version that this was tried with, and Debian's package of it."""
_DISK = 5 * 10**9
_MEMORY = 2 * 10**9
_MIRROR_DEADLINE = 8
"""Seconds."""


class CheckState(StrEnum):
    """``missing`` makes a run impossible, ``warning`` does not."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"


class Check(Value):
    """One finding. ``remedy`` is empty where nothing has to be done."""

    name: str
    state: CheckState
    found: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Patient:
    """What is examined. ``docker_host`` is DOCKER_HOST, empty for the local daemon."""

    host: Host
    connect: Callable[[], Engine]
    docker_host: str
    proxies: Mapping[str, str]
    fix_command: str = "sudo matrixctl doctor --fix"

    @property
    def remote(self) -> bool:
        return self.docker_host.startswith(("ssh:", "tcp:", "http:", "https:"))


def is_healthy(checks: Sequence[Check]) -> bool:
    """Return whether all that a run needs is there."""
    return all(check.state is not CheckState.MISSING for check in checks)


def examine(patient: Patient) -> list[Check]:
    """Return every check, in the order in which a run would stumble."""
    try:
        engine = patient.connect()
    except UnreachableError as error:
        return [explain_no_daemon(patient, error), check_git(patient.host)]
    reached = Check(name="docker daemon", state=CheckState.OK, found=patient.docker_host or "local")
    return [reached, *_examine_engine(patient, engine), check_git(patient.host)]


def check_git(host: Host) -> Check:
    """Check git, which sources that the matrix takes from git need, and nothing else."""
    path = host.which("git")
    state = CheckState.WARNING if path is None else CheckState.OK
    found = path or "not installed; sources with `git:` need it, and `path:` of a git working tree"
    remedy = "sudo apt-get install --no-install-recommends git" if path is None else ""
    return Check(name="git", state=state, found=found, remedy=remedy)


def explain_no_daemon(patient: Patient, error: UnreachableError) -> Check:
    """Return why the daemon cannot be reached."""
    if patient.docker_host and patient.remote:
        found, remedy = f"{patient.docker_host}: {error.details}", f"docker -H {patient.docker_host} info"
    elif error.why == "forbidden":
        found = "it runs, but this user may not talk to it"
        remedy = "sudo usermod -aG docker $USER (then log in again), or run with sudo"
    elif patient.host.which("dockerd") is None:
        found, remedy = "Docker is not installed", patient.fix_command
    elif error.why == "not-running":
        found, remedy = "Docker is installed and not running", patient.fix_command
    else:
        found, remedy = f"it does not answer: {error.details}", patient.fix_command
    return Check(name="docker daemon", state=CheckState.MISSING, found=found, remedy=remedy)


def _examine_engine(patient: Patient, engine: Engine) -> Iterator[Check]:
    try:
        info = engine.describe()
    except EngineError as error:  # of another architecture
        yield Check(name="architecture", state=CheckState.MISSING, found=error.brief, remedy=error.resolution)
        return
    yield check_version(info.version, info.name)
    yield check_memory(engine.memory)
    yield check_disk(patient, engine.folder)
    yield Check(name="architecture", state=CheckState.OK, found=info.arch)
    shop = workshop.Workshop(
        engine=engine,
        host=patient.host,
        arch=ARCHES[info.arch],
        proxies=patient.proxies,
    )
    yield from check_base_origin(shop)


def check_version(found: str, engine: str) -> Check:
    """Hold the engine's version against the oldest one that this was tried with.

    :param engine: ``docker`` or ``podman``.
    """
    least, package = _OLDEST[engine]
    numbers = tuple(int(part) for part in re.findall(r"[0-9]{1,9}", found)[:2])
    if numbers >= least:
        return Check(name=f"{engine} version", state=CheckState.OK, found=found)
    oldest = ".".join(f"{part:02}" for part in least) if engine == "docker" else ".".join(map(str, least))
    return Check(
        name=f"{engine} version",
        state=CheckState.MISSING,
        found=f"{found}, older than {oldest}",
        remedy=f"sudo apt-get install --only-upgrade {package}",
    )


def check_memory(total: int) -> Check:
    """Check the memory of the daemon's host, in bytes."""
    state = CheckState.OK if total >= _MEMORY else CheckState.MISSING
    remedy = "" if state is CheckState.OK else "Give the Docker host 2 GB of memory or more"
    return Check(name="memory", state=state, found=f"{total / 1e9:.1f} GB", remedy=remedy)


def check_disk(patient: Patient, folder: str) -> Check:
    """Check the space where Docker keeps its images, if that folder is on this machine and visible to us."""
    free = None if patient.remote else patient.host.disk_free(folder)
    if free is None:
        return Check(name="disk", state=CheckState.WARNING, found=f"{folder} is not visible from here")
    if free >= _DISK:
        return Check(name="disk", state=CheckState.OK, found=f"{free / 1e9:.0f} GB free in {folder}")
    found = f"{free / 1e9:.1f} GB free in {folder}, 5 GB are needed"
    return Check(name="disk", state=CheckState.MISSING, found=found, remedy="docker system prune")


def check_base_origin(shop: workshop.Workshop) -> Iterator[Check]:
    """Check where the base image comes from: a registry, an earlier run, or Debian's mirror."""
    digest = shop.engine.find_digest(dockerfiles.REGISTRY_IMAGE)
    if digest is not None:
        yield Check(name="base image", state=CheckState.OK, found=f"{dockerfiles.REGISTRY_IMAGE}@{digest}")
        return
    kept = workshop.find_newest(shop.engine, "base", shop.arch)
    if not is_debian(shop.host):
        yield _check_base_without_debian(shop, kept=kept is not None)
        return
    mirror = _find_mirror(shop)
    found = "no registry answers; " + (mirror or "Debian's mirror does not answer either")
    if mirror is None:
        state = CheckState.MISSING if kept is None else CheckState.WARNING
        yield Check(name="base image", state=state, found=found, remedy="sudo apt-get update")
        return
    yield Check(name="base image", state=CheckState.OK, found=found)
    if kept is None:
        yield check_mmdebstrap(shop.host)


def _check_base_without_debian(shop: workshop.Workshop, *, kept: bool) -> Check:
    if kept or shop.engine.find_image(dockerfiles.REGISTRY_IMAGE):
        return Check(
            name="base image", state=CheckState.OK, found="no registry answers; an earlier image is here"
        )
    found = "no registry answers, and this machine is not Debian"
    return Check(name="base image", state=CheckState.MISSING, found=found, remedy=base_image.BRING_BASE)


def check_mmdebstrap(host: Host) -> Check:
    """Check for the program that makes a Debian root; needed once, where no registry answers."""
    path = host.which("mmdebstrap")
    state = CheckState.MISSING if path is None else CheckState.OK
    remedy = "sudo apt-get install --no-install-recommends mmdebstrap" if path is None else ""
    return Check(name="mmdebstrap", state=state, found=path or "not installed", remedy=remedy)


def _find_mirror(shop: workshop.Workshop) -> str | None:
    """Return the first configured mirror's address, if it has our suite now."""
    try:
        uri = bootstrap.make_apt_lines(shop.host)[0].split()[1].rstrip("/")
        url = f"{uri}/dists/{bootstrap.SUITE}/InRelease"
        answer = requests.head(
            url, timeout=_MIRROR_DEADLINE, allow_redirects=True, proxies=_rename_proxies(shop.proxies)
        )
    except (MatrixctlError, requests.RequestException):
        return None
    return f"{uri} has {bootstrap.SUITE}" if answer.ok else None


def _rename_proxies(proxies: Mapping[str, str]) -> dict[str, str]:
    """Return the proxies as ``requests`` names them: ``http_proxy`` is ``http`` there."""
    return {
        name.lower().removesuffix("_proxy"): value
        for name, value in proxies.items()
        if name.lower() != "no_proxy"
    }
