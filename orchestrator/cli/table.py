"""Tables on stdout."""

import os
import sys

import click
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from orchestrator.report.text import flat

_NOT_A_TERMINAL = 200
"""Columns for what reads our lines through a pipe: a row that is broken in two cannot be searched."""
_ANY = 10_000


def console() -> Console:
    """Return a console as wide as the terminal, or as COLUMNS says."""
    narrow = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if narrow else _NOT_A_TERMINAL)


def table(*columns: str, gap: int = 2) -> Table:
    """Return an empty table in which no cell is ever cut."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, gap, 0, 0))
    for column in columns:
        made.add_column(Text(column), overflow="fold")
    return made


def fits(candidate: Table) -> bool:
    """Return whether every row of the table fits on one line."""
    target = console()
    return Measurement.get(target, target.options.update(width=_ANY), candidate).maximum <= target.width


def cell(text: str, style: str = "") -> Text:
    """Return text from outside, safe from markup and from terminal control."""
    return Text(flat(text), style=style)


def show(*parts: RenderableType) -> None:
    """Print the answer at once, so that a reader who leaves is noticed here and not when Python ends."""
    target = console()
    with target.capture() as captured:
        for part in parts:
            target.print(part)
    lines = (line.rstrip() for line in captured.get().splitlines())
    click.echo("\n".join(lines))
