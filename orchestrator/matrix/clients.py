"""What each client can offer: one declared table, which every run compares with a proof (docs/clients.md)."""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.matrix.model import ClientValue

_CCM = "TLS_AES_128_CCM_SHA256"


@dataclass(frozen=True, kw_only=True)
class Client:
    """Suites that a client cannot offer, by transport."""

    stack: str
    """The QUIC and TLS that it is made of."""
    quic_lacks: frozenset[str] = frozenset()
    tcp_lacks: frozenset[str] | None = None
    """``None``: it speaks no HTTP/2 over TCP at all."""


CLIENTS: Mapping[str, Client] = {
    # curl 8.14.1 with OpenSSL's QUIC: "no ciphers available", exit 7, nothing sent. Over TCP it offers CCM.
    "curl": Client(stack="openssl", quic_lacks=frozenset({_CCM}), tcp_lacks=frozenset()),
    # ngtcp2's example client with GnuTLS (Debian's ngtcp2-client): all four.
    "gtlsclient": Client(stack="ngtcp2-gnutls"),
    # aioquic 1.7.2, `aioquic.tls.CipherSuite`: no CCM.
    "aioquic": Client(stack="aioquic", quic_lacks=frozenset({_CCM})),
}
"""By family."""

OWN = ("curl", "gtlsclient")
"""Families of which a matrix may bring a client. Not aioquic: a script of ours drives that library."""


def list_quic_lacks(client: ClientValue) -> frozenset[str]:
    """Return the suites that a client is declared not to offer over QUIC: its own word, or its family's."""
    return CLIENTS[client.family].quic_lacks if client.lacks is None else frozenset(client.lacks)


def choose_control_client(family: str) -> str:
    """Return the family of the client that asks over TCP: this one, or the first in the table that can.

    The control is about the server, so any client that is known to work over TCP will do: it is always one of
    our own image's, whatever client asks over QUIC.
    """
    able = [name for name, client in CLIENTS.items() if client.tcp_lacks is not None]
    return family if family in able else able[0]
