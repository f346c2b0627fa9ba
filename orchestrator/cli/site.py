"""``matrixctl site``."""

from datetime import UTC, datetime
from pathlib import Path

import click

from orchestrator.app.site import build_site
from orchestrator.cli import common
from orchestrator.cli.history import open_history
from orchestrator.errors import MatrixctlError
from orchestrator.report import units
from orchestrator.report.text import flatten


@click.command("site", epilog="Example: matrixctl site --out public --series nightly")
@click.option(
    "--out",
    "folder",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="The site's own folder: new, empty, or one that it wrote before.",
)
@common.history_place
@common.take_reports("Where the history is, without --history [default: reports].")
@common.take_series("The runs that are shown [default: the only series].")
def command(folder: Path, *, history: str | None, reports: Path | None, series: str | None) -> None:
    """Write the dashboard of a series: static pages.

    They come from the history, for a web server or a folder. Only what changed is written. Nothing in it
    asks another server for anything.
    """
    with open_history(history, reports or common.find_default_out()) as kept:
        try:
            written = build_site(kept, folder, series=series, now=datetime.now(UTC))
        except OSError as error:  # a full disk names no file
            raise MatrixctlError(
                f"the site in {folder} could not be written to its end: {error.strerror or error}",
                details=f"{error.filename}" if error.filename else "",
                resolution="No page is half there, and the next `matrixctl site` writes the others.",
            ) from None
    click.echo(
        flatten(
            f"{folder / 'index.html'}: {written.pages} files, {units.format_size(written.size)};"
            f" {written.changed} written, {written.removed} removed"
        )
    )
