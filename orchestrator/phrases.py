"""Phrases for messages: a text in quotes, a list of names, and the name that was probably meant."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches

_SHOWN = 20
_LONGEST = 80


def suggest(wrong: str, names: Collection[str], aliases: Mapping[str, str] = {}) -> str:
    """Return ``"; did you mean 'x'?"``, or nothing if no name is near.

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


def quote(text: object) -> str:
    """Return a piece of the user's text, escaped, and cut if it is long."""
    shown = repr(text)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."
