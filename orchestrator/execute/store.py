"""The store: sources and artifacts by digest, verified when read, complete or absent.

Layout: ``sources/<sha256>/<file>``, ``artifacts/<digest>/{artifact.tar,meta.json}``, ``logs/<digest>.log``,
``ccache/<name>.tar``, ``images/``, ``locks/``, ``durations.json``; ``tmp/`` is scratch and may always go.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from orchestrator.errors import DeadlineError, MatrixctlError, UsageError
from orchestrator.files import sha256_of, sync_folder, write_atomically

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+~_-]*")
_DURATIONS = TypeAdapter(dict[str, dict[str, float]])
_LOCK_POLL_S = 0.1
_IN_USE = "in-use"


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
    """A folder that several runs may share at the same time; ``say`` gets what a person should know."""

    def __init__(self, root: Path, *, say: Callable[[str], None] = lambda _: None) -> None:
        self.root = root
        self._say = say
        self._verified: dict[str, Artifact | HeldSource] = {}
        try:
            for name in ("sources", "artifacts", "logs", "ccache", "images", "locks", "tmp"):
                (root / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"the store {root} cannot be written: {error.strerror}",
                resolution="Name another folder with --store.",
            ) from None

    @property
    def images(self) -> Path:
        """Where the engine keeps what it bootstraps images from."""
        return self.root / "images"

    def ccache(self, name: str) -> Path:
        """The archive of a compiler cache; it may not exist yet."""
        return self.root / "ccache" / f"{_named(name)}.tar"

    def log(self, digest: str) -> Path:
        """The log of the action, kept beside the artifact since a failed action has none."""
        return self.root / "logs" / f"{_digest(digest)}.log"

    def source(self, sha256: str, file: str) -> HeldSource | None:
        """A source that is here with the right bytes. Other bytes are removed, and said."""
        folder = self.root / "sources" / _digest(sha256)
        path = folder / _named(file)
        held = self._verified.get(sha256)
        if isinstance(held, HeldSource) and held.path == path and path.exists():
            return held
        if not path.is_file():
            return None
        if sha256_of(path) != sha256:
            self._discard(folder, f"{file} in the store had other bytes than its digest says and was removed")
            return None
        with contextlib.suppress(OSError):
            held = HeldSource(path=path, origin=(folder / "origin").read_text("utf-8").strip())
            self._verified[sha256] = held
            return held
        return HeldSource(path=path, origin="store")

    def put_source(self, fetched: Path, *, sha256: str, file: str, origin: str) -> HeldSource:
        """Move a *verified* file, which lies in ``scratch()``, into its place."""
        folder = self.root / "sources" / _digest(sha256)
        with self._writing():
            folder.mkdir(exist_ok=True)
            write_atomically(folder / "origin", f"{origin}\n".encode())
            _sync(fetched)
            fetched.replace(folder / _named(file))
            sync_folder(folder)
        held = HeldSource(path=folder / file, origin=origin)
        self._verified[sha256] = held
        return held

    def artifact(self, digest: str) -> Artifact | None:
        """The artifact, verified once per process. A corrupt one is removed, said, and absent."""
        folder = self.root / "artifacts" / _digest(digest)
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
            sound = sha256_of(artifact.path) == artifact.sha256
        except (OSError, ValueError, KeyError, TypeError):
            sound = False
        if not sound:
            self._discard(folder, f"artifact {digest[:12]} in the store was corrupt and was removed")
            return None
        self._verified[digest] = artifact
        return artifact

    def put_artifact(self, digest: str, tar: bytes | Path, meta: Mapping[str, Any]) -> Artifact:
        """Keep a tar under its action's digest. Where another run was faster, its artifact stands.

        :param tar: the bytes, or a file that is copied.
        :raises MatrixctlError: where the store cannot be written.
        """
        final = self.root / "artifacts" / _digest(digest)
        with self._writing(), self.scratch() as scratch:
            folder = scratch / "artifact"
            folder.mkdir()
            path = folder / "artifact.tar"
            if isinstance(tar, Path):
                shutil.copyfile(tar, path)
            else:
                path.write_bytes(tar)
            _sync(path)
            held = {"sha256": sha256_of(path), "meta": dict(meta)}
            write_atomically(folder / "meta.json", json.dumps(held, indent=1, sort_keys=True).encode())
            try:
                _rename(folder, final)
            except FileExistsError:
                if self.artifact(digest) is None:  # it was corrupt, and is gone now
                    _rename(folder, final)
            sync_folder(final.parent)
        artifact = self.artifact(digest)
        if artifact is None:
            raise MatrixctlError(f"the store {self.root} does not give back what was just written to it")
        return artifact

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder on the store's own file system, gone afterwards."""
        with tempfile.TemporaryDirectory(dir=self.root / "tmp", ignore_cleanup_errors=True) as folder:
            yield Path(folder)

    @contextlib.contextmanager
    def lock(self, name: str, *, deadline: float) -> Iterator[None]:
        """Exclude other runs and other threads; the kernel drops the lock of a run that dies.

        :param deadline: of ``time.monotonic()``.
        :raises DeadlineError: where another still holds it then.
        """
        with (self.root / "locks" / f"{_named(name)}.lock").open("ab") as file:
            waited = False
            while not _try_lock(file.fileno()):
                if time.monotonic() >= deadline:
                    raise DeadlineError(f"another run still works on {name}")
                if not waited:
                    self._say(f"waiting for another run that works on {name}")
                waited = True
                time.sleep(_LOCK_POLL_S)
            yield

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep ``empty`` from the artifacts of a run; any number of runs may be in here."""
        with (self.root / "locks" / _IN_USE).open("ab") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_SH)
            yield

    def contents(self) -> tuple[Path, ...]:
        """Every artifact and every compiler cache."""
        return tuple(
            path for name in ("artifacts", "ccache") for path in sorted((self.root / name).iterdir())
        )

    def empty(self) -> tuple[Path, ...]:
        """Remove all ``contents``; sources, logs and durations stay.

        :raises MatrixctlError: while a run uses the store.
        """
        with (self.root / "locks" / _IN_USE).open("ab") as file:
            if not _try_lock(file.fileno()):
                raise MatrixctlError(
                    f"a run uses the store {self.root}", resolution="Try again when it has ended."
                )
            found = self.contents()
            with self._writing(), self.scratch() as scratch:
                for number, path in enumerate(found):
                    path.rename(scratch / str(number))
            return found

    def known_duration(self, kind: str, name: str) -> float | None:
        """How many seconds such an action last took here, or ``None``."""
        return self._durations().get(kind, {}).get(name)

    def record_duration(self, kind: str, name: str, seconds: float) -> None:
        """Remember it for the next estimate; never a reason to fail."""
        with (
            contextlib.suppress(OSError, DeadlineError),
            self.lock("durations", deadline=time.monotonic() + 5),
        ):
            durations = self._durations()
            durations.setdefault(kind, {})[name] = round(seconds, 3)
            write_atomically(self.root / "durations.json", json.dumps(durations, indent=1).encode())

    def _durations(self) -> dict[str, dict[str, float]]:
        try:
            return _DURATIONS.validate_json((self.root / "durations.json").read_bytes())
        except (OSError, ValueError):
            return {}

    def _discard(self, folder: Path, why: str) -> None:
        self._say(why)
        with self._writing(), self.scratch() as scratch, contextlib.suppress(FileNotFoundError):
            folder.rename(scratch / "discarded")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise MatrixctlError(
                f"the store {self.root} cannot be written: {error.strerror or error}",
                resolution="Make room there, or name another folder with --store.",
            ) from None


def _digest(text: str) -> str:
    if not _DIGEST.fullmatch(text):
        raise ValueError(f"no SHA-256 in lower-case hex: {text!r}")
    return text


def _named(text: str) -> str:
    if not _NAME.fullmatch(text) or ".." in text:
        raise ValueError(f"no safe file name: {text!r}")
    return text


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
