"""``matrixctl serve``."""

from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

import click

from orchestrator.atomic_files import scratch_folder
from orchestrator.cli import common
from orchestrator.cli.history import find_place
from orchestrator.errors import UsageError
from orchestrator.report.text import flatten

_LAST_PORT = 65535


@click.command("serve", epilog="Example: matrixctl serve --port 8080")
@click.option(
    "--port", type=click.IntRange(0, _LAST_PORT), default=8000, show_default=True, help="0 takes a free one."
)
@click.option(
    "--host", default="127.0.0.1", metavar="ADDR", show_default=True, help="Whose requests it gets."
)
@click.option(
    "--out",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="The site's own folder [default: a temporary one].",
)
@common.history_place
@common.take_reports("Where the runs are, and without --history the history [default: reports].")
@common.take_series("The runs that are shown [default: the only series].")
def command(
    *,
    port: int,
    host: str,
    folder: Path | None,
    history: str | None,
    reports: Path | None,
    series: str | None,
) -> None:
    """Show the dashboard here, and follow a run until Ctrl-C.

    The pages are made again when the history has changed. It has no password: only this machine can reach it
    unless --host says otherwise.
    """
    if not (find_spec("starlette") and find_spec("uvicorn")):
        raise UsageError(
            "serve needs starlette and uvicorn, which are not installed",
            resolution="Install them: pipx inject matrixctl starlette uvicorn; in a checkout"
            " .venv/bin/pip install '.[serve]'",
        )
    from orchestrator.serve import server  # noqa: PLC0415 - an extra
    from orchestrator.serve.watch import SiteWatch  # noqa: PLC0415 - its application is one, too

    reports = reports or common.find_default_out()
    place = find_place(history, reports, must_exist=history is not None)
    with (
        server.listen(host, port) as listener,
        scratch_folder() if folder is None else nullcontext(folder) as out,
    ):
        site = SiteWatch(place, out, series)
        if site.make() is None:
            common.say(f"There is no history {place} yet, so there is only the run that goes on.")
        if not server.is_loopback(listener):
            common.say("warning: everybody who can reach this machine can read this, without a password")
        address = server.name_address(listener, host)
        click.echo(flatten(f"{address} shows the dashboard, {address}live.html the run; Ctrl-C ends it"))
        server.serve(listener, host, site, reports)
