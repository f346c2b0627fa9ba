"""``matrixctl github``: what a workflow of GitHub Actions asks for."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from orchestrator.app.issues import Repository, sync_issues
from orchestrator.atomic_files import write_atomically
from orchestrator.cli import common, complete
from orchestrator.cli.group import Ordered
from orchestrator.cli.report import compare_with_base, read_named
from orchestrator.cli.workflow import find_page, print_annotations
from orchestrator.errors import UsageError
from orchestrator.execute.sources.pinning import take_pins
from orchestrator.execute.store.store import Store
from orchestrator.plan.shards import MOST, Shard, list_builds, split, split_by_time
from orchestrator.report import github_summary
from orchestrator.report.text import flatten, make_printable

_RUNNERS = {"amd64": "ubuntu-24.04", "arm64": "ubuntu-24.04-arm"}
"""GitHub's own machines (https://docs.github.com/actions: GitHub-hosted runners)."""
_MINUTES = 30
"""That a shard may take, unless told."""
_NAMED = 3
"""Libraries in the name of a shard."""


@click.group(cls=Ordered)
def github() -> None:
    """Make jobs of a selection, and tell GitHub of their runs."""


@github.command(epilog="Example: matrixctl github matrix --profile nightly --shards 8")
@common.take_selection
@click.option("--shards", type=click.IntRange(1), metavar="N", help="Into at most so many.")
@click.option(
    "--budget-minutes",
    type=click.FloatRange(0, min_open=True),
    metavar="M",
    help=f"Into as few as finish within so many minutes, by estimate [default: {_MINUTES}].",
)
@click.option(
    "--pins",
    "pins_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write there what each source that moves stands at, for `run --pins FILE`.",
)
def matrix(
    selection: common.SelectedCells,
    *,
    shards: int | None,
    budget_minutes: float | None,
    pins_file: Path | None,
    store: Path | None,
    mirrors: Sequence[str],
) -> None:
    """Print the shards of a selection, for `strategy.matrix`.

    Each has `name`, `runs-on`, `shard`, `cells` and `minutes`; `matrixctl run --shard K/N` with the same
    options runs it. The shards depend on the matrix alone, so they are the same on every machine.
    """
    if shards is not None and budget_minutes is not None:
        raise UsageError("--shards and --budget-minutes exclude each other", resolution="Leave one out.")
    common.warn(selection)
    if shards is None:
        seconds = 60 * (budget_minutes or _MINUTES)
        made = split_by_time(selection.cells, seconds)
        if (longest := max(shard.seconds for shard in made)) > seconds:
            common.say(
                f"warning: the longest shard takes some {longest / 60:.0f} minutes, more than"
                f" {seconds / 60:g}: it cannot be cut further"
            )
    else:
        made = split(selection.cells, shards)
        if len(made) < shards:
            builds = len(list_builds(selection.cells))
            why = f"GitHub takes no more than {MOST}" if builds > MOST else "each has at least one build"
            common.say(f"warning: {len(made)} shards in place of {shards}: {why}")
    if pins_file is not None:
        pins = take_pins(
            selection.matrix, selection.cells, Store(store or common.find_default_store()), mirrors=mirrors
        )
        write_atomically(pins_file, f"{pins.model_dump_json(indent=1)}\n".encode())
    click.echo(json.dumps({"include": [_make_entry(shard) for shard in made]}))


@github.command(epilog="Example: matrixctl github summary latest")
@click.argument("run", shell_complete=complete.run_names)
@common.base
@common.reports_folder
@common.of_series
@common.history_place
def summary(run: str, *, base: str | None, out: Path | None, series: str | None, history: str | None) -> None:
    """Print the step summary of RUN, as Markdown.

    RUN and BASE are each an id, a folder, a run.json, `latest`, `latest~N`, a date or `last-good`. It is
    smaller than GitHub's limit of 1 MiB: sections that do not fit are left out whole, and named.
    """
    _, record = read_named(run, out, series)
    reports = out or common.find_default_out()
    compared = compare_with_base(base, record, reports, series, history) if base else None
    click.echo(github_summary.render(record, compared), nl=False)


@github.command(epilog="Example: matrixctl github annotate latest --base last-good")
@click.argument("run", shell_complete=complete.run_names)
@common.base
@click.option(
    "--matrix",
    "matrix_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The matrix file of the run, for the lines of its rules [default: matrix.yaml, if it is here].",
)
@common.reports_folder
@common.of_series
@common.history_place
def annotate(
    run: str,
    *,
    base: str | None,
    matrix_file: Path | None,
    out: Path | None,
    series: str | None,
    history: str | None,
) -> None:
    """Print annotations of RUN, which GitHub reads from the log.

    RUN and BASE are each an id, a folder, a run.json, `latest`, `latest~N`, a date or `last-good`. There is
    one for each cluster of failures, or group of cells, and at most 10 of a kind, as GitHub shows.
    """
    _, record = read_named(run, out, series)
    reports = out or common.find_default_out()
    compared = compare_with_base(base, record, reports, series, history) if base else None
    print_annotations(record, compared, matrix_file or common.HERE)


@github.command(epilog="Example: matrixctl github issues latest --dry-run")
@click.argument("run", shell_complete=complete.run_names)
@click.option(
    "--repo",
    envvar="GITHUB_REPOSITORY",
    show_envvar=True,
    required=True,
    metavar="OWNER/NAME",
    help="The repository; in a workflow its own, if left out.",
)
@click.option("--label", default="matrixctl", show_default=True, help="The label of the issues.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@common.base
@common.reports_folder
@common.of_series
@common.history_place
def issues(
    run: str,
    *,
    repo: str,
    label: str,
    dry_run: bool,
    base: str | None,
    out: Path | None,
    series: str | None,
    history: str | None,
) -> None:
    """Open, update and close issues: one per confirmed alarm.

    It talks to GitHub by the program `gh`, which takes its token from GH_TOKEN. Only issues that the token's
    owner wrote, with the label and a mark of an alarm, are touched. With --base they name the suspect.
    """
    _, record = read_named(run, out, series)
    repository = Repository(name=repo, label=label)
    reports = out or common.find_default_out()
    compared = compare_with_base(base, record, reports, series, history) if base else None
    count = 0
    for line in sync_issues(repository, record, compared, page=find_page(), dry_run=dry_run):
        count += 1
        click.echo(flatten(line))
    if not count:
        click.echo("no alarm, and no open issue of one")


def _make_entry(shard: Shard) -> dict[str, Any]:
    return {
        "name": make_printable(_name(shard)),
        "runs-on": _RUNNERS[shard.runner],
        "shard": f"{shard.number}/{shard.of}",
        "cells": len(shard.cells),
        "minutes": round(shard.seconds / 60, 1),
    }


def _name(shard: Shard) -> str:
    """Return ``3/8 arm64: libressl-4.3.2, openssl-3.5.7``."""
    libraries = [library.rpartition("--")[0] for library in shard.libraries] or ["openssl-distro"]
    more = f" and {len(libraries) - _NAMED} more" if len(libraries) > _NAMED else ""
    return f"{shard.number}/{shard.of} {shard.runner}: {', '.join(libraries[:_NAMED])}{more}"
