"""The variables that an execution may set: who reads them, and whether they reached a program."""

import re

import pytest
from fakes import cell

from orchestrator.arch import ARCHES
from orchestrator.matrix.capability_table import FAMILIES
from orchestrator.matrix.environment import VALUE, VARIABLES, find_unread, find_unset, make_command
from orchestrator.matrix.model import ExecutionValue

BOTH = ExecutionValue(name="masked", environment=("OPENSSL_armcap=0", "OPENSSL_ia32cap=~0x200000000000000"))


@pytest.mark.parametrize(
    ("arch", "tls", "unread"),
    [
        ("amd64", "openssl-3.5.7", ("OPENSSL_armcap",)),
        ("i386", "aws-lc-5.1.0", ("OPENSSL_armcap",)),
        ("arm64", "quictls-3.3.0-quic1", ("OPENSSL_ia32cap",)),
        ("arm64", "aws-lc-5.1.0", ("OPENSSL_ia32cap",)),
        ("armhf", "openssl-distro", ("OPENSSL_ia32cap",)),
        ("armhf", "aws-lc-5.1.0", ("OPENSSL_armcap", "OPENSSL_ia32cap")),
        ("s390x", "openssl-3.5.7", ("OPENSSL_armcap", "OPENSSL_ia32cap")),
        ("amd64", "libressl-3.9.2", ("OPENSSL_armcap", "OPENSSL_ia32cap")),
        ("arm64", "wolfssl-5.7.2", ("OPENSSL_armcap", "OPENSSL_ia32cap")),
    ],
)
def test_a_library_reads_only_the_mask_of_its_own_architecture(
    arch: str, tls: str, unread: tuple[str, ...]
) -> None:
    assert find_unread(cell(arch=arch, tls=tls, execution=BOTH)) == unread


def test_without_variables_nothing_is_unread() -> None:
    assert find_unread(cell(tls="libressl-3.9.2")) == ()
    assert make_command(()) == ()


def test_the_table_names_families_and_architectures_that_there_are() -> None:
    for variable in VARIABLES.values():
        assert variable.read_by.keys() <= set(FAMILIES)
        assert all(arches and arches <= ARCHES.keys() for arches in variable.read_by.values())


SEEN = """\
env_filtered[0x1]="HOME"
env[0x2]="LC_ALL=C.UTF-8"
env_filtered[0x3]="OPENSSL_ia32cap"
"""


@pytest.mark.parametrize(
    ("diagnostics", "unset"),
    [
        (SEEN, ("OPENSSL_armcap",)),
        (SEEN.replace("ia32cap", "armcap"), ("OPENSSL_ia32cap",)),
        (SEEN + 'env_filtered[0x4]="OPENSSL_armcap"\n', ()),
        ("", ("OPENSSL_armcap", "OPENSSL_ia32cap")),
    ],
)
def test_the_loader_says_which_variables_a_program_has(diagnostics: str, unset: tuple[str, ...]) -> None:
    assert find_unset(BOTH.environment, diagnostics) == unset


@pytest.mark.parametrize(
    "value",
    [
        "0",
        "~0x200000200000000",
        ":~0x20000",
        "0xFFFFFFFF:0x1",
        "|0x4",
        "stfle:0:~0:0;kimd:0:~0x400",
        "z13",
        "rv64gc_zba_zbb",
    ],
)
def test_the_forms_of_the_libraries_are_allowed(value: str) -> None:
    assert re.search(VALUE, value)


@pytest.mark.parametrize("value", ["", " 0", "0 0", "$(id)", "0\n", "-i", "--help", "a=b", "0'", "\u0660"])
def test_nothing_else_is(value: str) -> None:
    assert not re.search(VALUE.replace("$", r"\Z"), value)
