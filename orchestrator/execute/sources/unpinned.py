"""Sources that move: what a branch, a working tree or a binary is now becomes a file of the store."""

import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from orchestrator.atomic_files import (
    FULL,
    copy_limited,
    expand_home,
    hash_file,
    is_server,
    read_limited,
    write_atomically,
)
from orchestrator.errors import ChecksumMismatchError, MatrixctlError, SourceUnreachableError
from orchestrator.execute.sources import git, tarball, tree
from orchestrator.execute.sources.download import MAX_BYTES, FetchError, strip_login
from orchestrator.execute.sources.git import NoRefError
from orchestrator.execute.store.store import Store
from orchestrator.matrix.catalog import Moving, Source
from orchestrator.plan.action import Action, SourceAction

T = TypeVar("T")

_log = logging.getLogger(__name__)

_LONGEST = 128
"""Characters of a name that is made of somebody else's; the end says what it is."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BINARY, _PACKAGE = b"\x7fELF", b"!<arch>\n"


@dataclass(frozen=True, kw_only=True)
class ResolvedSource:
    """A moving source as it is now. If only the commit is known, ``source`` has no digest and no ``path``.

    ``origin`` is what is recorded; ``new`` says that the store did not have these bytes.
    """

    source: Source
    path: Path | None
    origin: str
    new: bool


@dataclass(frozen=True, kw_only=True)
class ResolvedSources:
    """What the moving sources of a plan are now, by their action's key, and why the others are not."""

    moved: Mapping[str, ResolvedSource]
    lost: Mapping[str, MatrixctlError]

    @property
    def sources(self) -> dict[str, Source]:
        """Return the sources whose digest is known."""
        return {key: one.source for key, one in self.moved.items() if one.source.sha256}


def bring_all(actions: Iterable[Action], bring: Callable[[Moving], ResolvedSource]) -> ResolvedSources:
    """Return what ``bring`` makes of each action: it is ``fetch`` with all but its first argument given."""
    moved: dict[str, ResolvedSource] = {}
    lost: dict[str, MatrixctlError] = {}
    for action in actions:
        if not isinstance(action, SourceAction) or action.moving is None:
            continue
        try:
            moved[action.key] = bring(action.moving)
        except MatrixctlError as error:
            lost[action.key] = error
    return ResolvedSources(moved=moved, lost=lost)


@dataclass(frozen=True, kw_only=True)
class _RepositoryToAsk:
    """A repository to ask. ``words`` follow the origin in the record."""

    where: str
    words: str


Package = Callable[[str], tuple[str, bytes] | None]
"""Gives, for an architecture's name, file name and content of the .deb of Debian's own HAProxy in its image;
``None`` where that image is not there, and none is to be made."""


def fetch(
    moving: Moving,
    *,
    store: Store,
    mirrors: Sequence[str],
    deadline: float,
    package: Package,
    at: str = "",
    keep: bool = True,
) -> ResolvedSource:
    """Fetch the source as it is now, keep it in the store by its digest, and return it.

    :param mirrors: folders or http(s) URLs that may hold ``NAME.git``; asked first.
    :param deadline: of ``time.monotonic()``, for everything together.
    :param at: its pin; a commit is taken wherever its ref stands now. Empty: it has none.
    :param keep: without it nothing is kept: of a new commit only the name is known.
    :raises SourceUnreachableError: with what was tried.
    :raises ChecksumMismatchError: where something else is there than was pinned.
    :raises PrerequisiteError: where git is needed and not installed.
    """
    match moving.kind:
        case "git":
            return _find_git(moving, store, mirrors, deadline, at=at, keep=keep)
        case "path":
            found = _find_tree(moving, store, deadline, keep=keep)
        case "prebuilt":
            found = _find_prebuilt(moving, store, keep=keep)
        case "tarball":
            found = _find_tarball(moving, store, keep=keep)
        case "distro":
            found = _find_distro(moving, store, package, keep=keep)
    if at and found.source.sha256 != at:
        raise ChecksumMismatchError(
            f"{moving} is not what was pinned: its SHA-256 is {found.source.sha256}, and was {at}",
            resolution="Bring that back, or make the pins again.",
        )
    return found


def resolve(moving: Moving, *, store: Store, mirrors: Sequence[str], deadline: float) -> str:
    """Return what the source stands at now: of git the commit, else a SHA-256; empty for Debian's own.

    :raises SourceUnreachableError, PrerequisiteError: see ``fetch``.
    """
    if moving.kind == "git":
        return _bring_first(
            moving, mirrors, lambda _, __, commit, ___: commit, deadline=deadline, at="", warn=False
        )
    found = fetch(moving, store=store, mirrors=mirrors, deadline=deadline, package=lambda _: None, keep=False)
    return found.source.sha256 or ""


def _find_git(
    moving: Moving, store: Store, mirrors: Sequence[str], deadline: float, *, at: str, keep: bool
) -> ResolvedSource:
    """Return the source from the first place that has the ref, or the pinned commit."""
    repository = find_repository(store, moving)

    def bring(place: _RepositoryToAsk, name: str, commit: str, until: float) -> ResolvedSource:
        if not keep:
            return _find_known(moving, store, commit, place)
        with store.lock(f"git-{repository.name}", deadline=until):
            return _bring_or_repair(
                repository,
                lambda: _pack_commit(moving, store, place, (name, commit), deadline=until, at=at),
            )

    return _bring_first(moving, mirrors, bring, deadline=deadline, at=at, warn=keep)


def _bring_first(
    moving: Moving,
    mirrors: Sequence[str],
    bring: Callable[[_RepositoryToAsk, str, str, float], T],
    *,
    deadline: float,
    at: str,
    warn: bool,
) -> T:
    """Return what ``bring`` makes of the first place that has the ref: its place, full name and commit.

    :param at: a commit to take in place of the one that the ref is now.
    :param warn: log as warnings what the places said that do not have it; else for debugging only.
    :raises SourceUnreachableError: with what was tried.
    """
    tried: list[str] = []
    wrong_ref = True
    places = list(_list_places(moving, mirrors))
    for number, place in enumerate(places, start=1):
        until = deadline if number == len(places) else (time.monotonic() + deadline) / 2
        try:
            return bring(place, *_resolve(place, moving, at, until), until)
        except FetchError as error:
            tried.append(f"{strip_login(place.where)}: {error}")
            wrong_ref = wrong_ref and isinstance(error, NoRefError)
            _log.log(logging.WARNING if warn else logging.DEBUG, "%s: %s", moving, tried[-1])
    told, details = (tried[0], "") if len(tried) == 1 else ("no place has it", "\n".join(tried))
    clone = f"Put a clone as {_name_repository(moving)} into a folder, and pass that with --mirror."
    raise SourceUnreachableError(
        " ".join(f"{moving.component} {moving.version} from {moving}: {told}".split()),
        details=details,
        resolution="Correct the ref." if wrong_ref else clone,
    )


def _resolve(place: _RepositoryToAsk, moving: Moving, at: str, deadline: float) -> tuple[str, str]:
    """Return the name by which the commit is asked for, and the commit.

    A pinned one goes by its ref as long as that has not moved, since not every server gives a commit by its
    digits.
    """
    try:
        name, commit = git.resolve(place.where, moving.ref, deadline=deadline)
    except NoRefError:
        if not at:
            raise
        return at, at
    return (name, commit) if at in {"", commit} else (at, at)


def clone(
    moving: Moving, *, store: Store, mirrors: Sequence[str], deadline: float, at: str = ""
) -> tuple[Path, str]:
    """Fetch the commit that a ref is now; return our own repository of that URL, and the commit.

    :param at: a commit to fetch in place of that one.
    :raises SourceUnreachableError, PrerequisiteError: see ``fetch``.
    """
    repository = find_repository(store, moving)

    def bring(place: _RepositoryToAsk, name: str, commit: str, until: float) -> tuple[Path, str]:
        with store.lock(f"git-{repository.name}", deadline=until):
            made = _bring_or_repair(repository, lambda: _fetch(place, (name, commit), repository, until, at))
        return repository, made

    return _bring_first(moving, mirrors, bring, deadline=deadline, at=at, warn=False)


def _fetch(
    place: _RepositoryToAsk, resolved: tuple[str, str], repository: Path, deadline: float, at: str
) -> str:
    """Return the commit that was fetched: the pinned one, also where its ref moves on meanwhile."""
    commit = git.fetch(place.where, *resolved, repository, deadline=deadline)
    if at and commit != at:
        commit = git.fetch(place.where, at, at, repository, deadline=deadline)
    return commit


def _list_places(moving: Moving, mirrors: Sequence[str]) -> Iterator[_RepositoryToAsk]:
    for mirror in mirrors:
        if is_server(mirror):
            where = f"{mirror.rstrip('/')}/{_name_repository(moving)}"
        else:
            where = str(expand_home(mirror).absolute() / _name_repository(moving))
        yield _RepositoryToAsk(where=where, words=" (from a mirror)")
    where = moving.where if "://" in moving.where else os.path.abspath(moving.where)  # noqa: PTH100 - `..` as git
    yield _RepositoryToAsk(where=where, words="")


def _name_repository(moving: Moving) -> str:
    """Return the name as in ``haproxy.git``, also for a URL that does not end with it."""
    return moving.where.rstrip("/").rpartition("/")[2].removesuffix(".git") + ".git"


def _make_plain(name: str) -> str:
    """Return a name that is safe in the store, a shell and every file system."""
    return re.sub(r"[^0-9A-Za-z.+~_-]|\.\.+", "_", name)[-_LONGEST:]


def find_repository(store: Store, moving: Moving) -> Path:
    """Return the path of our own bare repository for that URL."""
    name = _make_plain(_name_repository(moving).removesuffix(".git"))
    return store.git / f"{name}-{hashlib.sha256(moving.where.encode()).hexdigest()[:12]}.git"


def _bring_or_repair(repository: Path, bring: Callable[[], T]) -> T:
    there = repository.exists()
    try:
        return bring()
    except FetchError:
        if not there:
            raise
        shutil.rmtree(repository)  # it may be ours that is broken: once more from nothing
        return bring()


def _pack_commit(
    moving: Moving,
    store: Store,
    place: _RepositoryToAsk,
    resolved: tuple[str, str],
    *,
    deadline: float,
    at: str,
) -> ResolvedSource:
    repository = find_repository(store, moving)
    commit = _fetch(place, resolved, repository, deadline, at)
    os.utime(repository)  # so that pruning sees what is in use
    known = _find_known(moving, store, commit, place)
    if known.path is not None:
        return known
    with store.scratch() as scratch:
        to = scratch / "archive.tar"
        git.archive(repository, commit, to, prefix=_make_stem(moving, commit), deadline=deadline)
        tarball.check(to)
        made = _make_resolved(moving, store, to, known.source.file, known.origin, keep=True)
    write_atomically(repository / f"matrixctl-{commit}", str(made.source.sha256).encode())
    return made


def _find_known(moving: Moving, store: Store, commit: str, place: _RepositoryToAsk) -> ResolvedSource:
    """Return the commit with its tar if it was packed before; else only its name."""
    note = find_repository(store, moving) / f"matrixctl-{commit}"
    try:
        sha256 = note.read_text("ascii")
    except (FileNotFoundError, UnicodeDecodeError):
        sha256 = ""
    if not _SHA256.fullmatch(sha256):  # harm on the disk: it is packed again
        sha256 = ""
    file = f"{_make_stem(moving, commit)}.tar"
    held = store.find_source(sha256, file) if sha256 else None
    return ResolvedSource(
        source=_make_source(moving, file, sha256 if held else None),
        path=held.path if held else None,
        origin=f"{moving} -> {commit}{place.words}",
        new=held is None,
    )


def _make_stem(moving: Moving, commit: str) -> str:
    return f"{moving.component}-{commit[:12]}"


def _find_tree(moving: Moving, store: Store, deadline: float, *, keep: bool) -> ResolvedSource:
    with store.scratch() as scratch:
        to = scratch / "tree.tar"
        tree.pack(Path(moving.where), to, prefix=moving.component, deadline=deadline)
        return _make_resolved(moving, store, to, f"{moving.component}-tree.tar", str(moving), keep=keep)


def _find_prebuilt(moving: Moving, store: Store, *, keep: bool) -> ResolvedSource:
    given = Path(moving.where)
    file = _make_plain(given.name).lstrip("_.+~-") or "prebuilt"
    with store.scratch() as scratch, _reading(given, "prebuilt"):
        to = scratch / file
        if not read_limited(given, len(_PACKAGE)).startswith((_BINARY, _PACKAGE)):
            raise SourceUnreachableError(f"{given} is neither an ELF program nor a .deb")
        copy_limited(given, to, MAX_BYTES)
        return _make_resolved(moving, store, to, file, str(moving), keep=keep)


def _find_tarball(moving: Moving, store: Store, *, keep: bool) -> ResolvedSource:
    given = Path(moving.where)
    file = _make_plain(given.name).lstrip("_.+~-") or "source.tar"
    with store.scratch() as scratch, _reading(given, "tarball"):
        to = scratch / file
        copy_limited(given, to, MAX_BYTES)
        try:
            tarball.check(to)
            strip = tarball.peek(to).strip
        except FetchError as error:
            raise SourceUnreachableError(f"{given} {error}") from None
        return _make_resolved(moving, store, to, file, str(moving), keep=keep, strip=strip)


@contextmanager
def _reading(given: Path, key: str) -> Iterator[None]:
    """:raises SourceUnreachableError: where the file that the matrix names cannot be read."""
    try:
        yield
    except OverflowError:
        raise SourceUnreachableError(f"{given} is larger than {MAX_BYTES >> 20} MiB") from None
    except OSError as error:
        if error.errno in FULL:  # our own disk: that says nothing of the file
            raise
        raise SourceUnreachableError(
            f"{given} cannot be read: {error.strerror}", resolution=f"Correct `{key}` in the matrix."
        ) from None


def _find_distro(moving: Moving, store: Store, package: Package, *, keep: bool) -> ResolvedSource:
    found = package(moving.where)
    if found is None and not keep:
        return ResolvedSource(source=_make_source(moving, "", None), path=None, origin=str(moving), new=True)
    if found is None:
        raise SourceUnreachableError(
            f"no image here has Debian's {moving.component} for {moving.where} yet",
            resolution="A run makes it; then try again: matrixctl run --filter haproxy=distro",
        )
    name, content = _make_plain(found[0]), found[1]
    with store.scratch() as scratch:
        to = scratch / name
        to.write_bytes(content)
        return _make_resolved(moving, store, to, name, f"{moving} -> {name}", keep=keep)


def _make_resolved(
    moving: Moving, store: Store, file: Path, name: str, origin: str, *, keep: bool, strip: int = 1
) -> ResolvedSource:
    sha256 = hash_file(file)
    held = store.find_source(sha256, name)
    new = held is None
    if held is None and keep:
        held = store.put_source(file, sha256=sha256, file=name, origin=origin)
    return ResolvedSource(
        source=_make_source(moving, name, sha256, strip),
        path=held.path if held else None,
        origin=origin,
        new=new,
    )


def _make_source(moving: Moving, file: str, sha256: str | None, strip: int = 1) -> Source:
    return Source(
        component=moving.component, version=moving.version, file=file, sha256=sha256, strip=strip, origins=()
    )
