"""haproxy#2569 as its thread, its fixes and our own runs document it: a record with its truth table."""

from collections.abc import Sequence

import samples
from samples import ARCH_VALUES, CURL, SUITES, cell, haproxy

from orchestrator.matrix.model import CipherValue, ClientValue, ExecutionValue, TlsValue
from orchestrator.outcome import Reason
from orchestrator.record.model import Axes, CellRecord, RunRecord
from orchestrator.versions import Version

HAPROXY = ("2.8.0", "2.8.9", "3.0-dev12", "3.0-dev13", "3.0.11")
"""Up to 3.1 the library's own preference decides what a default offer gets."""
LIBRESSL = ("3.6.3", "3.9.2", "4.0.0", "4.3.2")
GCM, _, CHACHA20, CCM = SUITES
_FIRST_GOOD, _REFUSES = Version.parse("4.0"), Version.parse("3.0-dev13")
_NAMES_GCM = Version.parse("3.3-dev3")
"""From there on the server names AES-128-GCM first."""
_GTLS = ClientValue(name="gtlsclient", family="gtlsclient")
OPENSSL = TlsValue(name="openssl-3.5.7", family="openssl", version="3.5.7")
QUICTLS = TlsValue(name="quictls-3.3.0-quic1", family="quictls", version="3.3.0-quic1")
_LIBRARIES = (
    *(TlsValue(name=f"libressl-{v}", family="libressl", version=v) for v in LIBRESSL),
    OPENSSL,
    QUICTLS,
)


def record(
    suites: Sequence[str] = (GCM, CHACHA20, "default", CCM),
    *,
    versions: Sequence[str] = HAPROXY,
    libraries: Sequence[TlsValue] = _LIBRARIES,
) -> RunRecord:
    """Every combination; the host's CPU has AES instructions, arm64 is emulated."""
    return samples.run(
        tuple(
            _cell(
                Axes(
                    arch=arch,
                    haproxy=haproxy(version),
                    tls=tls,
                    cipher=CipherValue(name=suite, suite=None if suite == "default" else suite),
                    client=_GTLS if suite == CCM else CURL,
                    execution=ExecutionValue(name="default"),
                )
            )
            for arch in ARCH_VALUES
            for version in versions
            for tls in libraries
            for suite in suites
        )
    )


def _cell(axes: Axes) -> CellRecord:
    made = cell(axes, _reason(axes))
    seen, proof = made.observations, made.attestation
    if seen is None or proof is None:
        return made
    api = "compat" if axes.tls.family == "openssl" else "native"
    negotiated = _negotiated(axes) if made.reason is None else None  # no echo of a server that never answered
    return made.model_copy(
        update={
            "observations": seen.model_copy(update={"negotiated_cipher": negotiated}),
            "attestation": proof.model_copy(update={"quic_api": api}),
        }
    )


def _negotiated(axes: Axes) -> str:
    if axes.cipher.suite:
        return axes.cipher.suite
    if Version.parse(axes.haproxy.version) >= _NAMES_GCM:
        return GCM
    # LibreSSL prefers AES only where it finds AES-NI, so elsewhere ChaCha20.
    return CHACHA20 if axes.tls.family == "libressl" and axes.arch.name != "amd64" else GCM


def _reason(axes: Axes) -> Reason | None:
    suite, old = _negotiated(axes), Version.parse(axes.haproxy.version) < _REFUSES
    if axes.tls.family != "libressl":
        return Reason.HAPROXY_CANNOT if suite == CCM and axes.tls.family == "openssl" else None
    bad = Version.parse(axes.tls.version) < _FIRST_GOOD
    if suite == CCM:
        return Reason.SERVER_CRASHED if bad and old else Reason.LIBRARY_CANNOT
    if suite == CHACHA20 and bad:
        return Reason.HANDSHAKE_THEN_HANG if old else Reason.HANDSHAKE_REFUSED
    return None
