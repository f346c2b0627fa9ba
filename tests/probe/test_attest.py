"""Attestation: what the machine, ``haproxy -vv`` and the file said, and what of it is misbuilt."""

import platform
import shutil
import sys
from pathlib import Path

import pytest
from builders import FEATURES, LIBRARY, NATIVE_FEATURES, NO_QUIC_FEATURES, vv
from fakes import cell
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.arch import find_arch
from orchestrator.matrix.model import Cell
from orchestrator.outcome import Reason
from orchestrator.probe.attest import Binary, attest, find_misbuild, inspect
from orchestrator.record.model import Attestation

REAL = Path(shutil.which("ls") or sys.executable).resolve().read_bytes()


def binary(
    *, elf: str | None = "EM_X86_64", needed: tuple[str, ...] = (), mark: str | None = "openssl-3.5.7"
) -> Binary:
    return Binary(elf_machine=elf, needed=("libc.so.6", *needed), prefixes=(mark,) if mark else ())


DYNAMIC = binary(needed=("libssl.so.3", "libcrypto.so.3"), mark=None)
SOURCE, DISTRO = cell(), cell(tls="openssl-distro")


def said(one: Cell, made: Binary, text: str, machine: str = "x86_64\n") -> tuple[Reason, str] | None:
    return find_misbuild(one, attest(one, made, machine, text))


def moving(one: Cell, source: str, version: str = "") -> Cell:
    """The cell with a HAProxy from elsewhere."""
    changes = {"source": source, "version": version or one.haproxy.version}
    haproxy = one.haproxy.model_copy(update=changes)
    return Cell(id=one.id, **{**one.axes, "haproxy": haproxy})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "made", "text"),
    [
        pytest.param(moving(SOURCE, "git"), binary(), vv(version="3.0.12-0a1b2c-5"), id="a branch went on"),
        pytest.param(
            moving(SOURCE, "path", "3.0-dev1"), binary(), vv(version="3.0-dev13"), id="a tree of that series"
        ),
        pytest.param(moving(DISTRO, "prebuilt"), DYNAMIC, vv(version="3.0.11-1+deb13u3"), id="a .deb"),
        pytest.param(moving(DISTRO, "distro"), DYNAMIC, vv(version="3.0.11-1+deb13u5"), id="Debian's own"),
        pytest.param(moving(SOURCE, "prebuilt"), binary(mark=None), vv(), id="a static binary of others"),
        pytest.param(SOURCE, binary(), vv(), id="a source build"),
        pytest.param(
            cell(haproxy="3.2.25"), binary(), vv(version="3.2.25", features=NATIVE_FEATURES), id="native QUIC"
        ),
        pytest.param(SOURCE, binary(), vv(library="SSL library"), id="as later versions print it"),
        pytest.param(SOURCE, binary(), vv(version="3.0.11"), id="a version without a commit"),
        pytest.param(DISTRO, DYNAMIC, vv(), id="the distro's library"),
        pytest.param(DISTRO, DYNAMIC, vv(built="OpenSSL 3.5.6 7 Apr 2026"), id="an updated distro library"),
        pytest.param(
            cell(haproxy="3.0-dev13"), binary(), vv(version="3.0-dev13-3a5f2b1-7"), id="a development version"
        ),
        *(
            pytest.param(
                cell(tls=name),
                binary(mark=name),
                vv(built=built, running=running, features=NATIVE_FEATURES),
                id=name,
            )
            for name, built, running in (
                ("aws-lc-5.1.0", "OpenSSL 1.1.1 (compatible; AWS-LC 5.1.0)", "AWS-LC 5.1.0"),
                ("libressl-3.9.2", "LibreSSL 3.9.2", "LibreSSL 3.9.2"),
                ("quictls-3.3.0-quic1", "OpenSSL 3.3.0+quic 9 Apr 2024", "OpenSSL 3.3.0+quic 9 Apr 2024"),
                ("wolfssl-5.7.2", "wolfSSL 5.7.2", "wolfSSL 5.7.2"),
            )
        ),
    ],
)
def test_what_is_as_declared(one: Cell, made: Binary, text: str) -> None:
    assert said(one, made, text) is None


@pytest.mark.parametrize(
    ("one", "made", "text", "reason", "word"),
    [
        pytest.param(
            moving(SOURCE, "git", "3.1.0"), binary(), vv(), "wrong-version", "Set `version`", id="a branch"
        ),
        pytest.param(
            moving(SOURCE, "git", "3.1"),
            binary(),
            vv(version="3.11.0"),
            "wrong-version",
            "3.11",
            id="3.1, 3.11",
        ),
        pytest.param(
            moving(SOURCE, "git"),
            binary(),
            vv(version="nonsense"),
            "wrong-version",
            "nonsense",
            id="no version",
        ),
        pytest.param(
            moving(DISTRO, "distro"),
            DYNAMIC,
            vv(version="3.0.12-1"),
            "wrong-version",
            "{name: NAME, version: VERSION, source: distro}",
            id="Debian's own moved on",
        ),
        pytest.param(
            moving(DISTRO, "distro"),
            DYNAMIC,
            vv(version="3.0.11-1+deb13u5", running="LibreSSL 4.0.0"),
            "wrong-library",
            "runs on LibreSSL",
            id="Debian's own with another library",
        ),
        pytest.param(
            moving(SOURCE, "prebuilt"),
            binary(mark=None),
            vv(version="3.0.12"),
            "wrong-version",
            "3.0.12",
            id="another prebuilt",
        ),
        pytest.param(
            moving(SOURCE, "prebuilt"),
            binary(mark=None),
            vv(running="OpenSSL 3.5.6 7 Apr 2026"),
            "wrong-library",
            "runs on OpenSSL 3.5.6",
            id="a prebuilt with another library",
        ),
        pytest.param(
            moving(DISTRO, "prebuilt"),
            DYNAMIC,
            vv(running="LibreSSL 4.0.0"),
            "wrong-library",
            "runs on LibreSSL",
            id="a prebuilt of another family",
        ),
        pytest.param(
            moving(DISTRO, "prebuilt"),
            binary(mark=None),
            vv(),
            "wrong-library",
            "does not ask",
            id="a static .deb",
        ),
        pytest.param(
            SOURCE, binary(elf="EM_AARCH64"), vv(), "wrong-arch", "EM_AARCH64", id="another ELF machine"
        ),
        pytest.param(SOURCE, binary(elf=None), vv(), "wrong-arch", "no ELF file", id="no ELF file"),
        pytest.param(
            cell(arch="arm64"), binary(), vv(), "wrong-arch", "EM_X86_64", id="a native build for arm64"
        ),
        pytest.param(
            SOURCE, binary(), vv(version="3.0.10-abc"), "wrong-version", "3.0.10-abc", id="another HAProxy"
        ),
        pytest.param(
            cell(haproxy="3.0.1"), binary(), vv(), "wrong-version", "3.0.11", id="a version that begins alike"
        ),
        pytest.param(
            cell(haproxy="3.0-dev1"),
            binary(),
            vv(version="3.0-dev13-abc"),
            "wrong-version",
            "3.0-dev13",
            id="another development version",
        ),
        pytest.param(
            SOURCE, DYNAMIC, vv(), "wrong-library", "asks for libssl.so.3", id="linked to the distro's"
        ),
        pytest.param(
            SOURCE, binary(mark=None), vv(), "wrong-library", "mark", id="the distro's static library"
        ),
        pytest.param(
            SOURCE, binary(mark="quictls-3.3.0"), vv(), "wrong-library", "mark", id="another source build"
        ),
        pytest.param(
            SOURCE,
            binary(),
            vv(running="OpenSSL 3.5.6 7 Apr 2026 (VERSIONS DIFFER!)"),
            "wrong-library",
            "VERSIONS DIFFER",
            id="built and running differ",
        ),
        pytest.param(
            cell(tls="openssl-3.5.1"),
            binary(mark="openssl-3.5.1"),
            vv(built="OpenSSL 3.5.11 1 Jan 2027", running="OpenSSL 3.5.11 1 Jan 2027"),
            "wrong-library",
            "declared is OpenSSL 3.5.1",
            id="a library version that begins alike",
        ),
        pytest.param(
            cell(tls="quictls-3.3.0-quic1"),
            binary(mark="quictls-3.3.0-quic1"),
            vv(built="OpenSSL 3.3.0 9 Apr 2024", running="OpenSSL 3.3.0 9 Apr 2024"),
            "wrong-library",
            "declared is OpenSSL 3.3.0+quic",
            id="plain OpenSSL for QuicTLS",
        ),
        pytest.param(
            SOURCE,
            binary(),
            vv(built="", running=""),
            "wrong-library",
            "Built with nothing",
            id="no library said",
        ),
        pytest.param(DISTRO, binary(mark=None), vv(), "wrong-library", "does not ask", id="a static library"),
        pytest.param(SOURCE, binary(), vv(features=NO_QUIC_FEATURES), "no-quic", "-QUIC", id="no QUIC"),
        pytest.param(
            DISTRO, DYNAMIC, vv(features=NO_QUIC_FEATURES), "no-quic", "-QUIC", id="no QUIC, distro"
        ),
        pytest.param(
            cell(haproxy="3.2.25"),
            binary(),
            vv(version="3.2.25", features=FEATURES),
            "wrong-quic-api",
            "uses HAProxy's QUIC compatibility layer, and declared is the library's own QUIC API",
            id="the layer where the API is declared",
        ),
        pytest.param(
            SOURCE,
            binary(),
            vv(features=NATIVE_FEATURES),
            "wrong-quic-api",
            "uses the library's own QUIC API, and declared is HAProxy's QUIC compatibility layer",
            id="the API where the layer is declared",
        ),
    ],
)
def test_what_is_not(one: Cell, made: Binary, text: str, reason: str, word: str) -> None:
    found = said(one, made, text)
    assert found is not None
    assert found[0] == reason
    assert word in found[1]


def test_the_machine_counts_as_well_as_the_file() -> None:
    found = said(SOURCE, binary(), vv(), machine="aarch64\n")
    assert found == (Reason.WRONG_ARCH, "The server's machine is aarch64, not x86_64.")


def test_the_first_difference_is_the_one_that_explains_the_others() -> None:
    wrong_in_all = binary(elf="EM_AARCH64", mark=None)
    found = said(SOURCE, wrong_in_all, vv(version="1.0", features=NO_QUIC_FEATURES))
    assert found is not None
    assert found[0] is Reason.WRONG_ARCH


@pytest.mark.parametrize(
    ("features", "quic", "api"),
    [(FEATURES, True, "compat"), (NATIVE_FEATURES, True, "native"), (NO_QUIC_FEATURES, False, None)],
)
def test_the_api_of_quic(features: str, api: str | None, *, quic: bool) -> None:
    proof = attest(SOURCE, binary(), "x86_64", vv(features=features))
    assert (proof.quic, proof.quic_api) == (quic, api)


def test_an_attestation_whole() -> None:
    assert attest(DISTRO, DYNAMIC, "x86_64\n", vv()) == Attestation(
        machine="x86_64",
        elf_machine="EM_X86_64",
        haproxy_version="3.0.11-d60d1a7",
        tls_built=LIBRARY,
        tls_running=LIBRARY,
        tls_prefix_found=None,
        needed=("libc.so.6", "libssl.so.3", "libcrypto.so.3"),
        quic=True,
        quic_api="compat",
    )


@pytest.mark.parametrize("text", [None, "", "Segmentation fault\n"])
def test_nothing_said_is_null_and_never_made_up(text: str | None) -> None:
    proof = attest(SOURCE, binary(mark=None), None, text)
    assert {proof.machine, proof.haproxy_version, proof.tls_built, proof.quic, proof.quic_api} == {None}
    assert proof.tls_prefix_found is False


# The file itself.


def test_a_real_binary() -> None:
    made = inspect(REAL)
    assert made.elf_machine == find_arch(platform.machine()).elf_machine
    assert "libc.so.6" in made.needed
    assert made.prefixes == ()


def test_marks_are_found_wherever_they_stand() -> None:
    marked = REAL + b'\0OPENSSLDIR: "/opt/matrixctl/openssl-3.5.7/ssl"\0/opt/matrixctl/openssl-3.5.7/lib\0'
    assert inspect(marked).prefixes == ("openssl-3.5.7",)
    assert inspect(b"/opt/matrixctl/b-1/ssl\0/opt/matrixctl/a+1.0_x/lib").prefixes == ("a+1.0_x", "b-1")


def test_a_longer_name_is_another_mark() -> None:
    made = inspect(REAL + b"/opt/matrixctl/openssl-3.5.70/ssl")
    assert attest(SOURCE, made, "x86_64", vv()).tls_prefix_found is False


def test_a_machine_that_nobody_knows_is_a_wrong_one() -> None:
    strange = REAL[:18] + b"\xfe\xfe" + REAL[20:]
    found = said(SOURCE, inspect(strange), vv())
    assert found is not None
    assert found[0] is Reason.WRONG_ARCH


@given(content=st.binary(max_size=300))
@example(content=b"")
@example(content=b"\x7fELF")
@example(content=b"#!/bin/sh\n")
def test_garbage_is_no_elf_file(content: bytes) -> None:
    assert inspect(content).needed == ()


@given(
    cut=st.integers(0, len(REAL)),
    harm=st.dictionaries(
        st.integers(0, 200) | st.integers(0, len(REAL) - 1), st.integers(0, 255), max_size=8
    ),
)
def test_a_harmed_binary_raises_nothing(cut: int, harm: dict[int, int]) -> None:
    content = bytearray(REAL)
    for place, value in harm.items():
        content[place] = value
    inspect(bytes(content[:cut]))
