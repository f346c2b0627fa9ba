"""Options that several commands share, and how a command ends."""

import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

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
from orchestrator.report.text import visible

R = TypeVar("R")

_BAD_PATH = {
    errno.EACCES,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
"""Somebody named a file or folder that cannot be used so."""
_READER_GONE = 128 + signal.SIGPIPE
"""As a shell reports a program that wrote to a closed pipe."""

errors = Console(stderr=True, highlight=False, soft_wrap=True)
"""Where everything for people goes that is not the answer itself."""


def say(text: str) -> None:
    """One line to stderr; what comes from outside is never taken for markup."""
    errors.print(Text(visible(text)))


class Explaining(click.Group):
    """Shows an error of any of its commands to a person, without a traceback, and exits with its code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MatrixctlError as error:
            _explain(error.brief, error.details, error.resolution)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            sys.exit(Exit.INTERRUPTED)
        except BrokenPipeError:  # the reader of our output went away: `matrixctl cells | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(_READER_GONE)
        except OSError as error:  # a folder that cannot be written, a disk that is full, an engine that left
            _explain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
            sys.exit(Exit.USAGE if error.errno in _BAD_PATH else Exit.HARNESS)


def _explain(brief: str, *others: str) -> None:
    errors.print(Text(f"matrixctl: {visible(brief)}", style="bold red"))
    for part in others:
        if part:
            errors.print(Text(visible(part)))


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


matrix_sources = click.option(
    "--sources",
    "sources",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="More sources, or others; may be repeated.",
)
store_folder = click.option(
    "--store", type=click.Path(path_type=Path, file_okay=False), help="Artifacts [default: user's cache]."
)
reports_folder = click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Reports [default: reports]."
)


def output(*forms: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """``--format``, the first one being the default; the command gets ``form``."""
    return click.option("--format", "form", type=click.Choice(forms), default=forms[0], show_default=True)


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
