"""What goes into a step summary: text escaped as Markdown, and all of it cut where the summary ends. Pure."""

import re
from collections.abc import Iterable, Iterator

from orchestrator.report import text

LIMIT = 1_000_000
"""Bytes of the whole text: GitHub drops a summary of more than 1 MiB as a whole."""
_ROOM_FOR_THE_END = 500
_VALUE = 2000
"""Characters of any value: one alone shall not use up the room of all."""
_SPECIAL = re.compile(
    r"[^\w\s.,;/=+%()'?_:-]"  # whatever may be markup, a mention, an issue, or a table cell's end
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"  # emphasis; inside a name it is none
    r"|:(?!\s|\d\d\b)"  # emoji names, URLs and workflow commands; not "fail: x", not "06:58"
    r"|(?<=www)\.",
    re.ASCII,
)


def fit(blocks: Iterable[str]) -> Iterator[str]:
    """Yield the blocks up to ``LIMIT``, and a block that says so where others are left out."""
    size = 0
    for block in blocks:
        size += len(block.encode()) + 1
        if size > LIMIT - _ROOM_FOR_THE_END:
            yield "\n**Cut here: the rest does not fit in a step summary.**\n"
            return
        yield block


def escape(value: str) -> str:
    """``value`` on one line, as text only: no markup, no mention, no workflow command, no table cell."""
    return _SPECIAL.sub(
        lambda match: f"&#{ord(match[0])};" if match[0].isascii() else match[0],
        text.isolated(text.shorten(text.one_line(value), _VALUE)),
    )
