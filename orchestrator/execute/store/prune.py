"""Remove parts of a store, the least recently used first; never what a living run uses."""

import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import DeadlineError
from orchestrator.execute.store.lease import InUse
from orchestrator.execute.store.store import Store, is_moving


@dataclass(frozen=True, kw_only=True)
class Item:
    """A thing that is removed as a whole: an artifact with its log, a compiler cache, a moving source."""

    path: Path
    others: tuple[Path, ...] = ()
    size: int
    """Bytes of all its files."""
    used: float
    """When a run last used it, in seconds since the epoch."""


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What was removed, or would be: the least recently used first."""

    gone: tuple[Item, ...]
    stays: int
    """Bytes that are still in the store: tarballs, which nothing prunes, included."""


def prune(store: Store, *, before: float | None, max_size: int | None, keep: bool = False) -> Pruned:
    """Remove what was last used before a moment, then more until the store is small enough.

    Tarballs stay, since they can be hard to download again; so does everything that a living run uses.

    :param before: seconds since the epoch; ``None``: age is no reason.
    :param max_size: bytes; ``None``: size is no reason.
    :param keep: remove nothing, only say what would be removed.
    :raises MatrixctlError: if the store cannot be written.
    """
    with store.leases.alone() as used, ExitStack() as locks:
        items = [item for item in _list_items(store, used) if _is_free(store, item, locks)]
        total = sum(_measure(path) for path in store.root.iterdir())
        gone = choose(items, total=total, before=before, max_size=max_size)
        if not keep:
            store.discard(path for item in gone for path in (item.path, *item.others))
    return Pruned(gone=gone, stays=total - sum(item.size for item in gone))


def choose(
    items: Iterable[Item], *, total: int, before: float | None, max_size: int | None
) -> tuple[Item, ...]:
    """Return the items to remove, the least recently used first; ``total``: bytes of the whole store."""
    gone: list[Item] = []
    for item in sorted(items, key=lambda item: (item.used, str(item.path))):
        old = before is not None and item.used < before
        large = max_size is not None and total > max_size
        if old or large:
            gone.append(item)
            total -= item.size
    return tuple(gone)


def _list_items(store: Store, used: InUse) -> Iterator[Item]:
    for path in store.list_made("artifacts"):
        if path.name not in used.digests:
            yield _make_item(path, (store.root / "logs" / f"{path.name}.log",))
    for path in (store.root / "logs").glob("*.log"):  # of a build that failed
        if path.stem not in used.digests and not (store.root / "artifacts" / path.stem).exists():
            yield _make_item(path)
    for path in store.list_made("sources"):
        if path.name not in used.digests and is_moving(path):
            yield _make_item(path)
    for path in (*store.list_made("ccache"), *store.list_made("git")):
        yield _make_item(path)


def _make_item(path: Path, others: Sequence[Path] = ()) -> Item:
    there = tuple(other for other in others if other.exists())
    size = sum(map(_measure, (path, *there)))
    return Item(path=path, others=there, size=size, used=path.stat().st_mtime)


def _is_free(store: Store, item: Item, locks: ExitStack) -> bool:
    """Return whether no process fetches into it now; none can begin until the locks are released."""
    if item.path.suffix != ".git":
        return True
    try:
        locks.enter_context(store.lock(f"git-{item.path.name}", deadline=time.monotonic()))
    except DeadlineError:
        return False
    return True


def _measure(path: Path) -> int:
    with suppress(FileNotFoundError):  # a living run's scratch may vanish while it is counted
        found = path.lstat()
        if stat.S_ISDIR(found.st_mode):
            return sum(map(_measure, path.iterdir()))
        return found.st_size
    return 0
