"""Tar archives in memory: how files travel into and out of containers."""

import io
import shutil
import tarfile
from collections.abc import Iterable, Mapping
from typing import IO

from orchestrator.errors import EngineError
from orchestrator.execute.engine.engine import UID


def pack(files: Mapping[str, bytes], *, executable: Iterable[str] = ()) -> bytes:
    """Return a tar of files by relative path, of the containers' user, without dates (so repeatable)."""
    programs = set(executable)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        folders = {folder for path in files for folder in _list_parents(path)}
        for folder in sorted(folders):
            tar.addfile(_make_entry(folder, tarfile.DIRTYPE, 0o755, 0))
        for path, content in files.items():
            mode = 0o755 if path in programs else 0o644
            tar.addfile(_make_entry(path, tarfile.REGTYPE, mode, len(content)), io.BytesIO(content))
    return buffer.getvalue()


def _list_parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]


def _make_entry(name: str, kind: bytes, mode: int, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size, entry.uid, entry.gid = kind, mode, size, UID, UID
    return entry


_BROKEN = (tarfile.TarError, ValueError, OverflowError)
"""What tarfile raises at an archive that was cut or harmed: mostly its own error, but not always."""


def read_member(archive: Iterable[bytes], name: str) -> bytes:
    """Return the content of one regular file of an archive; see ``copy_member``."""
    content = io.BytesIO()
    copy_member(io.BytesIO(b"".join(archive)), name, content)
    return content.getvalue()


def copy_member(archive: IO[bytes], name: str, into: IO[bytes]) -> None:
    """Write the content of one regular file of an archive to ``into``.

    :raises EngineError: if it is not there or is no regular file, or the archive was cut.
    """
    try:
        with tarfile.open(fileobj=archive, mode="r:") as tar:
            entry = tar.getmember(name)
            if entry.issparse():  # a few bytes of it can stand for any number of zeros
                raise EngineError(f"{name} is a file with holes.")
            content = tar.extractfile(entry) if entry.isreg() else None  # a link may lead to itself
            if content is not None:
                shutil.copyfileobj(content, into)
                return
    except KeyError:
        pass
    except _BROKEN as error:
        raise EngineError(f"The archive that should hold {name} cannot be read: {error}.") from error
    raise EngineError(f"The archive holds no file {name}.")
