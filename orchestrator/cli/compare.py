"""``matrixctl compare``."""

import sys
from pathlib import Path
from typing import Any

import click

from orchestrator.analyse.compare import compare
from orchestrator.cli import common
from orchestrator.record.find import counts, find_run, only_series, read_run
from orchestrator.report import compare_markdown, compare_text

_STYLES: dict[str, dict[str, Any]] = {
    "": {},
    "bold": {"bold": True},
    "alarm": {"fg": "red", "bold": True},
    "unsure": {"fg": "yellow"},
    "good": {"fg": "green"},
    "dim": {"dim": True},
}


@click.command("compare")
@click.argument("base")
@click.argument("head")
@common.output("text", "json", "markdown")
@common.reports_folder
@common.in_series
def command(base: str, head: str, *, form: str, out: Path | None, series: str | None) -> None:
    """Say what became of each cell from BASE to HEAD, and what else has changed.

    BASE and HEAD are each an id, a folder, a run.json, `latest`, `latest~N`, a date or `last-good`.

    Exit codes: 1 HEAD has a failure that BASE does not show and no rule expects, 4 HEAD did not judge what
    BASE did, 0 neither.
    """
    reports = out or common.default_out()
    if series is None and (counts(base) or counts(head)):
        series = only_series(reports)
    records = [read_run(find_run(name, reports, series=series), say=common.say) for name in (base, head)]
    found = compare(*records)
    if form == "json":
        click.echo(common.as_json(found.model_dump(mode="json")))
    elif form == "markdown":
        click.echo(compare_markdown.render(found), nl=False)
    else:
        for style, line in compare_text.render(found):
            click.echo(click.style(line, **_STYLES[style]) if style else line)
    sys.exit(found.exit_code)
