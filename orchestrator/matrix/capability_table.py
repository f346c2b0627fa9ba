"""The declared table of capabilities: what each TLS library can do in HAProxy, with the source of it.

docs/capabilities.md says how to read it and how to add a row.
"""

from dataclasses import dataclass
from typing import Literal

QuicApi = Literal["native", "compat", "none"]
AeadApi = Literal["evp-cipher", "evp-aead"]

CHACHA20 = "TLS_CHACHA20_POLY1305_SHA256"
CCM = "TLS_AES_128_CCM_SHA256"

SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", CHACHA20, CCM)
"""The suites of TLS 1.3 that QUIC may use (RFC 9001, 5.3 leaves CCM_8 out)."""

FAMILIES = ("openssl", "libressl", "quictls", "aws-lc", "wolfssl")


@dataclass(frozen=True, kw_only=True)
class Capability:
    """A TLS family in HAProxy, from these versions on. Of a family the first row that fits is the one.

    A row says what cannot be by construction. What is a bug, or a refusal that answers one (ChaCha20 with
    LibreSSL before 4.0, haproxy#2569), is run, and stands among the expectations.
    """

    family: str
    haproxy: str
    """First HAProxy with it; ``0`` is any."""
    tls: str = "0"
    """First version of the library with it."""
    api: QuicApi
    make_flags: tuple[str, ...]
    library_lacks: frozenset[str] = frozenset()
    haproxy_lacks: frozenset[str] = frozenset()
    bind_names: frozenset[str] = frozenset()
    """Suites outside the library's default list, which the bind line's ``ciphersuites`` has to name."""
    ciphersuites: bool = True
    """HAProxy takes the keyword ``ciphersuites``; else it refuses the whole configuration."""
    aead_api: AeadApi = "evp-cipher"
    """By which HAProxy protects packets: ``QUIC_AEAD_API`` of its include/haproxy/quic_tls-t.h, or not."""
    zero_rtt: bool = False
    """Early data over QUIC."""
    aes_by_hardware: bool = False
    """The library prefers AES only where it finds instructions for it, so ``default`` differs by machine."""
    proved: str = ""
    """When a HAProxy of this row was last built and probed here, and with what: ``DATE: HAProxy V with TLS``.
    Empty: never; then it stands by its sources alone."""
    source: tuple[str, ...]
    """Where each of it was read (HAProxy's own files by release and section), or what it was seen with."""

    @property
    def suites(self) -> tuple[str, ...]:
        """What can be negotiated over QUIC."""
        if self.api == "none":
            return ()
        return tuple(suite for suite in SUITES if suite not in self.library_lacks | self.haproxy_lacks)


_CCM = frozenset({CCM})
_OPENSSL = ("USE_OPENSSL=1", "USE_QUIC=1")
_AWSLC = ("USE_OPENSSL_AWSLC=1", "USE_QUIC=1")
_WOLFSSL = ("USE_OPENSSL_WOLFSSL=1", "USE_QUIC=1", "ADDLIB=-lm")

# Files of the release's own tarball. HAProxy's words for what it compiles in are
# HAVE_SSL_CTX_SET_CIPHERSUITES and HAVE_SSL_0RTT_QUIC.
_COMPAT_H = "HAProxy 3.0.11, include/haproxy/openssl-compat.h: ciphersuites, 0-RTT"
_AEAD = "HAProxy 3.0.11, include/haproxy/quic_tls.h, tls_aead(): suites"

TABLE = (
    Capability(
        family="openssl",
        haproxy="3.2",
        tls="3.5.2",
        api="native",
        make_flags=_OPENSSL,
        bind_names=_CCM,
        zero_rtt=True,
        proved="2026-11-28: HAProxy 3.4.0 with openssl-3.5.7",
        source=(
            # Both quote HAProxy: configuration.txt on 3.5.2, the branch's own code on 3.2.
            "3.5.2: https://github.com/NixOS/nixpkgs/pull/466771",
            "3.2: https://github.com/haproxy/haproxy/issues/3027",
            "HAProxy 00c3b6969 (3.3), openssl-compat.h: 0-RTT; an error below 3.5.1",
            "HAProxy 00c3b6969 (3.3), src/quic_ssl.c: suites of every QUIC bind",
        ),
    ),
    Capability(
        family="openssl",
        haproxy="2.8.4",
        tls="1.1.1",
        api="compat",
        make_flags=(*_OPENSSL, "USE_QUIC_OPENSSL_COMPAT=1"),
        haproxy_lacks=_CCM,
        bind_names=_CCM,
        proved="2026-11-28: HAProxy 3.0.11 with openssl-1.1.1w",
        source=(
            "HAProxy 3.0.11, INSTALL 4.11: make flags, limited-quic, no 0-RTT",
            # Back-ported from 2.9-dev2 for what became 2.8.4.
            "https://www.haproxy.org/download/2.8/src/snapshot/CHANGELOG-2.8.3-20231005",
            "HAProxy 3.0.11, src/quic_openssl_compat.c: CCM gets an alert",
            "Seen with 3.0.11 and 3.5.7: a CCM client is refused, or never answered",
        ),
    ),
    Capability(
        family="openssl",
        haproxy="0",
        api="none",
        make_flags=("USE_OPENSSL=1",),
        proved="2026-11-26: HAProxy 2.6.12 with openssl-3.5.7",
        source=(
            "HAProxy 2.6.12, INSTALL 4.11: OpenSSL is not compatible with QUIC",
            "Seen with 2.6.12 and 3.5.7: -QUIC",
        ),
    ),
    Capability(
        family="quictls",
        haproxy="2.6",
        tls="1.1.1",
        api="native",
        make_flags=_OPENSSL,
        bind_names=_CCM,
        zero_rtt=True,
        proved="2026-11-28: HAProxy 3.4.0 with quictls-3.3.0-quic1",
        source=(
            "HAProxy 2.6.12 and 3.0.11, INSTALL 4.11: QuicTLS",
            _COMPAT_H,
            _AEAD,
            "Seen with 3.0.11: CCM works once ciphersuites names it",
        ),
    ),
    Capability(
        family="quictls",
        haproxy="0",
        api="none",
        make_flags=("USE_OPENSSL=1",),
        source=("HAProxy 3.0.11, CHANGELOG 2.5-dev13: experimental before 2.6",),
    ),
    Capability(
        family="libressl",
        haproxy="2.8-dev13",
        tls="3.6",
        api="native",
        make_flags=_OPENSSL,
        library_lacks=_CCM,
        ciphersuites=False,
        aes_by_hardware=True,
        proved="2026-11-28: HAProxy 3.4.0 with libressl-3.9.2",
        source=(
            "HAProxy 3.0.11, CHANGELOG 2.8-dev13: ChaCha20 is compiled in again",
            "the API is in 3.6.0: https://github.com/libressl/portable/issues/205",
            _COMPAT_H,
            "OpenBSD 02876cc38, lib/libssl/ssl_ciph.c: three suites of TLS 1.3, no CCM",
            "AES by hardware: https://github.com/haproxy/haproxy/issues/2569",
            "Seen with 3.0.11: ciphersuites is a fatal configuration error",
        ),
    ),
    Capability(
        family="libressl",
        haproxy="2.7-dev6",
        tls="3.6",
        api="native",
        make_flags=_OPENSSL,
        library_lacks=_CCM,
        haproxy_lacks=frozenset({CHACHA20}),
        ciphersuites=False,
        aes_by_hardware=True,
        proved="2026-11-29: HAProxy 2.7.0 with libressl-3.9.2",
        source=(
            "HAProxy 3.0.11, CHANGELOG 2.7-dev6: ChaCha20 is left out of the build",
            "Seen with 2.7.0 and 3.9.2: GCM answers, a ChaCha20 client crashes it",
        ),
    ),
    Capability(
        family="libressl",
        haproxy="0",
        api="none",
        make_flags=("USE_OPENSSL=1",),
        ciphersuites=False,
        source=("does not compile: https://github.com/libressl/portable/issues/784",),
    ),
    Capability(
        family="aws-lc",
        haproxy="3.1-dev5",
        tls="1.22",
        api="native",
        make_flags=_AWSLC,
        aead_api="evp-aead",
        library_lacks=_CCM,
        haproxy_lacks=_CCM,
        zero_rtt=True,
        aes_by_hardware=True,
        proved="2026-11-29: HAProxy 3.4.0 with aws-lc-5.1.0",
        source=(
            # "implement CHACHA20_POLY1305 for AWS-LC", for what became 3.1-dev5.
            "https://www.haproxy.org/download/3.1/src/snapshot/CHANGELOG-3.1-dev4-20240726",
            "the client's order: https://github.com/haproxy/haproxy/issues/3024",
            "no AES without hardware: https://github.com/aws/aws-lc/issues/2814",
            "0-RTT from 3.1 on: https://github.com/haproxy/haproxy/issues/3270",
            "Seen with 3.4.0 and 5.1.0: GCM and ChaCha20 answer, CCM is refused",
        ),
    ),
    Capability(
        family="aws-lc",
        haproxy="2.9-dev7",
        tls="1.22",
        api="native",
        make_flags=_AWSLC,
        aead_api="evp-aead",
        library_lacks=_CCM,
        haproxy_lacks=frozenset({CCM, CHACHA20}),
        aes_by_hardware=True,
        proved="2026-11-26: HAProxy 3.0.11 with aws-lc-5.1.0",
        source=(
            "HAProxy 3.0.11, CHANGELOG 2.9-dev7: QUIC with AWS-LC",
            "HAProxy 3.0.11, INSTALL 4.5 (AWS-LC 1.13 for TLS), 5.3: make flags",
            _AEAD,
            # openssl-compat.h switches it on, and yet code is missing before 3.1.
            "no 0-RTT: https://github.com/haproxy/haproxy/issues/3270",
            "Seen with 3.0.11 and 5.1.0: GCM answers, ChaCha20 is refused",
        ),
    ),
    Capability(
        family="aws-lc",
        haproxy="0",
        api="none",
        make_flags=("USE_OPENSSL_AWSLC=1",),
        source=("HAProxy 3.0.11, CHANGELOG 2.9-dev5: TLS without QUIC",),
    ),
    Capability(
        family="wolfssl",
        haproxy="2.9-dev8",
        tls="5.6.6",
        api="native",
        make_flags=_WOLFSSL,
        library_lacks=_CCM,
        haproxy_lacks=_CCM,
        proved="2026-11-26: HAProxy 3.0.11 with wolfssl-5.7.2",
        source=(
            "HAProxy 3.0.11, INSTALL 4.5, 4.11: 5.6.6, make flags",
            "HAProxy 3.0.11, CHANGELOG 2.9-dev8: ciphersuites",
            _COMPAT_H,
            _AEAD,
            "Seen with 3.0.11 and 5.7.2, 5.9.2: a bind of CCM alone is fatal",
            "Seen with --enable-aesccm: CCM is accepted, and no handshake ends",
        ),
    ),
    Capability(
        family="wolfssl",
        haproxy="2.8-dev1",
        tls="5.6.6",
        api="native",
        make_flags=_WOLFSSL,
        library_lacks=_CCM,
        haproxy_lacks=_CCM,
        ciphersuites=False,
        proved="2026-11-29: HAProxy 2.8.0 with wolfssl-5.7.2",
        source=(
            "HAProxy 2.8-dev1, Makefile: USE_OPENSSL_WOLFSSL brings USE_OPENSSL along",
            "Seen with 2.7.0: these flags end with `Must define USE_OPENSSL`",
        ),
    ),
    Capability(
        family="wolfssl",
        haproxy="0",
        api="none",
        make_flags=("USE_OPENSSL_WOLFSSL=1",),
        ciphersuites=False,
        source=("HAProxy 3.0.11, CHANGELOG 2.7-dev10: TLS without QUIC",),
    ),
)
