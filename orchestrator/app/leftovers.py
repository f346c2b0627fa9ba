"""Removes what dead runs left: in the engine, in the store, among the reports, in temporary folders."""

import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator.atomic_files import sweep_half_made, sweep_scratch
from orchestrator.errors import EngineError
from orchestrator.execute.engine.engine import Engine, Leftover
from orchestrator.execute.store.store import Store
from orchestrator.record.journal import JOURNAL
from orchestrator.record.runs import list_runs, remove_never_begun

_log = logging.getLogger(__name__)

_NAMED = 5
"""How many are named; a hundred names would hide the run's own words."""
_TAIL = 8192
"""Bytes of a journal in which its last event is looked for."""


def remove_leftovers(engine: Engine, store: Store, out: Path, *, resumed: str = "") -> None:
    """Remove what dead runs left, and log it in one line; an error is logged and not raised.

    :param resumed: the id of the run that goes on: the process that began it is dead.
    """
    gone: list[str] = []
    try:
        gone.extend(f"{one.kind} {one.name}" for one in sweep_dead(engine, resumed=resumed))
        gone += map(str, remove_files(store, out))
    except EngineError as error:
        _log.warning("%s", f"{error.brief} {error.details}".rstrip())
    except OSError as error:
        _log.warning("could not look for what dead runs left: %s", error)
    if gone:
        _log.info("%s", _describe_gone(gone))


def sweep_dead(engine: Engine, *, resumed: str = "") -> Iterator[Leftover]:
    """Remove whatever the engine has of dead processes of this machine and boot; yield what went.

    :param resumed: the id of a run whose maker is known to be dead, even where an earlier boot hides that.

    What ``--keep`` left stays for the look inside that it was left for: only a person's ``matrixctl clean``
    takes it. Never touched are things without our label, and things of which it is not known here whether
    they live. Two runs that sweep at once do not disturb each other.

    :raises EngineError: if the engine does not do what it is asked; what went is gone all the same.
    """
    for one in engine.find_leftovers():
        dead = one.alive is False or (one.alive is None and one.run == resumed != "")
        if dead and not one.kept and engine.remove_leftover(one):
            yield one


def remove_files(store: Store | None, out: Path, *, dry_run: bool = False) -> tuple[Path, ...]:
    """Remove folders and files that dead processes of this user left half made; return those.

    :param out: the folder of the reports.
    :raises OSError: where a folder cannot be read.
    """
    return (
        *sweep_scratch(Path(tempfile.gettempdir()), dry_run=dry_run),
        *sweep_scratch(out, dry_run=dry_run),  # of a merge
        *(store.sweep(dry_run=dry_run) if store else ()),
        *sweep_half_made(_list_hidden(out), dry_run=dry_run),
        *remove_never_begun(out, dry_run=dry_run),
    )


def _list_hidden(out: Path) -> Iterator[Path]:
    for name in list_runs(out):
        folder = out / name
        # A run that ended can have left something only where its report is; evidence may be a hundred
        # thousand files.
        yield from folder.glob(".*") if _has_ended(folder / JOURNAL) else folder.rglob(".*")


def _has_ended(journal: Path) -> bool:
    with journal.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
        return b'"kind":"run-finished"' in file.read()


def _describe_gone(gone: Sequence[str]) -> str:
    more = f" and {len(gone) - _NAMED} more" if len(gone) > _NAMED else ""
    things = "leftover" if len(gone) == 1 else "leftovers"
    return f"removed {len(gone)} {things} of dead runs: {', '.join(gone[:_NAMED])}{more}"
