"""The capability table: what follows from it for the combinations that HAProxy and the libraries document."""

import pytest
from matrix_samples import matrix, record

from orchestrator.matrix import capabilities
from orchestrator.matrix.expand import expand
from orchestrator.matrix.model import Cell, HaproxyValue, TlsValue

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
        ("2.8.9", "openssl-3.5.7", "none"),
        ("2.9.0", "openssl-3.5.7", "compat"),
        ("3.0.11", "openssl-distro", "compat"),
        ("3.2-dev5", "openssl-3.5.7", "compat"),
        ("3.2.0", "openssl-3.5.7", "native"),
        ("3.2.0", "openssl-3.5.2", "native"),
        ("3.2.0", "openssl-3.5.1", "compat"),
        ("3.2.0", "openssl-distro", "native"),
        ("2.6.12", "quictls-3.3.0-quic1", "native"),
        ("2.6.12", "libressl-3.9.2", "none"),
        ("3.0.11", "libressl-3.9.2", "native"),
        ("2.8.9", "aws-lc-5.1.0", "none"),
        ("3.0.11", "wolfssl-5.7.2", "native"),
    ],
)
def test_quic_api(version: str, library: str, api: str) -> None:
    assert capabilities.quic_api(haproxy(version), tls(library)) == api
    assert capabilities.needs_limited_quic(haproxy(version), tls(library)) == (api == "compat")


def test_make_flags_end_with_the_most_special_ones() -> None:
    library = tls("openssl-distro").model_copy(update={"make_flags": ("SSL_X=1",)})
    assert capabilities.make_flags(haproxy("3.0.11", "DEBUG=-g"), library) == (
        "USE_OPENSSL=1",
        "USE_QUIC=1",
        "USE_QUIC_OPENSSL_COMPAT=1",
        "SSL_X=1",
        "DEBUG=-g",
    )
    assert capabilities.make_flags(haproxy("3.2.0"), tls("openssl-3.5.7")) == ("USE_OPENSSL=1", "USE_QUIC=1")
    assert "USE_QUIC=1" not in capabilities.make_flags(haproxy("2.6.12"), tls("openssl-3.5.7"))


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
        ("2.6.12", "openssl-3.5.7", CCM, "curl", "client-cannot-offer"),
        ("3.0.11", "aws-lc-5.1.0", CHACHA, "curl", "haproxy-cannot"),
        ("3.1.0", "aws-lc-5.1.0", CHACHA, "curl", None),
    ],
)
def test_unsupported(version: str, library: str, cipher: str, client: str, reason: str | None) -> None:
    found = capabilities.unsupported(cell(version, library, cipher, client))
    assert (found.reason if found else None) == reason


def test_the_message_says_who_cannot() -> None:
    found = capabilities.unsupported(cell("3.0.11", "openssl-distro", CCM, "gtlsclient"))
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
    assert capabilities.bind_ciphersuites(cell("3.0.11", library, cipher)) == named


def test_every_family_has_a_row() -> None:
    assert {row.family for row in capabilities.TABLE} == set(capabilities.FAMILIES)
