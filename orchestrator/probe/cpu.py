"""The CPU that a server sees: its features that move a TLS library's choice of cipher or of code."""

import re

from orchestrator.arch import Arch
from orchestrator.matrix.model import Cell

_AES = "aes"


def read_features(arch: Arch, diagnostics: str) -> tuple[str, ...]:
    """Return what programs see, from ``ld.so --list-diagnostics`` of glibc; empty where it does not say.

    Not from ``/proc/cpuinfo``: under QEMU's user mode that file is the host's.
    """
    said = dict(re.findall(r"^(\S+)=(0x[0-9a-f]+)$", diagnostics, re.MULTILINE))
    return tuple(
        feature for feature, (line, bit) in arch.cpus.bits.items() if int(said.get(line, "0"), 16) >> bit & 1
    )


def find_contradiction(cell: Cell, diagnostics: str) -> str | None:
    """Return why the CPU is not the one that ``execution`` asks for, one sentence; ``None`` if it is.

    Only ``aes-on`` and ``aes-off`` say something that can be checked, and only where ``Cpus.bits``
    knows where to look. What was not said at all proves nothing.
    """
    arch, wanted = cell.arch.arch, cell.execution.cpu
    if wanted not in arch.cpus.models or _AES not in arch.cpus.bits:
        return None
    line, _ = arch.cpus.bits[_AES]
    if f"{line}=" not in diagnostics:
        return f"The server's CPU does not tell whether it has AES instructions ({wanted} was asked for)."
    has = _AES in read_features(arch, diagnostics)
    if has == (wanted == "aes-on"):
        return None
    return f"The server's CPU has {'' if has else 'no '}AES instructions, and {wanted} was asked for."
