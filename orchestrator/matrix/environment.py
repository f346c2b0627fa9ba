"""The variables that ``execution`` may set for the server's programs: masks of the CPU for TLS libraries.

Nothing else is let through: a variable could name files, switch on logs, or load other code.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestrator.matrix.model import Cell

VALUE = r"^[0-9A-Za-z~|:][0-9A-Za-z~|:;,._-]*$"
"""All that the libraries' own forms need, and nothing that a shell, ``env`` or a report reads otherwise."""
VALUE_RULE = "digits, letters and ~ | : ; , . _ - as the library documents it"


@dataclass(frozen=True, kw_only=True)
class Variable:
    """Who reads it: families of libraries, and the architectures on which each does."""

    read_by: Mapping[str, frozenset[str]]


_ARM, _X86 = frozenset({"arm64", "armhf"}), frozenset({"amd64", "i386"})


def _list_openssl(arches: frozenset[str]) -> dict[str, frozenset[str]]:
    return {"openssl": arches, "quictls": arches}


VARIABLES: Mapping[str, Variable] = {
    # OpenSSL 3.5.7: crypto/armcap.c, cpuid.c, riscvcap.c, s390xcap.c. AWS-LC 5.1.0, crypto/fipsmodule/cpucap:
    # cpu_aarch64_linux.c and cpu_intel.c; its 32-bit ARM reads none. LibreSSL has read none since 2014
    # (https://github.com/libressl/openbsd/commit/54a16e60e2), wolfSSL 5.7.2 none.
    "OPENSSL_armcap": Variable(read_by={**_list_openssl(_ARM), "aws-lc": frozenset({"arm64"})}),
    "OPENSSL_ia32cap": Variable(read_by={**_list_openssl(_X86), "aws-lc": _X86}),
    "OPENSSL_riscvcap": Variable(read_by=_list_openssl(frozenset({"riscv64"}))),
    "OPENSSL_s390xcap": Variable(read_by=_list_openssl(frozenset({"s390x"}))),
}


def find_unread(cell: Cell) -> tuple[str, ...]:
    """Return the variables of the cell's execution that its library does not read on its architecture."""
    return tuple(
        name
        for name, _ in split_pairs(cell.execution.environment)
        if cell.arch.name not in VARIABLES[name].read_by.get(cell.tls.family, frozenset())
    )


def find_unset(environment: Iterable[str], diagnostics: str) -> tuple[str, ...]:
    """Return the variables that a program of the server did not see, from ``ld.so --list-diagnostics``.

    It lists the names of all variables that it does not read itself, as in ``env_filtered[0x1]="NAME"``.
    """
    return tuple(name for name, _ in split_pairs(environment) if f'="{name}"' not in diagnostics)


def split_pairs(environment: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return name and value of each ``NAME=VALUE``."""
    return tuple((name, value) for name, _, value in (one.partition("=") for one in environment))


def make_command(environment: tuple[str, ...]) -> tuple[str, ...]:
    """Return what stands before a program so that it, and not what starts it, has these variables."""
    return ("/usr/bin/env", *environment) if environment else ()
