"""Files that are complete or absent, and scratch that does not outlive its process for long.

What is half made, and every scratch folder, is locked (flock(2)) by the process that works on it. The kernel
drops the lock of a process that dies in any way, so that the next one can see what is not in use.
"""

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What a disk without room, or a user without quota, answers."""
_CHUNK = 1 << 20
_HALF_MADE = re.compile(r"\..+\.[0-9]+-[0-9a-f]{8}")
_SCRATCH = "matrixctl-scratch-"


def read_limited(path: Path, limit: int) -> bytes:
    """Return the first ``limit`` bytes of a regular file, and one more if there are more.

    Other kinds of files are refused before they are read: a read from a pipe may never end.

    :raises OSError: as the file system says, for what is no regular file, and for a name that none can have.
    """
    with open_regular(path) as file:
        found = bytearray()  # one read of so many bytes would take their room at once, however small the file
        while chunk := file.read(min(_CHUNK, limit + 1 - len(found))):
            found += chunk
        return bytes(found)


def read_beneath(folder: Path, name: str, limit: int) -> bytes:
    """Return the first ``limit`` bytes of a regular file below a folder, and one more if there are more.

    No step of the way may be a link or lead out of the folder.

    :raises OSError: as the file system says, and for any other way.
    """
    *steps, last = name.split("/")
    if not last or {"", ".", ".."} & {*steps, last} or "\0" in name:
        raise OSError(errno.EINVAL, "it leads out of the folder", name)
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for step in steps:
            below = os.open(step, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = below
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(last, flags, dir_fd=here)
    finally:
        os.close(here)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor has no path
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", name)
        return file.read(limit + 1)


def copy_limited(path: Path, to: Path, limit: int) -> None:
    """Copy a regular file of at most ``limit`` bytes; see ``read_limited`` for what is refused.

    :raises OverflowError: if it has more, also if it grows meanwhile.
    """
    with open_regular(path) as file, to.open("wb") as copy:
        left = limit
        while chunk := file.read(_CHUNK):
            left -= len(chunk)
            if left < 0:
                raise OverflowError
            copy.write(chunk)


@contextmanager
def open_regular(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading; see ``read_limited`` for what is refused."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # a NUL: a name that no file can have
        raise OSError(errno.EINVAL, str(error), str(path)) from None
    with open(descriptor, "rb", closefd=True) as file:  # noqa: PTH123 - a descriptor has no path
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        yield file


def expand_home(path: str) -> Path:
    """Return the path with ``~`` and ``~user`` filled in; unchanged if there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def is_server(place: str) -> bool:
    """Return whether a mirror is on a server, and no folder."""
    return place.startswith(("http://", "https://"))


def write_atomically(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``: a reader, or the next start after a crash, sees the old or the new.

    :raises OSError: as the file system says.
    """
    with _half_made(path) as (file, temporary):
        _write(file, content)
        temporary.replace(path)
    sync_folder(path.parent)


SITE_MANIFEST = ".matrixctl-site.json"
"""The list of its own files that a dashboard has in its folder."""
_IGNORE_ALL = "*\n"


def make_ignored(folder: Path) -> None:
    """Make a folder of ours, if it is missing; git ignores a new one.

    It may lie in a working tree that is a source: its files would be that tree's, and change as it is read.

    :raises OSError: as the file system says.
    """
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".gitignore").write_text(_IGNORE_ALL)


def is_ignored(folder: Path) -> bool:
    """Return whether the folder's own ``.gitignore`` ignores all of it."""
    try:
        return read_limited(folder / ".gitignore", len(_IGNORE_ALL)) == _IGNORE_ALL.encode()
    except OSError:
        return False


def write_new(path: Path, content: bytes) -> None:
    """Write a file that is not there yet, whole or not at all.

    :raises FileExistsError: where it is; it stays as it is.
    """
    with _half_made(path) as (file, temporary):
        _write(file, content)
        os.link(temporary, path)
    sync_folder(path.parent)


def replace_bytes(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` for all readers at once; after a power cut it may be neither.

    For many files that can be made again.

    :raises OSError: as the file system says.
    """
    with _half_made(path) as (file, temporary):
        file.write(content)
        file.close()
        temporary.replace(path)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file whose folder has no readers yet; it is on the disk when this returns.

    :raises OSError: as the file system says.
    """
    with path.open("wb") as file:
        _write(file, content)


def _write(file: IO[bytes], content: bytes) -> None:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def _half_made(path: Path) -> Iterator[tuple[IO[bytes], Path]]:
    """Make a locked file beside ``path``; it is removed afterwards unless it was renamed."""
    while True:
        temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
        try:
            with temporary.open("wb") as file:
                if _claim(file.fileno(), temporary):
                    yield file, temporary
                    return
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """Make a new folder and remove it afterwards; if this process dies, ``sweep_scratch`` can do so.

    :param parent: the system's temporary folder if left out.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=parent))
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:  # a sweeper came between
            continue
        try:
            if _claim(descriptor, folder):
                yield folder
                return
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)


def sweep_scratch(parent: Path, *, dry_run: bool = False) -> tuple[Path, ...]:
    """Remove the scratch folders in ``parent`` of this user's dead processes, and return them."""
    found = sorted(parent.glob(f"{_SCRATCH}*"))
    folders = [path for path in found if _is_ours(path, stat.S_ISDIR)]
    return _sweep(folders, (lambda _: None) if dry_run else shutil.rmtree)


def sweep_half_made(paths: Iterable[Path], *, dry_run: bool = False) -> tuple[Path, ...]:
    """Remove those of the paths that are files which dead processes of this user left half made."""
    found = [path for path in sorted(paths) if _HALF_MADE.fullmatch(path.name)]
    files = [path for path in found if _is_ours(path, stat.S_ISREG)]
    return _sweep(files, (lambda _: None) if dry_run else Path.unlink)


def _sweep(paths: Iterable[Path], remove: Callable[[Path], object]) -> tuple[Path, ...]:
    gone = []
    for path in paths:
        # Locked by the living; vanished; or on a file system without locks, where it cannot be told.
        with suppress(OSError), _open_descriptor(path) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(path)
            gone.append(path)
    return tuple(gone)


def _claim(descriptor: int, path: Path) -> bool:
    """Lock a new file or folder; return false if a sweeper has already removed it."""
    with suppress(OSError):  # no locks on this file system: then nothing is swept there either
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    return path.exists()


def is_unheld(file: IO[bytes]) -> bool:
    """Return whether no living process has locked it; none can until ``file`` is closed."""
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _open_descriptor(path: Path, flags: int = os.O_NOFOLLOW) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_ours(path: Path, kind: Callable[[int], bool]) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return kind(found.st_mode) and found.st_uid == os.geteuid()


def sync_folder(folder: Path) -> None:
    """Write ``folder`` to the disk, so that a rename in it survives a power cut."""
    with _open_descriptor(folder, 0) as descriptor:
        os.fsync(descriptor)


def hash_file(path: Path) -> str:
    """Return the file's SHA-256 in lower-case hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
