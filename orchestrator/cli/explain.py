"""``matrixctl explain``."""

from collections.abc import Sequence
from pathlib import Path

import click

from orchestrator.analyse.explain import explain
from orchestrator.cli import common, complete
from orchestrator.record.find import find_run, read_run
from orchestrator.report import explain_markdown, explain_text


@click.command("explain", epilog="Example: matrixctl explain latest")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=complete.run_names)
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="F",
    help="As for `run`; negotiated=, quic-api=, aes=, emulated=, word-size=, byte-order=, ... as well.",
)
@common.take_format("text", "json", "markdown")
@common.reports_folder
@common.of_series
def command(
    runs: Sequence[str], *, filters: Sequence[str], form: str, out: Path | None, series: str | None
) -> None:
    """Name the smallest combinations that explain the failures.

    Several RUNs add up: a cell that failed in one of them is a failure. RUN is an id, a folder, a
    run.json, `latest`, `latest~N`, a date or `last-good`.
    """
    reports = out or common.find_default_out()
    records = [read_run(find_run(name, reports, series=series), warn=True) for name in runs]
    found = explain(records, filters)
    if form == "json":
        click.echo(common.as_json(found.model_dump(mode="json")))
    elif form == "markdown":
        click.echo(explain_markdown.render(found), nl=False)
    else:
        common.print_styled(explain_text.render(found))
