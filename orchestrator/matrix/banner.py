"""What HAProxy and its TLS library say that they are, in ``haproxy -vv``, in a form that can be compared."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from orchestrator.matrix.model import HaproxyValue, TlsValue


@dataclass(frozen=True, kw_only=True)
class Banner:
    """How a family names itself: a word, then its version as one token; a date may follow."""

    word: str
    token: Callable[[str], str] = str
    """From the declared version to the one that the library says."""


BANNERS: Mapping[str, Banner] = {
    # "OpenSSL 3.5.7 9 Jun 2026"
    "openssl": Banner(word="OpenSSL"),
    # "OpenSSL 3.3.0+quic 9 Apr 2024" for the tag openssl-3.3.0-quic1, whose last number it never says.
    "quictls": Banner(word="OpenSSL", token=lambda version: re.sub(r"-quic[0-9]*$", "", version) + "+quic"),
    # "LibreSSL 3.9.2"
    "libressl": Banner(word="LibreSSL"),
    # "AWS-LC 5.1.0"; when built, "OpenSSL 1.1.1 (compatible; AWS-LC 5.1.0)"
    "aws-lc": Banner(word="AWS-LC"),
    # "wolfSSL 5.7.2", without the "-stable" of its tag
    "wolfssl": Banner(word="wolfSSL"),
}

_COMPATIBLE = re.compile(r"\(compatible; (.*)\)")
"""AWS-LC's headers say which OpenSSL they stand for, the library itself only who it is."""


def is_haproxy(declared: HaproxyValue, said: str) -> bool:
    """Return whether a HAProxy that says ``3.0.11-9e587df`` (a commit, a count) is the declared one.

    Of a moving source (a branch, a working tree) the series has to be right: the table of capabilities needs
    no more, and a branch has its next version soon.
    """
    if declared.moves and (series := _read_series(said)) and series == _read_series(declared.version):
        return True
    return said == declared.version or said.startswith(f"{declared.version}-")


def _read_series(version: str) -> str:
    """Return ``3.3`` for ``3.3-dev5-0a1b2c3``; empty if the text has no version."""
    found = re.match(r"[0-9]+\.[0-9]+(?![0-9])", version)
    return found[0] if found else ""


def strip_compatible(said: str) -> str:
    """Return the banner without the other library that it is compatible with."""
    compatible = _COMPATIBLE.search(said)
    return compatible[1] if compatible else said


def agree(built: str, running: str) -> bool:
    """Return whether HAProxy was built with the headers of the library that it runs on."""
    return strip_compatible(built) == strip_compatible(running)


def spell_banner(tls: TlsValue) -> str:
    """Return family and version as the declared library should say them."""
    banner = BANNERS[tls.family]
    return f"{banner.word} {banner.token(tls.version)}"


def is_declared(tls: TlsValue, said: str) -> bool:
    """Return whether that is the declared library.

    The version of a moving source (a branch, a working tree) is what the table of capabilities takes it for:
    only its family can be compared.
    """
    said_word, _, said_rest = strip_compatible(said).partition(" ")
    word, _, token = spell_banner(tls).partition(" ")
    if said_word != word:
        return False
    said_token = said_rest.partition(" ")[0]
    return said_token == token if tls.is_pinned else _is_same_fork(token, said_token)


def _is_same_fork(declared: str, said: str) -> bool:
    """Return whether both are QuicTLS or both OpenSSL: only ``+quic`` tells them apart."""
    return declared.endswith("+quic") == said.endswith("+quic")
