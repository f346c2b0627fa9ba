"""The history on a branch of git: for machines that are thrown away after each night, as those of CI are.

The branch has one commit, whose files are the history and the journals of the last nights, each packed. A
push replaces all of it or nothing, and only what was pulled before; GitHub's caches and artifacts expire, and
a release's asset is removed before the next one is there.
"""

import gzip
import io
import re
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from orchestrator import bounds
from orchestrator.atomic_files import make_ignored, read_limited, scratch_folder, write_atomically
from orchestrator.errors import MatrixctlError, UsageError
from orchestrator.execute.sources import git
from orchestrator.execute.sources.download import FetchError
from orchestrator.phrases import quote
from orchestrator.record.find import LAST_GOOD, find_run, read_series
from orchestrator.record.history.history import History
from orchestrator.record.history.place import parse_place
from orchestrator.record.journal import JOURNAL
from orchestrator.record.runs import is_id, list_begun

_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_RUN = re.compile(r"runs/(?P<id>[^/]+)\.jsonl\.gz")
_HISTORY = "history.db.gz"
_NAMED = 3
"""Runs that a sentence names."""
_SECONDS = 300
"""For all that one command asks of git."""


def pull_history(branch: str, remote: str, reports: Path, history: Path) -> int | None:
    """Bring a history and its journals here from a branch; return how many journals came.

    A journal that is here already stays. ``None``: there is no such branch, as before the first night.

    :raises MatrixctlError: where git fails, a file of the branch is damaged, or the history here has runs
        that the one of the branch lacks; then nothing was written.
    """
    _check_branch(branch)
    deadline = time.monotonic() + _SECONDS
    try:
        commit = git.pull(Path(), remote, branch, deadline=deadline)
        if not commit:
            return None
        came = {path: _unpack(path, data) for path, data in git.read_blobs(Path(), commit, deadline=deadline)}
    except FetchError as error:
        raise MatrixctlError(f"the history cannot be fetched: branch {branch} of {remote}: {error}") from None
    if _HISTORY in came and history.exists():
        _refuse_loss(history, came[_HISTORY], branch, remote)
    make_ignored(reports)
    named = {path: match["id"] for path in came if (match := _RUN.fullmatch(path))}
    found = {name: came[path] for path, name in named.items() if is_id(name)}
    for name, journal in found.items():
        if not (reports / name).exists():
            (reports / name).mkdir()
            write_atomically(reports / name / JOURNAL, journal)
    if _HISTORY in came:
        write_atomically(history, came[_HISTORY])
    return len(found)


def _refuse_loss(history: Path, fetched: bytes, branch: str, remote: str) -> None:
    """:raises MatrixctlError: where a history has runs that the fetched one lacks, or one cannot be read."""
    here, where = _read_ids(history), f"branch {branch} of {remote}"
    with scratch_folder() as scratch:
        there = scratch / history.name
        there.write_bytes(fetched)
        try:
            lost = sorted(here - _read_ids(there), reverse=True)
        except MatrixctlError as error:
            what = error.brief.removeprefix(f"the history {parse_place(str(there))} ")
            raise MatrixctlError(
                f"the history on {where} {what}",
                details=f"So it is not known what it lacks of {history}, which stays as it is.",
                resolution=error.resolution,
            ) from None
    if lost:
        names = ", ".join(map(quote, lost[:_NAMED]))
        more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
        runs = "a run" if len(lost) == 1 else f"{len(lost)} runs"
        raise MatrixctlError(
            f"the history {history} has {runs} that {where} lacks: {names}{more}",
            details="A pull would lose them; nothing was written.",
            resolution=f"Push them first (matrixctl history push {branch} --remote {remote}). If that is"
            f" refused, or they are not wanted, move {history} away, pull, and import those that are.",
        )


def _read_ids(file: Path) -> set[str]:
    with History(parse_place(str(file))) as history:
        return {run["id"] for run in history.list_runs()}


def push_history(branch: str, remote: str, reports: Path, history: Path, *, nights: int) -> int:
    """Make a history and the journals of the newest runs the content of a branch; return how many runs.

    :param nights: how many runs of each series; its last good one comes with them, however old.
    :raises MatrixctlError: where git fails, or the branch has changed since it was pulled.
    """
    _check_branch(branch)
    if not history.is_file():
        raise UsageError(f"there is no history {history}", resolution="`matrixctl history import` makes it.")
    chosen = sorted(set(_choose(reports, nights)))
    with scratch_folder() as scratch:
        files = {_HISTORY: _pack(history, scratch / "history")}
        for name in chosen:
            files[f"runs/{name}.jsonl.gz"] = _pack(reports / name / JOURNAL, scratch / name)
        message = f"Keep the history up to {chosen[-1]}" if chosen else "Keep the history"
        try:
            deadline = time.monotonic() + _SECONDS
            git.push(Path(), remote, branch, files, message, deadline=deadline)
        except git.MovedError as error:
            raise MatrixctlError(
                f"the history is not kept: {error}",
                details="Another job has written it since this one pulled it, and nothing of it is lost.",
                resolution=f"Move {history} away, pull, import the runs that it has and the branch lacks, and"
                " push again; one job at a time needs no second try.",
            ) from None
        except FetchError as error:
            raise MatrixctlError(f"the history is not kept: branch {branch} of {remote}: {error}") from None
    return len(chosen)


def _check_branch(branch: str) -> None:
    if not _BRANCH.fullmatch(branch):
        raise UsageError(
            f"{quote(branch)} is no name for the branch of a history: letters, digits, dashes, underscores"
        )


def _choose(reports: Path, nights: int) -> Iterator[str]:
    by_series: dict[str, list[str]] = {}
    for name in list_begun(reports):
        by_series.setdefault(read_series(reports / name), []).append(name)
    for series, names in by_series.items():
        yield from names[-nights:]
        with suppress(UsageError):  # there is no good one yet
            yield find_run(LAST_GOOD, reports, series=series).name


def _pack(file: Path, to: Path) -> Path:
    # Without a time in it, so that what is the same packs to the same.
    to.write_bytes(gzip.compress(read_limited(file, bounds.UNPACKED), mtime=0))
    if to.stat().st_size > bounds.BLOB:
        raise MatrixctlError(
            f"{file} is larger than {bounds.format_size(bounds.BLOB)} packed, too large for a branch",
            resolution="`matrixctl history prune` makes it smaller; PostgreSQL needs no branch.",
        )
    return to


def _unpack(path: str, data: bytes) -> bytes:
    try:
        with gzip.open(io.BytesIO(data)) as packed:
            found = packed.read(bounds.UNPACKED + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise MatrixctlError(
            f"the history is damaged: {quote(path)} of the branch cannot be unpacked: {error}",
            resolution="Take an older commit of the branch, or remove the branch to begin a new history.",
        ) from None
    if len(found) > bounds.UNPACKED:
        limit = bounds.format_size(bounds.UNPACKED)
        raise MatrixctlError(f"the history is damaged: {quote(path)} of the branch has more than {limit}")
    return found
