"""The base image's root without any registry: Debian, from the mirror of the machine's own apt sources."""

import shutil
from collections.abc import Iterable, Mapping
from typing import IO

from orchestrator.arch import Arch
from orchestrator.atomic_files import scratch_folder
from orchestrator.errors import EngineError, MatrixctlError, SourceUnreachableError
from orchestrator.execute.images import apt_output
from orchestrator.execute.system.host import Host, read_os_release

SUITE = "trixie"
"""Debian's release inside every image, whatever the host runs."""

_SHOWN = 20
"""Lines of output that an error carries."""
_DEADLINE = 600
"""Seconds; 10 to 20 here."""

_ALIASES = ("stable", "oldstable", "oldoldstable", "testing", "unstable", "sid")


def make_apt_lines(host: Host) -> tuple[str, ...]:
    """Return one-line apt sources of SUITE (component main) on the mirrors that the machine itself uses.

    apt is asked, so both formats of its sources are understood. Updates and security are there where
    the machine has them for its own release.

    :raises MatrixctlError: when apt knows no Debian mirror.
    """
    wanted = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)"]
    said = host.run([*wanted, "Created-By: Packages"], timeout=30).stdout.decode(errors="replace")
    codename = read_os_release(host).get("VERSION_CODENAME", "")
    lines: dict[str, str] = {}
    for line in said.splitlines():
        # Of a source that has none of them the fields are empty, and so may be the last ones of the line.
        uri, release, component, origin = (*line.split(" ", 3), "", "", "")[:4]
        pocket = _find_pocket(release, codename)
        # The origin is known once `apt-get update` has run; until then apt leaves its name standing.
        if pocket is not None and component == "main" and origin in {"Debian", "", "$(ORIGIN)"}:
            lines.setdefault(pocket, f"deb {_find_reachable(host, uri)} {SUITE}{pocket} main")
    if "" not in lines:
        raise MatrixctlError(
            "apt's configuration names no Debian mirror",
            details=said.strip(),
            resolution="Add Debian's main archive to /etc/apt/sources.list.d/, then run: apt-get update",
        )
    return tuple(lines[pocket] for pocket in sorted(lines))


def find_proxies(host: Host, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the proxies for image builds: the environment's, else the one that apt is configured with."""
    named = ("http_proxy", "https_proxy", "no_proxy")
    found = {name: environment[name] for name in (*named, *map(str.upper, named)) if environment.get(name)}
    if found or host.which("apt-config") is None:
        return found
    said = host.run(["apt-config", "dump", "--format", "%v%n", "Acquire::http::Proxy"], timeout=10).stdout
    proxy = said.decode(errors="replace").strip()
    return {"http_proxy": proxy} if proxy not in {"", "DIRECT"} else {}


def _find_pocket(release: str, codename: str) -> str | None:
    """Return ``""``, ``-updates`` or ``-security`` for the machine's own release, else ``None``."""
    for name in (codename, *_ALIASES):
        for pocket in ("", "-updates", "-security"):
            if name and release == name + pocket:
                return pocket
    return None


def _find_reachable(host: Host, uri: str) -> str:
    """Return a mirror that a container reaches: cloud images name a local file that has mirrors in it."""
    if not uri.startswith("mirror+file:"):
        return uri
    listed = host.read(uri.removeprefix("mirror+file:").rstrip("/")) or ""
    mirrors = [line.split()[0] for line in listed.splitlines() if line.strip() and not line.startswith("#")]
    return mirrors[0] if mirrors else uri


def make_mmdebstrap_argv(arch: Arch, lines: tuple[str, ...], target: str) -> list[str]:
    """Return the command that makes the base root; the same is in what ``matrixctl render`` writes."""
    # An https mirror needs CA certificates inside the image before it can install anything.
    extra = ["--include=ca-certificates"] if any(line.startswith("deb https:") for line in lines) else []
    return [
        "mmdebstrap",
        "--variant=minbase",
        f"--architectures={arch.name}",
        *extra,
        "--dpkgopt=force-unsafe-io",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        SUITE,
        target,
        *lines,
    ]


def make_base_root(host: Host, arch: Arch, into: IO[bytes]) -> None:
    """Write the tarball of a minimal SUITE root for ``arch`` to ``into``.

    :raises MatrixctlError: without mmdebstrap, or without a mirror in apt's configuration.
    :raises SourceUnreachableError: where the mirror does not have what is needed.
    :raises EngineError: when mmdebstrap fails in another way, with the last lines that it wrote.
    """
    lines = make_apt_lines(host)
    with scratch_folder() as folder:
        target = folder / "base.tar"
        done = host.run(make_mmdebstrap_argv(arch, lines, str(target)), timeout=_DEADLINE)
        if done.exit_code != 0:
            last = done.stderr.decode(errors="replace").splitlines()
            blame_the_mirror("base", last)
            raise EngineError(
                f"mmdebstrap could not make a Debian {SUITE} root",
                details="\n".join(last[-_SHOWN:]),
                resolution="Run `apt-get update` to see whether the mirror answers.",
            )
        with target.open("rb") as root:
            shutil.copyfileobj(root, into)


def blame_the_mirror(image: str, said: Iterable[str]) -> None:
    """Refuse output in which apt could not fetch something: an updating mirror lacks packages for hours.

    :param said: the output of apt, or of what called it, by lines.
    :raises SourceUnreachableError: where apt could not fetch something, with its words.
    """
    unfetched = apt_output.find_unfetched(said)
    if unfetched:
        raise SourceUnreachableError(
            f"the package mirror does not have all that the image {image} needs"
            f"{apt_output.name_packages(unfetched)}",
            details="\n".join(unfetched[-_SHOWN:]),
            resolution="See whether it answers: apt-get update. A mirror that updates itself just now is "
            "whole again in some hours; one that has moved on needs new images: matrixctl clean --images",
        )
