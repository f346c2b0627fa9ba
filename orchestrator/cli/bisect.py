"""``matrixctl bisect``."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from orchestrator.analyse.bisect import BAD, count_steps
from orchestrator.analyse.bisection import Bisection, Candidate
from orchestrator.app import bisect, running
from orchestrator.cli import common, complete
from orchestrator.cli.group import leave
from orchestrator.cli.log import show_log
from orchestrator.cli.progress import show_progress
from orchestrator.cli.settings import cancel_on_signals, make_choice, make_options
from orchestrator.errors import Exit, UsageError
from orchestrator.execute.engine.engine import Engine, connect
from orchestrator.execute.schedule.scheduler import Cancel
from orchestrator.execute.sources.download import strip_login
from orchestrator.execute.store.store import Store
from orchestrator.matrix import capabilities
from orchestrator.matrix.expect import resolve
from orchestrator.matrix.model import AXES, Cell
from orchestrator.matrix.select import FULL, LIST_IDS, select_ids
from orchestrator.outcome import Reason
from orchestrator.phrases import join_names, quote
from orchestrator.record.model import utc_now
from orchestrator.record.runs import make_id
from orchestrator.record.settings import Settings
from orchestrator.report import units
from orchestrator.report.text import make_printable

_CPUS_OF_A_BUILD = 8
"""A build keeps about so many CPUs busy: from twice as many on, two steps at once take less time than two
after one another."""
_VOTE = "3/5"
_ANEW = {"resume", "out", "mirrors", "quiet", "form"}


@click.command("bisect", epilog="Example: matrixctl bisect openssl-3.5.7--TLS_CHACHA20 --git . --good v3.4.0")
@click.argument("cell", required=False, metavar="CELL", shell_complete=complete.cells)
@click.option("--axis", type=click.Choice(["haproxy", "tls"]), default="haproxy", show_default=True)
@click.option(
    "--good",
    default="",
    metavar="V",
    help="A version or commit that passes [default: the oldest, or the newest if CELL has the oldest].",
)
@click.option("--bad", default="", metavar="V", help="One that fails [default: CELL's own, HEAD].")
@click.option(
    "--git",
    "clone",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Try the commits of this clone, along the first parents.",
)
@click.option("--reason", type=click.Choice([*map(str, BAD)]), metavar="R", help="Only this failure is bad.")
@click.option(
    "--repeat", type=click.IntRange(1), default=1, show_default=True, help="Probe each cell N times."
)
@click.option(
    "--flaky",
    default=_VOTE,
    show_default=True,
    metavar="K/N",
    help="Where attempts disagree, probe N times: K failures are bad.",
)
@click.option(
    "--at-once", type=click.IntRange(1), help="Steps that one run tries [default: a step per 8 CPUs]."
)
@click.option("--resume", metavar="ID", help="Go on with a bisection that was cut off.")
@click.option(
    "--jobs", type=click.IntRange(1), default=None, help="Actions and compilers at once [default: CPUs]."
)
@common.matrix_place
@common.replacing
@common.patching
@common.reports_folder
@common.store_folder
@common.mirror_places
@common.matrix_sources
@common.take_format("text", "json")
@click.option("--quiet", is_flag=True, help="Say nothing but errors and what was found.")
@click.pass_context
def command(context: click.Context, /, *, resume: str | None, out: Path | None, **given: Any) -> None:
    """Find since which version or commit CELL fails, or passes.

    Each step is a run of its own. Exit codes: 0 found, 2 usage, 3 both ends are alike or cannot be told, 4
    the engine was lost or a source cannot be obtained, 130 interrupted; --resume goes on after the last two.
    """
    out = (out or common.find_default_out()).absolute()
    if resume is None:
        begun = _begin(out, given)
        folder = out / begun.id
    else:
        _refuse_beside_resume(context)
        folder = out / resume if (out / resume).is_dir() else Path(resume).absolute()
        begun = bisect.load(folder)
        if begun.status == "finished":
            _print(begun, folder, given["form"])
            return
    with bisect.held(folder):
        if resume is not None:
            given["mirrors"] = common.resolve_mirrors(given["mirrors"])
            begun = _go_on(folder, given["mirrors"])
        found = _search(begun, folder, given)
    _print(found, folder, given["form"])
    leave(Exit.OK if found.border else Exit.NOTHING_SELECTED)


def _search(begun: Bisection, folder: Path, given: Mapping[str, Any]) -> Bisection:
    """Try what is left to try; Ctrl-C ends the process."""
    engine = connect(keep=False)
    if not begun.at_once:
        begun = begun.model_copy(update={"at_once": max(1, engine.cpus // _CPUS_OF_A_BUILD)})
    bisect.save(begun, folder)
    steps = _Steps(begun, folder, engine, mirrors=given["mirrors"], quiet=given["quiet"])
    try:
        return bisect.search(begun, steps.probe, steps.keep)
    except KeyboardInterrupt:
        common.say(f"interrupted; to go on: matrixctl bisect --resume {begun.id}")
        leave(Exit.INTERRUPTED)


def _refuse_beside_resume(context: click.Context) -> None:
    """:raises UsageError: for what the bisection's own command line has said already."""
    options = {
        option.name: "CELL" if isinstance(option, click.Argument) else option.opts[0]
        for option in context.command.params
    }
    given = [
        options[name]
        for name in context.params
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE and name not in _ANEW
    ]
    if given:
        raise UsageError(
            f"--resume goes with no {', '.join(sorted(given))}: the bisection goes on as it began"
        )


def _go_on(folder: Path, mirrors: Sequence[str]) -> Bisection:
    """Return the bisection as it was left, and enter the folder in which it was begun.

    :raises UsageError: where that is gone, or where something is not as it was.
    """
    begun = bisect.load(folder)
    try:
        os.chdir(begun.settings.folder)
    except OSError as error:
        where = f"{begun.id} was begun in {begun.settings.folder}, which cannot be entered"
        raise UsageError(f"{where}: {error.strerror}") from None
    settings = begun.settings
    selection = _select(settings, mirrors or settings.mirrors)
    (cell,) = select_ids(selection.all_cells, [begun.cell])
    known = common.read_catalog([Path(path) for path in settings.sources])
    sources = bisect.list_sources(cell, begun.axis, known, begun.candidates)
    bisect.refuse_changes(begun, bisect.find_origin(cell, selection.matrix, settings, sources))
    return begun


def _begin(out: Path, given: Mapping[str, Any]) -> Bisection:
    """Return a new bisection of which nothing was tried.

    :raises UsageError: for what it cannot be begun with.
    """
    if not given["cell"]:
        raise UsageError("bisect needs the id of a CELL, or --resume ID", resolution=LIST_IDS)
    bad_from, attempts = _parse_vote(given["flaky"])
    now, settings = datetime.now(UTC), _make_settings(given)
    axis, ends, mirrors = given["axis"], (given["good"], given["bad"]), given["mirrors"]
    selection = _select(settings, mirrors)
    (cell,) = select_ids(selection.all_cells, [given["cell"]])
    settings = bisect.fix_other(cell, axis, selection.matrix, settings, mirrors)
    selection = _select(settings, mirrors)
    (cell,) = select_ids(selection.all_cells, [cell.id])
    impossible: dict[str, str] = {}
    known = common.read_catalog([Path(path) for path in settings.sources])
    if given["clone"]:
        candidates = bisect.list_commits(cell, axis, given["clone"], *ends)
    else:
        candidates, lacking = bisect.list_versions(cell, axis, known, *ends)
        impossible = dict.fromkeys(lacking, "its digest is unknown, so it cannot be downloaded")
        impossible |= _find_impossible(settings, cell, axis, candidates, mirrors)
    notes = tuple(f"{name} is left out: {why}" for name, why in impossible.items())
    for note in notes:
        common.say(note)
    candidates = tuple(one for one in candidates if one.name not in impossible)
    bisect.refuse_empty(candidates, notes)
    sources = bisect.list_sources(cell, axis, known, candidates)
    return Bisection(
        id=f"bisect-{make_id(out, now)}",
        status="running",
        started_at=utc_now(),
        finished_at=None,
        cell=cell.id,
        axis=axis,
        git=str(given["clone"].absolute()) if given["clone"] else "",
        reason=Reason(given["reason"]) if given["reason"] else None,
        bad_from=bad_from,
        attempts=attempts,
        at_once=given["at_once"] or 0,
        settings=settings,
        origin=bisect.find_origin(cell, selection.matrix, settings, sources),
        notes=notes,
        candidates=candidates,
        steps=(),
        message="",
    )


def _parse_vote(text: str) -> tuple[int, int]:
    first, _, second = text.partition("/")
    if not (first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second) <= 1000):  # noqa: PLR2004
        raise UsageError(
            f"--flaky {quote(text)}: it is K/N, as in {_VOTE}: of N attempts, K failures are bad"
        )
    return int(first), int(second)


def _make_settings(given: Mapping[str, Any]) -> Settings:
    return Settings(
        folder=str(Path.cwd()),
        today=datetime.now(UTC).date(),
        matrix=str(given["matrix_file"]) if given["matrix_file"] else None,
        profile=FULL,
        filters=(),
        cells=(),
        patches=tuple(given["patch_files"]),
        replacements=common.resolve_replacements(given["replacements"]),
        sources=tuple(str(path) for path in given["sources"]),
        store=str((given["store"] or common.find_default_store()).absolute()),
        mirrors=tuple(where for where in given["mirrors"] if strip_login(where) == where),
        repeat=given["repeat"],
        jobs=given["jobs"],
        memory=None,
        fail_fast=False,
        allow_blocked=True,
        challenge_unsupported=False,
        build="cross",
        keep=False,
        confirm=1,
    )


def _select(settings: Settings, mirrors: Sequence[str]) -> common.SelectedCells:
    """Return the matrix. The pins are those of one cell, and so no choice among all."""
    choice = make_choice(settings.model_copy(update={"pins": None}))
    return choice.select(settings.today, Path(settings.store), mirrors)


def _find_cells(
    settings: Settings, cell: str, axis: str, candidates: Sequence[Candidate], mirrors: Sequence[str]
) -> tuple[common.SelectedCells, Mapping[str, Cell]]:
    """Return the matrix with the candidates on the axis, and the cell of each that is like the named one.

    No rule is left: a failure that one expects would not be probed again.
    """
    every = _select(settings, mirrors).all_cells
    (named,) = select_ids(every, [cell])
    values = (*settings.replacements, *(one.value for one in candidates))
    changed = settings.model_copy(update={"replacements": values})
    selection = _select(changed, mirrors)
    others = [one for one in AXES if one != axis]
    found = {
        other.axes[axis].name: other
        for other in selection.cells
        if all(other.axes[one].name == named.axes[one].name for one in others)
    }
    matrix = replace(selection.matrix, expect=())
    rules = resolve(matrix, selection.all_cells, settings.today)
    return replace(selection, matrix=matrix, expectations=rules, cells=tuple(found.values())), found


def _find_impossible(
    settings: Settings, cell: Cell, axis: str, candidates: Sequence[Candidate], mirrors: Sequence[str]
) -> dict[str, str]:
    """Return the candidates that are not worth a trial, and why."""
    _, cells = _find_cells(settings, cell.id, axis, candidates, mirrors)
    excluded = {one.name: "the matrix excludes it" for one in candidates if one.name not in cells}
    declared = {name: capabilities.find_unsupported(one) for name, one in cells.items()}
    return excluded | {name: one.message for name, one in declared.items() if one}


class _Steps:
    """Runs the steps of a bisection, and tells of them."""

    def __init__(
        self, begun: Bisection, folder: Path, engine: Engine, *, mirrors: Sequence[str], quiet: bool
    ) -> None:
        self._begun, self._folder, self._engine, self._quiet = begun, folder, engine, quiet
        self._mirrors = mirrors
        self._told = len(begun.steps)

    def probe(self, candidates: Sequence[Candidate], attempts: int) -> Mapping[str, bisect.Probed]:
        """Run the candidates as one run, below the bisection's folder."""
        settings = self._begun.settings
        begun, mirrors = self._begun, self._mirrors or settings.mirrors
        selection, cells = _find_cells(settings, begun.cell, begun.axis, candidates, mirrors)
        if missing := [one.name for one in candidates if one.name not in cells]:
            raise UsageError(
                f"the matrix has no cell for {join_names(missing)}: it excludes what it should try"
            )
        values = (*settings.replacements, *(one.value for one in candidates))
        ids = tuple(cells[one.name].id for one in candidates)
        now = {"replacements": values, "cells": ids, "repeat": attempts, "backtraces": False}
        settings = settings.model_copy(update=now)
        cancel = Cancel()
        cancel_on_signals(cancel)
        options = make_options(settings, self._folder, self._engine.cpus, self._mirrors)
        known = Store(options.store).find_duration
        with (
            show_progress(selection.cells, known=known, quiet=self._quiet, as_json=False) as view,
            show_log(view.say),
        ):
            record, folder = running.run_matrix(
                selection.matrix,
                selection.cells,
                common.read_catalog([Path(path) for path in settings.sources]),
                self._engine,
                options,
                expectations=selection.expectations,
                listen=view.listen,
                cancel=cancel,
            )
        if record.run.status != "finished":
            raise KeyboardInterrupt
        by_id = {one.id: one for one in record.cells}
        return {
            one.name: bisect.Probed(cell=by_id[cells[one.name].id], run=folder.name) for one in candidates
        }

    def keep(self, bisection: Bisection) -> None:
        """Write ``bisect.json``, and tell of the steps that are new."""
        bisect.save(bisection, self._folder)
        title = {one.name: one.title for one in bisection.candidates}
        for step in () if self._quiet else bisection.steps[self._told :]:
            common.say(f"{step.mark}: {title[step.candidate]}: {step.message}")
        self._told = len(bisection.steps)
        length = len(bisection.candidates)
        left = count_steps(bisection.marks, length, width=bisection.at_once)
        if left and not self._quiet:
            common.say(f"about {units.format_count(left, 'more step')}")


def _print(found: Bisection, folder: Path, form: str) -> None:
    if form == "json":
        click.echo(common.as_json(found.model_dump(mode="json")))
        return
    click.echo(make_printable(found.message))
    border = found.border
    for position in (border.before, border.after) if border else ():
        step = found.find_step(position)
        click.echo(make_printable(f"{step.mark}: {found.candidates[position].title}: {step.message}"))
        click.echo(make_printable(f"  {folder / step.runs[-1] / 'index.html'}"))
        click.echo(make_printable(f"  {step.rerun}"))
    count = len(found.steps)
    skipped = sum(step.mark == "skip" for step in found.steps)
    click.echo(
        f"{count} of {len(found.candidates)} tried, {skipped} of them could not be told:"
        f" {make_printable(str(folder / bisect.BISECTION))}"
    )
