"""aioquic and what it needs, for the client image: fetched by pip on this machine, unpacked into a tar.

Everything is pinned with hashes in images/aioquic.lock; where it comes from is pip's own configuration. The
image gets files and runs no installer.
"""

import hashlib
import io
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from orchestrator.arch import Arch
from orchestrator.atomic_files import scratch_folder
from orchestrator.errors import DeadlineError, SourceUnreachableError
from orchestrator.execute.sources.download import MAX_BYTES
from orchestrator.execute.system.host import Host
from orchestrator.phrases import quote
from orchestrator.resources import find_root

PYTHON = "3.13"
"""Of Debian trixie, which the image grows from."""
_GLIBC = range(41, 16, -1)
"""Minor versions of glibc 2 that a wheel may ask for: trixie has 2.41; 2.17 is manylinux2014."""
_OFFLINE_S, _ONLINE_S = 60, 120


def find_lock() -> Path:
    """Return the path of the lock file, which `make lock` renews."""
    return find_root() / "images" / "aioquic.lock"


def digest_lock() -> str:
    """Return the SHA-256 of the lock: it stands for every file that is fetched."""
    return hashlib.sha256(find_lock().read_bytes()).hexdigest()


def fetch(host: Host, arch: Arch, cache: Path | None, into: IO[bytes]) -> None:
    """Write a tar of the unpacked wheels for the image's Python on ``arch``.

    :param cache: a folder that keeps the wheels; what lies there is verified like what is fetched.
    :raises SourceUnreachableError: where pip does not get them all.
    """
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
    with scratch_folder(cache) as folder:
        kept = ["--no-index", "--find-links", str(cache)]
        if (cache is None or _run_pip(host, arch, folder, kept, _OFFLINE_S)) and (
            failure := _run_pip(host, arch, folder, [], _ONLINE_S)
        ):
            raise SourceUnreachableError(
                f"aioquic cannot be fetched: {failure}",
                resolution="pip has to reach a package index, or find the wheels by its find-links.",
            )
        wheels = sorted(folder.glob("*.whl"))
        unpack(wheels, into)
        if cache is not None:
            for wheel in wheels:
                wheel.replace(cache / wheel.name)


def make_pip_options(arch: Arch) -> tuple[str, ...]:
    """Return the options for the wheels of the lock, for the image's Python, not pip's own."""
    platforms = [f"manylinux_2_{minor}_{arch.machine}" for minor in _GLIBC]
    return (
        *("--require-hashes", "--no-deps", "--only-binary", ":all:", "--implementation", "cp"),
        *("--python-version", PYTHON),
        *(option for name in platforms for option in ("--platform", name)),
    )


def _run_pip(host: Host, arch: Arch, folder: Path, where: Sequence[str], seconds: float) -> str:
    """Return why pip failed, one line; empty if all is there."""
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    argv += [*make_pip_options(arch), *where, "-r", str(find_lock()), "-d", str(folder)]
    try:
        done = host.run(argv, timeout=seconds)
    except DeadlineError:
        return f"pip did not end within {seconds:g} s"
    lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line.startswith("ERROR")]
    return "" if done.exit_code == 0 else (lines or [f"pip ended with exit code {done.exit_code}"])[-1]


def unpack(wheels: Sequence[Path], into: IO[bytes]) -> None:
    """Write one tar with the files of all wheels, the same for the same wheels.

    :raises SourceUnreachableError: for a name that leads out of its folder, and for a file that is too large.
    """
    with tarfile.open(fileobj=into, mode="w") as tar:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                for name in sorted(archive.namelist()):
                    if name.startswith("/") or ".." in name.split("/"):
                        raise SourceUnreachableError(f"the wheel {wheel.name} has {quote(name)} in it")
                    if archive.getinfo(name).file_size > MAX_BYTES:
                        raise SourceUnreachableError(f"the wheel {wheel.name} unpacks to too much")
                    content = archive.read(name)
                    member = tarfile.TarInfo(name)
                    member.size, member.mode = len(content), 0o644
                    if not name.endswith("/"):
                        tar.addfile(member, io.BytesIO(content))
    into.seek(0)
