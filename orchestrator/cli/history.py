"""``matrixctl history``: the runs of many nights in a database; their folders stay the truth."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from orchestrator.analyse.nights import find_first_night, make_key, measure_flakiness, read_row
from orchestrator.app.branch import pull_history, push_history
from orchestrator.app.history import GoesOnError, find_folders, import_each
from orchestrator.cli import common, complete
from orchestrator.cli.group import Ordered
from orchestrator.errors import Exit, MatrixctlError, UsageError
from orchestrator.outcome import Verdict
from orchestrator.record.find import find_run
from orchestrator.record.history.history import History, find_old_runs
from orchestrator.record.history.place import HistoryPlace, parse_place
from orchestrator.record.history.rows import Row
from orchestrator.record.runs import list_begun
from orchestrator.report import units
from orchestrator.report.comparison import describe_flakiness
from orchestrator.report.text import flatten

R = TypeVar("R")
_SHOWN = 30
"""Runs that `list` shows unless told, and cells that `show` names."""
_KEPT = 14
"""Nights whose journals go to a branch, unless told: a comparison needs the last good one."""
_NUMBERS = {"number", "run", "cell", "build", "component", "rule", "session_set", "own_set"}
"""Columns that are only by what number the tables know each other's rows."""


def _choose_place(history: str | None, reports: Path) -> HistoryPlace:
    return parse_place(history or str(reports / common.HISTORY))


def _take_place(command: Callable[..., R]) -> Callable[..., R]:
    """Add ``--history`` and ``--reports``; the command gets ``place`` and ``reports``."""

    @common.history_place
    @common.reports_folder
    @wraps(command)
    def call(*args: Any, history: str | None, out: Path | None, **kwargs: Any) -> R:
        reports = out or common.find_default_out()
        return command(*args, place=_choose_place(history, reports), reports=reports, **kwargs)

    return call


def _open(place: HistoryPlace) -> History:
    """Open a history to read it.

    :raises UsageError: where there is none.
    """
    _check(place)
    return History(place)


def _check(place: HistoryPlace) -> None:
    """Refuse a history in a file that is not there: a mistyped name makes no file.

    :raises UsageError: then.
    """
    if place.file is not None and not place.file.exists():
        raise UsageError(
            f"there is no history {place}",
            resolution="Make it from the folders of the runs: matrixctl history import --all",
        )


def find_place(history: str | None, reports: Path, *, must_exist: bool) -> HistoryPlace:
    """Return the history that the option names, or the one in the folder of the reports.

    :raises UsageError: where it names none, or one that has to be there is not.
    """
    place = _choose_place(history, reports)
    if must_exist:
        _check(place)
    return place


def open_history(history: str | None, reports: Path) -> History:
    """Open the history that the option names, or the one in the folder of the reports.

    :raises UsageError: where there is none.
    """
    return _open(_choose_place(history, reports))


@click.group(cls=Ordered)
def history() -> None:
    """Keep the runs of many nights in a database, and ask it.

    The runs' folders stay the truth.
    """


@history.command("import", epilog="Example: matrixctl history import --all")
@click.argument("run", nargs=-1, shell_complete=complete.run_names)
@click.option("--all", "every", is_flag=True, help="Every run below --reports.")
@_take_place
@common.of_series
def import_(
    run: Sequence[str], *, every: bool, place: HistoryPlace, reports: Path, series: str | None
) -> None:
    """Write runs down, each as a whole or not at all.

    RUN is an id, a folder, a run.json, `latest`, `latest~N`, a date or `last-good`. One that is there already
    changes nothing; one that was resumed since then is replaced.
    """
    if bool(run) == every:
        raise UsageError("which runs?", resolution="Name them, or say --all.")
    if every:
        found = [reports / name for name in list_begun(reports)]
        if not found:
            raise UsageError(f"no run below {reports} yet", resolution="--reports says where they are.")
    else:
        found = [find_run(name, reports, series=series) for name in run]
    with History(place) as kept:
        code = _import(kept, found, anyway=False, passes_over=every)
    sys.exit(code)


def _import(kept: History, found: Sequence[Path], *, anyway: bool, passes_over: bool) -> int:
    """Import the runs and say what became of them; return the exit code.

    :param passes_over: one that still goes on is no fault.
    """
    counts: Counter[str] = Counter()
    code = 0
    for path, became in import_each(kept, found, anyway=anyway):
        if isinstance(became, MatrixctlError):
            going = passes_over and isinstance(became, GoesOnError)
            counts["still going on" if going else "refused"] += 1
            if not going:
                common.say(f"{path}: {became}")
                code = max(code, became.exit_code)
        else:
            counts[became] += 1
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    click.echo(flatten(f"{told or 'nothing to import'}: {kept.place}"))
    return code


@history.command("list", epilog="Example: matrixctl history list --series nightly")
@_take_place
@click.option("--series", metavar="NAME", help="Only the runs of this series; '' are those by hand.")
@click.option("--last", type=click.IntRange(1), default=_SHOWN, show_default=True, help="How many.")
@common.take_format("table", "json")
def list_(*, place: HistoryPlace, reports: Path, series: str | None, last: int, form: str) -> None:  # noqa: ARG001
    """Show the runs, the newest first."""
    with _open(place) as kept:
        found = kept.list_runs(series)
    if form == "json":
        click.echo(common.as_json([_drop_numbers(run) for run in found[:last]]))
        return
    for line in _write_table(found[:last]):
        click.echo(line)
    if len(found) > last:
        click.echo(f"and {len(found) - last} older; --last shows more")


def _write_table(found: Sequence[Row]) -> Iterator[str]:
    head = ("run", "series", "began (UTC)", "judged", "alarms", "ended", "folder")
    rows = [head, *(tuple(map(flatten, _write_line(run))) for run in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    if not found:
        yield "no run"


def _write_line(run: Row) -> tuple[str, ...]:
    code = "" if run["exit_code"] is None else f", exit {run['exit_code']}"
    return (
        run["id"],
        run["series"] or "-",
        units.format_moment(run["started_at"]).removesuffix(" UTC"),
        f"{run['judged']}/{run['planned']}",
        str(run["alarms"]),
        f"{run['status']}{code}",
        ("there" if Path(run["folder"]).is_dir() else "gone") if run["folder"] else "none",
    )


@history.command(epilog="Example: matrixctl history show latest")
@click.argument("run", shell_complete=complete.run_names)
@_take_place
@common.in_series
@common.take_format("text", "json")
def show(run: str, *, place: HistoryPlace, reports: Path, series: str | None, form: str) -> None:  # noqa: ARG001
    """Show the alarms of RUN, since when, and what does not pass."""
    with _open(place) as kept:
        found = kept.find(run, series)
        alarms, results, parts = (
            kept.list_alarms(found),
            kept.list_results(found),
            kept.list_components(found),
        )
        rules = kept.list_rules(found)
        bad = [one for one in results if one["outcome"] not in {"pass", "unsupported"}]
        said = {one["id"]: _recall(kept, found, one, rules) for one in bad[:_SHOWN]}
    if form == "json":
        told = {"run": found, "alarms": alarms, "results": results, "components": parts, "rules": rules}
        click.echo(common.as_json({name: _drop_numbers(value) for name, value in told.items()}))
        return
    for line in _describe(found, alarms, results, said):
        click.echo(flatten(line) if line.strip() else "")
    for line in _describe_rules(rules):
        click.echo(flatten(line) if line.strip() else "")


def _recall(kept: History, run: Row, result: Row, rules: Sequence[Row]) -> str:
    """Return what the nights before say of a cell that does not pass."""
    last = kept.find_last_pass(result["id"], run)
    said = [f"last pass {last}" if last else "never passed in this series"]
    if result["verdict"] == Verdict.KNOWN_FAILURE:
        because = next((one["because"] for one in rules if one["number"] == result["rule"]), "")
        said += [f"known since {kept.find_known_since(result['id'], run)}", *([because] if because else [])]
    first = find_first_night(run["night"])
    past = kept.list_past(run["series"], first_night=first, before=run["id"], cells=[result["id"]])
    tonight = {**result, "night": run["night"]}
    alike = [one for one in (*past, tonight) if make_key(one) and make_key(one) == make_key(tonight)]
    flaky = measure_flakiness((one["night"], read_row(one)) for one in alike)
    return "; ".join([*said, *([describe_flakiness(flaky)] if flaky else [])])


def _describe(
    run: Row, alarms: Sequence[Row], results: Sequence[Row], said: Mapping[str, str]
) -> Iterator[str]:
    code = "" if run["exit_code"] is None else f", exit code {run['exit_code']}"
    series = f"series {run['series']}" if run["series"] else "by hand"
    yield f"{run['id']}  {series}  {units.format_moment(run['started_at'])}  {run['status']}{code}"
    counts = Counter(one["verdict"] for one in results)
    yield f"{_count(len(results))}: " + ", ".join(f"{count} {name}" for name, count in counts.most_common())
    yield f"folder: {run['folder'] or 'none, it was imported from a run.json'}"
    if not alarms:
        yield "no alarm"
    for one in alarms:
        where = f" where {', '.join(one['conditions'])}" if one["conditions"] else ""
        often = units.format_count(one["runs"], "run")
        yield (
            f"alarm {one['key']}: {one['outcome']}: {one['reason'] or 'no reason'}{where},"
            f" {_count(one['cells'])}; first on {one['first']}, in {often}"
        )
    if said:
        yield ""
        yield "Cells that do not pass:"
    for one in results:
        if one["id"] in said:
            reason = f": {one['reason']}" if one["reason"] else ""
            yield (
                f"- {one['id']}: {one['outcome'] or 'not judged'}{reason}"
                f" ({one['verdict']}; {said[one['id']]})"
            )
    more = sum(one["outcome"] not in {"pass", "unsupported"} for one in results) - len(said)
    if more:
        yield f"and {more} more; --format json has all"


def _count(count: int) -> str:
    return f"{count or 'no'} cell{'' if count == 1 else 's'}"


def _describe_rules(rules: Sequence[Row]) -> Iterator[str]:
    """Say which rules no cell has met tonight, and since when."""
    idle = [one for one in rules if not one["held"]]
    if idle:
        yield ""
        yield "Rules that no cell of this run has met:"
    for one in idle:
        last = f"last met {one['last_held']}" if one["last_held"] else f"not met since {one['since']}"
        decided = f"it decided {_count(one['counted'])} of this run"
        yield f"- {one['place']}: {', '.join(one['conditions'])} ({last}; {decided})"


def _drop_numbers(value: Any) -> Any:
    """Return what is printed: the selection as a value, and none of the database's own numbers."""
    if isinstance(value, list):
        return [_drop_numbers(one) for one in value]
    told = {key: one for key, one in value.items() if key not in _NUMBERS}
    return told | ({"selection": json.loads(told["selection"])} if "selection" in told else {})


@history.command(epilog="Example: matrixctl history prune --keep-nights 90")
@click.option("--keep-nights", type=click.IntRange(1), required=True, metavar="N", help="Nights that stay.")
@_take_place
@click.option("--series", metavar="NAME", help="Only in this series.")
@click.option("--dry-run", is_flag=True, help="Only say what would be forgotten.")
def prune(
    *,
    keep_nights: int,
    place: HistoryPlace,
    reports: Path,  # noqa: ARG001
    series: str | None,
    dry_run: bool,
) -> None:
    """Forget the runs before the newest N nights of each series.

    Their folders stay.
    """
    with _open(place) as kept:
        old = find_old_runs(kept.list_runs(series), keep_nights)
        if not dry_run:
            kept.remove(run["id"] for run in old)
    for run in old:
        click.echo(
            flatten(f"{'would forget' if dry_run else 'forgot'} {run['id']} ({run['series'] or 'by hand'})")
        )
    click.echo(units.format_count(len(old), "run"))


@history.command(epilog="Example: matrixctl history rebuild")
@_take_place
def rebuild(*, place: HistoryPlace, reports: Path) -> None:
    """Read every run's folder again.

    A run whose folder is gone stays as it is.
    """
    with History(place) as kept:
        found = find_folders(kept, reports)
        before = {run["id"] for run in kept.list_runs()}
        code = _import(kept, found, anyway=True, passes_over=True)
        stay = before - {path.name for path in found}
    if stay:
        runs = "1 run without a folder stays as it is"
        many = f"{len(stay)} runs without a folder stay as they are"
        click.echo(runs if len(stay) == 1 else many)
    sys.exit(Exit(code))


_branch = click.argument("branch")
_remote = click.option("--remote", default="origin", show_default=True, help="The remote of this repository.")


@history.command(epilog="Example: matrixctl history pull matrixctl-history")
@_branch
@_remote
@_take_place
def pull(branch: str, *, remote: str, place: HistoryPlace, reports: Path) -> None:
    """Bring the history and last journals here from a git branch.

    For machines that are thrown away after each night. Without such a branch it is the first night.
    """
    came = pull_history(branch, remote, reports, _find_file(place))
    if came is None:
        click.echo(flatten(f"{remote} has no branch {branch} yet: the history begins with this night"))
    else:
        click.echo(flatten(f"{place}, and {units.format_count(came, 'run')}: branch {branch} of {remote}"))


@history.command(epilog="Example: matrixctl history push matrixctl-history")
@_branch
@_remote
@click.option(
    "--keep-nights",
    type=click.IntRange(1),
    default=_KEPT,
    show_default=True,
    metavar="N",
    help="Whose journals go with it; and the last good one.",
)
@_take_place
def push(branch: str, *, remote: str, keep_nights: int, place: HistoryPlace, reports: Path) -> None:
    """Write the history and last journals to a git branch.

    The branch has one commit then. It is refused where the branch has changed since it was pulled.
    """
    kept = push_history(branch, remote, reports, _find_file(place), nights=keep_nights)
    runs = "1 run is" if kept == 1 else f"{kept} runs are"
    click.echo(flatten(f"{place}, and {runs} on branch {branch} of {remote}"))


def _find_file(place: HistoryPlace) -> Path:
    """:raises UsageError: for a history that is no file."""
    if place.file is None:
        raise UsageError("only a history in a file goes to a branch; PostgreSQL keeps it itself")
    return place.file
