"""Runs on disk: which there are, and the folder of a new one."""

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.atomic_files import make_ignored
from orchestrator.errors import UsageError
from orchestrator.record.journal import JOURNAL, hold

_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")
_WHEN = "%Y%m%d-%H%M%S"
_TAIL = 1 << 16
_MINUTE = 60


def list_runs(out: Path) -> tuple[str, ...]:
    """Return the folders below ``out`` that have a journal, the oldest run first."""
    return tuple(sorted(path.parent.name for path in out.glob(f"*/{JOURNAL}")))


def list_begun(out: Path) -> tuple[str, ...]:
    """Return the ids of the runs below ``out`` that have begun, the oldest first.

    A sample, or a run that a person renamed, has no id.
    """
    return tuple(name for name in list_runs(out) if is_id(name) and _has_event(out / name / JOURNAL))


def _has_event(journal: Path) -> bool:
    with suppress(FileNotFoundError):  # another one that cleans removes it just now
        return journal.stat().st_size > 0
    return False


def is_id(name: str) -> bool:
    """Return whether the name of a folder has the shape of a run's id."""
    return _ID.fullmatch(name) is not None


def make_id(out: Path, now: datetime) -> str:
    """Return an id for a run that begins ``now``; it sorts after all that exist, for any clock."""
    last = max((_read_number(name) for name in list_runs(out) if is_id(name)), default=0)
    number = int(now.timestamp()) * _TAIL + secrets.randbelow(_TAIL)
    if number <= last:
        number = last + 1 + secrets.randbelow(1 << 8)  # two that begin at once are still two
    return f"{datetime.fromtimestamp(number // _TAIL, UTC):{_WHEN}}-{number % _TAIL:04x}"


def begin(out: Path, now: datetime) -> Path:
    """Make and return a new folder for a run that begins ``now``; two runs never share one.

    :raises OSError: as the file system says.
    """
    make_ignored(out)
    while True:
        folder = out / make_id(out, now)
        try:
            folder.mkdir()
        except FileExistsError:  # another began with that very id, and has no journal yet
            continue
        return folder


def remove_never_begun(out: Path, *, dry_run: bool = False) -> Iterator[Path]:
    """Remove the folders of runs that were killed before their first event, and return them.

    Nothing younger than a minute: its run may be about to take it.
    """
    for folder in sorted(out.glob("*")):
        with suppress(FileNotFoundError):  # another one that cleans was quicker
            if _is_empty(folder):
                if not dry_run:
                    with suppress(UsageError), hold(folder):  # which leaves no folder without an event
                        pass
                if dry_run or not folder.exists():
                    yield folder


def _is_empty(folder: Path) -> bool:
    if not (is_id(folder.name) and folder.is_dir()):
        return False
    if time.time() - folder.stat().st_mtime <= _MINUTE:
        return False
    named = {path.name for path in folder.iterdir()}
    return named <= {JOURNAL} and not (named and (folder / JOURNAL).stat().st_size)


def _read_number(name: str) -> int:
    when, _, tail = name.rpartition("-")
    try:
        return int(datetime.strptime(when, _WHEN).replace(tzinfo=UTC).timestamp()) * _TAIL + int(tail, 16)
    except ValueError:  # no date: a person's own name
        return 0
