"""What goes into a step summary: text escaped as Markdown, and all of it cut where the summary ends. Pure."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

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
_NAMED = 10
"""Sections left out that are named."""
_NAME = 80
"""Characters of such a name."""


class Section(NamedTuple):
    """A part of a summary that is there whole, or not at all."""

    name: str
    """What it is called where it is left out."""
    lines: tuple[str, ...]


def fit_sections(sections: Iterable[Section], limit: int = LIMIT) -> Iterator[str]:
    """Yield the lines of each section that still fits, and last a line that names those left out.

    :param limit: bytes of the whole text.
    """
    size, left_out = 0, []
    for section in sections:
        needed = sum(len(line.encode()) + 1 for line in section.lines)
        if size + needed > limit - _ROOM_FOR_THE_END:
            left_out.append(section.name)
            continue
        size += needed
        yield from section.lines
    if left_out:
        more = f" and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
        names = ", ".join(escape(name[:_NAME]) for name in left_out[:_NAMED])
        yield f"\n**Left out, since it does not fit in a step summary:** {names}{more}\n"


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
    """Return a text on one line: no markup, no mention, no workflow command, no table cell."""
    return _SPECIAL.sub(
        lambda match: f"&#{ord(match[0])};" if match[0].isascii() else match[0],
        text.isolate(text.shorten(text.join_lines(value), _VALUE)),
    )


def write_code(value: str) -> str:
    """Return a text on one line as code, in which GitHub finds not even a mention or a reference.

    It looks for those after it has resolved entities, everywhere but in code.
    """
    return f"<code>{escape(text.make_visible(value))}</code>"


def fence(*commands: str) -> str:
    """Return commands, a line each, as a block that can be copied; no line of it ends the block."""
    lines = [text.flatten(command) for command in commands]
    longest = max((len(run) for run in re.findall("`+", "\n".join(lines))), default=0)
    mark = "`" * max(3, longest + 1)
    return "\n".join(["", f"{mark}sh", *lines, mark, ""])
