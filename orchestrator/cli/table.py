"""Tables on stdout."""

import os
import sys

import click
from rich.cells import cell_len
from rich.console import RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from orchestrator.cli.pipes import Answer
from orchestrator.report.text import flatten

_NOT_A_TERMINAL = 200
"""Columns for what reads our lines through a pipe: a row that is broken in two cannot be searched."""
_ANY = 10_000


def make_console() -> Answer:
    """Return a console as wide as the terminal, or as COLUMNS says."""
    narrow = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Answer(highlight=False, width=None if narrow else _NOT_A_TERMINAL)


def make_table(*columns: str, gap: int = 2) -> Table:
    """Return an empty table in which nothing is cut, and no word is broken."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, gap, 0, 0))
    for column in columns:
        made.add_column(Text(column), overflow="fold", min_width=_longest_word(column))
    return made


def add_row(made: Table, *cells: Text) -> None:
    """Add a row to a table of ours: each column becomes as wide as its longest word, at least."""
    for column, one in zip(made.columns, cells, strict=True):
        column.min_width = max(column.min_width or 0, _longest_word(one.plain))
    made.add_row(*cells)


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def fits(candidate: Table) -> bool:
    """Return whether every row of the table fits on one line."""
    target = make_console()
    return Measurement.get(target, target.options.update(width=_ANY), candidate).maximum <= target.width


def make_text(text: str, style: str = "") -> Text:
    """Return text from outside, safe from markup and from terminal control."""
    return Text(flatten(text), style=style)


def show(*parts: RenderableType) -> None:
    """Print the answer at once, so that a reader who leaves is noticed here and not when Python ends."""
    lines = (line.rstrip() for part in parts for line in _draw(part).splitlines())
    click.echo("\n".join(lines))


def _draw(part: RenderableType) -> str:
    """Return the lines of a part: as wide as its words need, even beyond the terminal."""
    target = make_console()
    needed = Measurement.get(target, target.options.update(width=_ANY), part).minimum
    target.width = max(target.width, needed)
    with target.capture() as captured:
        target.print(part, crop=False)
    return captured.get()
