"""Figures as values, as Markdown, and between the two marks of their page in docs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BEGIN = "<!-- figures: written by `python -m bench --write`, not by hand -->"
END = "<!-- end of the figures -->"


@dataclass(frozen=True, kw_only=True)
class Section:
    """What one benchmark says: a table, and a sentence per target."""

    key: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def check_target(what: str, value: float, target: float, unit: str, *, at_least: bool = False) -> str:
    """Return a sentence with a figure and its target: an upper bound, or with ``at_least`` a lower one."""
    met = value >= target if at_least else value <= target
    bound = "at least" if at_least else "at most"
    verdict = "met" if met else "**missed**"
    return f"{what}: {value:.3g} {unit} (target: {bound} {target:g} {unit}): {verdict}."


def write_markdown(section: Section) -> str:
    """Return a heading, the table, and the sentences as a list."""
    lines = [
        f"### {section.title}",
        "",
        _write_line(section.header),
        _write_line(["---"] * len(section.header)),
    ]
    lines += [_write_line(row) for row in section.rows]
    lines += ["", *(f"- {note}" for note in section.notes)] if section.notes else []
    return "\n".join(lines) + "\n"


def _write_line(row: Sequence[str]) -> str:
    return f"| {' | '.join(row)} |"


def write(page: Path, section: Section) -> None:
    """Put the section between the marks: in place of its older figures, or behind all others.

    :raises ValueError: where the page has not both marks, in order, once.
    """
    before, _, rest = page.read_text().partition(BEGIN)
    figures, end, after = rest.partition(END)
    if not end or BEGIN in after:
        raise ValueError(f"{page} has to have the two marks of the figures, once each: {BEGIN} {END}")
    parts = re.split(r"^(?=### )", figures.lstrip(), flags=re.MULTILINE)
    known = {part.partition("\n")[0]: part for part in parts if part}
    known[f"### {section.title}"] = write_markdown(section)
    text = "\n".join(f"{part.strip()}\n" for part in known.values())
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")
