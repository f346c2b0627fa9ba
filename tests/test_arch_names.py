"""The names of each architecture, held against sources that are not ours.

A wrong name is no error of Python's: the run would look for another emulator, or build for another machine.
"""

import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.enums import ENUM_E_MACHINE

from orchestrator.arch import ARCHES, find_arch


class Names(NamedTuple):
    """Of one architecture, copied from the sources that are named; no matter who adds a record adds a row."""

    machine: str
    """``UTS_MACHINE`` in Linux's ``arch/*/Makefile``, which is what uname(2) tells a 64-bit program."""
    multiarch: str
    """https://wiki.debian.org/Multiarch/Tuples"""
    platform: str
    """``GOOS/GOARCH`` of ``go tool dist list``, which the OCI image specification takes over."""
    e_machine: int
    """``EM_*`` in ``elf.h`` of the GNU C library."""
    qemu: str
    """``TARGET_ARCH`` or else the file's name in QEMU's ``configs/targets/*-linux-user.mak``."""
    openssl: str
    """Key of OpenSSL's ``Configurations/10-main.conf``."""
    cmake: str
    """CMAKE_SYSTEM_PROCESSOR is ``uname -m`` on Linux (CMake's manual, CMAKE_HOST_SYSTEM_PROCESSOR)."""


TABLE = {
    "amd64": Names("x86_64", "x86_64-linux-gnu", "linux/amd64", 62, "x86_64", "linux-x86_64", "x86_64"),
    "arm64": Names("aarch64", "aarch64-linux-gnu", "linux/arm64", 183, "aarch64", "linux-aarch64", "aarch64"),
    "armhf": Names("armv7l", "arm-linux-gnueabihf", "linux/arm", 40, "arm", "linux-armv4", "armv7l"),
    "i386": Names("i686", "i386-linux-gnu", "linux/386", 3, "i386", "linux-x86", "i686"),
    "ppc64el": Names(
        "ppc64le", "powerpc64le-linux-gnu", "linux/ppc64le", 21, "ppc64le", "linux-ppc64le", "ppc64le"
    ),
    "riscv64": Names(
        "riscv64", "riscv64-linux-gnu", "linux/riscv64", 243, "riscv64", "linux64-riscv64", "riscv64"
    ),
    "s390x": Names("s390x", "s390x-linux-gnu", "linux/s390x", 22, "s390x", "linux64-s390x", "s390x"),
}
"""By Debian's name."""


def test_each_architecture_has_a_row_here() -> None:
    missing = sorted(ARCHES.keys() - TABLE.keys())
    assert not missing, (
        f"add the names of {', '.join(missing)} from the sources, not from orchestrator/arch.py"
    )
    assert [name for name, arch in ARCHES.items() if arch.name != name] == []


@pytest.mark.parametrize("name", ARCHES)
def test_the_names_are_those_of_the_sources(name: str) -> None:
    arch = ARCHES[name]
    found = Names(
        machine=arch.machine,
        multiarch=arch.multiarch,
        platform="/".join(arch.platform.split("/")[:2]),
        e_machine=ENUM_E_MACHINE.get(arch.elf_machine, -1),
        qemu=arch.qemu,
        openssl=arch.openssl_target,
        cmake=arch.cmake_processor,
    )
    assert found == TABLE[name]


@pytest.mark.skipif(shutil.which("dpkg-architecture") is None, reason="needs dpkg-architecture (dpkg-dev)")
@pytest.mark.parametrize("name", ARCHES)
def test_dpkg_gives_the_same_names_to_libraries_and_cross_tools(name: str) -> None:
    """They differ for i386: its tools are called i686 (Debian's gcc-i686-linux-gnu)."""

    def ask(variable: str) -> str:
        argv = ["dpkg-architecture", "-a", name, "-q", variable]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()

    assert ARCHES[name].multiarch == ask("DEB_HOST_MULTIARCH")
    assert ARCHES[name].gnu == ask("DEB_HOST_GNU_TYPE")


LOADERS = {
    "amd64": "/lib64/ld-linux-x86-64.so.2",
    "arm64": "/lib/ld-linux-aarch64.so.1",
    "armhf": "/lib/ld-linux-armhf.so.3",
    "i386": "/lib/ld-linux.so.2",
    "ppc64el": "/lib64/ld64.so.2",
    "riscv64": "/lib/ld-linux-riscv64-lp64d.so.1",
    "s390x": "/lib/ld64.so.1",
}
"""``GLIBC_DYNAMIC_LINKER`` in GCC's ``gcc/config`` (i386, aarch64, arm, rs6000, riscv, s390)."""


def test_the_loaders_are_those_of_gcc() -> None:
    assert {name: arch.loader for name, arch in ARCHES.items()} == LOADERS, "LOADERS here has gcc's"


def test_python_itself_is_a_program_of_the_architecture_that_it_runs_on() -> None:
    """Of the one that this machine has, nothing has to be believed."""
    machine = platform.machine()
    if machine not in {arch.machine for arch in ARCHES.values()}:
        pytest.skip(f"no record of {machine}")
    arch = find_arch(machine)
    with Path(sys.executable).resolve().open("rb") as file:
        assert ELFFile(file)["e_machine"] == arch.elf_machine
    assert sysconfig.get_config_var("MULTIARCH") in {arch.multiarch, None, ""}
