"""The capability table: what follows from it for the combinations that HAProxy and the libraries document."""

import re
from datetime import date

import fakes
import pytest
from matrix_samples import matrix, record

from orchestrator.arch import ARCHES
from orchestrator.matrix import capabilities
from orchestrator.matrix.capability_table import FAMILIES, SUITES, TABLE, Capability
from orchestrator.matrix.expand import expand
from orchestrator.matrix.model import Cell, ExecutionValue, HaproxyValue, TlsValue
from orchestrator.outcome import Reason
from orchestrator.versions import Version

GCM = "TLS_AES_128_GCM_SHA256"
CCM = "TLS_AES_128_CCM_SHA256"
CHACHA = "TLS_CHACHA20_POLY1305_SHA256"


def haproxy(version: str, *flags: str) -> HaproxyValue:
    return HaproxyValue(name=version, version=version, make_flags=flags)


def tls(name: str) -> TlsValue:
    value = record("tls", name)
    assert isinstance(value, TlsValue)
    return value


def cell(haproxy_version: str, tls_name: str, cipher: str, client: str = "curl") -> Cell:
    axes = {
        "arch": ["amd64"],
        "haproxy": [haproxy_version],
        "tls": [tls_name],
        "cipher": [cipher],
        "client": [client],
    }
    return expand(matrix(axes))[0]


@pytest.mark.parametrize(
    ("version", "library", "api"),
    [
        ("2.6.12", "openssl-3.5.7", "none"),
        ("2.8.3", "openssl-3.5.7", "none"),
        ("2.8.9", "openssl-3.5.7", "compat"),
        ("2.9.0", "openssl-3.5.7", "compat"),
        ("3.0.11", "openssl-3.0.22", "compat"),
        ("3.2.0", "openssl-3.0.22", "compat"),
        ("3.0.11", "openssl-distro", "compat"),
        ("3.2-dev5", "openssl-3.5.7", "compat"),
        ("3.2.0", "openssl-3.5.7", "native"),
        ("3.2.0", "openssl-3.5.2", "native"),
        ("3.2.0", "openssl-3.5.1", "compat"),
        ("3.2.0", "openssl-distro", "native"),
        ("2.6.12", "quictls-3.3.0-quic1", "native"),
        ("2.6.12", "libressl-3.9.2", "none"),
        ("3.0.11", "libressl-3.9.2", "native"),
        ("2.7-dev5", "libressl-3.9.2", "none"),
        ("2.7-dev6", "libressl-3.9.2", "native"),
        ("3.0.11", "libressl-3.5.3", "none"),
        ("2.4.0", "quictls-3.3.0-quic1", "none"),
        ("2.8.9", "aws-lc-5.1.0", "none"),
        ("3.0.11", "aws-lc-1.21.0", "none"),
        ("3.0.11", "wolfssl-5.7.2", "native"),
        ("3.0.11", "wolfssl-5.6.4", "none"),
        ("2.8-dev1", "wolfssl-5.7.2", "native"),
        ("2.7.0", "wolfssl-5.7.2", "none"),
    ],
)
def test_quic_api(version: str, library: str, api: str) -> None:
    assert capabilities.find_quic_api(haproxy(version), tls(library)) == api
    assert capabilities.needs_limited_quic(haproxy(version), tls(library)) == (api == "compat")


def test_make_flags_end_with_the_most_special_ones() -> None:
    library = tls("openssl-distro").model_copy(update={"make_flags": ("SSL_X=1",)})
    assert capabilities.list_make_flags(haproxy("3.0.11", "DEBUG=-g"), library) == (
        "USE_OPENSSL=1",
        "USE_QUIC=1",
        "USE_QUIC_OPENSSL_COMPAT=1",
        "SSL_X=1",
        "DEBUG=-g",
    )
    assert capabilities.list_make_flags(haproxy("3.2.0"), tls("openssl-3.5.7")) == (
        "USE_OPENSSL=1",
        "USE_QUIC=1",
    )
    assert "USE_QUIC=1" not in capabilities.list_make_flags(haproxy("2.6.12"), tls("openssl-3.5.7"))


@pytest.mark.parametrize(
    ("version", "library", "cipher", "client", "reason"),
    [
        ("3.0.11", "openssl-distro", CCM, "curl", "client-cannot-offer"),
        ("3.0.11", "libressl-3.9.2", CCM, "curl", "client-cannot-offer"),
        ("3.0.11", "libressl-3.9.2", CCM, "gtlsclient", "library-cannot"),
        ("3.0.11", "openssl-distro", CCM, "gtlsclient", "haproxy-cannot"),
        ("3.2.0", "openssl-3.5.7", CCM, "gtlsclient", None),
        ("3.0.11", "openssl-distro", CHACHA, "curl", None),
        ("3.0.11", "openssl-distro", "default", "curl", None),
        ("2.6.12", "openssl-3.5.7", "default", "curl", "haproxy-cannot"),
        # Without QUIC nothing else matters, the client's limits neither.
        ("2.6.12", "openssl-3.5.7", CCM, "curl", "haproxy-cannot"),
        ("3.0.11", "aws-lc-5.1.0", CHACHA, "curl", "haproxy-cannot"),
        ("3.1.0", "aws-lc-5.1.0", CHACHA, "curl", None),
    ],
)
def test_unsupported(version: str, library: str, cipher: str, client: str, reason: str | None) -> None:
    found = capabilities.find_unsupported(cell(version, library, cipher, client))
    assert (found.reason if found else None) == reason


def test_the_message_says_who_cannot() -> None:
    found = capabilities.find_unsupported(cell("3.0.11", "openssl-distro", CCM, "gtlsclient"))
    assert found is not None
    assert found.message == (
        "HAProxy 3.0.11's QUIC compatibility layer cannot use TLS_AES_128_CCM_SHA256 with openssl-distro"
    )


@pytest.mark.parametrize(
    ("library", "cipher", "named"),
    [
        ("openssl-distro", CCM, CCM),
        ("openssl-distro", CHACHA, None),
        ("openssl-distro", "default", None),
        # The keyword itself is a fatal configuration error there.
        ("libressl-3.9.2", CCM, None),
    ],
)
def test_bind_names_only_what_the_default_list_lacks(library: str, cipher: str, named: str | None) -> None:
    assert capabilities.find_bind_suite(cell("3.0.11", library, cipher)) == named


OLD, NEW = ("2.8.9", "3.0-dev12"), ("3.0-dev13", "3.0.11", "3.2.21", "3.4.5")


@pytest.mark.parametrize("version", [*OLD, *NEW])
@pytest.mark.parametrize("library", ["libressl-3.6.0", "libressl-3.9.2", "libressl-4.0.0", "libressl-4.2.1"])
@pytest.mark.parametrize("cipher", [GCM, "TLS_AES_256_GCM_SHA384", CHACHA, CCM, "default"])
@pytest.mark.parametrize("client", ["curl", "gtlsclient"])
def test_of_haproxy_2569_all_is_run_that_can_be_asked_for(
    version: str, library: str, cipher: str, client: str
) -> None:
    """A hang, a crash or a refusal of ChaCha20 is a result; only CCM, which LibreSSL has not, is declared."""
    found = capabilities.find_unsupported(cell(version, library, cipher, client))
    cannot = "client-cannot-offer" if client == "curl" else "library-cannot"
    assert (found.reason if found else None) == (cannot if cipher == CCM else None)


@pytest.mark.parametrize(
    ("version", "library", "suites"),
    [
        ("3.2.0", "openssl-3.5.7", {GCM, CHACHA, CCM}),
        ("3.0.11", "openssl-3.5.7", {GCM, CHACHA}),
        ("3.0.11", "openssl-3.0.22", {GCM, CHACHA}),
        ("2.6.12", "openssl-3.5.7", set()),
        ("3.0.11", "quictls-3.3.0-quic1", {GCM, CHACHA, CCM}),
        ("2.8-dev12", "libressl-3.6.0", {GCM}),
        ("2.8-dev13", "libressl-3.6.0", {GCM, CHACHA}),
        ("3.0.11", "libressl-3.9.2", {GCM, CHACHA}),
        ("3.0.11", "aws-lc-5.1.0", {GCM}),
        ("3.1-dev5", "aws-lc-5.1.0", {GCM, CHACHA}),
        ("3.0.11", "wolfssl-5.7.2", {GCM, CHACHA}),
        ("3.4.5", "wolfssl-5.9.2", {GCM, CHACHA}),
    ],
)
def test_suites(version: str, library: str, suites: set[str]) -> None:
    found = capabilities.find_row(haproxy(version), tls(library))
    assert set(found.suites) == (suites | {"TLS_AES_256_GCM_SHA384"} if suites else set())
    for suite in SUITES:
        cannot = capabilities.find_server_lack(haproxy(version), tls(library), suite)
        assert (cannot is None) == (suite in found.suites)


@pytest.mark.parametrize(
    ("version", "library", "ciphersuites", "zero_rtt", "by_hardware"),
    [
        ("3.2.0", "openssl-3.5.7", True, True, False),
        ("3.0.11", "openssl-3.5.7", True, False, False),
        ("3.0.11", "quictls-3.3.0-quic1", True, True, False),
        ("3.0.11", "libressl-3.9.2", False, False, True),
        ("3.4.5", "libressl-4.2.1", False, False, True),
        ("3.2.0", "aws-lc-5.1.0", True, True, True),
        ("3.0.11", "wolfssl-5.7.2", True, False, False),
        ("2.9-dev7", "wolfssl-5.7.2", False, False, False),
        ("2.9-dev8", "wolfssl-5.7.2", True, False, False),
    ],
)
def test_limits(version: str, library: str, ciphersuites: bool, zero_rtt: bool, by_hardware: bool) -> None:
    found = capabilities.find_row(haproxy(version), tls(library))
    assert (found.ciphersuites, found.zero_rtt, found.aes_by_hardware) == (
        ciphersuites,
        zero_rtt,
        by_hardware,
    )


def test_a_moving_source_of_no_version_is_taken_for_the_newest() -> None:
    assert capabilities.find_quic_api(haproxy("master"), tls("openssl-3.5.7")) == "native"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_last_row_of_a_family_holds_for_every_version(family: str) -> None:
    rows = [row for row in TABLE if row.family == family]
    assert rows, f"TABLE of orchestrator/matrix/capability_table.py needs rows of {family}"
    assert [(row.haproxy, row.tls, row.api) for row in rows][-1] == ("0", "0", "none")
    assert "none" not in [row.api for row in rows[:-1]]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.family}-{row.haproxy}")
def test_a_row_holds_together(row: Capability) -> None:
    assert row.source
    assert ("USE_QUIC=1" in row.make_flags) == (row.api != "none")
    assert ("USE_QUIC_OPENSSL_COMPAT=1" in row.make_flags) == (row.api == "compat")
    # Where the keyword is a fatal error no bind line may have it.
    assert row.ciphersuites or not row.bind_names
    # What the library has not, no bind line can name.
    assert not row.bind_names & row.library_lacks
    assert row.haproxy_lacks | row.library_lacks | row.bind_names <= set(SUITES)


def test_of_two_rows_of_a_family_the_more_special_one_stands_first() -> None:
    for number, row in enumerate(TABLE):
        for later in TABLE[number + 1 :]:
            if later.family == row.family:
                assert Version.parse(row.haproxy) >= Version.parse(later.haproxy)
                assert Version.parse(row.tls) >= Version.parse(later.tls)


def _on(arch: str, execution: str) -> Cell:
    return fakes.cell(arch=arch, execution=ExecutionValue(name=execution, cpu=execution))


@pytest.mark.parametrize(
    ("arch", "on", "off"),
    [
        ("amd64", "max", "max,aes=off,pclmulqdq=off,vaes=off,vpclmulqdq=off"),
        ("arm64", "neoverse-n1", None),
        ("ppc64el", "power9", None),
        ("riscv64", None, "rv64"),
        ("s390x", None, "qemu"),
    ],
)
def test_aes_on_and_off_per_architecture(arch: str, on: str | None, off: str | None) -> None:
    for execution, model in (("aes-on", on), ("aes-off", off)):
        asked = _on(arch, execution)
        declared = capabilities.find_unsupported(asked)
        if model is None:
            assert declared is not None
            assert declared.reason == Reason.EMULATOR_CANNOT
            assert declared.message.startswith(f"no {execution} on {arch}: ")
        else:
            assert declared is None
            assert capabilities.find_cpu_model(asked, ARCHES["amd64"]) == model


def test_each_architecture_says_of_both_whether_qemu_has_such_a_cpu() -> None:
    for arch in ARCHES.values():
        assert {*arch.cpus.models, *arch.cpus.lacks} == {"aes-on", "aes-off"}, arch.name
        assert not {*arch.cpus.models} & {*arch.cpus.lacks}, arch.name


def test_a_cpu_of_ones_own_is_qemus_word() -> None:
    assert capabilities.find_cpu_model(_on("arm64", "Haswell,-aes"), ARCHES["amd64"]) == "Haswell,-aes"
    assert capabilities.find_cpu_model(_on("amd64", "Haswell,-aes"), ARCHES["amd64"]) == "Haswell,-aes"


def test_without_a_cpu_asked_for_a_foreign_server_has_its_default_and_a_native_one_none() -> None:
    default = ExecutionValue(name="default")
    for name, arch in ARCHES.items():
        one = fakes.cell(arch=name, execution=default)
        assert capabilities.find_cpu_model(one, arch) == ""
        assert (
            capabilities.find_cpu_model(one, next(a for a in ARCHES.values() if a != arch))
            == arch.cpus.default
        )
        assert arch.cpus.default


PROVED = re.compile(r"(\d{4}-\d{2}-\d{2}): HAProxy (\S+) with (\S+)")


@pytest.mark.parametrize("row", [row for row in TABLE if row.proved], ids=lambda row: row.proved)
def test_what_a_row_was_proved_with_is_its_own(row: Capability) -> None:
    found = PROVED.fullmatch(row.proved)
    assert found is not None
    day, version, library = found.groups()
    assert date(2026, 11, 1) <= date.fromisoformat(day)
    assert capabilities.find_row(haproxy(version), tls(library)) is row


def test_every_row_with_quic_was_built() -> None:
    """A new row is proved before it is declared."""
    assert [(row.family, row.haproxy) for row in TABLE if row.api != "none" and not row.proved] == []
