"""What libraries say of themselves: texts of real builds, and what must not pass for another library."""

import pytest

from orchestrator.matrix import banner
from orchestrator.matrix.capability_table import FAMILIES
from orchestrator.matrix.model import SourceKind, TlsValue


def tls(name: str, source: SourceKind = "tarball") -> TlsValue:
    family = next(known for known in FAMILIES if name.startswith(f"{known}-"))
    return TlsValue(name=name, family=family, version=name.removeprefix(f"{family}-"), source=source)


def test_every_family_has_a_banner() -> None:
    odd = set(banner.BANNERS) ^ set(FAMILIES)
    assert not odd, f"orchestrator/matrix/banner.py: a banner for each family, no other: {sorted(odd)}"


@pytest.mark.parametrize(
    ("name", "built", "running"),
    [
        ("openssl-3.0.22", "OpenSSL 3.0.22 25 Aug 2026", "OpenSSL 3.0.22 25 Aug 2026"),
        ("openssl-3.5.7", "OpenSSL 3.5.7 9 Jun 2026", "OpenSSL 3.5.7 9 Jun 2026"),
        ("quictls-3.3.0-quic1", "OpenSSL 3.3.0+quic 9 Apr 2024", "OpenSSL 3.3.0+quic 9 Apr 2024"),
        ("quictls-1.1.1w-quic1", "OpenSSL 1.1.1w+quic  11 Sep 2023", "OpenSSL 1.1.1w+quic  11 Sep 2023"),
        ("libressl-3.9.2", "LibreSSL 3.9.2", "LibreSSL 3.9.2"),
        ("aws-lc-5.1.0", "OpenSSL 1.1.1 (compatible; AWS-LC 5.1.0)", "AWS-LC 5.1.0"),
        ("wolfssl-5.7.2", "wolfSSL 5.7.2", "wolfSSL 5.7.2"),
    ],
)
def test_the_declared_library(name: str, built: str, running: str) -> None:
    assert banner.agree(built, running)
    assert banner.is_declared(tls(name), built)
    assert banner.is_declared(tls(name), running)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("quictls-3.3.0-quic1", "OpenSSL 3.3.0 9 Apr 2024", id="plain OpenSSL for QuicTLS"),
        pytest.param("openssl-3.3.0", "OpenSSL 3.3.0+quic 9 Apr 2024", id="QuicTLS for plain OpenSSL"),
        pytest.param("quictls-3.3.0-quic1", "OpenSSL 3.3.1+quic 4 Jun 2024", id="another QuicTLS"),
        pytest.param("openssl-3.5.1", "OpenSSL 3.5.11 1 Jan 2027", id="a version that begins alike"),
        pytest.param("libressl-3.9.2", "OpenSSL 3.9.2 1 Jan 2027", id="OpenSSL for LibreSSL"),
        pytest.param("aws-lc-5.1.0", "OpenSSL 1.1.1 (compatible; AWS-LC 5.1.1)", id="another AWS-LC"),
        pytest.param("aws-lc-5.1.0", "AWS-LC FIPS 5.1.0", id="AWS-LC's certified build"),
        pytest.param("openssl-1.1.1", "OpenSSL 1.1.1 (compatible; AWS-LC 5.1.0)", id="AWS-LC for OpenSSL"),
        pytest.param("wolfssl-5.7.2", "wolfSSL 5.9.2", id="another wolfSSL"),
        pytest.param("openssl-3.5.7", "nothing", id="nothing said"),
        pytest.param("openssl-3.5.7", "", id="nothing at all"),
    ],
)
def test_another_library(name: str, said: str) -> None:
    assert not banner.is_declared(tls(name), said)


@pytest.mark.parametrize(
    ("built", "running"),
    [
        ("OpenSSL 1.1.1 (compatible; AWS-LC 5.1.0)", "AWS-LC 5.0.0"),
        ("OpenSSL 3.3.0+quic 9 Apr 2024", "OpenSSL 3.3.0 9 Apr 2024"),
        ("OpenSSL 3.5.7 9 Jun 2026", "OpenSSL 3.5.6 7 Apr 2026 (VERSIONS DIFFER!)"),
    ],
)
def test_headers_of_one_library_and_the_code_of_another(built: str, running: str) -> None:
    assert not banner.agree(built, running)


def test_of_a_moving_source_the_family_alone_is_known() -> None:
    assert banner.is_declared(tls("openssl-3.6.0", "git"), "OpenSSL 4.0.0-dev ")
    assert not banner.is_declared(tls("openssl-3.6.0", "git"), "OpenSSL 3.6.0+quic")
    assert not banner.is_declared(tls("quictls-3.3.0-quic1", "path"), "OpenSSL 3.3.0 9 Apr 2024")
    assert not banner.is_declared(tls("libressl-4.3.3", "path"), "OpenSSL 4.3.3")
