"""Which QEMU runs the servers of a run's emulated cells."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cache

from orchestrator.arch import ARCHES, Arch
from orchestrator.execute.images import emulation
from orchestrator.execute.system.host import LocalHost
from orchestrator.matrix.model import Cell


@dataclass(frozen=True, kw_only=True)
class Emulators:
    """The versions of QEMU: of the images that bring their own, and of the kernel of the engine's host."""

    host: Arch
    natives: AbstractSet[str]
    """As in ``Cell.find_host``."""
    remote: bool
    """The engine is on another machine, whose kernel cannot be asked."""
    _inside: dict[str, str] = field(default_factory=dict)

    def note(self, arch: Arch, version: str) -> None:
        """Remember the version inside the image that serves ``arch``."""
        self._inside[arch.name] = version

    def find_version(self, cell: Cell) -> str | None:
        """Return the version that runs a cell's server; ``None``: it is native, or its image is not there."""
        return self._inside.get(cell.arch.name) if self._is_emulated(cell) else None

    def _is_emulated(self, cell: Cell) -> bool:
        return cell.is_emulated_on(cell.find_host(self.host, self.natives))

    def find_host_version(self, arch: Arch) -> str | None:
        """Return the version of the kernel's emulator, which runs compilers; ``None``: it cannot be asked."""
        return _ask_host(arch.name, self.remote)


@cache
def _ask_host(arch: str, remote: bool) -> str | None:
    return emulation.find_qemu_version(LocalHost(), ARCHES[arch], remote=remote)
