"""A part of a store as one file: a tar, compressed with gzip, that another machine's store takes in.

Its first member is ``index.json``, which names all others in their order, with sizes and digests. A reader
believes nothing else: not the names, kinds and sizes of a tar's headers, nor how long a packed stream is.
Format: ustar, https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html.
"""

import gzip
import hashlib
import io
import re
import tarfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Literal

from pydantic import Field, ValidationError

from orchestrator import bounds
from orchestrator.atomic_files import open_regular, scratch_folder, sync_folder
from orchestrator.errors import MatrixctlError, UsageError
from orchestrator.execute.store.store import Store
from orchestrator.frozen_value import Value
from orchestrator.phrases import quote

MOST = 10_000
"""Members of one file."""
LARGEST = bounds.ARCHIVE
"""Bytes of one member, as of one archive out of a container."""
ALL = 16 << 30
"""Bytes of all members together, unpacked: more than GitHub lets a repository keep."""
_INDEX = "index.json"
_INDEX_BYTES = 8 << 20
MAX_SOURCE = 512 << 20
"""Bytes of one source, as of one download."""
MAX_NAME = 100
"""Characters of a source's file: ustar has no more room for one."""
_CHUNK = 1 << 20
_BLOCK = tarfile.BLOCKSIZE
_LEVEL = 1
"""Of gzip: with 6 it takes three times as long, and is 7 % smaller."""

_Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Name = Annotated[str, Field(pattern=r"^[0-9A-Za-z](\.?[0-9A-Za-z+~_-])*$", max_length=128)]


_SourceName = Annotated[_Name, Field(max_length=MAX_NAME)]
_LINE = 2048
_CONTROL = r"\x00-\x1f\x7f"
_Line = Annotated[str, Field(pattern=rf"^[^{_CONTROL}]*$", max_length=_LINE)]


class _Item(Value):
    size: Annotated[int, Field(ge=0, le=LARGEST)]
    sha256: _Digest


class ArtifactItem(_Item):
    """The output of a build; ``digest`` is its action's."""

    kind: Literal["artifact"] = "artifact"
    digest: _Digest
    meta: Annotated[dict[_Name, _Line], Field(max_length=16)]

    @property
    def path(self) -> str:
        """Return its name in the tar."""
        return f"artifacts/{self.digest}"


class SourceItem(_Item):
    """A source; ``sha256`` is its name in the store, too, and one may have several files."""

    kind: Literal["source"] = "source"
    file: _SourceName
    origin: _Line

    @property
    def path(self) -> str:
        """Return its name in the tar."""
        return f"sources/{self.sha256}/{self.file}"


class CacheItem(_Item):
    """A compiler cache."""

    kind: Literal["ccache"] = "ccache"
    name: Annotated[_Name, Field(max_length=80)]

    @property
    def path(self) -> str:
        """Return its name in the tar."""
        return f"ccache/{self.name}"


Item = ArtifactItem | SourceItem | CacheItem


class Index(Value):
    """What is in the file, in the order in which it comes."""

    schema_version: Literal[1] = 1
    items: Annotated[tuple[Annotated[Item, Field(discriminator="kind")], ...], Field(max_length=MOST)]


@dataclass(frozen=True, kw_only=True)
class WantedItems:
    """What is to be exported: digests of artifacts, SHA-256 and file of sources, names of compiler caches."""

    artifacts: Collection[str]
    sources: Collection[tuple[str, str]]
    caches: Collection[str]

    @property
    def paths(self) -> frozenset[str]:
        """Return the names of all of them in the tar."""
        sources = {f"sources/{sha256}/{file}" for sha256, file in self.sources}
        artifacts = {f"artifacts/{digest}" for digest in self.artifacts}
        return frozenset({*sources, *artifacts, *(f"ccache/{name}" for name in self.caches)})


@dataclass(frozen=True, kw_only=True)
class Exported:
    """``size``: bytes of the file; ``missing``: the paths of what the store does not have."""

    items: tuple[Item, ...]
    missing: frozenset[str]
    size: int


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What was new to the store, and what it had already."""

    new: tuple[Item, ...]
    held: tuple[Item, ...]


def export(store: Store, wanted: WantedItems, to: Path) -> Exported:
    """Write what the store has of it into one file, whole or not at all; the same content, the same bytes.

    What is written stands in a lease meanwhile, so that pruning spares it.

    :raises MatrixctlError: where the file cannot be written, or the store has what no export may have.
    """
    with store.in_use(), ExitStack() as files:
        found = list(_find(store, wanted, files))
        items = tuple(item for item, _ in found)
        if len(items) > MOST:
            raise MatrixctlError(
                f"the selection needs {len(items)} things of the store, and an export has at most {MOST}",
                resolution="Select less.",
            )
        if items:
            try:
                with scratch_folder(to.absolute().parent) as scratch:
                    _write(scratch / "export", found)
                    (scratch / "export").replace(to)
                sync_folder(to.absolute().parent)
            except OSError as error:
                raise MatrixctlError(f"{to} cannot be written: {error.strerror or error}") from None
        return Exported(
            items=items,
            missing=wanted.paths - {item.path for item in items},
            size=to.stat().st_size if items else 0,
        )


def _find(store: Store, wanted: WantedItems, files: ExitStack) -> Iterator[tuple[Item, Path | IO[bytes]]]:
    for digest in sorted(wanted.artifacts):
        if artifact := store.find_artifact(digest):
            size = artifact.path.stat().st_size
            meta = {name: _fit(value) for name, value in artifact.meta.items() if isinstance(value, str)}
            with _exporting(store, f"artifacts/{digest}"):
                item = ArtifactItem(digest=digest, size=size, sha256=artifact.sha256, meta=meta)
            yield item, artifact.path
    for sha256, file in sorted(wanted.sources):
        if len(file) <= MAX_NAME and (held := store.find_source(sha256, file)):
            size = held.path.stat().st_size
            with _exporting(store, f"sources/{sha256}"):
                source = SourceItem(size=size, sha256=sha256, file=file, origin=_fit(held.origin))
            yield source, held.path
    for name in sorted(wanted.caches):
        try:
            cache = files.enter_context(
                store.locate_ccache(name).open("rb")
            )  # no lease keeps it: the open file does
        except FileNotFoundError:
            continue
        sha256 = hashlib.file_digest(cache, "sha256").hexdigest()
        with _exporting(store, f"ccache/{name}"):
            packed = CacheItem(name=name, size=cache.tell(), sha256=sha256)
        yield packed, cache


@contextmanager
def _exporting(store: Store, path: str) -> Iterator[None]:
    """:raises MatrixctlError: where the item has what no export may have."""
    try:
        yield
    except ValidationError as error:
        raise MatrixctlError(
            f"{path} cannot be exported: {_describe_fault(error)}",
            resolution=f"Remove it from the store {store.root}, or select without it.",
        ) from None


def _fit(text: str) -> str:
    """Return a text as one line of an export; what is too long is cut, and an ellipsis says so."""
    line = " ".join(re.sub(f"[{_CONTROL}]", " ", text).split())
    return line if len(line) <= _LINE else f"{line[: _LINE - 1]}…"


def _describe_fault(error: ValidationError) -> str:
    """Return the first fault, as one line."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(step) for step in first["loc"])
    return bounds.cut(_fit(f"{where}: {first['msg']}".removeprefix(": ")), bounds.WORDS)


def _write(to: Path, found: Sequence[tuple[Item, Path | IO[bytes]]]) -> None:
    index = Index(items=tuple(item for item, _ in found)).model_dump_json(indent=1).encode()
    with (
        to.open("wb") as raw,
        gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.USTAR_FORMAT) as tar,
    ):
        _add(tar, _INDEX, len(index), io.BytesIO(index))
        for item, source in found:
            if isinstance(source, Path):
                with source.open("rb") as file:
                    _add(tar, item.path, item.size, file)
            else:
                source.seek(0)
                _add(tar, item.path, item.size, source)


def _add(tar: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = size
    tar.addfile(entry, content)


def import_(store: Store, path: Path, *, only: str | None = None) -> Imported:
    """Take in a file, which may come from anywhere; what the store has already stays as it is.

    All of it is read and held against its index before the store gets the first of it. An artifact is named
    by what it was made of, not by what it is: the person who wrote the file decides that.

    :param only: the path of the one thing that may be in the file.
    :raises UsageError: where the file cannot be read, or is no export.
    :raises MatrixctlError: where the store cannot be written.
    """
    reader = _Reader(path)
    try:
        with store.in_use(), store.scratch() as scratch, reader.opened():
            new: list[tuple[Item, Path]] = []
            held: list[Item] = []
            for number, item in enumerate(reader.read_index(only).items):
                to = scratch / str(number)
                if _holds(store, item):
                    held.append(item)
                    reader.take(item, None)
                else:
                    new.append((item, to))
                    reader.take(item, to)
            reader.end()
            for item, fetched in new:
                _put(store, item, fetched)
                fetched.unlink(missing_ok=True)  # of an artifact the store has a copy
    except OSError as error:
        raise store.explain_unwritable(error) from None
    return Imported(new=tuple(item for item, _ in new), held=tuple(held))


def _holds(store: Store, item: Item) -> bool:
    """Return whether the store has it; from then on it is leased, but for a compiler cache."""
    match item:
        case ArtifactItem():
            return store.find_artifact(item.digest) is not None
        case SourceItem():
            return store.find_source(item.sha256, item.file) is not None
        case CacheItem():
            return store.locate_ccache(item.name).exists()


def _put(store: Store, item: Item, fetched: Path) -> None:
    match item:
        case ArtifactItem():
            store.put_artifact(item.digest, fetched, item.meta)
        case SourceItem():
            store.put_source(fetched, sha256=item.sha256, file=item.file, origin=item.origin, keep_note=True)
        case CacheItem():
            store.put_ccache(item.name, fetched.read_bytes())


class _Reader:
    """Reads an export, and believes nothing in it but its index."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def opened(self) -> Iterator[None]:
        """:raises UsageError: where there is no such file, or it is no regular one."""
        with ExitStack() as stack:
            try:
                raw = stack.enter_context(open_regular(self._path))
            except OSError as error:
                raise UsageError(f"{self._path} cannot be read: {error.strerror}") from None
            self._packed = gzip.GzipFile(fileobj=raw, mode="rb")
            yield

    def read_index(self, only: str | None) -> Index:
        """Return what is in the file; see ``import_`` for what may be.

        :raises UsageError: where that is more than an export may have, or it is none.
        """
        size = self._read_header(_INDEX, _INDEX_BYTES)
        try:
            index = Index.model_validate_json(self._read_padded(size), strict=True)
        except ValidationError as error:
            raise self._refuse(
                f"its {_INDEX} is none that this version knows: {_describe_fault(error)}"
            ) from None
        if only is not None and [item.path for item in index.items] != [only]:
            raise self._refuse(f"it has {', '.join(item.path for item in index.items) or 'nothing'} in it")
        total = sum(item.size for item in index.items)
        if total > ALL:
            raise self._refuse(f"it unpacks to more than {ALL >> 30} GiB")
        if len({item.path for item in index.items}) < len(index.items):
            raise self._refuse(f"its {_INDEX} names something twice")
        for item in index.items:
            if isinstance(item, SourceItem) and item.size > MAX_SOURCE:
                raise self._refuse(f"{item.path} has more than {bounds.format_size(MAX_SOURCE)}")
        return index

    def take(self, item: Item, to: Path | None) -> None:
        """Read the next member, which has to be this one; keep it in a file, or not at all.

        :raises UsageError: where it is something else.
        :raises OSError: where it cannot be written.
        """
        size = self._read_header(item.path, item.size)
        if size != item.size:
            raise self._refuse(f"{item.path} has {size} bytes, and its {_INDEX} says {item.size}")
        digest, left = hashlib.sha256(), size
        with to.open("wb") if to else nullcontext() as file:
            while left:
                chunk = self._read(min(_CHUNK, left))
                digest.update(chunk)
                left -= len(chunk)
                if file:
                    file.write(chunk)
        self._read(-size % _BLOCK)
        if digest.hexdigest() != item.sha256:
            raise self._refuse(f"{item.path} has other bytes than its {_INDEX} says")

    def end(self) -> None:
        """Read what fills the last record; at the end gzip holds all of it against its checksum.

        :raises UsageError: where there is more.
        """
        try:
            rest = self._packed.read(2 * tarfile.RECORDSIZE)
        except (OSError, EOFError, zlib.error) as error:
            raise self._refuse(str(error)) from None
        if rest.strip(b"\0") or len(rest) >= 2 * tarfile.RECORDSIZE:
            raise self._refuse("it has more in it, behind what its index names")

    def _read_header(self, name: str, most: int) -> int:
        """Read the header of the next member; return its size."""
        block = self._read(_BLOCK)
        try:
            entry = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise self._refuse(f"where {name} should be, there is no member of a tar ({error})") from None
        if entry.name != name:
            raise self._refuse(f"it has {quote(entry.name)} in it, where {name} should be")
        if not entry.isreg() or entry.type == tarfile.GNUTYPE_SPARSE:
            raise self._refuse(f"{name} is no plain file in it, but a link, a device or the like")
        if not 0 <= entry.size <= most:
            raise self._refuse(f"{name} has more than {most} bytes")
        return entry.size

    def _read_padded(self, size: int) -> bytes:
        content = self._read(size)
        self._read(-size % _BLOCK)
        return content

    def _read(self, size: int) -> bytes:
        """Read just so many bytes; no packed stream makes more of them."""
        try:
            content = self._packed.read(size)
        except (OSError, EOFError, zlib.error) as error:
            raise self._refuse(str(error)) from None
        if len(content) < size:
            raise self._refuse("it is cut off")
        return content

    def _refuse(self, why: str) -> UsageError:
        return UsageError(
            f"{self._path} is no export that can be taken in: {why}",
            details="Nothing of it is in the store.",
            resolution="Write it again: matrixctl store export FILE",
        )
