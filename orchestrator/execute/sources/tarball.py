"""What a tarball of somebody else's would unpack to, looked at before a container gets it.

Nothing is ever unpacked on this machine. In its container tar itself keeps to its folder; what is refused
here would fill the engine's disk, or is no source tree: a link or a name that leads out, a device, a pipe.
"""

import tarfile
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path
from typing import Any

from orchestrator.execute.sources.download import FetchError
from orchestrator.execute.sources.tree import MAX_FILES
from orchestrator.phrases import quote

MAX_UNPACKED = 4 << 30
"""Bytes of all its files together; OpenSSL has 150 MiB."""
MAX_NAME = 1024
"""Characters of one path."""
MAX_HEADER = 64 << 10
"""Bytes of a name or of other notes that stand before an entry: tarfile takes them into memory whole."""
_NOTES = {
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
}


class _BoundedEntry(tarfile.TarInfo):
    """One that takes little memory, however well the archive is packed.

    tarfile names ``_proc_member`` as the method to override. The map of a file with holes has no limit.
    """

    def _proc_member(self, tar: Any) -> Any:
        if self.type in _NOTES and self.size > MAX_HEADER:
            raise FetchError(f"has more than {MAX_HEADER >> 10} KiB to say of one entry")
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise FetchError(f"has {quote(self.name)} in it, which has holes")
        return super()._proc_member(tar)  # type: ignore[misc] # typeshed leaves it out

    def _proc_gnusparse_10(self, entry: Any, *_: Any) -> None:
        raise FetchError(f"has {quote(entry.name)} in it, which has holes")


_BROKEN = (
    *(tarfile.TarError, EOFError, zlib.error, LZMAError, OSError, ValueError, OverflowError),
    RecursionError,  # notes upon notes
)


def check(path: Path) -> None:
    """Check a tarball: read it to its end, and keep nothing of it.

    :raises FetchError: for what no source tree has, and for no tarball; a phrase after its origin's name.
    """
    links: set[str] = set()
    size = 0
    try:
        with tarfile.open(path, tarinfo=_BoundedEntry) as tar:
            for number, entry in enumerate(tar, start=1):
                size += entry.size
                if number > MAX_FILES:
                    raise FetchError(f"has more than {MAX_FILES} files in it")
                if max(size, tar.offset) > MAX_UNPACKED:
                    raise FetchError(f"unpacks to more than {MAX_UNPACKED >> 30} GiB")
                if fault := _find_fault(entry, links):
                    raise FetchError(f"has {quote(entry.name)} in it, {fault}")
                tar.members = []  # type: ignore[attr-defined] # else each stays in memory
    except _BROKEN as error:
        raise FetchError(f"is no tarball that can be read: {_describe(error)}") from None


@dataclass(frozen=True, kw_only=True)
class Peek:
    """The top of a tarball: how many leading folders lie around its files, and some of these by name."""

    strip: int
    files: Mapping[str, bytes]


def peek(path: Path, names: Collection[str] = (), limit: int = 1 << 20) -> Peek:
    """Read a few files of a tarball that ``check`` has passed.

    :param names: below the folder that is around everything; one that is not there, or is longer than
        ``limit`` bytes, is left out.
    :raises FetchError: for no tarball; a phrase after its origin's name.
    """
    found: dict[str, bytes] = {}
    tops: set[str] = set()
    dots = 0
    try:
        with tarfile.open(path, tarinfo=_BoundedEntry) as tar:
            for entry in tar:
                dots = max(dots, int(entry.name.startswith("./")))
                name = entry.name.removeprefix("./")
                top, _, inside = name.partition("/")
                if name not in {"", "."}:
                    tops.add(top if inside or entry.isdir() else name + "/")  # a file is no folder around all
                small = entry.isfile() and entry.size <= limit and not {name, inside}.isdisjoint(names)
                if small and (content := tar.extractfile(entry)):
                    found[name] = content.read()
                tar.members = []  # type: ignore[attr-defined] # else each stays in memory
    except _BROKEN as error:
        raise FetchError(f"is no tarball that can be read: {_describe(error)}") from None
    around = next(iter(tops)) if len(tops) == 1 else ""
    folder = f"{around}/" if around and not around.endswith("/") else ""
    mine = {name.removeprefix(folder): text for name, text in found.items() if name.startswith(folder)}
    return Peek(strip=dots + bool(folder), files={name: mine[name] for name in names if name in mine})


def _describe(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _find_fault(entry: tarfile.TarInfo, links: set[str]) -> str:
    """Return why an entry is not allowed in a source tree, or an empty string."""
    name = entry.name
    if len(name) > MAX_NAME:
        return "a name that is too long"
    if not _is_inside(name):
        return "a name that leads out of its folder"
    folders = name.rstrip("/").split("/")[:-1]
    if any("/".join(folders[: depth + 1]) in links for depth in range(len(folders))):
        return "which lies beyond a link"
    if entry.issym():
        links.add(name.rstrip("/"))
        return "" if _leads_inside(entry.linkname, len(folders)) else "a link that leads out of its folder"
    if entry.islnk():
        return "" if _is_inside(entry.linkname) else "a link that leads out of its folder"
    return "" if entry.isfile() or entry.isdir() else "which is neither a file nor a link"


def _is_inside(name: str) -> bool:
    return not name.startswith("/") and ".." not in name.split("/") and "\0" not in name


def _leads_inside(target: str, depth: int) -> bool:
    """Return whether a link ``depth`` folders deep stays inside; ``..`` is allowed only at the front.

    Behind another link ``a/..`` need not be where it started.
    """
    steps = [step for step in target.split("/") if step not in {"", "."}]
    up = next((number for number, step in enumerate(steps) if step != ".."), len(steps))
    return not target.startswith("/") and up <= depth and ".." not in steps[up:]
