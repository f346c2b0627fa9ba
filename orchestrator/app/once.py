"""A value that is made by the first thread that asks for it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(kw_only=True)
class Once(Generic[T]):
    """Makes a value at most once; a thread that asks meanwhile waits for it."""

    _made: list[T] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, make: Callable[[], T]) -> T:
        """Return the value; where ``make`` raises, the next caller tries again."""
        with self._lock:
            if not self._made:
                self._made.append(make())
            return self._made[0]
