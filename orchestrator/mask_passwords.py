"""What must never be shown or written down."""

import re
from collections.abc import Sequence

_PASSWORD = re.compile(
    r"""(?<=://)[^/\s@:"'<>\\]*:[^/\s"'<>\\]*@|(?:(?<=https://)|(?<=http://))[^/\s@"'<>\\]+@""", re.IGNORECASE
)
"""Of a URL, as a proxy's or a mirror's has them. A user alone is a token over HTTP, and no secret elsewhere
(``ssh://git@``)."""


_USER = re.compile(r"(?<=://)(?<!ssh://).*@", re.DOTALL)
_DATABASE = re.compile(r"(://).*", re.DOTALL)
_HISTORY = "--history"


def mask_text(text: str) -> str:
    """Return ``text`` with three asterisks for every user and password of a URL."""
    return _PASSWORD.sub("***@", text) if "@" in text else text


def mask_command(words: Sequence[str]) -> list[str]:
    """Return the words of a command line without what may be a password.

    Of a database there is no more than its kind. Of another URL nothing is left before its last ``@``: what a
    person typed need not be what a URL may be.
    """
    shown = list(words)
    for number, word in enumerate(shown):
        if word.startswith(f"{_HISTORY}=") or (number and shown[number - 1] == _HISTORY):
            shown[number] = _DATABASE.sub(r"\1...", word)
    return [mask_text(_USER.sub("***@", word)) for word in shown]
