"""What each client can offer: one declared table, which every run compares with a proof (docs/clients.md)."""

from collections.abc import Mapping
from dataclasses import dataclass

_CCM = "TLS_AES_128_CCM_SHA256"


@dataclass(frozen=True, kw_only=True)
class Client:
    """Suites that a client cannot offer, by transport."""

    quic_lacks: frozenset[str] = frozenset()
    tcp_lacks: frozenset[str] | None = None
    """``None``: it speaks no HTTP/2 over TCP at all."""


CLIENTS: Mapping[str, Client] = {
    # curl 8.14.1 with OpenSSL's QUIC: "no ciphers available", exit 7, nothing sent. Over TCP it offers CCM.
    "curl": Client(quic_lacks=frozenset({_CCM}), tcp_lacks=frozenset()),
    # ngtcp2's example client with GnuTLS (Debian's ngtcp2-client): all four.
    "gtlsclient": Client(),
    # aioquic 1.7.2, `aioquic.tls.CipherSuite`: no CCM.
    "aioquic": Client(quic_lacks=frozenset({_CCM})),
}
"""By family."""


def control_client(family: str) -> str:
    """Return the client that asks over TCP: this one, or the first in the table that can.

    The control is about the server, so any client that is known to work over TCP will do.
    """
    able = [name for name, client in CLIENTS.items() if client.tcp_lacks is not None]
    return family if family in able else able[0]
