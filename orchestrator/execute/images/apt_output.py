"""What apt and dpkg say where a package is missing or broken, as trixie's apt 3.0 and dpkg 1.22 do. Pure.

In apt's source: apt-pkg/cacheset.cc, and apt-private for what cannot be fetched or has no candidate; in
dpkg's: lib/dpkg/ehandle.c, which begins each error with the program's name.
"""

import re
from collections.abc import Iterable
from urllib.parse import unquote

from orchestrator import bounds

_NO_CANDIDATE = r"Package '?([^\s']+)'? has no installation candidate"
"""Of a package that others name, and that the list does not have."""
_UNFETCHED = re.compile(rf"E: (Failed to fetch .*|Unable to locate package .*|{_NO_CANDIDATE})")
"""Where a mirror lacks a package or a list, or has another one than its signed list names."""
_PACKAGE = re.compile(rf"([^/\s]+\.deb)\s|Unable to locate package (\S+)|{_NO_CANDIDATE}")
"""The file or the name of a package in such a line; a list of packages has neither."""
_UNKNOWN = re.compile("Unable to locate package|was not found")
"""Of a name, and of a version, that the lists do not have."""
_NAMED = 3
"""Packages that a sentence names."""


def find_unfetched(output: Iterable[str]) -> list[str]:
    """Return what apt says, line by line, of the packages and lists that it could not fetch."""
    return [found[0] for line in output if (found := _UNFETCHED.search(line))]


def name_packages(unfetched: Iterable[str]) -> str:
    """Return the packages in such lines, the first ones by name, to be appended to a sentence."""
    named = (_PACKAGE.search(line) for line in unfetched)
    found = list(dict.fromkeys(unquote(name[1] or name[2] or name[3]) for name in named if name))
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return (
        f": no {', '.join(bounds.cut(name, bounds.WORDS) for name in found[:_NAMED])}{more}" if found else ""
    )


def find_unknown(output: str) -> list[str]:
    """Return apt's errors, line by line, where it does not know a package or its version; else nothing."""
    return [line for line in output.splitlines() if line.startswith("E: ")] if _UNKNOWN.search(output) else []


def find_unpack_error(output: Iterable[str]) -> str:
    """Return what dpkg-deb says of a package that it cannot unpack; empty where it says nothing."""
    return next((line for line in output if line.startswith("dpkg-deb: error")), "")
