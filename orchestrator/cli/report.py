"""``matrixctl report`` and ``matrixctl logs``: a run that is over, or still goes on, read again."""

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from orchestrator.analyse.compare import Comparison
from orchestrator.analyse.table import keep_cells
from orchestrator.app import bundle as bundles
from orchestrator.app.output import see_from_here
from orchestrator.atomic_files import write_atomically
from orchestrator.cli import common, complete
from orchestrator.cli.compare import compare_remembering, read_base
from orchestrator.errors import UsageError
from orchestrator.probe.evidence import is_main, rank
from orchestrator.record.find import LATEST, WHAT, find_cell, find_run, read_run
from orchestrator.record.model import CellRecord, RunRecord, Traced
from orchestrator.report import (
    attempts,
    ctrf,
    expectations,
    html,
    issue,
    junit,
    markdown,
    panel,
    summary,
    trace,
    units,
)
from orchestrator.report.text import flatten, make_printable
from orchestrator.reproduce.finished import read_evidence
from orchestrator.reproduce.folder import SCRIPT

_ISSUE = "issue"
_READABLE = (".txt", ".log", ".json", ".cfg", ".curlrc", ".headers", ".stderr")
"""How names of evidence end that a person reads."""
_RENDERERS: dict[str, Callable[[RunRecord, Comparison | None, str], str]] = {
    "html": lambda record, comparison, _: html.render(record, comparison),
    "junit": junit.render,
    "ctrf": lambda record, comparison, _: ctrf.render(record, comparison),
    "json": lambda record, _, __: common.as_json(record.model_dump(mode="json")) + "\n",
    "markdown": lambda record, comparison, _: markdown.render(record, comparison),
}
"""Format -> what renders it, of the run in a folder."""


@click.command(epilog="Example: matrixctl report latest --format markdown")
@click.argument("run", shell_complete=complete.run_names)
@common.take_format(*_RENDERERS, _ISSUE)
@click.option(
    "--cell",
    "cells",
    metavar="CELL",
    multiple=True,
    shell_complete=complete.judged_cells,
    help=f"With --format {_ISSUE}, or once or more with --bundle: an id, or a part that no other has.",
)
@click.option(
    "--bundle",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a zip of the page, the evidence of all cells or of each --cell, and the run's inputs.",
)
@click.option(
    "--filter",
    "filters",
    metavar="F",
    multiple=True,
    help="Of the cells that match alone: as for `explain`, so negotiated=, quic-api=, aes=, ... as well.",
)
@common.base
@common.reports_folder
@common.of_series
@common.history_place
def report(
    run: str,
    *,
    form: str,
    cells: Sequence[str],
    filters: Sequence[str],
    bundle: Path | None,
    base: str | None,
    out: Path | None,
    series: str | None,
    history: str | None,
) -> None:
    """Print the report of RUN: HTML, JUnit, CTRF, JSON, Markdown.

    RUN and BASE are each an id, a folder, a run.json, `latest`, `latest~N`, a date or `last-good`. With
    --base the news stand first: what became of each cell since BASE. HTML on a terminal is written beside
    the journal, and its path printed. `--format issue --cell CELL` fills HAProxy's form for bugs.
    `--bundle FILE.zip` packs what somebody else needs to read it, and prints the file's path.
    """
    if bundle is not None and form != "html":
        raise UsageError("--bundle has its own formats: the page, run.json, and a text for each --cell")
    if bundle is None and (len(cells) == 1) != (form == _ISSUE):
        raise UsageError(
            "--cell and --format issue go together: a bug is reported of one cell",
            resolution=f"matrixctl report {shlex.quote(run)} --cell CELL --format {_ISSUE}",
        )
    if base is not None and form == "json":
        raise UsageError(
            "the JSON of a report is the run's record, which knows of no other run",
            resolution=f"Compare them: matrixctl compare {shlex.join([base, run])} --format json",
        )
    if filters and (bundle is not None or base is not None or form in {"json", _ISSUE}):
        raise UsageError(
            "--filter is for the page, JUnit, CTRF and Markdown of one run: what is packed, compared or read"
            " by a program is the whole run",
            resolution="--cell chooses the cells of a bundle; `jq` those of the JSON.",
        )
    folder, record = read_named(run, out, series)
    if filters:
        record = keep_cells(record, filters)
    if form == _ISSUE:
        click.echo(_describe_issue(find_cell(record, cells[0]), record, folder), nl=False)
        return
    compared = (
        compare_with_base(base, record, out or common.find_default_out(), series, history) if base else None
    )
    if bundle is not None:
        _write_bundle(bundle, record, folder, [find_cell(record, one) for one in cells], compared)
        return
    text = _RENDERERS[form](record, compared, see_from_here(folder) if folder else "")
    if form == "html" and folder is not None and not filters and sys.stdout.isatty():
        path = folder / "index.html"
        write_atomically(path, text.encode())
        click.echo(flatten(str(path)))
    else:
        click.echo(text, nl=False)


@click.command(epilog="Example: matrixctl logs openssl-distro--TLS_CHACHA20")
@click.argument("cell", shell_complete=complete.judged_cells)
@click.option(
    "--run",
    "run",
    default=LATEST,
    show_default=True,
    shell_complete=complete.run_names,
    help=f"{WHAT[0].upper()}{WHAT[1:]}.",
)
@common.reports_folder
@common.of_series
@click.option("--all", "every", is_flag=True, help="Every file: the statistics and `haproxy -vv`, too.")
def logs(cell: str, *, run: str, out: Path | None, series: str | None, every: bool) -> None:
    """Print what is known of CELL, with each file of evidence.

    CELL is an id, or a part that no other has. HAProxy's log and configuration come first, then what the
    client was told and said, over HTTP/3 and in the control.
    """
    folder, record = read_named(run, out, series)
    click.echo("\n".join(_describe(record, find_cell(record, cell), folder, every=every)))


def _write_bundle(
    path: Path,
    record: RunRecord,
    folder: Path | None,
    cells: Sequence[CellRecord],
    compared: Comparison | None,
) -> None:
    if folder is None:
        raise UsageError(
            "a bundle is made of a run's folder, and only its record was named",
            resolution="Name the folder, or the run's id with --reports.",
        )
    texts = {f"issue-{cell.id}.md": _describe_issue(cell, record, folder).encode() for cell in cells}
    made = bundles.gather(folder, record, [cell.id for cell in cells], compared, beside=texts)
    bundles.write_zip(path, made, record.run.id)
    for one in made.left_out:
        common.say(f"left out: {flatten(one)}")
    click.echo(flatten(str(path)))


def _describe_issue(cell: CellRecord, record: RunRecord, folder: Path | None) -> str:
    files = read_evidence(cell, folder) if folder else {}
    texts = {path: content.decode(errors="replace") for path, content in files.items()}
    command = shlex.join(["matrixctl", "repro", cell.id, "--run", record.run.id, "--out", "repro"])
    steps = (
        f"`{command}` has made the attached folder.",
        f"`sh {SCRIPT}` in it. Its README.md says what that needs; exit code 1 is the failure.",
    )
    return issue.render(record, cell, texts, steps=steps)


def compare_with_base(
    base: str, head: RunRecord, reports: Path, series: str | None, history: str | None
) -> Comparison | None:
    """Compare a run with its BASE, which is counted in the run's own series where none is named.

    :return: ``None``, and say so, where the series has not come so far.
    """
    counted = series if series is not None else head.run.series or None
    found = read_base(base, reports, counted, before=head.run.id)
    return compare_remembering(found, head, reports, history) if found else None


def read_named(run: str, out: Path | None, series: str | None) -> tuple[Path | None, RunRecord]:
    """Return the run's folder, ``None`` where only its record is named, and the record.

    :raises UsageError: where there is no such run, or it cannot be read.
    """
    found = find_run(run, out or common.find_default_out(), series=series)
    record = read_run(found, warn=True)
    if found.is_file():
        return None, record
    if record.run.status in {"cut-off", "interrupted"}:
        common.say(f"this run was cut off; it goes on with: matrixctl run --resume {found.name}")
    return found, record


def _describe(record: RunRecord, cell: CellRecord, folder: Path | None, *, every: bool) -> Iterator[str]:
    reason = f": {cell.reason}" if cell.reason else ""
    yield flatten(f"{cell.id}: {cell.outcome or 'not judged'}{reason}")
    if cell.message:
        yield flatten(cell.message)
    yield f"verdict: {summary.VERDICT_TITLES[summary.find_verdict(cell)]}"
    if cell.expected:
        yield flatten(f"expected: {expectations.describe(cell.expected)}")
    if cell.cause:
        yield flatten(f"cause: {cell.cause}")
    if cell.backtrace:
        yield flatten(f"backtrace: {panel.describe_backtrace(cell.backtrace)}")
        yield from (flatten(f"  {frame}") for frame in cell.backtrace.frames)
    if tally := attempts.tally(cell):
        yield f"attempts: {tally}"
    for attempt in cell.attempts:
        began = units.format_moment(attempt.started_at)
        yield flatten(
            f"attempt {attempt.number} ({attempt.why}), began {began}: {panel.describe_attempt(attempt)}"
        )
        if attempt.evidence and attempt.evidence != cell.evidence:
            yield flatten(f"  its evidence: {' '.join(attempt.evidence)}")
    yield flatten(f"again: {cell.reproducer}")
    yield from _list_evidence(cell, folder, every=every)
    if cell.traced:
        yield from _describe_trace(cell, cell.traced, folder)
    elif absence := trace.explain_absence(cell, trace.find_traces(record.cells)):
        yield ""
        yield flatten(f"traced: {absence}")


def _list_evidence(cell: CellRecord, folder: Path | None, *, every: bool) -> Iterator[str]:
    paths = sorted((*cell.evidence, *filter(None, (cell.build.vv,))), key=rank)
    for path in paths:
        if every or is_main(path):
            yield ""
            yield flatten(f"==> {path} <==")
            yield _read_evidence(folder, path)
    if left := [path for path in paths if not (every or is_main(path))]:
        yield ""
        yield flatten(f"with --all: {' '.join(left)}")


def _describe_trace(cell: CellRecord, made: Traced, folder: Path | None) -> Iterator[str]:
    yield ""
    yield flatten(f"traced: {trace.describe_end(cell)}")
    for line in made.missing:
        yield flatten(f"  {line}")
    for path in made.evidence:
        yield ""
        yield flatten(f"==> {path} <==")
        # A capture is for Wireshark, a qlog for qvis; both may have megabytes.
        yield (
            _read_evidence(folder, path)
            if path.endswith(_READABLE)
            else "(is for a program, not for a terminal)"
        )


def _read_evidence(folder: Path | None, path: str) -> str:
    if folder is None:
        return "(lies in the run's folder; only its record was named)"
    file = folder / path
    try:
        if not file.resolve().is_relative_to(folder.resolve()):
            return "(lies outside the run's folder, and is not shown)"
        return make_printable(file.read_text("utf-8", "replace")).rstrip("\n")
    except OSError as error:
        return f"(cannot be read: {error.strerror})"
    except ValueError:  # a NUL
        return "(is no path of a file)"
