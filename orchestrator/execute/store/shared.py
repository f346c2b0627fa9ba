"""A store that gives what it makes to other machines, and takes what they made before it makes it.

Each artifact and each source is one file there, in the format of ``store export``, and is held against its
digest when it comes. Behind the local store stands nothing that a run waits for: where the place does not
answer any more, the run goes on without it.
"""

import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from orchestrator import bounds
from orchestrator.atomic_files import hash_file, write_atomically
from orchestrator.errors import MatrixctlError, UsageError
from orchestrator.execute.store import bundle
from orchestrator.execute.store.bundle import WantedItems
from orchestrator.execute.store.prune import Item, Pruned, choose
from orchestrator.execute.store.remote import Remote, connect_remote
from orchestrator.execute.store.store import Artifact, HeldSource, Store

_log = logging.getLogger(__name__)

_ROOM = 1 << 20
"""What an export has beside its content, at most: its index, the blocks of its tar."""
_SHA256 = re.compile("[0-9a-f]{64}")
_YOUNG = 24 * 3600
"""Seconds in which nothing is pruned: a run may be about to take it."""
_SAVING = 1800
"""Seconds that one waits for another who saves the same image."""


class SharedStore(Store):
    """A local store, and behind it the files that other machines put somewhere."""

    def __init__(self, root: Path, remote: Remote) -> None:
        super().__init__(root)
        self._remote = remote
        self._local = Store(root)
        self._reads, self._writes = True, remote.writable
        self._shared: set[str] = set()
        """What was given, or was there, since a run began."""
        self._count: Counter[str] = Counter()
        self._counting = threading.Lock()

    def has(self, digest: str) -> bool:
        """Return whether an artifact seems to be here, or there; unverified, for estimates."""
        return super().has(digest) or self._ask(lambda: self._remote.has(f"artifacts/{digest}"))

    def find_artifact(self, digest: str) -> Artifact | None:
        """Return the artifact; where it is not here, take it from there, and the other way round."""
        held = super().find_artifact(digest)
        if held is not None:
            self._share_artifact(digest)
        elif self._take(f"artifacts/{digest}"):
            held = super().find_artifact(digest)
        return held

    def find_source(self, sha256: str, file: str) -> HeldSource | None:
        """Return the source; where it is not here, take it from there, and the other way round."""
        held = super().find_source(sha256, file)
        if held is not None:
            self._share_source(sha256, file)
        elif self._take(f"sources/{sha256}/{file}"):
            held = super().find_source(sha256, file)
        return held

    def put_artifact(self, digest: str, tar: bytes | Path, meta: Mapping[str, Any]) -> Artifact:
        """Keep the artifact here, and give it to the others."""
        artifact = super().put_artifact(digest, tar, meta)
        self._share_artifact(digest)
        return artifact

    def put_source(
        self, fetched: Path, *, sha256: str, file: str, origin: str, keep_note: bool = False
    ) -> HeldSource:
        """Keep the source here, and give it to the others."""
        held = super().put_source(fetched, sha256=sha256, file=file, origin=origin, keep_note=keep_note)
        self._share_source(sha256, file)
        return held

    def give_image(self, image: str, save: Callable[[IO[bytes]], None]) -> str:
        """Give the others a saved image; return the SHA-256 of what was put there, by which they take it.

        Which one that is of an image is noted here: it is saved again only where it is gone from there.

        :param image: its id.
        :param save: writes it.
        :raises MatrixctlError: where it cannot be put there: those who wait for it cannot do without.
        """
        note = self.images / "saved" / image.rpartition(":")[2]
        with self.lock(f"saved-{note.name[:16]}", deadline=time.monotonic() + _SAVING):
            known = note.read_text() if note.is_file() else ""
            if _SHA256.fullmatch(known) and self._remote.holds(_name_image(known)):
                return known
            with self.scratch() as scratch:
                file = scratch / "image"
                with file.open("wb") as saved:  # not compressed: that takes longer than a local network
                    save(saved)
                sha256 = hash_file(file)
                if self._remote.put(_name_image(sha256), file):
                    self._note("given")
            with self._writing():
                note.parent.mkdir(exist_ok=True)
                write_atomically(note, sha256.encode())
        return sha256

    @contextmanager
    def take_image(self, sha256: str) -> Iterator[Path]:
        """Copy a saved image from there and give the file, which is held against its digest.

        :raises MatrixctlError: where it is not there, or is something else.
        """
        with self.scratch() as scratch:
            file = scratch / "image"
            if not self._remote.get(_name_image(sha256), file, most=bounds.IMAGE):
                raise MatrixctlError(
                    f"the image {sha256[:12]} of the run is not in {self._remote.url}",
                    resolution="Run and worker need the same --remote-store. If it was pruned: run again.",
                )
            if hash_file(file) != sha256:
                self._remote.remove(_name_image(sha256))
                raise MatrixctlError(
                    f"{self._remote.url} has something else as the image {sha256[:12]}, and it was removed",
                    resolution="Run again. Who else can write there?",
                )
            self._note("taken")
            yield file

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Hold a lease as of any store; in the end log what was taken from there and put there.

        A worker does this for task after task: a place that did not answer one of them is asked by the next.
        """
        with super().in_use():
            with self._counting:
                self._reads, self._writes = True, self._remote.writable
                self._shared.clear()
            yield
        _log.info("%s: %d taken from there, %d put there", self._remote.url, *self._read_counts())

    def _read_counts(self) -> tuple[int, int]:
        with self._counting:
            return self._count["taken"], self._count["given"]

    def _note(self, what: str) -> None:
        with self._counting:
            self._count[what] += 1

    def _take(self, name: str) -> bool:
        return self._ask(lambda: self._fetch(name))

    def _ask(self, question: Callable[[], bool]) -> bool:
        """Return the answer, and no where there is none: the first time that is said."""
        if not self._reads:
            return False
        try:
            return question()
        except MatrixctlError as error:
            self._reads = self._writes = False
            _log.warning("%s; the run goes on without it", error)
            return False

    def _fetch(self, name: str) -> bool:
        with self.scratch() as scratch:
            file = scratch / "object"
            if not self._remote.get(name, file, most=bundle.LARGEST + _ROOM):
                return False
            try:
                bundle.import_(self._local, file, only=name)
            except UsageError as error:
                self._drop(name, error)
                return False
        self._note("taken")
        self._is_news(name)
        return True

    def _drop(self, name: str, error: UsageError) -> None:
        """Remove what cannot be what it is called, so that a sound one can take its place."""
        why = str(error).partition(": ")[2] or str(error)
        _log.warning("%s has something else as %s and is not believed: %s", self._remote.url, name, why)
        if self._writes:
            self._remote.remove(name)

    def _share_artifact(self, digest: str) -> None:
        self._give(f"artifacts/{digest}", WantedItems(artifacts=[digest], sources=(), caches=()))

    def _share_source(self, sha256: str, file: str) -> None:
        self._give(f"sources/{sha256}/{file}", WantedItems(artifacts=(), sources=[(sha256, file)], caches=()))

    def _is_news(self, name: str) -> bool:
        with self._counting:
            is_new = name not in self._shared
            self._shared.add(name)
            return is_new

    def _give(self, name: str, wanted: WantedItems) -> None:
        if not self._writes or not self._is_news(name):
            return
        try:
            if self._remote.holds(name):
                return
            with self.scratch() as scratch:
                file = scratch / "object"
                if bundle.export(self._local, wanted, file).items and self._remote.put(name, file):
                    self._note("given")
        except MatrixctlError as error:
            self._writes = False
            _log.warning("%s; nothing more is put there", error)


def _name_image(sha256: str) -> str:
    return f"images/{sha256}.tar"


def open_store(root: Path, url: str, *, write: bool = False) -> Store:
    """Return the store in a folder; with a URL, in front of the files there.

    :param write: others wait for what is put there, so that to read alone is not enough.
    :raises UsageError: where the URL is none, or a package for it is missing.
    :raises MatrixctlError: where what is there does not answer, or does not keep what it is given.
    """
    if not url:
        return Store(root)
    remote = connect_remote(url)
    remote.try_out()
    if write and not remote.writable:
        raise MatrixctlError(
            f"{url} can be read, not written, and what a machine of a cluster makes reaches the others by it",
            resolution="Give run and workers credentials that may write there.",
        )
    if not remote.writable:
        _log.warning("%s can be read, not written: nothing is put there", url)
    elif not remote.exclusive:
        _log.warning(
            "%s does not keep the first of two files of one name: where two machines build the same at "
            "once, the later one's stays",
            url,
        )
    return SharedStore(root, remote)


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What may stay: younger than ``before`` (seconds since the epoch), and ``max_size`` bytes in all."""

    before: float | None
    max_size: int | None


def prune_remote(url: str, limit: Bounds, *, keep: bool = False) -> Pruned:
    """Remove what was put there before a moment, then the oldest until the rest is small enough.

    No lease is needed, as in a local store: a run copies what it takes at once, and what is gone is made
    again. What was put there within a day stays, since a run may be about to take it.

    :param keep: remove nothing, only say what would be removed.
    :raises MatrixctlError: where it does not answer.
    """
    remote, now = connect_remote(url), time.time()
    found = list(remote.find_all())
    old = [Item(path=Path(one.name), size=one.size, used=one.put) for one in found if now - one.put > _YOUNG]
    total = sum(one.size for one in found)
    gone = choose(old, total=total, before=limit.before, max_size=limit.max_size)
    if not keep:
        for item in gone:
            remote.remove(str(item.path))
    return Pruned(gone=gone, stays=total - sum(item.size for item in gone))
