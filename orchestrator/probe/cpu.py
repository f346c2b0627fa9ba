"""The CPU features that move a TLS library's choice of cipher or of code."""

import re

from orchestrator.arch import Arch

_WATCHED = (
    "aes",
    "pclmulqdq",
    "avx2",
    "avx512f",
    "vaes",
    "vpclmulqdq",
    "sha_ni",
    "pmull",
    "sha2",
    "sha512",
    "sve",
)
"""As ``/proc/cpuinfo`` spells them."""

# Linux, arch/arm64/include/uapi/asm/hwcap.h: bit numbers of AT_HWCAP.
_ARM64_HWCAP = {"aes": 3, "pmull": 4, "sha2": 6, "sha512": 21, "sve": 22}


def of_host(cpuinfo: str) -> tuple[str, ...]:
    """Of the engine's own CPU; empty where it does not say."""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    present = set(found[1].split()) if found else set()
    return tuple(feature for feature in _WATCHED if feature in present)


def of_emulator(arch: Arch, auxv: str) -> tuple[str, ...]:
    """What QEMU shows to programs, from the auxiliary vector (``LD_SHOW_AUXV=1``).

    QEMU's user mode shows the host's ``/proc/cpuinfo``, so that file says nothing here. Only arm64's
    AT_HWCAP has the bits; elsewhere the answer is empty: not known.
    """
    found = re.search(r"^AT_HWCAP:\s*([0-9a-fx]+)", auxv, re.MULTILINE)
    if arch.name != "arm64" or found is None:
        return ()
    bits = int(found[1], 16)
    return tuple(feature for feature, bit in _ARM64_HWCAP.items() if bits >> bit & 1)
