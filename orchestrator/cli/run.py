"""``matrixctl run``."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import click
from click.core import ParameterSource

from orchestrator import unexpected_error
from orchestrator.analyse.bisect import BAD, Mark, is_no_step, judge_step
from orchestrator.analyse.compare import Comparison
from orchestrator.analyse.explain import explain
from orchestrator.app import running
from orchestrator.app.actions import Actions
from orchestrator.app.options import Options
from orchestrator.app.output import write_reports
from orchestrator.arch import find_arch
from orchestrator.cli import common, complete
from orchestrator.cli.compare import compare_remembering, read_base
from orchestrator.cli.group import AS_STEP, STEP_ABORTED, leave, read_command_line
from orchestrator.cli.log import show_log
from orchestrator.cli.progress import show_progress
from orchestrator.cli.settings import cancel_on_signals, make_choice, make_options
from orchestrator.cli.worker import refuse_without_dask
from orchestrator.cli.workflow import StepCommand, open_step
from orchestrator.errors import Exit, MatrixctlError, NothingSelectedError, UsageError
from orchestrator.execute.engine.engine import Engine, connect
from orchestrator.execute.schedule.scheduler import Cancel
from orchestrator.execute.sources.download import strip_login
from orchestrator.execute.store.store import Store
from orchestrator.matrix import patches
from orchestrator.matrix.model import Cell
from orchestrator.matrix.pins import has_pins
from orchestrator.matrix.select import LIST_IDS, select_executed
from orchestrator.outcome import Reason, Verdict
from orchestrator.record.find import WHAT, find_folder, read_run, read_series
from orchestrator.record.journal import JOURNAL, RunStarted, read
from orchestrator.record.model import RunRecord
from orchestrator.record.settings import CONFIRM_CELLS, CONFIRM_MINUTES, Evidence, Settings
from orchestrator.report import comparison as words
from orchestrator.report import explain_text
from orchestrator.report.summary import find_verdict
from orchestrator.report.units import format_count

if TYPE_CHECKING:
    from orchestrator.record.history.place import HistoryPlace

_ANEW = {
    *("resume", "out", "store", "remote_store", "scheduler", "mirrors", "jobs", "memory", "keep"),
    *("quiet", "as_json", "base", "history", "github"),
    *("tls_ca", "tls_cert", "tls_key", "insecure"),
}
"""Options that may be given again beside --resume: where things lie and how it goes, not what is judged."""

_SELECTING = ("profile", "filters", "ids", "shard", "explain", "start")
"""Options that choose cells."""
_PARAMETERS = {"matrix_file": "matrix", "patch_files": "patches"}
"""Options that the settings have by another name."""
_AS_EXPECTED = {Verdict.AS_EXPECTED, Verdict.KNOWN_FAILURE}

_STEP_EXITS = {Mark.GOOD: 0, Mark.BAD: 1, Mark.SKIP: 125}
"""git-bisect(1), "bisect run"."""
_CONFIRM = 3
"""How often a cell of a series is probed again before it is an alarm."""


@click.command(cls=StepCommand, epilog="Example: matrixctl run --filter haproxy=distro --filter arch=amd64")
@common.pinned
@common.take_choice
@click.option(
    "--resume",
    metavar="RUN",
    shell_complete=complete.run_names,
    help=f"Go on with a run that was cut off: {WHAT}.",
)
@click.option(
    "--failed-of",
    shell_complete=complete.run_names,
    metavar="RUN",
    help="The cells of that run that were not as expected, with its options unless they are given again.",
)
@click.option(
    "--repeat", type=click.IntRange(1), default=1, show_default=True, help="Probe each cell N times."
)
@click.option(
    "--confirm",
    type=click.IntRange(0),
    help="Probe a cell N times more, alone, before it is an alarm [default: 3 with --series; else once, if"
    " the machine was busy].",
)
@click.option(
    "--confirm-cells",
    type=click.IntRange(1),
    default=CONFIRM_CELLS,
    show_default=True,
    help="How many of the cells that end alike.",
)
@click.option(
    "--confirm-minutes",
    type=click.FloatRange(min=0),
    default=CONFIRM_MINUTES,
    show_default=True,
    help="For all of them together.",
)
@click.option(
    "--evidence",
    type=click.Choice(get_args(Evidence)),
    help="Of which cells packets and traces are kept, in a run of their own [default: failing; none with"
    f" {AS_STEP}].",
)
@click.option("--fail-on-flaky", is_flag=True, help="Exit with 1 also for a cell that fails now and then.")
@click.option(
    "--backtraces/--no-backtraces",
    default=True,
    show_default=True,
    help="Run a cell whose server crashed once more, under gdb.",
)
@click.option(
    "--jobs", type=click.IntRange(1), default=None, help="Actions and compilers at once [default: CPUs]."
)
@click.option(
    "--memory",
    type=click.FloatRange(min=0, min_open=True),
    default=None,
    help="GiB that containers may take at once [default: 7/8 of the engine's host].",
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first failure that no rule expects.")
@common.reports_folder
@common.store_folder
@common.remote_store
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Let the workers of this Dask scheduler build and probe: tls://HOST:8786.",
)
@common.take_access
@click.option(
    "--native-only", "only", flag_value="native", default="", help="No cell that would be run under QEMU."
)
@click.option(
    "--emulated-only",
    "only",
    flag_value="emulated",
    help="Only those under QEMU, also where a worker could run them natively.",
)
@common.mirror_places
@common.matrix_sources
@click.option("--keep", is_flag=True, help="Keep containers and volumes for inspection.")
@click.option("--allow-blocked", is_flag=True, help="A cell without its source is no reason to fail.")
@common.challenge_unsupported
@click.option(
    "--build",
    type=click.Choice(["cross", "emulated"]),
    default="cross",
    show_default=True,
    help="Cross-compile, or compile under QEMU.",
)
@common.take_series("Mark the run as one of a series, as in `--series nightly`: such are compared.")
@click.option(
    "--history",
    envvar="MATRIXCTL_HISTORY",
    metavar="URL_OR_FILE",
    help="Write the run down there when it has ended; see `matrixctl history`.",
)
@common.base
@click.option(
    "--github", is_flag=True, help="In a step of GitHub Actions: write its summary, annotations and outputs."
)
@click.option("--explain", is_flag=True, help="Explain the failures, and run the cells that would tell more.")
@click.option(
    "--start",
    type=click.Choice(["all", "pairwise"]),
    default="all",
    show_default=True,
    help="With --explain: begin with the whole selection, or with a few cells of it.",
)
@click.option(
    "--budget-minutes",
    type=click.FloatRange(min=0, min_open=True),
    metavar="M",
    help="With --explain: run no more cells than this time allows.",
)
@click.option(AS_STEP, is_flag=True, help="Exit as `git bisect run` wants it, whatever rules expect.")
@click.option(
    "--reason",
    type=click.Choice([*map(str, BAD)]),
    metavar="R",
    help="With --as-bisect: only this failure is bad.",
)
@click.option("--quiet", is_flag=True, help="Say nothing but errors and where the report is.")
@click.option("--json", "as_json", is_flag=True, help="Events as JSON Lines on stdout.")
@click.pass_context
def run(
    context: click.Context,
    /,
    choice: common.SelectionOptions,
    *,
    github: bool,
    as_json: bool,
    as_bisect: bool,
    reason: str | None,
    **_: object,
) -> None:
    """Build HAProxy for the selected cells and probe HTTP/3.

    Exit codes: 0 all as expected, 1 a regression, a changed failure, a stale rule or, with --fail-on-flaky, a
    flaky cell, 2 usage, 3 nothing selected or nothing left to resume, 4 a cell was not judged (the harness
    failed, or it is blocked), 130 interrupted.
    With --as-bisect: 0 a pass, 1 a failure of HAProxy or its library, 125 neither, 128 and more no step.
    """
    if github and as_json:
        raise UsageError(
            "--github and --json exclude each other: both write to stdout", resolution="Leave one out."
        )
    with open_step() if github else nullcontext() as step:
        done = _run(context, choice, **context.params)
        if step is not None:
            step.tell_run(done.record, done.folder, done.compared, done.matrix)
    sys.stdout.flush()
    if as_bisect:
        leave(_exit_as_step(done.record, Reason(reason) if reason else None))
    leave(Exit.HARNESS if done.record.run.exit_code is None else done.record.run.exit_code)


class _EndedRun(NamedTuple):
    """A run that has ended, its folder, what it was compared with, and its matrix file."""

    record: RunRecord
    folder: Path
    compared: Comparison | None
    matrix: Path


def _run(
    context: click.Context,
    choice: common.SelectionOptions,
    *,
    resume: str | None,
    failed_of: str | None,
    out: Path | None,
    mirrors: Sequence[str],
    quiet: bool,
    as_json: bool,
    base: str | None,
    history: str | None,
    as_bisect: bool,
    reason: str | None,
    **_: object,
) -> _EndedRun:
    """Do what ``run`` was asked to do."""
    if reason and not as_bisect:
        raise UsageError("--reason goes with --as-bisect: it says which failure a bisection looks for")
    _refuse_odd_exploration(context.params, choice, as_step=as_bisect)
    out = (out or common.find_default_out()).absolute()
    place = _check_place(history) if history else None  # before --resume goes to another folder
    settings, folder = _make_settings(choice, context.params, read_command_line(context)), None
    if failed_of is not None:
        settings = _select_failed(find_folder(failed_of, out).absolute(), settings, context)
    if resume is not None:
        _refuse_beside_resume(context)
        folder = find_folder(resume, out).absolute()
    of_series = settings.series if folder is None else read_series(folder)
    before = read_base(base, out, of_series or None) if base else None
    if folder is not None:
        mirrors = common.resolve_mirrors(mirrors)
        settings = _resume_settings(folder, settings, context)
    selection = make_choice(settings).select(
        settings.today, Path(settings.store), tuple(mirrors) or settings.mirrors
    )
    if as_bisect and len(selection.cells) != 1:
        raise _explain_count(len(selection.cells))
    if not quiet:
        common.suggest_tree(settings.matrix, settings.replacements)
        common.warn(selection)
        common.warn_of_sources([Path(path) for path in settings.sources], selection.matrix)
    engine = connect(keep=settings.keep)
    options = make_options(settings, out, engine.cpus, mirrors)
    cancel = Cancel()
    cancel_on_signals(cancel)
    known = Store(options.store).find_duration
    with ExitStack() as stack:
        actions, options = stack.enter_context(_find_workers(context.params, options, engine))
        cells, reserve = _select_executed(
            selection.cells, _list_reserve(selection, settings), settings.only, engine, options.natives
        )
        view = stack.enter_context(show_progress(cells, known=known, quiet=quiet, as_json=as_json))
        stack.enter_context(show_log(view.say))
        record, folder = running.run_matrix(
            selection.matrix,
            cells,
            common.read_catalog([Path(path) for path in settings.sources]),
            engine,
            options,
            expectations=selection.expectations,
            listen=view.listen,
            cancel=cancel,
            reserve=reserve,
            resume=folder,
            actions=actions,
        )
    compared, news = _report_news(before, record, folder, history) if before else (None, "")
    view.show_end(record, folder)
    if record.run.exploration and not (quiet or as_json):
        common.print_styled(explain_text.render(explain([record])))
    if news and not quiet:
        common.say(news)
    if place:
        _write_down(place, folder)
    # The matrix that comes with matrixctl is no file of the repository.
    matrix = Path(settings.matrix or common.HERE)
    return _EndedRun(record=record, folder=folder, compared=compared, matrix=matrix)


@contextmanager
def _find_workers(
    params: Mapping[str, Any], options: Options, engine: Engine
) -> Iterator[tuple[Callable[..., Actions], Options]]:
    """Yield what does the actions of the run, and its options: here, or with --scheduler elsewhere.

    :raises UsageError: where the options do not fit, or a worker is another matrixctl.
    """
    address = params["scheduler"]
    if not address:
        yield Actions, options
        return
    refuse_without_dask("--scheduler")
    if not options.remote_store:
        raise UsageError("--scheduler goes with --remote-store, by which artifacts reach the workers")
    from orchestrator.app.cluster.dispatch import ClusterActions, connect_cluster  # noqa: PLC0415 - an extra
    from orchestrator.app.cluster.security import Access  # noqa: PLC0415

    access = Access(
        ca=params["tls_ca"], cert=params["tls_cert"], key=params["tls_key"], insecure=params["insecure"]
    )
    with connect_cluster(address, access.make_security(address)) as cluster:
        if not (params["quiet"] or params["as_json"]):
            common.say(f"{address}: {format_count(len(cluster.workers), 'worker')}")
        natives = cluster.find_natives(find_arch(engine.describe().arch))
        if options.settings and options.settings.only == "emulated":
            natives = frozenset()
        yield (
            partial(ClusterActions, cluster=cluster),
            replace(options, elsewhere=True, natives=natives),
        )


def _refuse_odd_exploration(
    params: Mapping[str, Any], choice: common.SelectionOptions, *, as_step: bool
) -> None:
    """:raises UsageError: for options of --explain without it, and for what cannot go beside it."""
    if not params["explain"] and (params["budget_minutes"] or params["start"] != "all"):
        raise UsageError("--start and --budget-minutes go with --explain")
    if params["explain"] and choice.shard:
        raise UsageError(
            "--explain goes with no --shard: which cells are needed depends on those of the other shards",
            resolution="Run one of them alone.",
        )
    if params["explain"] and as_step:
        raise UsageError(f"--explain asks for more cells, and {AS_STEP} judges one")


def _list_reserve(selection: common.SelectedCells, settings: Settings) -> Sequence[Cell]:
    """Return what a run that explains may ask for beside its selection: all other cells of the matrix.

    That is, those that can be built as was asked for: with the patches, and at the pins.
    """
    if not settings.explain or settings.pairwise:
        return ()
    chosen = {cell.id for cell in selection.cells}
    given = [patches.parse(text) for text in settings.patches]
    every = patches.apply_patches(patches.drop_unseen(selection.all_cells, given), given)
    return [
        cell
        for cell in every
        if cell.id not in chosen and (selection.pins is None or has_pins(selection.pins, cell))
    ]


def _select_executed(
    cells: Sequence[Cell], reserve: Sequence[Cell], only: str, engine: Engine, natives: frozenset[str]
) -> tuple[Sequence[Cell], Sequence[Cell]]:
    """Return those of the run's cells, and of its reserve, that are run as was asked for.

    :raises NothingSelectedError: where none of its cells is.
    """
    if not only:
        return cells, reserve
    host = find_arch(engine.describe().arch)
    left, kept = (select_executed(some, only, host, natives) for some in (cells, reserve))
    if not left:
        other = "natively" if only == "emulated" else "under QEMU"
        raise NothingSelectedError(
            f"--{only}-only leaves no cell: all {len(cells)} that are selected would be run {other}",
            resolution="Leave it out, or select other cells; with --scheduler, start a native worker.",
        )
    return left, kept


def _explain_count(count: int) -> UsageError:
    return UsageError(
        f"{AS_STEP} judges one cell, and {count} are selected",
        resolution=f"Name one with --cell ID; {LIST_IDS}",
    )


def _exit_as_step(record: RunRecord, reason: Reason | None) -> int:
    """Return what the run of one cell tells ``git bisect run``."""
    (cell,) = record.cells
    if record.run.status != "finished":
        return Exit.INTERRUPTED
    if is_no_step(cell):
        return STEP_ABORTED
    return _STEP_EXITS[judge_step(cell, reason)]


def _report_news(
    base: RunRecord, record: RunRecord, folder: Path, history: str | None
) -> tuple[Comparison | None, str]:
    """Write the reports again with the news since BASE.

    :returns: the news, and a line on them or on what went wrong.
    """
    found = None
    try:
        found = compare_remembering(base, record, folder.parent, history)
        write_reports(record, folder, found)
    except (MatrixctlError, OSError) as error:
        return found, f"the report has no news since {base.run.id}: {error}"
    except Exception as error:  # noqa: BLE001 - whatever it is, the run has ended and its exit code stays
        return (
            found,
            f"the report has no news since {base.run.id}: {unexpected_error.keep_traceback(folder, error)}",
        )
    return found, f"since {base.run.id}: {words.describe_verdict(found)} ({words.write_headline(found)})"


def _check_place(history: str) -> "HistoryPlace":
    """Return the place of a history; only where one is named is SQLAlchemy imported.

    :raises UsageError: if it is neither a file nor the URL of a database, or the database has no driver.
    """
    from orchestrator.record.history.database import explain_errors, make_engine  # noqa: PLC0415 - heavy, an option
    from orchestrator.record.history.place import parse_place  # noqa: PLC0415

    place = parse_place(history)
    with explain_errors(place):
        make_engine(place).dispose()
    return place


def _write_down(place: "HistoryPlace", folder: Path) -> None:
    """Write the run into the history; whatever goes wrong there costs no run."""
    from orchestrator.app.history import import_run  # noqa: PLC0415 - heavy, and an option
    from orchestrator.record.history.history import History  # noqa: PLC0415

    try:
        with History(place) as kept:
            import_run(kept, folder)
    except MatrixctlError as error:
        common.say(f"the run is not in the history: {error}")
    except Exception as error:  # noqa: BLE001 - a database has many ways to fail
        common.say(f"the run is not in the history: {unexpected_error.keep_traceback(folder, error)}")
    else:
        return
    command = shlex.join(["matrixctl", "history", "import", "--history", str(place), str(folder)])
    common.say(f"Its report is whole. Once that is mended: {command}")


def _make_settings(choice: common.SelectionOptions, params: Mapping[str, Any], command: str) -> Settings:
    return Settings(
        folder=str(Path.cwd()),
        today=datetime.now(UTC).date(),
        matrix=str(choice.matrix_file) if choice.matrix_file else None,
        profile=choice.profile,
        filters=choice.filters,
        cells=choice.ids,
        patches=choice.patch_files,
        replacements=choice.replacements,
        shard=choice.shard,
        pins_file=choice.pins_file,
        pins=choice.pins,
        command=command,
        sources=tuple(str(path) for path in params["sources"]),
        store=str((params["store"] or common.find_default_store()).absolute()),
        remote_store=params["remote_store"] or "",
        mirrors=tuple(where for where in params["mirrors"] if strip_login(where) == where),
        series=params["series"] or "",
        evidence=params["evidence"] or ("none" if params["as_bisect"] else "failing"),
        pairwise=params["start"] == "pairwise",
        confirm=_CONFIRM if params["confirm"] is None and params["series"] else params["confirm"],
        **{name: params[name] for name in ("repeat", "jobs", "memory", "build", "keep")},
        **{name: params[name] for name in ("fail_fast", "allow_blocked", "challenge_unsupported")},
        **{name: params[name] for name in ("confirm_cells", "confirm_minutes", "fail_on_flaky")},
        **{name: params[name] for name in ("explain", "budget_minutes")},
        only=params["only"] or "",
        backtraces=params["backtraces"] and not params["as_bisect"],
    )


def _refuse_beside_resume(context: click.Context) -> None:
    """:raises UsageError: for options that the run's own command line has said already."""
    options = {option.name: option.opts[0] for option in context.command.params}
    given = [name for name in context.params if _is_given(context, name) and name not in _ANEW]
    if given:
        raise UsageError(
            f"--resume goes with no {', '.join(sorted(options[name] for name in given))}: the run goes on as"
            " it began",
            resolution="Leave that out, or begin another run without --resume.",
        )


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _resume_settings(folder: Path, now: Settings, context: click.Context) -> Settings:
    """Return the command line with which a run was begun, with what is given now; enter its folder.

    :raises UsageError: where the run does not say, or was begun in a folder that is gone.
    """
    settings = _read_settings(
        folder, "resumed", "Resume the run of the shard that was cut off, then merge again."
    )
    try:
        os.chdir(settings.folder)
    except OSError as error:
        raise UsageError(
            f"the run {folder.name} was begun in {settings.folder}, which cannot be entered: {error.strerror}"
        ) from None
    except ValueError as error:  # a NUL in the folder's name
        raise UsageError(f"the journal of the run {folder.name} is damaged: {error}") from None
    given_now = {
        name: getattr(now, name) for name in ("store", "jobs", "memory", "keep") if _is_given(context, name)
    }
    if now.remote_store:  # maybe from the environment
        given_now["remote_store"] = now.remote_store
    return settings.model_copy(update=given_now)


def _read_settings(folder: Path, done: str, instead: str) -> Settings:
    """Return the command line with which a run was begun.

    :param done: what cannot be done with the run otherwise, as in "resumed".
    :param instead: what to do where the run was merged of others.
    :raises UsageError: where the run does not say.
    """
    start = next(iter(read(folder / JOURNAL)), None)
    if isinstance(start, RunStarted) and start.record.shards:
        raise UsageError(
            f"the run {folder.name} was merged of others, and so cannot be {done}", resolution=instead
        )
    settings = start.settings if isinstance(start, RunStarted) else None
    if settings is None:
        raise UsageError(
            f"the run {folder.name} does not say how it was begun, and so cannot be {done}",
            details="It was cut off before its plan was written, or begun by an older matrixctl.",
            resolution="Start it again; what is in the store is not built again.",
        )
    return settings


def _select_failed(folder: Path, now: Settings, context: click.Context) -> Settings:
    """Return the command line of a run of the cells of another that were not as expected.

    What decides what a cell is, and where its sources come from, is that of the other run unless given now.

    :raises NothingSelectedError: where all cells were as expected.
    :raises UsageError: for options that select cells, and where the other run does not say how it was begun.
    """
    options = {option.name: option.opts[0] for option in context.command.params}
    if odd := sorted(options[name] for name in _SELECTING if _is_given(context, name)):
        raise UsageError(
            f"--failed-of goes with no {', '.join(odd)}: the cells are those of the run",
            resolution="Leave that out.",
        )
    then = _read_settings(folder, "run again", "Name the runs of its shards, one after another.")
    cells = [cell.id for cell in read_run(folder).cells if find_verdict(cell) not in _AS_EXPECTED]
    if not cells:
        raise NothingSelectedError(f"each cell of the run {folder.name} was as expected")
    there = Path(then.folder)
    own = there / "matrix.yaml"
    taken = {
        "matrix": str(there / then.matrix if then.matrix else own if own.is_file() else common.OURS),
        "patches": tuple(_place_patch(there, text) for text in then.patches),
        "replacements": then.replacements,
        "pins": then.pins,
        "sources": tuple(str(there / path) for path in then.sources),
        "mirrors": tuple(where if "://" in where else str(there / where) for where in then.mirrors),
        **{name: getattr(then, name) for name in ("store", "build", "challenge_unsupported")},
    }
    given_now = {_PARAMETERS.get(name, name) for name in context.params if _is_given(context, name)}
    kept = {name: value for name, value in taken.items() if name not in given_now}
    if "pins" in kept:
        kept["pins_file"] = then.pins_file
    return now.model_copy(update={**kept, "cells": tuple(cells), "failed_of": folder.name})


def _place_patch(folder: Path, patch: str) -> str:
    component, _, file = patch.partition("=")
    return patch if file.startswith("~") else f"{component}={folder / file}"
