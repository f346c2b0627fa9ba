"""CPU architectures, with the name that each tool gives them.

Adding an architecture is adding one record here. Sources: Debian's multiarch tuples
(https://wiki.debian.org/Multiarch/Tuples), the ELF machine numbers of ``elf.h``, OpenSSL's
``Configurations/10-main.conf``, Docker's platform names (the OCI image specification).
"""

from orchestrator.value import Value


class Arch(Value):
    """One architecture. ``name`` is Debian's, which is also ours."""

    name: str
    machine: str
    """What ``uname -m`` prints."""
    gnu: str
    """GNU triplet: the prefix of the cross tools and the multiarch folder."""
    platform: str
    """Docker's name for it, as in ``--platform``."""
    elf_machine: str
    """The ELF header's e_machine, as pyelftools and ``elf.h`` call it."""
    qemu: str
    """Suffix of the user-mode emulator (``qemu-<suffix>``) and of its binfmt entry."""
    openssl_target: str
    """Target of OpenSSL's ``Configure``."""
    cmake_processor: str
    """CMAKE_SYSTEM_PROCESSOR."""


ARCHES: dict[str, Arch] = {
    arch.name: arch
    for arch in (
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
    )
}


def by_machine(machine: str) -> Arch:
    """The architecture that ``uname -m`` (or Docker's ``Architecture``) calls ``machine``.

    :raises KeyError: for a machine that no record knows.
    """
    for arch in ARCHES.values():
        if machine in {arch.machine, arch.name}:
            return arch
    raise KeyError(machine)
