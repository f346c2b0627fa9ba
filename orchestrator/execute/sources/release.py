"""Fetches a source: the store, then the mirrors, then its origins in order; verified before it is kept."""

import logging
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.atomic_files import FULL, copy_limited, expand_home, hash_file, is_server
from orchestrator.errors import (
    ChecksumMismatchError,
    DeadlineError,
    MatrixctlError,
    SourceUnreachableError,
)
from orchestrator.execute.sources import tarball
from orchestrator.execute.sources.download import (
    MAX_BYTES,
    SHARE_OVER,
    FetchError,
    OtherBytesError,
    download,
    strip_login,
)
from orchestrator.execute.store.store import HeldSource, Store
from orchestrator.execute.system import process
from orchestrator.execute.system.host import Host, is_debian
from orchestrator.matrix.catalog import Source, SourceOrigin

_log = logging.getLogger(__name__)

_APT_S = 20
_FOR_PIP = re.compile(
    "PATH|HOME|TMPDIR|LANG|LC_.*|PIP_.*|SSL_CERT_(FILE|DIR)|(https?|no|all)_proxy", re.IGNORECASE | re.ASCII
)
"""What pip gets of the environment, since the code of an sdist gets the same."""
_OTHER_HASHES = "DO NOT MATCH THE HASHES"
"""In pip's error of a file with another digest (pip 26: HashMismatch of pip/_internal/exceptions)."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A verified source. ``tried`` has one sentence for each place that failed before."""

    path: Path
    sha256: str
    origin: str
    tried: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _PlaceToTry:
    """One place to try. ``bring`` writes the file and gives its SHA-256; ``origin`` is what is recorded."""

    origin: str
    shown: str
    bring: Callable[[Path, float], str]


def fetch(
    source: Source,
    *,
    store: Store,
    mirrors: Sequence[str],
    deadline: float,
    apt_bases: Sequence[str],
) -> Fetched:
    """Fetch a source from the first place that has the right bytes, and return its file in the store.

    :param mirrors: folders or http(s) URLs, asked by the source's file name.
    :param deadline: of ``time.monotonic()``, for everything together.
    :param apt_bases: what ``find_apt_bases()`` gives.
    :raises SourceUnreachableError: if no place has the file, or its digest is unknown.
    :raises ChecksumMismatchError: if all places that answered had other bytes.
    """
    if source.sha256 is None:
        raise SourceUnreachableError(
            str(source.blocked), resolution="Add an entry with its digest to a file for --sources."
        )
    held = store.find_source(source.sha256, source.file)
    if held:
        return Fetched(path=held.path, sha256=source.sha256, origin=held.origin, tried=())
    with store.lock(f"source-{source.component}-{source.version}", deadline=deadline):
        candidates = list(_list_candidates(source, mirrors, apt_bases))
        return _fetch_first(source, candidates, store=store, deadline=deadline)


def look(source: Source, *, store: Store, mirrors: Sequence[str]) -> None:
    """Look, without asking any server, whether there is a place that may have the source.

    :raises SourceUnreachableError: if there is none: not the store, no origin, no mirror on a server, and no
        folder of ``mirrors`` with its file.
    """
    if source.sha256 is not None and (source.origins or store.find_source(source.sha256, source.file)):
        return
    servers = [mirror for mirror in mirrors if is_server(mirror)]
    files = [expand_home(mirror) / source.file for mirror in mirrors if mirror not in servers]
    if not servers and not any(file.is_file() for file in files):
        tried = [f"{file}: no such file or directory" for file in files]
        raise _explain_failure(source, f"{source.component} {source.version}", tried, other_bytes=False)


def find_apt_bases(host: Host) -> tuple[str, ...]:
    """Return the pool URLs of the Debian archives that a machine installs from, main archive first.

    Empty where apt is missing, is not Debian's, or uses no http.
    """
    if not is_debian(host) or host.which("apt-get") is None:
        return ()
    try:
        done = host.run(["apt-get", "indextargets", "--format", "$(SITE) $(CODENAME)"], timeout=_APT_S)
    except MatrixctlError:
        return ()
    return list_pools(done.stdout.decode("utf-8", "replace"))


def list_pools(targets: str) -> tuple[str, ...]:
    """Return the pool URLs of lines ``SITE CODENAME``. The security archive's pool is one level deeper."""
    found: dict[str, bool] = {}
    for line in targets.splitlines():
        site, _, codename = line.strip().partition(" ")
        if is_server(site):
            security = codename.endswith("-security")
            found[f"{site.rstrip('/')}/pool{'/updates' if security else ''}"] = security
    return tuple(sorted(found, key=lambda base: found[base]))


def _fetch_first(
    source: Source,
    candidates: list[_PlaceToTry],
    *,
    store: Store,
    deadline: float,
) -> Fetched:
    """Return the source from the first candidate with the right bytes, or from a faster run."""
    sha256, name = str(source.sha256), f"{source.component} {source.version}"
    tried: list[str] = []
    other_bytes = False
    held = store.find_source(sha256, source.file)
    for number, candidate in enumerate(candidates, start=1):
        if held:
            break
        try:
            until = _share_time(deadline, last=number == len(candidates))
            held = _bring(source, candidate, store=store, until=until)
        except FetchError as error:
            other_bytes |= isinstance(error, OtherBytesError)
            tried.append(f"{candidate.shown}: {error}")
            _log.warning("%s: %s", name, tried[-1])
    if held is None:
        raise _explain_failure(source, name, tried, other_bytes=other_bytes)
    return Fetched(path=held.path, sha256=sha256, origin=held.origin, tried=tuple(tried))


def _bring(source: Source, candidate: _PlaceToTry, *, store: Store, until: float) -> HeldSource:
    """:raises FetchError: where it does not have the declared bytes, or they are no source tree."""
    declared = str(source.sha256)
    try:
        with store.scratch() as scratch:
            path = scratch / source.file
            found = candidate.bring(path, until)
            if found != declared:
                raise OtherBytesError(f"has other bytes (SHA-256 {found}, declared {declared})")
            tarball.check(path)
            return store.put_source(path, sha256=declared, file=source.file, origin=candidate.origin)
    except OSError as error:
        raise store.explain_unwritable(error) from None


def _explain_failure(source: Source, name: str, tried: list[str], *, other_bytes: bool) -> MatrixctlError:
    details = "\n".join(tried) or "sources.yaml names no origin and there is no mirror"
    resolution = f"Put {source.file} into a folder (or on a server) and pass that with --mirror."
    if other_bytes:
        return ChecksumMismatchError(
            f"{name}: the server that answered had other bytes than sources.yaml declares",
            details=details,
            resolution=f"{resolution} If upstream replaced the file, correct its digest with --sources.",
        )
    return SourceUnreachableError(f"{name}: no origin has it", details=details, resolution=resolution)


def _share_time(deadline: float, *, last: bool) -> float:
    """Return half of the time that is left: an origin that hangs must leave time for the next ones."""
    now = time.monotonic()
    return deadline if last else now + (deadline - now) / 2


def _list_candidates(source: Source, mirrors: Sequence[str], bases: Sequence[str]) -> Iterator[_PlaceToTry]:
    for mirror in mirrors:
        if is_server(mirror):
            yield _from_url("mirror", f"{mirror.rstrip('/')}/{source.file}")
        else:
            yield _from_folder(expand_home(mirror) / source.file)
    for origin in source.origins:
        match origin.kind:
            case "url":
                yield _from_url(str(origin), origin.where)
            case "debian-pool":
                yield from _from_pool(origin, bases)
            case "pypi":
                yield _from_pypi(origin, str(source.sha256))


def _from_url(origin: str, url: str) -> _PlaceToTry:
    return _PlaceToTry(
        origin=origin,
        shown=strip_login(url),
        bring=lambda path, until: download(url, path, deadline=until),
    )


def _from_folder(file: Path) -> _PlaceToTry:
    def bring(path: Path, until: float) -> str:
        del until
        try:
            copy_limited(file, path, MAX_BYTES)
        except OverflowError:
            raise FetchError(f"is larger than {MAX_BYTES >> 20} MiB") from None
        except OSError as error:
            if error.errno in FULL:  # our own disk: that says nothing of the mirror
                raise
            raise FetchError(str(error.strerror).lower()) from None
        return hash_file(path)

    return _PlaceToTry(origin="mirror", shown=str(file), bring=bring)


def _from_pool(origin: SourceOrigin, bases: Sequence[str]) -> Iterator[_PlaceToTry]:
    def nowhere(path: Path, until: float) -> str:
        del path, until
        raise FetchError("no Debian mirror configured here")

    if not bases:
        yield _PlaceToTry(origin=str(origin), shown=str(origin), bring=nowhere)
    for base in bases:
        yield _from_url(str(origin), f"{base}/{origin.where}")


def _from_pypi(origin: SourceOrigin, sha256: str) -> _PlaceToTry:
    def bring(path: Path, until: float) -> str:
        folder = path.parent / "pip"
        folder.mkdir()
        wanted = path.parent / "requirements.txt"
        # pip runs an sdist's own code to read its metadata: with the digest it verifies the bytes first.
        wanted.write_text(f"{origin.where} --hash=sha256:{sha256}\n", "utf-8")
        _run_pip(wanted, folder, package=origin.where.partition("==")[0], until=until)
        files = list(folder.iterdir())
        if len(files) != 1:
            raise FetchError(f"pip brought {len(files)} files")
        files[0].replace(path)
        return hash_file(path)

    return _PlaceToTry(origin=str(origin), shown=str(origin), bring=bring)


def _run_pip(wanted: Path, folder: Path, *, package: str, until: float) -> None:
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    argv += ["--no-deps", "--no-binary", package, "-r", str(wanted), "-d", str(folder)]
    environment = process.read_inherited(_FOR_PIP)
    try:
        done = process.run(argv, timeout=max(0.1, until - time.monotonic()), env=environment)
    except DeadlineError:
        raise FetchError(SHARE_OVER) from None
    if done.exit_code == 0:
        return
    text = done.stderr.decode("utf-8", "replace").strip()
    if _OTHER_HASHES in text:
        raise OtherBytesError("has other bytes than declared")
    raise FetchError(f"pip: {text.splitlines()[-1] if text else f'exit status {done.exit_code}'}")
