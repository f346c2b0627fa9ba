"""Options that several commands share, and what they say to people."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache, wraps
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.text import Text

from orchestrator import resources
from orchestrator.cli import complete
from orchestrator.cli.closing import describe_unmet
from orchestrator.cli.pipes import Aside
from orchestrator.execute.sources.version import VersionReader, identify_folder
from orchestrator.execute.store.remote import check_url
from orchestrator.mask_passwords import mask_text
from orchestrator.matrix import patches, replacement
from orchestrator.matrix.catalog import Catalog, load_catalog
from orchestrator.matrix.environment import find_unread
from orchestrator.matrix.expand import expand
from orchestrator.matrix.expect import Expectations, resolve
from orchestrator.matrix.load import load
from orchestrator.matrix.model import Cell, Matrix
from orchestrator.matrix.pins import Pins, read_pins, refuse_others
from orchestrator.matrix.replace import replace_values
from orchestrator.matrix.select import FULL, find_filters, select, select_ids
from orchestrator.matrix.versionless import add_version, add_versions, find_archs
from orchestrator.phrases import quote
from orchestrator.plan.shards import take
from orchestrator.record.find import SERIES, WHAT
from orchestrator.report import units
from orchestrator.report.text import Style, make_printable

R = TypeVar("R")

HERE = Path("matrix.yaml")
"""Taken where no other is named; see ``find_matrix``."""
OURS = resources.find_root() / "matrix.yaml"
"""The matrix that comes with matrixctl."""

errors = Aside(stderr=True, highlight=False, soft_wrap=True)
"""Where everything for people goes that is not the answer itself."""


def say(text: str) -> None:
    """Print one line to stderr; text from outside is never read as markup."""
    errors.print(Text(make_printable(mask_text(text))))


def as_json(value: Any, *, indent: int | None = 1) -> str:
    """Return JSON for stdout, in ASCII: terminals and CI systems find no command in it."""
    dumped = json.dumps(value, indent=indent, separators=None if indent else (",", ":"))
    return dumped.replace("##", "#\\u0023")


_STYLES: dict[Style, dict[str, Any]] = {
    "": {},
    "bold": {"bold": True},
    "alarm": {"fg": "red", "bold": True},
    "unsure": {"fg": "yellow"},
    "good": {"fg": "green"},
    "dim": {"dim": True},
}


def print_styled(lines: Iterable[tuple[Style, str]]) -> None:
    """Print lines to stdout, each in its style where that is a terminal."""
    for style, line in lines:
        click.echo(click.style(line, **_STYLES[style]) if style else line)


@dataclass(frozen=True, kw_only=True)
class SelectedCells:
    """What a command works on."""

    matrix: Matrix
    all_cells: tuple[Cell, ...]
    cells: tuple[Cell, ...]
    expectations: Expectations
    profile: str
    filters: tuple[str, ...]
    pins: Pins | None = None


@dataclass(frozen=True, kw_only=True)
class SelectionOptions:
    """What the options that select say."""

    matrix_file: Path | None
    profile: str
    filters: tuple[str, ...]
    ids: tuple[str, ...]
    patch_files: tuple[str, ...]
    replacements: tuple[str, ...] = ()
    """Each ``--with``, its paths absolute."""
    shard: str = ""
    """``K/N``; empty for all cells."""
    pins_file: str = ""
    pins: Pins | None = None
    """What that file has."""

    def select(self, today: date, store: Path | None, mirrors: Sequence[str]) -> SelectedCells:
        """Return the selected cells, and what is expected of them on a day.

        :param store: keeps the clones from which versions are read, as ``mirrors`` are where they come from.
        :raises MatrixctlError: for a fault of the matrix or of the choice.
        """
        matrix = self._load_matrix(store or find_default_store(), mirrors)
        every = expand(matrix)
        chosen = select(every, (*find_filters(matrix, self.profile), *self.filters), known=every)
        cells = select_ids(chosen, self.ids) if self.ids else chosen
        cells = take(cells, self.shard) if self.shard else cells
        if self.pins:
            refuse_others(self.pins, matrix, cells)
        cells = patches.apply_patches(cells, [patches.parse(text) for text in self.patch_files])
        return SelectedCells(
            matrix=matrix,
            all_cells=every,
            cells=cells,
            expectations=resolve(matrix, every, today),
            profile=self.profile,
            filters=self.filters,
            pins=self.pins,
        )

    def _load_matrix(self, store: Path, mirrors: Sequence[str]) -> Matrix:
        """Return the matrix with the values of ``--with``, and with the version of each source that moves."""
        matrix = load(find_matrix(self.matrix_file))
        forms = [replacement.parse(text) for text in self.replacements]
        values = [(one.axis, replacement.make_value(one, matrix)) for one in forms]
        archs = [value.name for axis, value in values if axis == "arch"] or find_archs(matrix)
        read = cache(VersionReader(store=store, mirrors=mirrors, archs=archs, pins=self.pins).read)
        matrix = replace_values(matrix, [(axis, add_version(value, read)) for axis, value in values])
        return add_versions(matrix, read)


mirror_places = click.option(
    "--mirror", "mirrors", multiple=True, envvar="MATRIXCTL_MIRROR", metavar="DIR_OR_URL", help="Asked first."
)
store_folder = click.option(
    "--store", type=click.Path(path_type=Path, file_okay=False), help="Artifacts [default: user's cache]."
)


def _check_url(_: click.Context, __: click.Parameter, url: str | None) -> str | None:
    if url:
        check_url(url)
    return url


remote_store = click.option(
    "--remote-store",
    callback=_check_url,
    envvar="MATRIXCTL_REMOTE_STORE",
    metavar="URL",
    help="Share what is built with other machines: s3://BUCKET/PREFIX, file:///DIR.",
)


def take_access(command: Callable[..., R]) -> Callable[..., R]:
    """Add the options with which a process shows a scheduler who it is."""
    for option in (
        click.option(
            "--insecure", is_flag=True, help="Without TLS: for a scheduler that no one else reaches."
        ),
        click.option("--tls-key", type=click.Path(path_type=Path), metavar="FILE", help="Its key."),
        click.option("--tls-cert", type=click.Path(path_type=Path), metavar="FILE", help="Our certificate."),
        click.option(
            "--tls-ca", type=click.Path(path_type=Path), metavar="FILE", help="The cluster's authority."
        ),
    ):
        command = option(command)
    return command


pinned = click.option(
    "--pins",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Build sources that move as `github matrix --pins FILE` found them.",
)
"""For ``take_choice``, which reads the file."""
matrix_place = click.option(
    "--matrix", "matrix_file", type=click.Path(path_type=Path), help="Matrix file [default: matrix.yaml]."
)
patching = click.option(
    "--patch",
    "patch_files",
    multiple=True,
    metavar="COMPONENT=FILE",
    help="Build openssl, haproxy, openssl-3.5.7, ... with this diff; may be repeated.",
)
replacing = click.option(
    "--with",
    "replacements",
    multiple=True,
    metavar="AXIS=VALUE",
    help="In place of the axis's values: haproxy=path:., tls=openssl:git:URL#REF, ...; may be repeated.",
)


def resolve_replacements(texts: Sequence[str]) -> tuple[str, ...]:
    """Return each ``--with`` with absolute paths: it means the same in any folder."""
    return tuple(replacement.parse(text).text for text in texts)


def resolve_mirrors(places: Sequence[str]) -> tuple[str, ...]:
    """Return each ``--mirror`` with an absolute path, or as the URL that it is."""
    return tuple(where if "://" in where else str(Path(where).absolute()) for where in places)


def take_choice(command: Callable[..., R]) -> Callable[..., R]:
    """Add the options that choose cells, ``--matrix`` to ``--shard``; the command gets ``choice``."""

    @matrix_place
    @click.option(
        "--profile",
        default=FULL,
        show_default=True,
        shell_complete=complete.profiles,
        help="Filters that the matrix file names.",
    )
    @click.option(
        "--filter",
        "filters",
        multiple=True,
        metavar="F",
        shell_complete=complete.filters,
        help="axis=value, tls=openssl*, 'haproxy<3.2', ...",
    )
    @click.option(
        "--cell",
        "ids",
        multiple=True,
        metavar="ID",
        shell_complete=complete.cells,
        help="Only this cell: an id, or a part that no other has.",
    )
    @patching
    @replacing
    @click.option("--shard", default="", metavar="K/N", help="The K-th of N parts of these cells, by builds.")
    @wraps(command)
    def call(
        *args: Any,
        matrix_file: Path | None,
        profile: str,
        filters: Sequence[str],
        ids: Sequence[str],
        patch_files: Sequence[str],
        replacements: Sequence[str],
        shard: str,
        pins: Path | None = None,
        **kwargs: Any,
    ) -> R:
        choice = SelectionOptions(
            matrix_file=matrix_file,
            profile=profile,
            filters=tuple(filters),
            ids=tuple(ids),
            patch_files=tuple(patch_files),
            replacements=resolve_replacements(replacements),
            shard=shard,
            pins_file=str(pins.absolute()) if pins else "",
            pins=read_pins(pins) if pins else None,
        )
        return command(*args, choice=choice, **kwargs)

    return call


def take_selection(command: Callable[..., R]) -> Callable[..., R]:
    """Add those of ``take_choice``, ``--store`` and ``--mirror``; the command gets ``selection``, too."""

    @take_choice
    @store_folder
    @mirror_places
    @wraps(command)
    def call(
        *args: Any, choice: SelectionOptions, store: Path | None, mirrors: Sequence[str], **kwargs: Any
    ) -> R:
        selection = choice.select(datetime.now(UTC).date(), store, mirrors)
        return command(*args, selection=selection, store=store, mirrors=mirrors, **kwargs)

    return call


def warn(selection: SelectedCells) -> None:
    """Print what needs attention: what has no effect, and rules that fit no cell or are out of date."""
    for note in selection.matrix.notes:
        say(f"warning: {note}")
    for line in _list_unread(selection.cells):
        say(f"warning: {line}")
    for rule in selection.expectations.list_unmet():
        say(f"warning: {describe_unmet(rule.place, rule.when)}")
    for rule in selection.expectations.rules:
        if why := selection.expectations.explain_stale(rule, selection.cells):
            say(f"warning: {rule.place} is stale: {why}; a run of these cells ends with exit code 1")


def _list_unread(cells: Sequence[Cell]) -> Iterator[str]:
    """Yield the variables that change nothing, with the cells that they leave as they are."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        for name in find_unread(cell):
            found.setdefault((cell.execution.name, name), []).append(cell)
    for (execution, name), unread in found.items():
        where = ", ".join(dict.fromkeys(f"{cell.tls.name} on {cell.arch.name}" for cell in unread))
        count = units.format_count(len(unread), "cell")
        yield f"execution {execution} sets {name}, which changes nothing in {count}: {where}"


def suggest_tree(matrix: str | None, replacements: Sequence[str]) -> None:
    """Say how the tree in this folder is tested, where the default matrix would be."""
    if matrix is not None or replacements or HERE.is_file():
        return
    found = identify_folder(Path())
    if found is not None:
        form = "haproxy=path:." if found.family == "haproxy" else f"tls={found.family}:path:."
        say(f"This is a tree of {found}, which the default matrix does not test; --with {form} does.")


def warn_of_sources(extra: Sequence[Path], matrix: Matrix) -> None:
    """Say which entries of the site's own files no cell of the whole matrix has for its source."""
    if not extra:
        return
    cells = expand(matrix)
    wanted = {("haproxy", cell.haproxy.version) for cell in cells}
    wanted |= {(cell.tls.family, cell.tls.version) for cell in cells}
    for path in extra:
        for component, version in sorted(load_catalog([path]).sources.keys() - wanted):
            say(f"warning: {path}: no cell takes {component} {version}: it is on no axis of the matrix")


def warn_of_lacking(cells: Sequence[Cell], known: Catalog) -> None:
    """Say which versions of the cells no sources file has: a run could only call their cells blocked."""
    for software in sorted(
        {part for cell in cells for part in (cell.haproxy, cell.tls)}, key=lambda one: one.name
    ):
        if software.is_pinned and (software.family, software.version) not in known.sources:
            say(
                f"warning: no sources file has {software.family} {software.version}, so its cells are blocked"
            )


def find_matrix(given: Path | None) -> Path:
    """Return the named file, else ``matrix.yaml`` here, else the one that comes with matrixctl."""
    if given is not None:
        return given
    return HERE if HERE.is_file() else OURS


matrix_sources = click.option(
    "--sources",
    "sources",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="More sources, or others; may be repeated.",
)
reports_folder = click.option(
    "--reports",
    "--out",
    "out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the folders of runs are [default: reports].",
)


def take_reports(help_text: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Add ``--reports DIR`` where ``--out`` is a site's own folder; the command gets ``reports``."""
    return click.option("--reports", type=click.Path(path_type=Path, file_okay=False), help=help_text)


HISTORY = "history.db"
"""The history, in the folder of the reports."""
history_place = click.option(
    "--history",
    envvar="MATRIXCTL_HISTORY",
    metavar="URL_OR_FILE",
    help=f"A file, sqlite:///FILE or postgresql+psycopg://... [default: {HISTORY} in --reports].",
)


def _check_series(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    if name and not SERIES.fullmatch(name):
        raise click.BadParameter(
            f"{quote(name)} is no name of a series: up to 64 letters, digits, dots, dashes and underscores"
        )
    return name


def take_series(help_text: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Add ``--series NAME``; the command gets ``series``, ``None`` if it was left out."""
    return click.option("--series", metavar="NAME", callback=_check_series, help=help_text)


of_series = take_series("Count `latest~N`, dates and `last-good` among the runs of this series only.")
in_series = take_series("Count `latest~N`, dates and `last-good` in this series [default: the only one].")

challenge_unsupported = click.option(
    "--challenge-unsupported", is_flag=True, help="Run what is declared unsupported, too."
)


base = click.option(
    "--base",
    metavar="RUN",
    shell_complete=complete.run_names,
    help=f"Compare with it, and say the news first: {WHAT}.",
)


def take_format(*forms: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Add ``--format``, the first one being the default; the command gets ``form``."""
    return click.option("--format", "form", type=click.Choice(forms), default=forms[0], show_default=True)


def read_catalog(extra: Sequence[Path]) -> Catalog:
    """Return our ``sources.yaml`` and, over it, the site's own files."""
    return load_catalog([resources.find_root() / "sources.yaml", *extra])


def find_default_store() -> Path:
    """Return the user's cache folder (XDG base directory specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "matrixctl"


def is_engine_remote() -> bool:
    """Return whether the engine is on another machine, whose kernel cannot be asked."""
    return not os.environ.get("DOCKER_HOST", "unix://").startswith("unix://")


def find_default_out() -> Path:
    """Return ``reports/`` in the working directory."""
    return Path("reports")
