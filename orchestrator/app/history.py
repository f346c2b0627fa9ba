"""From the folders of runs to the history. It imports SQLAlchemy: import it late."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from orchestrator.analyse.alarms import find_alarms, follow_alarms
from orchestrator.analyse.change import read_state
from orchestrator.analyse.ingredients import Ingredients
from orchestrator.analyse.nights import Flakiness, Tonight, find_first_night, find_flaky
from orchestrator.errors import MatrixctlError, UsageError
from orchestrator.record.find import read_run
from orchestrator.record.fold import mark_cut_off
from orchestrator.record.history.history import Added, History, find_old_runs
from orchestrator.record.history.rows import clean, name_night, read_start
from orchestrator.record.journal import hold
from orchestrator.record.model import RunRecord
from orchestrator.record.runs import list_begun


class GoesOnError(UsageError):
    """The run has not ended."""


def import_run(history: History, found: Path, *, anyway: bool = False) -> Added:
    """Write a run down, all of it or nothing.

    :param found: its folder, or a ``run.json``.
    :param anyway: as for ``History.add``.
    :raises GoesOnError: where it still goes on.
    :raises UsageError: where the history has another run of that id.
    :raises MatrixctlError: where it cannot be read or written.
    """
    record = read_run(found)
    if record.run.status == "running":
        raise GoesOnError(
            f"the run {record.run.id} still goes on", resolution="It can be imported once it has ended."
        )
    folder = str(found.absolute()) if found.is_dir() else ""
    return add_run(history, record, folder=folder, anyway=anyway)


def add_run(history: History, record: RunRecord, *, folder: str = "", anyway: bool = False) -> Added:
    """Write down a record with its alarms, and of what its cells were made.

    An alarm has the key that it had in the runs of its series before it, as far as these are there already.
    """
    alarms = find_alarms(record)
    if alarms:
        alarms = follow_alarms(alarms, history.list_alarms_before(record))
    made = Ingredients(record).list_sets()
    return history.add(record, alarms, made, folder=folder, anyway=anyway)


def import_each(
    history: History, found: Sequence[Path], *, anyway: bool = False
) -> Iterator[tuple[Path, Added | MatrixctlError]]:
    """Write down one run after another; return what became of each. One that fails costs no other."""
    for path in found:
        try:
            yield path, import_run(history, path, anyway=anyway)
        except MatrixctlError as error:
            yield path, error


def find_flaky_before(history: History, record: RunRecord) -> Mapping[str, Flakiness]:
    """Return which of the run's alarms are at cells that are flaky, as the nights before it show.

    Only nights count in which they depended on just the same as in this run.
    """
    record, _ = clean(record)
    cells = {cell.id: cell for cell in record.cells if read_state(cell).alarms}
    if not cells:
        return {}
    sets = {cell: made for cell, made in Ingredients(record).list_sets().items() if cell in cells}
    night = name_night(read_start(record.run.started_at))
    tonight = {
        name: Tonight(
            night=night,
            state=read_state(cells[name]),
            made=(*pair, cells[name].build.digest or ""),
        )
        for name, pair in history.find_sets(sets).items()
    }
    past = history.list_past(
        record.run.series, first_night=find_first_night(night), before=record.run.id, cells=sorted(tonight)
    )
    return find_flaky(past, tonight)


def find_folders(history: History, reports: Path) -> list[Path]:
    """Return the folders of all runs: those below ``reports``, and those that the history remembers."""
    there = {name: reports / name for name in list_begun(reports)}
    known = {run["id"]: Path(run["folder"]) for run in history.list_runs() if run["folder"]}
    gone = {name for name, folder in known.items() if not folder.is_dir()}
    return [(known | there)[name] for name in sorted(known | there) if name in there or name not in gone]


def remove_folders(history: History, reports: Path, keep_nights: int, *, dry_run: bool) -> Iterator[Path]:
    """Remove the folders of runs before the newest nights of their series; return each.

    Only of runs that the history has as they are now, and only below ``reports``: what the history says of a
    place is not enough to remove what lies there.
    """
    there = set(list_begun(reports))
    for run in find_old_runs(history.list_runs(), keep_nights):
        folder = reports / run["id"]
        if run["id"] not in there or folder.is_symlink():
            continue
        with suppress(MatrixctlError):  # it goes on, or cannot be read: it stays
            with hold(folder):
                _, digest = clean(mark_cut_off(read_run(folder)))
                if digest != run["digest"]:
                    continue
                if not dry_run:
                    shutil.rmtree(folder)
            yield folder
