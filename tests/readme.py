"""The commands of the README's first sections, as they are written there."""

import re
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
SECTIONS = ("Two commands", "The next five things")
_BLOCK = re.compile(r"(?:<!-- not run by the tests: (?P<why>.*?) -->\n)?```sh\n(?P<text>.*?)```", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Command:
    line: str
    why: str
    """Why no test runs it; empty where one does."""


def commands() -> list[Command]:
    """Return all commands in their order."""
    sections = dict(part.split("\n", 1) for part in README.read_text().split("\n## ")[1:])
    return [
        Command(line=line, why=block["why"] or "")
        for name in SECTIONS
        for block in _BLOCK.finditer(sections[name])
        for line in block["text"].splitlines()
        if line.strip()
    ]
