"""What HAProxy and a TLS library of a given version can do: questions to the declared table.

Nothing here is derived from a name. A fact that is missing is a row to be added, with its source.
"""

from collections.abc import Mapping
from functools import cache

from orchestrator.arch import Arch
from orchestrator.matrix.capability_table import TABLE, Capability, QuicApi
from orchestrator.matrix.clients import list_quic_lacks
from orchestrator.matrix.model import Cell, ClientValue, HaproxyValue, TlsValue, Unsupported
from orchestrator.outcome import Reason
from orchestrator.versions import Version

DISTRO: Mapping[str, str] = {
    # https://packages.debian.org/trixie/libssl-dev: trixie stays in the 3.5 series. The exact version is
    # resolved once per run; the table needs the series alone.
    "openssl": "3.5.6",
}
"""Families that the base image has as a development package, with the version that their facts follow."""
DISTRO_HAPROXY = "3.0.11"
"""The upstream version of Debian's own HAProxy in the suite of the images; a release of Debian keeps it, and
adds fixes to it (https://packages.debian.org/trixie/haproxy). Each cell's binary is held against it."""


_SANITIZE = "-fsanitize="


def find_row(haproxy: HaproxyValue, tls: TlsValue) -> Capability:
    """Return the row that holds for this HAProxy with this library."""
    return _find_row(haproxy.version, tls.family, tls.version)


def find_quic_api(haproxy: HaproxyValue, tls: TlsValue) -> QuicApi:
    """Return how this HAProxy does QUIC with this library: native, by the compat layer, or not at all."""
    return find_row(haproxy, tls).api


def list_make_flags(haproxy: HaproxyValue, tls: TlsValue) -> tuple[str, ...]:
    """Return the flags for HAProxy's ``make``: the table's, the library's, HAProxy's; the last wins."""
    return (*find_row(haproxy, tls).make_flags, *tls.make_flags, *haproxy.make_flags)


def list_sanitizers(haproxy: HaproxyValue, tls: TlsValue) -> frozenset[str]:
    """Return the sanitizers that HAProxy is compiled with, as ``-fsanitize=`` in its flags names them."""
    if not haproxy.is_compiled:
        return frozenset()
    values = (flag.partition("=")[2].split() for flag in list_make_flags(haproxy, tls))
    named = (word.removeprefix(_SANITIZE) for words in values for word in words if word.startswith(_SANITIZE))
    return frozenset(name for names in named for name in names.split(","))


def has_asan(haproxy: HaproxyValue, tls: TlsValue) -> bool:
    """Return true if HAProxy is compiled with AddressSanitizer."""
    return "address" in list_sanitizers(haproxy, tls)


def needs_limited_quic(haproxy: HaproxyValue, tls: TlsValue) -> bool:
    """Return true if ``global`` needs ``limited-quic``; without it the compat layer's listeners stay off."""
    return find_quic_api(haproxy, tls) == "compat"


def find_bind_suite(cell: Cell) -> str | None:
    """Return the suite that the bind line must name since no default list has it; else ``None``.

    From HAProxy 3.3-dev3 on the first SSL_CTX of a QUIC bind names them all, but OpenSSL chooses from the
    list of the certificate's SSL_CTX, which is the library's own unless the bind line names another.
    """
    found = find_row(cell.haproxy, cell.tls)
    return cell.cipher.suite if found.ciphersuites and cell.cipher.suite in found.bind_names else None


def find_unsupported(cell: Cell, host: Arch | None = None) -> Unsupported | None:
    """Return why the table says that the cell is impossible, or ``None``.

    Without a CPU to run on, or without QUIC, nothing else matters; then come the client's limits, the
    library's, HAProxy's.

    :param host: the architecture of the engine's machine; without it nothing is said of what it emulates.
    """
    if no_cpu := find_emulator_lack(cell, host):
        return no_cpu
    server = find_server_lack(cell.haproxy, cell.tls, cell.cipher.suite)
    if find_quic_api(cell.haproxy, cell.tls) == "none":
        return server
    return find_client_lack(cell.client, cell.cipher.suite) or server


def find_emulator_lack(cell: Cell, host: Arch | None = None) -> Unsupported | None:
    """Return why QEMU cannot run the cell's server; ``None`` if it can, or need not.

    :param host: as in ``find_unsupported``.
    """
    why = cell.arch.arch.cpus.lacks.get(cell.execution.cpu)
    if why is not None:
        return _make_unsupported(
            Reason.EMULATOR_CANNOT, f"no {cell.execution.cpu} on {cell.arch.name}: {why}"
        )
    emulated = bool(cell.execution.cpu) if host is None else cell.is_emulated_on(host)
    if emulated and has_asan(cell.haproxy, cell.tls):
        # Tried with QEMU 7.2 and 10.0: it dies before `main`.
        message = f"{cell.haproxy.name} has AddressSanitizer in it, which runs natively and not under QEMU"
        return _make_unsupported(Reason.EMULATOR_CANNOT, message)
    return None


def find_cpu_model(cell: Cell, host: Arch) -> str:
    """Return QEMU's ``-cpu`` for the cell's server; empty if it runs natively.

    :param host: the architecture of the engine's machine.
    """
    if not cell.is_emulated_on(host):
        return ""
    cpus = cell.arch.arch.cpus
    return cpus.models.get(cell.execution.cpu, cell.execution.cpu) or cpus.default


def find_client_lack(client: ClientValue, suite: str | None) -> Unsupported | None:
    """Return why the client cannot offer the suite over QUIC; ``None`` if it can."""
    if suite in list_quic_lacks(client):
        return _make_unsupported(Reason.CLIENT_CANNOT_OFFER, f"{client.name} cannot offer {suite} over QUIC")
    return None


def find_server_lack(haproxy: HaproxyValue, tls: TlsValue, suite: str | None) -> Unsupported | None:
    """Return why this HAProxy and library cannot negotiate the suite (``None``: any) over QUIC."""
    found = find_row(haproxy, tls)
    if found.api == "none":
        return _make_unsupported(
            Reason.HAPROXY_CANNOT, f"HAProxy {haproxy.version} has no QUIC with {tls.name}"
        )
    if suite in found.library_lacks:
        return _make_unsupported(Reason.LIBRARY_CANNOT, f"{tls.name} has no {suite} over QUIC")
    if suite in found.haproxy_lacks:
        layer = "'s QUIC compatibility layer" if found.api == "compat" else ""
        return _make_unsupported(
            Reason.HAPROXY_CANNOT, f"HAProxy {haproxy.version}{layer} cannot use {suite} with {tls.name}"
        )
    return None


def _make_unsupported(reason: Reason, message: str) -> Unsupported:
    return Unsupported(reason=reason.value, message=message)


@cache
def _find_row(haproxy: str, family: str, tls: str) -> Capability:
    """Return the row that fits. A version without an order (a branch, a name) counts as the newest."""
    haproxy_version = _read_version(haproxy)
    tls_version = _read_version(DISTRO.get(family, tls) if tls == "distro" else tls)
    return next(
        row
        for row in TABLE
        if row.family == family
        and (haproxy_version is None or haproxy_version >= _parse(row.haproxy))
        and (tls_version is None or tls_version >= _parse(row.tls))
    )


_parse = cache(Version.parse)


def _read_version(text: str) -> Version | None:
    try:
        return _parse(text)
    except ValueError:
        return None
