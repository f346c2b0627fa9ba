"""Whose tree is this, and which version? As each project writes it into its own files. Pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

TITLES: Mapping[str, str] = {
    "haproxy": "HAProxy",
    "openssl": "OpenSSL",
    "quictls": "QuicTLS",
    "libressl": "LibreSSL",
    "aws-lc": "AWS-LC",
    "wolfssl": "wolfSSL",
}
"""How the projects write their own names."""

_HAPROXY = "include/haproxy/version.h"
_HEADER = "include/openssl/opensslv.h"
_TEXT = re.compile(r'#\s*define\s+(LIBRESSL|OPENSSL)_VERSION_TEXT\s+"(?:LibreSSL|OpenSSL) ([^" ]+)')
_AWS_LC = re.compile(r'#\s*define\s+AWSLC_VERSION_NUMBER_STRING\s+"([^"]+)"')
_WOLFSSL = re.compile(r'#\s*define\s+LIBWOLFSSL_VERSION_STRING\s+"([^"]+)"')
_PORTABLE = re.compile(r"AC_INIT\(\[?libressl\b")
_SETTING = re.compile(r'^([A-Z_]+)="?([^"\n]*)"?$', re.MULTILINE)
_COMMITS = re.compile(r"-[0-9a-f]{4,40}-([0-9]{1,9})")
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+~_-]{0,62}")

NAMES = (
    "VERSION",
    "SUBVERS",
    _HAPROXY,
    "VERSION.dat",
    _HEADER,
    "configure.ac",
    "include/openssl/base.h",
    "wolfssl/version.h",
)
"""Every file that may be asked for."""

Read = Callable[[str], str]
"""Gives the text of a file of the tree; empty where there is none."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """``version`` is empty where the tree is known, and says none that can be read."""

    family: str
    version: str

    def __str__(self) -> str:
        return f"{TITLES[self.family]} {self.version}".strip()


def identify(read: Read) -> Identity | None:
    """Return what a tree is; ``None`` for one of no family that is known here."""
    for find in (_find_wolfssl, _find_aws_lc, _find_by_header, _find_libressl, _find_openssl, _find_haproxy):
        if (found := find(read)) is not None:
            plain = found.version if _VERSION.fullmatch(found.version) else ""
            return Identity(family=found.family, version=plain)
    return None


def _find_wolfssl(read: Read) -> Identity | None:
    found = _WOLFSSL.search(read("wolfssl/version.h"))
    return Identity(family="wolfssl", version=found[1]) if found else None


def _find_aws_lc(read: Read) -> Identity | None:
    found = _AWS_LC.search(read("include/openssl/base.h"))
    return Identity(family="aws-lc", version=found[1]) if found else None


def _find_by_header(read: Read) -> Identity | None:
    """Return what OpenSSL's header says: of LibreSSL's releases, and of OpenSSL and QuicTLS before 3.0."""
    found = _TEXT.search(read(_HEADER))
    if found is None:
        return None
    if found[1] == "LIBRESSL":
        return Identity(family="libressl", version=found[2])
    release, _, build = found[2].partition("+")
    return _tell_openssl_from_quictls(release, build)


def _find_libressl(read: Read) -> Identity | None:
    """Return what LibreSSL portable's own VERSION says."""
    if not _PORTABLE.search(read("configure.ac")):
        return None
    return Identity(family="libressl", version=read("VERSION").strip())


def _find_openssl(read: Read) -> Identity | None:
    """Return what VERSION.dat says, which OpenSSL has since 3.0."""
    said = dict(_SETTING.findall(read("VERSION.dat")))
    if not {"MAJOR", "MINOR", "PATCH"} <= said.keys():
        return None
    tag = said.get("PRE_RELEASE_TAG", "").lstrip("-")
    release = f"{said['MAJOR']}.{said['MINOR']}.{said['PATCH']}" + (f"-{tag}" if tag else "")
    return _tell_openssl_from_quictls(release, said.get("BUILD_METADATA", "").lstrip("+"))


def _tell_openssl_from_quictls(release: str, build: str) -> Identity:
    """Tell them apart by the build's name; ``3.3.0-quic`` is how the matrix writes ``3.3.0+quic``."""
    if build.startswith("quic"):
        return Identity(family="quictls", version=f"{release}-{build}")
    return Identity(family="openssl", version=release)


def _find_haproxy(read: Read) -> Identity | None:
    """Return what VERSION says; and SUBVERS, where a snapshot has the number of commits since then."""
    if not read(_HAPROXY):
        return None
    version = read("VERSION").strip()
    commits = _COMMITS.fullmatch(read("SUBVERS").strip())
    return Identity(family="haproxy", version=f"{version}-{commits[1]}" if commits else version)
