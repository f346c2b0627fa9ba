"""Which digests living runs work with, so that pruning can go on beside them.

Each run writes the digests that it works with into a file of its own, and holds that file's lock as long as
it lives. A run writes under the shared guard, a pruner looks and removes under the exclusive one: what a run
named before is spared; what was removed before is not there when the run looks, and it makes it again.
"""

import fcntl
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path

from orchestrator.atomic_files import is_unheld


@dataclass(frozen=True, kw_only=True)
class InUse:
    """What living runs work with, and how many runs that are."""

    digests: frozenset[str]
    runs: int


class Leases:
    """Of one store, for one process; safe for several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._named: dict[RawIOBase, set[str]] = {}
        """What each file that is open has in it: a worker does several tasks at once."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lease of a run: while this block runs, every digest given to ``name`` is in use.

        Of several blocks at once, each holds what is named meanwhile.
        """
        path = self._folder / f"{os.getpid()}-{secrets.token_hex(4)}"
        with self._guard(fcntl.LOCK_SH):
            file = path.open("xb", buffering=0)  # what a full disk refuses must not come again at the end
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        try:
            with self._lock:
                self._named[file] = set()
            yield
        finally:
            with self._lock:
                del self._named[file]
            path.unlink(missing_ok=True)
            file.close()

    def name(self, digest: str) -> bool:
        """Note that this run uses the digest; return true if that is new, false also outside of a run."""
        with self._lock:
            lacking = [file for file, named in self._named.items() if digest not in named]
            if lacking:
                with self._guard(fcntl.LOCK_SH):
                    for file in lacking:
                        file.write(f"\n{digest}\n".encode())
                        self._named[file].add(digest)
            return bool(lacking)

    @contextmanager
    def alone(self) -> Iterator[InUse]:
        """Exclude all runs: none begins and none names a digest; leases of dead runs are dropped."""
        with self._guard(fcntl.LOCK_EX):
            digests: set[str] = set()
            runs = 0
            for path in sorted(self._folder.iterdir()):
                with suppress(FileNotFoundError), path.open("rb") as file:  # a run may end meanwhile
                    if is_unheld(file):
                        path.unlink()
                        continue
                    runs += 1
                    digests.update(file.read().decode().split())
            yield InUse(digests=frozenset(digests), runs=runs)

    @contextmanager
    def _guard(self, how: int) -> Iterator[None]:
        with (self._folder.parent / "locks" / "leases").open("ab") as file:
            fcntl.flock(file.fileno(), how)
            yield
