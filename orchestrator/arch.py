"""CPU architectures, with the name that each tool gives them.

Adding an architecture is adding one record here; docs/architectures.md says what has to be true of it.
Sources: Debian's multiarch tuples (https://wiki.debian.org/Multiarch/Tuples), the ELF machine numbers of
``elf.h``, OpenSSL's ``Configurations/10-main.conf``, Docker's platform names (the OCI image specification),
Linux's ``arch/*/include/uapi/asm/hwcap.h`` (s390x: ``arch/s390/include/asm/elf.h``), Intel's manual for
CPUID. What QEMU's CPUs have and lack was tried with QEMU 10.0, see docs/architectures.md.
"""

from collections.abc import Mapping
from typing import Literal

from orchestrator.frozen_value import Value


class Cpus(Value):
    """The CPUs of one architecture, as they show themselves and as QEMU offers them."""

    bits: Mapping[str, tuple[str, int]]
    """CPU features that move a TLS library's choices, as ``/proc/cpuinfo`` spells them: the line of
    ``ld.so --list-diagnostics`` that tells of each, and the bit in it. Empty where no line tells."""
    default: str
    """QEMU's ``-cpu`` for an emulated server of which no CPU is asked."""
    models: Mapping[str, str]
    """QEMU's ``-cpu`` for the values ``aes-on`` and ``aes-off`` of the axis ``execution``."""
    lacks: Mapping[str, str] = {}
    """Those of the two that QEMU has no CPU for, with the reason."""
    word_size: int = 64
    """Bits of a pointer."""
    byte_order: Literal["little", "big"] = "little"


class Arch(Value):
    """One architecture. ``name`` is Debian's, which is also ours."""

    name: str
    machine: str
    """What ``uname -m`` prints."""
    gnu: str
    """GNU triplet: the prefix of the cross tools, and of Debian's packages of them."""
    platform: str
    """Docker's name for it, as in ``--platform``."""
    elf_machine: str
    """The ELF header's e_machine, as pyelftools and ``elf.h`` call it."""
    qemu: str
    """Suffix of the user-mode emulator (``qemu-<suffix>``)."""
    openssl_target: str
    """Target of OpenSSL's ``Configure``."""
    cmake_processor: str
    """CMAKE_SYSTEM_PROCESSOR."""

    @property
    def multiarch(self) -> str:
        """The folder below ``/usr/lib`` that Debian gives its libraries: the triplet, but for i386."""
        return "i386-linux-gnu" if self.name == "i386" else self.gnu

    @property
    def loader(self) -> str:
        """The path of the C library's loader, as in the PT_INTERP of its programs. No glob finds them all."""
        return _LOADERS[self.name]

    @property
    def cpus(self) -> Cpus:
        """What is known of its CPUs; apart, so that no record of a cell carries it."""
        return _CPUS[self.name]


_HWCAP = "dl_hwcap"
_HWCAP2 = "dl_hwcap2"
_CPUID_1_ECX = "x86.cpu_features.features[0x0].cpuid[0x2]"
_CPUID_7_EBX = "x86.cpu_features.features[0x1].cpuid[0x1]"
_CPUID_7_ECX = "x86.cpu_features.features[0x1].cpuid[0x2]"

_X86_CPUS = Cpus(
    bits={
        "aes": (_CPUID_1_ECX, 25),
        "pclmulqdq": (_CPUID_1_ECX, 1),
        "avx2": (_CPUID_7_EBX, 5),
        "avx512f": (_CPUID_7_EBX, 16),
        "vaes": (_CPUID_7_ECX, 9),
        "vpclmulqdq": (_CPUID_7_ECX, 10),
        "sha_ni": (_CPUID_7_EBX, 29),
    },
    default="max",
    models={"aes-on": "max", "aes-off": "max,aes=off,pclmulqdq=off,vaes=off,vpclmulqdq=off"},
)

_KNOWN = (
    (
        Arch(
            name="amd64",
            machine="x86_64",
            gnu="x86_64-linux-gnu",
            platform="linux/amd64",
            elf_machine="EM_X86_64",
            qemu="x86_64",
            openssl_target="linux-x86_64",
            cmake_processor="x86_64",
        ),
        "/lib64/ld-linux-x86-64.so.2",
        _X86_CPUS,
    ),
    (
        Arch(
            name="arm64",
            machine="aarch64",
            gnu="aarch64-linux-gnu",
            platform="linux/arm64",
            elf_machine="EM_AARCH64",
            qemu="aarch64",
            openssl_target="linux-aarch64",
            cmake_processor="aarch64",
        ),
        "/lib/ld-linux-aarch64.so.1",
        Cpus(
            bits={
                "aes": (_HWCAP, 3),
                "pmull": (_HWCAP, 4),
                "sha2": (_HWCAP, 6),
                "sha512": (_HWCAP, 21),
                "sve": (_HWCAP, 22),
            },
            default="max",
            models={"aes-on": "neoverse-n1"},
            lacks={"aes-off": "each of QEMU's models has the AES instructions, none can switch them off"},
        ),
    ),
    (
        Arch(
            name="armhf",
            machine="armv7l",
            gnu="arm-linux-gnueabihf",
            platform="linux/arm/v7",
            elf_machine="EM_ARM",
            qemu="arm",
            openssl_target="linux-armv4",
            cmake_processor="armv7l",
        ),
        "/lib/ld-linux-armhf.so.3",
        Cpus(
            bits={"aes": (_HWCAP2, 0), "pmull": (_HWCAP2, 1), "sha2": (_HWCAP2, 3), "neon": (_HWCAP, 12)},
            default="max",
            models={"aes-on": "max", "aes-off": "cortex-a15"},
            word_size=32,
        ),
    ),
    (
        Arch(
            name="i386",
            machine="i686",
            gnu="i686-linux-gnu",
            platform="linux/386",
            elf_machine="EM_386",
            qemu="i386",
            openssl_target="linux-x86",
            cmake_processor="i686",
        ),
        "/lib/ld-linux.so.2",
        _X86_CPUS.model_copy(update={"word_size": 32}),
    ),
    (
        Arch(
            name="ppc64el",
            machine="ppc64le",
            gnu="powerpc64le-linux-gnu",
            platform="linux/ppc64le",
            elf_machine="EM_PPC64",
            qemu="ppc64le",
            openssl_target="linux-ppc64le",
            cmake_processor="ppc64le",
        ),
        "/lib64/ld64.so.2",
        Cpus(
            # One bit, PPC_FEATURE2_VEC_CRYPTO, tells of the instructions for AES and for SHA-2.
            bits={"aes": (_HWCAP2, 25), "altivec": (_HWCAP, 28), "vsx": (_HWCAP, 7)},
            default="power9",
            models={"aes-on": "power9"},
            lacks={
                "aes-off": "Debian's programs need a POWER8, which has the AES instructions as all later ones"
            },
        ),
    ),
    (
        Arch(
            name="riscv64",
            machine="riscv64",
            gnu="riscv64-linux-gnu",
            platform="linux/riscv64",
            elf_machine="EM_RISCV",
            qemu="riscv64",
            openssl_target="linux64-riscv64",
            cmake_processor="riscv64",
        ),
        "/lib/ld-linux-riscv64-lp64d.so.1",
        Cpus(
            # The extensions for AES (zkne, zvkned) are told by the system call riscv_hwprobe alone.
            bits={},
            default="max",
            models={"aes-off": "rv64"},
            lacks={"aes-on": "the C library does not tell of it, so it would be believed and not proved"},
        ),
    ),
    (
        Arch(
            name="s390x",
            machine="s390x",
            gnu="s390x-linux-gnu",
            platform="linux/s390x",
            elf_machine="EM_S390",
            qemu="s390x",
            openssl_target="linux64-s390x",
            cmake_processor="s390x",
        ),
        "/lib/ld64.so.1",
        Cpus(
            # msa says that the instructions are there, not which ciphers they know: QEMU's know none.
            bits={"msa": (_HWCAP, 3), "vx": (_HWCAP, 11)},
            default="qemu",
            models={"aes-off": "qemu"},
            lacks={"aes-on": "QEMU's message-security assist has no AES"},
            byte_order="big",
        ),
    ),
)

ARCHES: dict[str, Arch] = {arch.name: arch for arch, _, _ in _KNOWN}
_LOADERS = {arch.name: loader for arch, loader, _ in _KNOWN}
_CPUS = {arch.name: cpus for arch, _, cpus in _KNOWN}

_ALSO = {
    "amd64": ("x64", "x86-64", "intel64", "em64t"),
    "arm64": ("arm64v8", "armv8", "aarch64le"),
    "armhf": ("armv7", "armv7hf", "armv8l", "arm32v7", "arm/v7"),
    "i386": ("x86", "x86_32", "ia32", "i486", "i586", "386"),
    "riscv64": ("riscv", "rv64", "riscv64gc"),
    "s390x": ("s390", "zarch"),
}
"""What people, compilers and CI systems say besides the names of the records."""


def _list_other_names(arch: Arch) -> tuple[str, ...]:
    """Return the names of an architecture in other tools, from which a person is led to ours."""
    tools = (arch.machine, arch.gnu, arch.multiarch, arch.platform, arch.qemu, arch.cmake_processor)
    return (*_ALSO.get(arch.name, ()), *tools, arch.openssl_target)


ALIASES: dict[str, str] = {other: arch.name for arch in ARCHES.values() for other in _list_other_names(arch)}
"""The names of other tools, with ours. They are hints of messages: a file has one name for each thing."""


def find_arch(machine: str) -> Arch:
    """Return the architecture that ``uname -m`` (or Docker's ``Architecture``) calls ``machine``.

    :raises KeyError: for a machine that no record knows.
    """
    for arch in ARCHES.values():
        if machine in {arch.machine, arch.name}:
            return arch
    raise KeyError(machine)
