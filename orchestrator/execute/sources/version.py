"""The version of a source that moves, read from it: a working tree, a commit, a tarball, a package.

What is found is compared with what the source is declared to be: a tree of something else is refused here,
and not by a compiler a quarter of an hour later.
"""

import hashlib
import io
import logging
import lzma
import tarfile
import time
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator import bounds
from orchestrator.atomic_files import read_limited, write_atomically
from orchestrator.errors import MatrixctlError, SourceUnreachableError, UsageError
from orchestrator.execute.sources import git, tarball, unpinned
from orchestrator.execute.sources.download import FetchError
from orchestrator.execute.sources.identify import NAMES, TITLES, Identity, identify
from orchestrator.execute.store.store import Store
from orchestrator.matrix.catalog import Moving, find_moving_source
from orchestrator.matrix.model import Software
from orchestrator.matrix.pins import Pins
from orchestrator.phrases import quote
from orchestrator.versions import Version

_LARGEST = 1 << 20
"""Bytes of a file that tells a version."""
_PACKAGE = 512 << 20
"""Bytes of a .deb."""
_CONTROL = 4 << 20
"""Bytes to which the control files of a .deb may unpack."""
_log = logging.getLogger(__name__)

_SECONDS = 60
"""For one source."""
_AR, _AR_HEADER = b"!<arch>\n", 60


@dataclass(frozen=True, kw_only=True)
class VersionReader:
    """Reads versions. ``archs`` are the names that ``{arch}`` of a prebuilt HAProxy may stand for.

    ``store`` is the folder of the store, which has the clones; ``pins`` have the commits that are read.
    """

    store: Path
    mirrors: Sequence[str]
    archs: Collection[str]
    pins: Pins | None = None

    def read(self, software: Software) -> str:
        """Return the version of a source that moves; the declared one, where one is declared.

        :raises UsageError: for what is not there, is something else, or says no version that can be read.
        """
        found = self._identify(software)
        if found is not None and found.family != software.family:
            raise _explain_mismatch(software, found)
        if software.version:
            return software.version
        try:
            return Version.parse(found.version if found else "").text
        except ValueError:
            raise _explain_unreadable(software, "it says no version that can be read") from None

    def _identify(self, software: Software) -> Identity | None:
        if software.version:  # a look at a tree costs nothing; to fetch or unpack something for it would
            folder = Path(software.where)
            return identify_folder(folder) if software.source == "path" and folder.is_dir() else None
        places = [one for arch in self.archs if (one := find_moving_source(software, arch)) is not None]
        match software.source:
            case "path":
                return _identify_tree(software)
            case "tarball":
                return _identify_tarball(software)
            case "prebuilt":
                return _identify_packages(software, list(dict.fromkeys(Path(one.where) for one in places)))
            case "git":
                return self._identify_commit(software, places[0])
        return None

    def _identify_commit(self, software: Software, place: Moving) -> Identity | None:
        """Return what the commit is that the ref is now; offline, what it was when it was last asked."""
        store = Store(self.store)
        at = self.pins.find(place) if self.pins else ""
        mark = hashlib.sha256((at or place.ref).encode()).hexdigest()[:16]
        note = unpinned.find_repository(store, place) / f"matrixctl-version-{mark}"
        deadline = time.monotonic() + _SECONDS
        try:
            repository, commit = unpinned.clone(
                place, store=store, mirrors=self.mirrors, deadline=deadline, at=at
            )
        except SourceUnreachableError as error:
            known = _read_note(note, software.family)
            if known is None:
                lead = "Correct its URL or ref. If only the server does not answer, give it"
                raise _explain_unreadable(software, error.brief, lead) from None
            was = known.version
            _log.warning("%s: %s; its version was %s when it was last read", software.name, error.brief, was)
            return known
        found = identify(lambda name: _decode(git.show(repository, commit, name, deadline=deadline)))
        if found is not None and found.version and found.family == software.family:
            write_atomically(note, found.version.encode())
        return found


def identify_folder(folder: Path) -> Identity | None:
    """Return what the working tree in a folder is; ``None`` if it is none that is known."""

    def read(name: str) -> str:
        try:
            return _decode(read_limited(folder / name, _LARGEST))
        except OSError:
            return ""

    found = identify(read)
    if found is None or found.family != "haproxy" or not (folder / ".git").exists():
        return found
    try:
        commits = git.count_commits(folder, f"v{found.version}", deadline=time.monotonic() + _SECONDS)
    except (FetchError, MatrixctlError):  # no git here, or one that hangs: VERSION says enough
        return found
    return Identity(family="haproxy", version=f"{found.version}-{commits}") if commits else found


def _identify_tree(software: Software) -> Identity | None:
    folder = Path(software.where)
    if not folder.is_dir():
        raise UsageError(
            f"{software.name}: there is no folder {quote(software.where)}",
            resolution="Correct its `path`; relative ones are relative to the matrix file, and to this folder"
            " on the command line.",
        )
    if (folder / "HEAD").is_file() and (folder / "objects").is_dir():
        raise UsageError(
            f"{software.name}: {folder} is git's own folder (a bare repository), and has no files to build",
            resolution=f"Take {software.family} from git:{folder}#BRANCH instead.",
        )
    return identify_folder(folder)


def _identify_tarball(software: Software) -> Identity | None:
    path = Path(software.where)
    try:
        read_limited(path, 0)  # which refuses what is no regular file: a pipe may never end
        tarball.check(path)
        files = tarball.peek(path, NAMES, _LARGEST).files
    except OSError as error:
        raise UsageError(f"{software.name}: {path} cannot be read: {error.strerror}") from None
    except FetchError as error:
        raise UsageError(f"{software.name}: {path} {error}") from None
    return identify(lambda name: _decode(files.get(name, b"")))


def _identify_packages(software: Software, paths: Sequence[Path]) -> Identity | None:
    """Return what the packages are, one per architecture; those that are not there are asked for later."""
    there = [path for path in paths if path.is_file()]
    if not there:
        raise UsageError(
            f"{software.name}: there is no file {quote(str(paths[0]) if paths else software.where)}"
            + (f", nor any of {len(paths) - 1} more" if len(paths) > 1 else "")
        )
    found = {path: _identify_package(software, path) for path in there}
    if len(set(found.values())) > 1:
        lines = "\n".join(f"{path}: {one or 'no version that can be read'}" for path, one in found.items())
        raise UsageError(f"{software.name}: its files are of different versions", details=lines)
    return found[there[0]]


def _identify_package(software: Software, path: Path) -> Identity | None:
    """Return what a .deb says of itself (deb(5)); a program says nothing before it runs."""
    try:
        if read_limited(path, len(_AR))[: len(_AR)] != _AR:
            return None
        fields = _read_control(read_limited(path, _PACKAGE))
    except OSError as error:
        raise UsageError(f"{software.name}: {path} cannot be read: {error.strerror}") from None
    package = fields.get("Package", "")
    if fields and package.partition("-")[0] != "haproxy":
        raise UsageError(f"{software.name}: {path} is the package {quote(package)}, not HAProxy's")
    # https://www.debian.org/doc/debian-policy/ch-controlfields.html#version: [epoch:]upstream[-revision],
    # where ~ stands before what comes before a release.
    upstream = fields.get("Version", "").rpartition(":")[2]
    upstream = upstream.rpartition("-")[0] if "-" in upstream else upstream
    return Identity(family="haproxy", version=upstream.replace("~", "-")) if upstream else None


def _read_control(package: bytes) -> dict[str, str]:
    """Return the fields of a .deb's control file; nothing where they cannot be read here (zstd)."""
    for name, content in _read_members(package):
        if name.startswith("control.tar"):
            try:
                with tarfile.open(fileobj=io.BytesIO(_unpack(name, content))) as tar:
                    for entry in tar:
                        file = tar.extractfile(entry) if entry.isfile() else None
                        if file and entry.name.removeprefix("./") == "control":
                            return _parse_fields(_decode(file.read(_LARGEST)))
            except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError, ValueError):
                return {}
    return {}


def _read_members(package: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the files of an ar archive, as deb(5) describes it."""
    at = len(_AR)
    while at + _AR_HEADER <= len(package):
        header = package[at : at + _AR_HEADER]
        size = header[48:58].strip()
        if not size.isdigit():
            return
        at += _AR_HEADER
        yield header[:16].decode("ascii", "replace").strip().rstrip("/"), package[at : at + int(size)]
        at += int(size) + int(size) % 2


def _unpack(name: str, content: bytes) -> bytes:
    """Return at most _CONTROL bytes."""
    if name.endswith(".xz"):
        return lzma.LZMADecompressor().decompress(content, _CONTROL)
    if name.endswith(".gz"):
        return zlib.decompressobj(wbits=31).decompress(content, _CONTROL)
    return content[:_CONTROL]


def _parse_fields(text: str) -> dict[str, str]:
    lines = (line.partition(":") for line in text.splitlines() if line[:1].isalpha())
    return {name: value.strip() for name, _, value in lines}


def _read_note(path: Path, family: str) -> Identity | None:
    try:
        text = read_limited(path, bounds.WORDS).decode("ascii")
        return Identity(family=family, version=Version.parse(text).text)
    except (OSError, ValueError):
        return None


def _decode(content: bytes) -> str:
    return content.decode("utf-8", "replace") if len(content) <= _LARGEST else ""


def _explain_mismatch(software: Software, found: Identity) -> UsageError:
    axis = "haproxy" if found.family == "haproxy" else "tls"
    form = f"{found.family}:" if axis == "tls" else ""
    return UsageError(
        f"{software.name}: {software.where} is {TITLES[found.family]}'s"
        f" ({found.version or 'version unknown'}), not {TITLES[software.family]}'s",
        resolution=f"As what it is: --with {axis}={form}{software.source}:{software.where}",
    )


def _explain_unreadable(software: Software, why: str, lead: str = "Give it") -> UsageError:
    what = "haproxy" if software.family == "haproxy" else "tls"
    family = "" if what == "haproxy" else f"family: {software.family}, "
    place = f"{software.where} {software.ref}".strip()
    return UsageError(
        f"{software.name}: the version of {software.source}: {place} is not known: {why}",
        resolution=f"{lead}: `version: ...` in the matrix, or"
        f" --with '{what}={{{family}{software.source}: {place}, version: \"...\"}}'",
    )
