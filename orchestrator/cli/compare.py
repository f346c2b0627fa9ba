"""``matrixctl compare``."""

import sys
from collections.abc import Mapping
from pathlib import Path

import click

from orchestrator.analyse.compare import Comparison, compare
from orchestrator.analyse.nights import Flakiness
from orchestrator.cli import common, complete
from orchestrator.errors import MatrixctlError
from orchestrator.record.find import NoSuchNightError, find_only_series, find_run, is_counted, read_run
from orchestrator.record.model import RunRecord
from orchestrator.report import compare_markdown, compare_text, html


@click.command("compare", epilog="Example: matrixctl compare last-good latest")
@click.argument("base", shell_complete=complete.run_names)
@click.argument("head", shell_complete=complete.run_names)
@common.take_format("text", "json", "markdown", "html")
@common.reports_folder
@common.in_series
@common.history_place
def command(
    base: str, head: str, *, form: str, out: Path | None, series: str | None, history: str | None
) -> None:
    """Say what became of each cell from BASE to HEAD.

    It also says what else has changed: packages, sources, machine. BASE and HEAD are each an id, a
    folder, a run.json, `latest`, `latest~N`, a date or `last-good`. Where there is a history, a cell that
    was flaky within 30 nights on unchanged ingredients is no new failure.

    Exit codes: 1 HEAD has a failure that BASE does not show and no rule expects, 4 HEAD did not judge what
    BASE did, 0 neither.
    """
    reports = out or common.find_default_out()
    after = read_in_series(head, reports, series)
    before = read_in_series(base, reports, series, before=after.run.id)
    found = compare_remembering(before, after, reports, history)
    if form == "json":
        click.echo(common.as_json(found.model_dump(mode="json")))
    elif form == "markdown":
        click.echo(compare_markdown.render(found), nl=False)
    elif form == "html":
        click.echo(html.render_comparison(found))
    else:
        common.print_styled(compare_text.render(found))
    sys.exit(found.exit_code)


def read_in_series(name: str, reports: Path, series: str | None, *, before: str | None = None) -> RunRecord:
    """Return the record of a run; without a series, one is counted in the only one that there is.

    :param before: as for ``find_run``.
    :raises MatrixctlError: where there is no such run, it cannot be read, or there are several series.
    """
    if series is None and is_counted(name):
        series = find_only_series(reports)
    return read_run(find_run(name, reports, series=series, before=before), warn=True)


def read_base(base: str, reports: Path, series: str | None, *, before: str | None = None) -> RunRecord | None:
    """Return the record of BASE; ``None``, and say so, where the series has not come so far.

    So a command of each night needs no other form in the first ones.

    :raises MatrixctlError: as ``read_in_series`` does.
    """
    try:
        return read_in_series(base, reports, series, before=before)
    except NoSuchNightError as error:
        common.say(f"nothing to compare with: {error.brief}")
        return None


def compare_remembering(base: RunRecord, head: RunRecord, reports: Path, history: str | None) -> Comparison:
    """Compare two runs; what the history knows as flaky before HEAD is no new failure.

    :param history: its place; ``None`` for the one below ``reports``, if there is one.
    :raises MatrixctlError: where a history that was named cannot be read.
    """
    return compare(base, head, flaky=_recall_flaky(history, reports, head))


def _recall_flaky(history: str | None, reports: Path, head: RunRecord) -> Mapping[str, Flakiness]:
    """Return which alarms of HEAD are at cells that the history knows as flaky; none without a history."""
    if history is None and not (reports / common.HISTORY).exists():
        return {}
    from orchestrator.app.history import find_flaky_before  # noqa: PLC0415 - heavy, and there may be none
    from orchestrator.cli.history import open_history  # noqa: PLC0415

    try:
        with open_history(history, reports) as kept:
            return find_flaky_before(kept, head)
    except MatrixctlError as error:
        if history is not None:
            raise
        common.say(f"compared without the history: {error}")
        return {}
