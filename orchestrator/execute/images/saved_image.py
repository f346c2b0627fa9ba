"""The files of a saved container image (``docker save``, ``podman save``): its layers, one over the other.

Read here, so that nothing is loaded into the engine. The format:
https://github.com/moby/docker-image-spec/blob/main/spec.md and, for what a layer removes,
https://github.com/opencontainers/image-spec/blob/main/layer.md.
"""

import io
import json
import posixpath
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from orchestrator import bounds
from orchestrator.errors import SourceUnreachableError
from orchestrator.execute.engine.engine import UID

_REMOVED, _EMPTIED = ".wh.", ".wh..wh..opq"
_BROKEN = (tarfile.TarError, EOFError, ValueError, LookupError, TypeError, RecursionError)
"""What reading an archive that is none, was cut, or is of another shape, raises."""


def flatten(saved: Path, into: IO[bytes], *, limit: int) -> None:
    """Write one tar of all files that a container of the image would see; files and links, no devices.

    :param limit: bytes, of all files together.
    :raises SourceUnreachableError: where it is no saved image, or a larger one.
    :raises OSError: where it cannot be read.
    """
    try:
        with tarfile.open(saved, mode="r:*") as whole, tarfile.open(fileobj=into, mode="w") as tar:
            for entry, content in _find_visible(whole, _list_layers(whole)):
                if into.tell() + entry.size > limit:
                    raise SourceUnreachableError(f"{saved} has more than {bounds.format_size(limit)} in it")
                tar.addfile(entry, content)
    except _BROKEN as error:
        raise SourceUnreachableError(
            f"{saved} is no saved container image: {error}",
            resolution="Make it with docker save or podman save.",
        ) from None


def _list_layers(whole: tarfile.TarFile) -> Sequence[str]:
    """Return the names of the layers, the lowest first."""
    try:
        manifest = whole.extractfile("manifest.json")
    except KeyError:
        manifest = None
    if manifest is None:
        raise ValueError("it has no manifest.json")
    images = json.loads(manifest.read(bounds.LOG))
    if len(images) != 1:
        raise ValueError(f"it has {len(images)} images in it, and one is wanted")
    return [str(layer) for layer in images[0]["Layers"]]


def _find_visible(
    whole: tarfile.TarFile, layers: Sequence[str]
) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """Give each entry that no upper layer replaces or removes; the uppermost layer comes first."""
    folders: set[str] = set()
    """In which upper layers have something, also where they do not say so: no link can be in their place."""
    above: dict[str, bool] = {}
    """What is there, or removed: whether things of lower layers may lie below it."""
    for name in reversed(layers):
        content = whole.extractfile(name)
        if content is None:
            raise ValueError(f"{name} is no layer")
        found: dict[str, bool] = {}
        files: set[str] = set()
        """Of this layer, and links: what claims to lie below one would be written through it."""
        with tarfile.open(fileobj=content, mode="r:*") as layer:
            for entry in layer:
                path = posixpath.normpath(f"/{entry.name}").lstrip("/")
                folder, base = posixpath.split(path)
                if base == _EMPTIED:
                    found[folder] = False
                elif base.startswith(_REMOVED):
                    found[posixpath.join(folder, base.removeprefix(_REMOVED))] = False
                elif path in folders and not entry.isdir():
                    continue
                elif path and not _is_hidden(path, above) and files.isdisjoint(_list_parents(path)):
                    found.setdefault(path, entry.isdir())
                    files.update(() if entry.isdir() else {path})
                    if (made := _make_entry(layer, entry, path)) is not None:
                        yield made
        above |= {path: below and above.get(path, True) for path, below in found.items()}
        folders |= {parent for path in found for parent in _list_parents(path)}


def _is_hidden(path: str, above: dict[str, bool]) -> bool:
    """Return whether an upper layer has, or has removed, this or a folder that it lies in."""
    return path in above or any(above.get(parent, True) is False for parent in _list_parents(path))


def _list_parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(len(parts))]


def _make_entry(
    layer: tarfile.TarFile, entry: tarfile.TarInfo, path: str
) -> tuple[tarfile.TarInfo, IO[bytes] | None] | None:
    """Return the entry without dates and owners; a hard link becomes a file of its own."""
    made = tarfile.TarInfo(path)
    made.uid = made.gid = UID
    if entry.isdir():
        made.type, made.mode = tarfile.DIRTYPE, 0o755
        return made, None
    if entry.issym():
        made.type, made.linkname = tarfile.SYMTYPE, entry.linkname
        return made, None
    content = layer.extractfile(entry) if entry.isreg() or entry.islnk() else None
    if content is None or entry.issparse():
        return None
    made.size, made.mode = content.seek(0, io.SEEK_END), 0o755
    content.seek(0)
    return made, content
