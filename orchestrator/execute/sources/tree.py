"""A working tree as a tar that depends on its content alone: not on dates, owners, or the order of a disk."""

import io
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator import bounds
from orchestrator.atomic_files import SITE_MANIFEST, is_ignored
from orchestrator.errors import SourceUnreachableError
from orchestrator.execute.sources import git
from orchestrator.execute.sources.download import MAX_BYTES, FetchError
from orchestrator.phrases import quote

_MATRIX = "matrix.yaml"
MAX_FILES = 200_000
_DATE = 1_000_000_000
"""Of every file, in seconds since 1970. One date for all: no generated file seems older than its origin."""
_LEFTOVERS = (".a", ".d", ".gcda", ".gcno", ".la", ".lo", ".o", ".pyc")
_NO_SOURCES = {".git", ".hg", ".libs", ".svn", "CVS", "__pycache__"}


@dataclass(frozen=True, kw_only=True, order=True)
class _TreeEntry:
    """One file or link, and what it looked like: two looks at a tree that rests are equal."""

    path: str
    mode: int
    size: int
    changed_ns: int
    inode: int


def pack(tree: Path, to: Path, *, prefix: str, deadline: float) -> None:
    """Write the files of ``tree`` to the tar ``to``, below the folder ``prefix``.

    Of a git working tree (it has ``.git``): what is tracked, and what is neither tracked nor ignored. Of any
    other: all but build leftovers. Executable or not is kept, other permissions are not.

    :raises SourceUnreachableError: for no folder, a bare repository, too many files or bytes, a link that
        leads out of it, a special file, or a tree that changes while it is read.
    """
    if not tree.is_dir():
        raise SourceUnreachableError(f"{tree} is no folder", resolution="Correct `path` in the matrix.")
    if (tree / "HEAD").is_file() and (tree / "objects").is_dir() and (tree / "refs").is_dir():
        raise SourceUnreachableError(
            f"{tree} is git's own folder (a bare repository), and has no files to build",
            resolution=f"Name it with `git: {tree} BRANCH` in the matrix, or its working tree with `path`.",
        )
    try:
        entries = _look(tree, deadline)
        _write(tree, entries, to, prefix)
        if _look(tree, deadline) != entries:
            raise _explain_change(tree)
    except OSError as error:
        where = bounds.cut(str(error.filename), bounds.WORDS)
        raise SourceUnreachableError(f"{tree} cannot be read: {where}: {error.strerror}") from None
    except FetchError as error:
        raise SourceUnreachableError(f"{tree}: {error}") from None


def _explain_change(tree: Path) -> SourceUnreachableError:
    return SourceUnreachableError(
        f"{tree} changes while it is read", resolution="Let the editor or compiler end, then run again."
    )


def _look(tree: Path, deadline: float) -> list[_TreeEntry]:
    paths = git.list_files(tree, deadline=deadline) if (tree / ".git").exists() else list(_walk(tree))
    paths = list(_leave_out_ours(paths))
    _refuse_beyond_links(tree, paths)
    entries = [entry for path in paths if (entry := _find_entry(tree, path)) is not None]
    size = sum(entry.size for entry in entries)
    if not entries:
        raise SourceUnreachableError(f"{tree} has no files")
    if len(entries) > MAX_FILES or size > MAX_BYTES:
        raise SourceUnreachableError(
            f"{tree} is too large: {len(entries)} files, {size >> 20} MiB;"
            f" at most {MAX_FILES} and {MAX_BYTES >> 20} MiB"
        )
    return sorted(entries)


def _leave_out_ours(paths: Sequence[str]) -> Iterator[str]:
    """Leave out what is ours and may lie in a tree: its matrix file, and a dashboard that was written there.

    They would make another source of it each night.
    """
    sites = tuple(path.removesuffix(SITE_MANIFEST) for path in paths if path.endswith(f"/{SITE_MANIFEST}"))
    return (path for path in paths if path != _MATRIX and not (sites and path.startswith(sites)))


def _refuse_beyond_links(tree: Path, paths: Iterable[str]) -> None:
    """Refuse files that git has in a folder that is a link by now: they are another tree's."""
    real = os.path.realpath(tree)
    for folder in sorted({os.path.dirname(path) for path in paths}):  # noqa: PTH120 - bytes-true, not a Path
        there = os.path.normpath(os.path.join(real, folder))  # noqa: PTH118 - the same
        if os.path.realpath(there) != there:
            raise SourceUnreachableError(f"{tree / folder} is a link, and git has files in it")


def _walk(tree: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(tree):
        inside = os.path.relpath(folder, tree)
        links = [name for name in folders if Path(folder, name).is_symlink()]
        folders[:] = [
            name for name in folders if name not in _NO_SOURCES and not is_ignored(Path(folder, name))
        ]
        for name in (*names, *links):
            if not name.endswith(_LEFTOVERS) and name not in _NO_SOURCES:
                yield os.path.normpath(os.path.join(inside, name))  # noqa: PTH118 - bytes-true, not a Path


def _find_entry(tree: Path, path: str) -> _TreeEntry | None:
    """Return the entry; ``None`` for a tracked file that is gone, and for a submodule."""
    try:
        found = os.lstat(tree / path)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        return None
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
        raise SourceUnreachableError(f"{tree / path} is neither a file nor a link")
    return _TreeEntry(
        path=path,
        mode=found.st_mode,
        size=found.st_size,
        changed_ns=found.st_mtime_ns,
        inode=found.st_ino,
    )


def _write(tree: Path, entries: list[_TreeEntry], to: Path, prefix: str) -> None:
    with tarfile.open(to, "w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            info = tarfile.TarInfo(f"{prefix}/{entry.path}")
            info.mtime = _DATE
            if stat.S_ISLNK(entry.mode):
                info.type, info.mode, info.linkname = tarfile.SYMTYPE, 0o777, _read_target(tree, entry.path)
                tar.addfile(info)
                continue
            content = _read_content(tree, entry)
            info.size, info.mode = len(content), 0o755 if entry.mode & stat.S_IXUSR else 0o644
            tar.addfile(info, io.BytesIO(content))


def _read_content(tree: Path, entry: _TreeEntry) -> bytes:
    """Return the content of a regular file; refuse one that is a link, a pipe or longer by now."""
    try:
        descriptor = os.open(tree / entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        raise _explain_change(tree) from None
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor has no path
        content = file.read(entry.size + 1)
    if len(content) != entry.size:
        raise _explain_change(tree)
    return content


def _read_target(tree: Path, path: str) -> str:
    target = str((tree / path).readlink())
    real = Path(os.path.realpath(tree / path))
    if Path(target).is_absolute() or not real.is_relative_to(os.path.realpath(tree)):
        raise SourceUnreachableError(
            f"{tree / path} is a link that leads out of the tree, to {quote(target)}",
            resolution="Replace it by the file itself: nothing outside the tree is read.",
        )
    return target
