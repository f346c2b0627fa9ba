"""The store: sources and artifacts by digest, verified when read, complete or absent.

Layout: ``sources/<sha256>/<file>``, ``artifacts/<digest>/{artifact.tar,meta.json}``, ``logs/<digest>.log``,
``ccache/<name>.tar``, ``git/<name>.git``, ``images/``, ``leases/``, ``locks/``,
``durations.json``; ``tmp/`` is scratch and may always go. The time of an artifact's or a source's folder is
that of its last use by a run (the access time of files is kept by few file systems).
"""

import contextlib
import fcntl
import json
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from orchestrator.atomic_files import (
    FULL,
    hash_file,
    make_ignored,
    scratch_folder,
    sweep_half_made,
    sweep_scratch,
    sync_folder,
    write_atomically,
)
from orchestrator.errors import DeadlineError, ExhaustedError, MatrixctlError, UsageError
from orchestrator.execute.store.lease import Leases

_log = logging.getLogger(__name__)

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+~_-]*")
_DURATIONS = TypeAdapter(dict[str, dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]])
_FOLDERS = ("sources", "artifacts", "logs", "ccache", "git", "images", "leases", "locks", "tmp")
_MADE = {
    "artifacts": _DIGEST,
    "ccache": re.compile(rf"{_NAME.pattern}\.tar"),
    "git": re.compile(rf"{_NAME.pattern}-[0-9a-f]{{12}}\.git"),
    "sources": _DIGEST,
}
"""How what may go is named: a person may name a folder as the store that has a ``git/`` of another kind."""
NOTE = "origin"
"""The file beside a source that says where it came from."""
_LOCK_POLL_S = 0.1
_MOVING = ("distro: ", "git: ", "path: ", "prebuilt: ")
"""How origins of sources that move begin."""


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """The output of one action. ``sha256`` is that of the tar, ``meta`` what the action said of it."""

    digest: str
    path: Path
    sha256: str
    meta: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class HeldSource:
    """A verified source; ``origin`` is where it once came from."""

    path: Path
    origin: str


class Store:
    """A folder that several runs may share at the same time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._verified: dict[str, Artifact | HeldSource] = {}
        self._noting = threading.Lock()
        self.leases = Leases(root / "leases")
        try:
            make_ignored(root)
            for name in _FOLDERS:
                (root / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"the store {root} cannot be written: {error.strerror}",
                resolution="Name another folder with --store.",
            ) from None

    @property
    def images(self) -> Path:
        """Return the folder for the files from which the engine bootstraps images."""
        return self.root / "images"

    @property
    def git(self) -> Path:
        """Return the folder of the bare repositories that git fetches into."""
        return self.root / "git"

    def locate_ccache(self, name: str) -> Path:
        """Return the path of a compiler cache's archive; it may not exist yet."""
        return self.root / "ccache" / f"{_check_name(name)}.tar"

    def locate_log(self, digest: str) -> Path:
        """Return the path of the action's log; it is not in the artifact, since a failed action has none."""
        return self.root / "logs" / f"{_check_digest(digest)}.log"

    def put_log(self, digest: str, log: bytes) -> None:
        """:raises MatrixctlError: where the store cannot be written."""
        with self._writing():
            write_atomically(self.locate_log(digest), log)

    def put_ccache(self, name: str, tar: bytes) -> None:
        """:raises MatrixctlError: where the store cannot be written."""
        with self._writing():
            write_atomically(self.locate_ccache(name), tar)

    def find_source(self, sha256: str, file: str) -> HeldSource | None:
        """Return a source that the store has with the right bytes. Remove that file where it has others."""
        folder = self.root / "sources" / _check_digest(sha256)
        path = folder / _name_source(file)
        self._use(sha256, folder)
        held = self._verified.get(sha256)
        if isinstance(held, HeldSource) and held.path == path and path.exists():
            return held
        if not path.is_file():
            return None
        if hash_file(path) != sha256:
            self._discard(path, f"{file} in the store had other bytes than its digest says and was removed")
            return None
        with contextlib.suppress(OSError):
            held = HeldSource(path=path, origin=_read_origin(folder))
            self._verified[sha256] = held
            return held
        return HeldSource(path=path, origin="store")

    def put_source(
        self, fetched: Path, *, sha256: str, file: str, origin: str, keep_note: bool = False
    ) -> HeldSource:
        """Move a *verified* file, which lies in ``scratch()``, into its place.

        :param keep_note: where the store has noted already where these bytes came from, that stays.
        """
        folder = self.root / "sources" / _check_digest(sha256)
        path = folder / _name_source(file)
        with self._writing():
            folder.mkdir(exist_ok=True)
            if keep_note:
                with contextlib.suppress(FileNotFoundError):
                    origin = _read_origin(folder) or origin
            write_atomically(folder / NOTE, f"{origin}\n".encode())
            _sync(fetched)
            fetched.replace(path)
            sync_folder(folder)
        held = HeldSource(path=path, origin=origin)
        self._verified[sha256] = held
        return held

    def has(self, digest: str) -> bool:
        """Return whether an artifact seems to be there; unverified, for estimates."""
        return (self.root / "artifacts" / _check_digest(digest)).is_dir()

    def find_artifact(self, digest: str) -> Artifact | None:
        """Return the artifact, verified once per process. A corrupt one is removed with a message."""
        folder = self.root / "artifacts" / _check_digest(digest)
        self._use(digest, folder)
        known = self._verified.get(digest)
        if isinstance(known, Artifact) and known.path.exists():
            return known
        if not folder.is_dir():
            return None
        try:
            held = json.loads((folder / "meta.json").read_bytes())
            artifact = Artifact(
                digest=digest, path=folder / "artifact.tar", sha256=held["sha256"], meta=held["meta"]
            )
            sound = hash_file(artifact.path) == artifact.sha256
        except (OSError, ValueError, KeyError, TypeError):
            sound = False
        if not sound:
            self._discard(folder, f"artifact {digest[:12]} in the store was corrupt and was removed")
            return None
        self._verified[digest] = artifact
        return artifact

    def put_artifact(self, digest: str, tar: bytes | Path, meta: Mapping[str, Any]) -> Artifact:
        """Keep a tar under its action's digest. If another run was faster, its artifact is kept.

        :param tar: the bytes, or a file that is copied.
        :raises MatrixctlError: where the store cannot be written.
        """
        final = self.root / "artifacts" / _check_digest(digest)
        with self._writing(), self.scratch() as scratch:
            folder = scratch / "artifact"
            folder.mkdir()
            path = folder / "artifact.tar"
            if isinstance(tar, Path):
                shutil.copyfile(tar, path)
            else:
                path.write_bytes(tar)
            _sync(path)
            held = {"sha256": hash_file(path), "meta": dict(meta)}
            write_atomically(folder / "meta.json", json.dumps(held, indent=1, sort_keys=True).encode())
            try:
                _rename(folder, final)
            except FileExistsError:
                if self.find_artifact(digest) is None:  # it was corrupt, and is gone now
                    _rename(folder, final)
            sync_folder(final.parent)
        artifact = self.find_artifact(digest)
        if artifact is None:
            raise MatrixctlError(f"the store {self.root} does not give back what was just written to it")
        return artifact

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Make a folder on the store's own file system, and remove it afterwards."""
        with scratch_folder(self.root / "tmp") as folder:
            yield folder

    @contextlib.contextmanager
    def lock(self, name: str, *, deadline: float) -> Iterator[None]:
        """Exclude other runs and other threads; the kernel drops the lock of a run that dies.

        :param deadline: of ``time.monotonic()``.
        :raises DeadlineError: where another still holds it then.
        """
        with (self.root / "locks" / f"{_check_name(name)}.lock").open("ab") as file:
            waited, began = False, time.monotonic()
            while not _try_lock(file.fileno()):
                if time.monotonic() >= deadline:
                    raise DeadlineError(
                        f"another run still works on {name}; waited {time.monotonic() - began:.0f} s for it",
                        resolution="Run it again when the other one has ended.",
                    )
                if not waited:
                    _log.info("waiting for another run that works on %s", name)
                waited = True
                time.sleep(_LOCK_POLL_S)
            yield

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Hold a lease for a run: digests that it asks for are not pruned until the run ends."""
        with contextlib.ExitStack() as stack:
            with self._writing():
                stack.enter_context(self.leases.held())
            yield

    def sweep(self, *, dry_run: bool = False) -> tuple[Path, ...]:
        """Remove what dead processes left half made: scratch folders, files that were being written."""
        places = ("", "logs/", "ccache/", "git/*/", "sources/*/")
        half = [path for place in places for path in self.root.glob(f"{place}.*")]
        folders = (self.root / "tmp", self.images / "wheels")
        scratch = [path for folder in folders for path in sweep_scratch(folder, dry_run=dry_run)]
        return (*scratch, *sweep_half_made(half, dry_run=dry_run))

    def list_contents(self) -> tuple[Path, ...]:
        """Return every artifact, every compiler cache, and everything of sources that move."""
        kept = [path for name in ("artifacts", "ccache", "git") for path in self.list_made(name)]
        return (*kept, *(path for path in self.list_made("sources") if is_moving(path)))

    def list_made(self, name: str) -> list[Path]:
        """Return what the store made in one of its folders; no half-made files, no foreign files."""
        return sorted(path for path in (self.root / name).iterdir() if _MADE[name].fullmatch(path.name))

    def empty(self) -> tuple[Path, ...]:
        """Remove what ``list_contents`` returns; tarballs, logs and durations stay.

        :raises MatrixctlError: while a run uses the store.
        """
        with self.leases.alone() as used:
            if used.runs:
                raise MatrixctlError(
                    f"a run uses the store {self.root}", resolution="Try again when it has ended."
                )
            found = self.list_contents()
            self.discard(found)
            return found

    def discard(self, paths: Iterable[Path]) -> None:
        """Remove files and folders of the store; for readers, each disappears at once."""
        with self._writing(), self.scratch() as scratch:
            for number, path in enumerate(paths):
                with contextlib.suppress(FileNotFoundError):
                    path.rename(scratch / str(number))

    def find_duration(self, kind: str, name: str) -> float | None:
        """Return how many seconds such an action last took here, or ``None``."""
        return self._read_durations().get(kind, {}).get(name)

    def record_duration(self, kind: str, name: str, seconds: float) -> None:
        """Remember it for the next estimate; never a reason to fail."""
        with (
            contextlib.suppress(OSError, DeadlineError),
            self._noting,  # our own threads are no other run
            self.lock("durations", deadline=time.monotonic() + 5),
        ):
            durations = self._read_durations()
            durations.setdefault(kind, {})[name] = round(seconds, 3)
            write_atomically(self.root / "durations.json", json.dumps(durations, indent=1).encode())

    def _read_durations(self) -> dict[str, dict[str, float]]:
        try:
            return _DURATIONS.validate_json((self.root / "durations.json").read_bytes())
        except (OSError, ValueError):
            return {}

    def _discard(self, path: Path, why: str) -> None:
        _log.warning("%s", why)
        self.discard([path])

    def _use(self, digest: str, folder: Path) -> None:
        """Note that this run uses the digest, present or not yet made."""
        with self._writing():
            new = self.leases.name(digest)
        if new:
            with contextlib.suppress(OSError):
                os.utime(folder)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self.explain_unwritable(error) from None

    def explain_unwritable(self, error: OSError) -> MatrixctlError:
        """Return the error that says what failed in the store."""
        kind = ExhaustedError if error.errno in FULL else MatrixctlError
        return kind(
            f"the store {self.root} cannot be written: {error.strerror or error}",
            resolution="Make room there (`matrixctl clean --store --max-size SIZE`), or name another folder "
            "with --store.",
        )


def is_moving(folder: Path) -> bool:
    """Return whether a source moves: old states of a branch can go, a tarball can be hard to get again."""
    try:
        return _read_origin(folder).startswith(_MOVING)
    except OSError:
        return False


def _read_origin(folder: Path) -> str:
    """Return the origin of a source; a broken note of it is no reason to refuse the right bytes."""
    return (folder / NOTE).read_text("utf-8", "replace").strip()


def _check_digest(text: str) -> str:
    if not _DIGEST.fullmatch(text):
        raise ValueError(f"no SHA-256 in lower-case hex: {text!r}")
    return text


def _check_name(text: str) -> str:
    if not _NAME.fullmatch(text) or ".." in text:
        raise ValueError(f"no safe file name: {text!r}")
    return text


def _name_source(file: str) -> str:
    """Return the name under which a source's file lies beside its note, which has a name of its own."""
    return f"{file}_" if _check_name(file).casefold() == NOTE else file


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _rename(folder: Path, final: Path) -> None:
    """:raises FileExistsError: where another run put its own there first."""
    try:
        folder.rename(final)
    except OSError as error:
        if final.is_dir():
            raise FileExistsError from error
        raise


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
