"""What must never be shown or written down."""

import re

_PASSWORD = re.compile(
    r"""(?<=://)[^/\s@:"'<>\\]*:[^/\s"'<>\\]*@|(?:(?<=https://)|(?<=http://))[^/\s@"'<>\\]+@""", re.IGNORECASE
)
"""Of a URL, as a proxy's or a mirror's has them. A user alone is a token over HTTP, and no secret elsewhere
(``ssh://git@``)."""


def masked(text: str) -> str:
    """Return ``text`` with three asterisks for every user and password of a URL."""
    return _PASSWORD.sub("***@", text) if "@" in text else text
