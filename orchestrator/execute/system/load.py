"""How busy this machine is, so that a failure on a loaded machine can be seen as what it may be."""

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.record.model import Load

_STEAL = 7
"""Of the numbers after ``cpu`` in ``/proc/stat``: user, nice, system, idle, iowait, irq, softirq, steal
(proc(5)). The two after it, guest and guest_nice, are contained in user and nice."""


@dataclass
class LoadMeter:
    """Measures from one call to the next; safe for several threads."""

    stat: Path = Path("/proc/stat")
    _before: tuple[int, int] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Begin the first interval."""
        self._before = self._read()

    def measure(self, late_s: float | None = None) -> Load | None:
        """Return the load, or ``None`` where the system has none; the steal may be ``None`` by itself.

        :param late_s: goes into it, as ``Load.late_s``.
        """
        with self._lock:
            before, self._before = self._before, self._read()
            steal = None
            if before and self._before and (total := self._before[1] - before[1]) > 0:
                steal = min(1.0, max(0.0, (self._before[0] - before[0]) / total))
        try:
            average = os.getloadavg()[0]
        except OSError:  # it reads /proc, which may not be mounted
            return None
        return Load(average=average, cpus=os.cpu_count() or 1, steal=steal, late_s=late_s)

    def _read(self) -> tuple[int, int] | None:
        """Return the ticks that were stolen, and all ticks."""
        try:
            first = self.stat.read_text().split("\n", 1)[0]
            ticks = [int(word) for word in first.split()[1 : _STEAL + 2]]
            return ticks[_STEAL], sum(ticks)
        except (OSError, ValueError, IndexError):
            return None
