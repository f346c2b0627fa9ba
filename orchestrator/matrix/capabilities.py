"""What HAProxy and a TLS library of a given version can do: one declared table, and questions to it.

Nothing here is found out by looking at a name. A fact that is missing is a row to be added, with its source.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from orchestrator.matrix.model import Cell, HaproxyValue, TlsValue, Unsupported
from orchestrator.outcome import Reason
from orchestrator.versions import Version

QuicApi = Literal["native", "compat", "none"]

CCM = "TLS_AES_128_CCM_SHA256"

SUITES = (
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    CCM,
)
"""The suites of TLS 1.3 that QUIC may use (RFC 9001, 5.3 leaves CCM_8 out)."""

FAMILIES = ("openssl", "libressl", "quictls", "aws-lc", "wolfssl")

DISTRO: Mapping[str, str] = {
    # https://packages.debian.org/trixie/libssl-dev: trixie stays in the 3.5 series. The exact version is
    # resolved once per run; the table needs the series alone.
    "openssl": "3.5.6",
}
"""Families that the base image has as a development package, with the version that their facts follow."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """QUIC of a TLS family in HAProxy, from these versions on. The first row that fits is the one."""

    family: str
    haproxy: str
    """First HAProxy with it."""
    tls: str = "0"
    """First version of the library with it."""
    api: QuicApi
    make_flags: tuple[str, ...]
    library_lacks: frozenset[str] = frozenset()
    haproxy_lacks: frozenset[str] = frozenset()
    bind_names: frozenset[str] = frozenset()
    """Suites outside the library's default list, which the bind line's ``ciphersuites`` can name."""


_OPENSSL = ("USE_OPENSSL=1", "USE_QUIC=1")

TABLE = (
    # HAProxy's INSTALL (3.2) asks for OpenSSL 3.5.2; src/quic_ssl.c refuses to compile below 3.5.1.
    Row(
        family="openssl",
        haproxy="3.2",
        tls="3.5.2",
        api="native",
        make_flags=_OPENSSL,
        bind_names=frozenset({CCM}),
    ),
    # HAProxy's INSTALL (2.9), "USE_QUIC_OPENSSL_COMPAT". Seen with 3.0.11 and 3.5.7: a CCM client is refused
    # on a default bind and never answered on one that names CCM, though the library itself has the suite.
    Row(
        family="openssl",
        haproxy="2.9",
        api="compat",
        make_flags=(*_OPENSSL, "USE_QUIC_OPENSSL_COMPAT=1"),
        haproxy_lacks=frozenset({CCM}),
        bind_names=frozenset({CCM}),
    ),
    # HAProxy's INSTALL (2.6). CCM was seen to work once ``ciphersuites`` names it.
    Row(
        family="quictls",
        haproxy="2.6",
        api="native",
        make_flags=_OPENSSL,
        bind_names=frozenset({CCM}),
    ),
    # HAProxy 2.7-dev6, LibreSSL 3.6. No CCM; the keyword ``ciphersuites`` is a fatal configuration error.
    Row(
        family="libressl",
        haproxy="2.7-dev6",
        tls="3.6",
        api="native",
        make_flags=_OPENSSL,
        library_lacks=frozenset({CCM}),
    ),
    # HAProxy's INSTALL (2.9), AWS-LC 1.22: no CCM. ChaCha20 over QUIC needs EVP_AEAD, HAProxy 3.1-dev5.
    Row(
        family="aws-lc",
        haproxy="3.1-dev5",
        tls="1.22",
        api="native",
        make_flags=("USE_OPENSSL_AWSLC=1", "USE_QUIC=1"),
        library_lacks=frozenset({CCM}),
    ),
    Row(
        family="aws-lc",
        haproxy="2.9",
        tls="1.22",
        api="native",
        make_flags=("USE_OPENSSL_AWSLC=1", "USE_QUIC=1"),
        library_lacks=frozenset({CCM}),
        haproxy_lacks=frozenset({"TLS_CHACHA20_POLY1305_SHA256"}),
    ),
    # HAProxy 2.7-dev10, wolfSSL 5.6.6. A ``ciphersuites`` of CCM alone refuses the whole configuration.
    Row(
        family="wolfssl",
        haproxy="2.7-dev10",
        tls="5.6.6",
        api="native",
        make_flags=("USE_OPENSSL_WOLFSSL=1", "USE_QUIC=1", "ADDLIB=-lm"),
        library_lacks=frozenset({CCM}),
    ),
)

CLIENT_LACKS: Mapping[str, frozenset[str]] = {
    # curl 8.14.1 with OpenSSL's QUIC: "no ciphers available", exit 7, nothing sent. Over TCP it offers CCM.
    "curl": frozenset({CCM}),
}
"""Suites that a client cannot offer over QUIC, by its family."""

# Where no row fits there is no QUIC; the library is still linked, and the build then has no listener.
_WITHOUT_QUIC: Mapping[str, tuple[str, ...]] = {
    "openssl": ("USE_OPENSSL=1",),
    "quictls": ("USE_OPENSSL=1",),
    "libressl": ("USE_OPENSSL=1",),
    "aws-lc": ("USE_OPENSSL_AWSLC=1",),
    "wolfssl": ("USE_OPENSSL_WOLFSSL=1",),
}


def quic_api(haproxy: HaproxyValue, tls: TlsValue) -> QuicApi:
    """How this HAProxy does QUIC with this library: by its API, by HAProxy's compat layer, or not at all."""
    row = _row(haproxy.version, tls.family, tls.version)
    return row.api if row else "none"


def make_flags(haproxy: HaproxyValue, tls: TlsValue) -> tuple[str, ...]:
    """Flags for HAProxy's ``make``: the table's, the library's own, HAProxy's own; the last wins."""
    row = _row(haproxy.version, tls.family, tls.version)
    declared = row.make_flags if row else _WITHOUT_QUIC[tls.family]
    return (*declared, *tls.make_flags, *haproxy.make_flags)


def needs_limited_quic(haproxy: HaproxyValue, tls: TlsValue) -> bool:
    """True where ``global`` needs ``limited-quic``, without which the compat layer's listeners stay off."""
    return quic_api(haproxy, tls) == "compat"


def bind_ciphersuites(cell: Cell) -> str | None:
    """The suite that the bind line must name, since the library's default list lacks it; else ``None``."""
    row = _row(cell.haproxy.version, cell.tls.family, cell.tls.version)
    return cell.cipher.suite if row and cell.cipher.suite in row.bind_names else None


def unsupported(cell: Cell) -> Unsupported | None:
    """Why the table says that the cell cannot be; the client's limits, then the library's, then HAProxy's."""
    suite = cell.cipher.suite
    if suite in CLIENT_LACKS.get(cell.client.family, ()):
        return _unsupported(Reason.CLIENT_CANNOT_OFFER, f"{cell.client.name} cannot offer {suite} over QUIC")
    row = _row(cell.haproxy.version, cell.tls.family, cell.tls.version)
    if row is None:
        return _unsupported(
            Reason.HAPROXY_CANNOT, f"HAProxy {cell.haproxy.version} has no QUIC with {cell.tls.name}"
        )
    if suite in row.library_lacks:
        return _unsupported(Reason.LIBRARY_CANNOT, f"{cell.tls.name} has no {suite} over QUIC")
    if suite in row.haproxy_lacks:
        layer = "'s QUIC compatibility layer" if row.api == "compat" else ""
        return _unsupported(
            Reason.HAPROXY_CANNOT,
            f"HAProxy {cell.haproxy.version}{layer} cannot use {suite} with {cell.tls.name}",
        )
    return None


def _unsupported(reason: Reason, message: str) -> Unsupported:
    return Unsupported(reason=reason.value, message=message)


@cache
def _row(haproxy: str, family: str, tls: str) -> Row | None:
    """The row that fits. A version without an order (a branch, a site's own word) is taken for the newest."""
    haproxy_version = _version(haproxy)
    tls_version = _version(DISTRO.get(family, tls) if tls == "distro" else tls)
    for row in TABLE:
        if (
            row.family == family
            and (haproxy_version is None or haproxy_version >= _parsed(row.haproxy))
            and (tls_version is None or tls_version >= _parsed(row.tls))
        ):
            return row
    return None


_parsed = cache(Version.parse)


def _version(text: str) -> Version | None:
    try:
        return _parsed(text)
    except ValueError:
        return None
