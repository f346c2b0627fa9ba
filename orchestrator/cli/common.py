"""Options that several commands share, and how a command ends."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click
from rich.console import Console
from rich.text import Text

from orchestrator import resources
from orchestrator.errors import Exit, MatrixctlError
from orchestrator.matrix.catalog import Catalog, load_catalog
from orchestrator.matrix.expand import expand
from orchestrator.matrix.load import load
from orchestrator.matrix.model import Cell, Matrix
from orchestrator.matrix.select import FULL, profile_filters, select, select_ids

P = ParamSpec("P")
R = TypeVar("R")

errors = Console(stderr=True, highlight=False, soft_wrap=True)
"""Where everything for people goes that is not the answer itself."""


def say(text: str) -> None:
    """One line to stderr; what comes from outside is never taken for markup."""
    errors.print(Text(text))


def explained(command: Callable[P, R]) -> Callable[P, R]:
    """Show an error to a person, without a traceback, and exit with its code."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except MatrixctlError as error:
            errors.print(Text(f"matrixctl: {error.brief}", style="bold red"))
            for part in (error.details, error.resolution):
                if part:
                    errors.print(Text(part))
            sys.exit(error.exit_code)
        except BrokenPipeError:  # the reader of our output went away: `matrixctl cells | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(Exit.FAILED)

    return wrapped


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a command works on."""

    matrix: Matrix
    all_cells: tuple[Cell, ...]
    cells: tuple[Cell, ...]
    profile: str
    filters: tuple[str, ...]


def selecting(command: Callable[..., R]) -> Callable[..., R]:
    """``--matrix``, ``--profile``, ``--filter`` and ``--cell``; the command gets ``selection``."""

    @click.option(
        "--matrix", "matrix_file", type=click.Path(path_type=Path), help="Matrix file [default: matrix.yaml]."
    )
    @click.option("--profile", default=FULL, show_default=True, help="Filters that the matrix file names.")
    @click.option(
        "--filter", "filters", multiple=True, metavar="F", help="axis=value, tls=openssl*, 'haproxy<3.2', ..."
    )
    @click.option("--cell", "ids", multiple=True, metavar="ID", help="Only this cell; may be repeated.")
    @wraps(command)
    def wrapped(
        *args: Any,
        matrix_file: Path | None,
        profile: str,
        filters: Sequence[str],
        ids: Sequence[str],
        **kwargs: Any,
    ) -> R:
        matrix = load(matrix_path(matrix_file))
        every = expand(matrix)
        chosen = select(every, (*profile_filters(matrix, profile), *filters), known=every)
        cells = select_ids(chosen, ids) if ids else chosen
        selection = Selection(
            matrix=matrix, all_cells=every, cells=cells, profile=profile, filters=tuple(filters)
        )
        return command(*args, selection=selection, **kwargs)

    return wrapped


def matrix_path(given: Path | None) -> Path:
    """The named file, else ``matrix.yaml`` here, else the one that travels with matrixctl."""
    if given is not None:
        return given
    here = Path("matrix.yaml")
    return here if here.is_file() else resources.root() / "matrix.yaml"


def catalog(extra: Sequence[Path]) -> Catalog:
    """Our ``sources.yaml`` and, over it, the site's own files."""
    return load_catalog([resources.root() / "sources.yaml", *extra])


def default_store() -> Path:
    """The user's cache folder (XDG base directory specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "matrixctl"


def default_out() -> Path:
    """``reports/`` in the working directory."""
    return Path("reports")
