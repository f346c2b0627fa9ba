"""Names: which are allowed, and which one the user probably meant."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches

NAME = r"^[A-Za-z0-9](-?[A-Za-z0-9._+])*-?$"
"""Safe in file names, URLs and JUnit; two dashes in a row part the names of a cell's id."""
NAME_RULE = "letters, digits and . _ + -, a letter or digit first, no '--', at most 64 characters"
NAME_LENGTH = 64
"""Two axes have free names: ids stay below 200 characters, of the 255 bytes of a file name."""

MAKE_FLAG = r"^[A-Z0-9][A-Z0-9_]*=[A-Za-z0-9_./+,:= -]*$"
MAKE_FLAG_RULE = "NAME=VALUE, in VALUE letters, digits, spaces and _ . / + , : = -"
"""A variable of make: one argument, whatever spaces it has. No shell that make starts expands it."""
CPU_MODEL = r"^[A-Za-z0-9][A-Za-z0-9._-]*(,[+-]?[A-Za-z0-9][A-Za-z0-9._-]*(=[A-Za-z0-9._-]+)?)*$"
CPU_RULE = "a model of QEMU's, then properties as ,name=value or ,+name or ,-name"
CONFIGURE_FLAG = r"^[A-Za-z0-9-][A-Za-z0-9_./+,:-]*(=[A-Za-z0-9_./+,:= -]*)?$"
CONFIGURE_FLAG_RULE = "letters, digits and _ . / + , : -, after a = spaces and = as well"
FLAG_LENGTH = 1024
PACKAGE = r"^[a-z0-9][a-z0-9.+-]*[a-z0-9.+]$"
"""apt-get takes ``NAME-`` for a package to remove."""
PACKAGE_RULE = "a Debian package: small letters, digits and . + -, no - at the end"
PACKAGE_LENGTH = 100

_SHOWN = 20
_LONGEST = 80


def titled(haproxy: str) -> str:
    """Return a HAProxy's name as ids and builds have it: a version alone says little in a list of files."""
    return haproxy if haproxy.startswith("haproxy-") else f"haproxy-{haproxy}"


def nearest(wrong: str, names: Collection[str], aliases: Mapping[str, str] = {}) -> str:
    """``"; did you mean 'x'?"``, or nothing if no name is near.

    :param aliases: other words for some of the names.
    """
    folded = {alias.lower(): name for alias, name in aliases.items() if name in names}
    folded |= {name.lower(): name for name in names}
    close = get_close_matches(wrong[:_LONGEST].lower(), folded, n=1, cutoff=0.5)
    return f"; did you mean {folded[close[0]]!r}?" if close else ""


def join_names(names: Collection[str]) -> str:
    """Return the names for a message, at most the first twenty."""
    shown = ", ".join(list(names)[:_SHOWN])
    more = len(names) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def quoted(text: object) -> str:
    """Return a piece of the user's text, escaped, and cut if it is long."""
    shown = repr(text)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."
