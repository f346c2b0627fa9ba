"""From the folders of several runs to the folder of the one run that they make up."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from orchestrator.app.inputs import FOLDER, follow
from orchestrator.app.output import write_reports
from orchestrator.atomic_files import copy_limited, hash_file, make_ignored, scratch_folder, sync_folder
from orchestrator.bounds import format_size
from orchestrator.errors import MatrixctlError, UsageError
from orchestrator.phrases import join_names
from orchestrator.record import journal
from orchestrator.record.check_count import find_complaints
from orchestrator.record.fold import fold, write_run_json
from orchestrator.record.journal import JOURNAL
from orchestrator.record.merge import Missing, merge
from orchestrator.record.merge_parts import Part, read_part, refuse_strangers
from orchestrator.record.model import RunRecord
from orchestrator.record.runs import is_id, list_runs, make_id

_log = logging.getLogger(__name__)

_FILE = 16 << 20
"""Bytes of one file that is copied: the largest that we write, a build's log, has half of that."""
_ALL = 4096 << 20
"""Bytes of all that is copied of one run."""


def read_parts(folders: Sequence[Path]) -> tuple[Part, ...]:
    """Read the runs that are to become one, in the order of their shards.

    One that died before its plan was written is left out, and said: its shard is missing.

    :param folders: each a run's, or one that holds exactly one.
    :raises UnplannedError: where none has got further than that.
    :raises UsageError: where that is nothing to merge, or they are no parts of one selection.
    :raises MatrixctlError: where one cannot be read.
    """
    if not folders:
        raise UsageError("there is nothing to merge", resolution="Name the folders of the shards' runs.")
    parts, unplanned = [], []
    for folder in folders:
        try:
            parts.append(read_part(_find(folder)))
        except journal.UnplannedError as error:
            unplanned.append(error)
    if not parts:
        raise unplanned[0]
    for one in unplanned:
        _log.warning("%s", one.brief)
    parts.sort(key=lambda part: part.place)
    if len(parts) == 1 and not parts[0].shard:
        raise UsageError(
            f"{folders[0]} is one run of a whole selection: there is nothing to merge",
            resolution="Name the runs of all its shards.",
        )
    refuse_strangers(parts)
    return tuple(parts)


def _find(folder: Path) -> Path:
    if (folder / JOURNAL).is_file():
        return folder
    found = list_runs(folder)
    if len(found) == 1:
        return folder / found[0]
    if found:
        raise UsageError(
            f"{folder} holds {len(found)} runs: {join_names(found)}", resolution="Name those that are meant."
        )
    raise UsageError(f"{folder} is no run's folder, and holds none: there is no {JOURNAL}")


def merge_runs(parts: Sequence[Part], missing: Sequence[Missing], out: Path) -> RunRecord:
    """Write the run that the parts make up, whole or not at all; return its record.

    :param parts: as ``read_parts`` returns them.
    :param missing: the shards that are not among them.
    :param out: the run's own folder, which is not there yet, or is empty.
    :raises UsageError: where something is there.
    :raises MatrixctlError: where it cannot be written.
    """
    out = out.absolute()
    if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
        raise _explain_existing(out)
    try:
        make_ignored(out.parent)
        with scratch_folder(out.parent) as scratch:
            folder = scratch / "run"
            folder.mkdir()
            record = _write(parts, missing, folder, _name(out), out)
            sync_folder(folder)
            try:
                folder.rename(out)
            except OSError:
                if out.exists():  # it came to be meanwhile
                    raise _explain_existing(out) from None
                raise
        sync_folder(out.parent)
    except OSError as error:
        raise MatrixctlError(f"The run {out} cannot be written: {error.strerror or error}") from error
    return record


def _explain_existing(out: Path) -> UsageError:
    return UsageError(f"{out} is there already, and stays as it is", resolution="Name a new folder.")


def _name(out: Path) -> str:
    return out.name if is_id(out.name) else make_id(out.parent, datetime.now(UTC))


def _write(
    parts: Sequence[Part], missing: Sequence[Missing], folder: Path, run_id: str, out: Path
) -> RunRecord:
    """Write the run into a folder that will become ``out``."""
    copies = [
        Copies(source=part.past.folder, to=folder, below=f"shards/{n}") for n, part in enumerate(parts, 1)
    ]
    moved = [
        part.move(copy.take, partial(follow, run_id=part.record.run.id, folder=out))
        for part, copy in zip(parts, copies, strict=True)
    ]
    for part, copy in zip(parts, copies, strict=True):
        copy.take_rest(part)
        copy.warn(part)
    events, notes = merge(run_id, moved, missing)
    for note in notes:
        _log.warning("%s", note)
    journal.write(folder / JOURNAL, events)
    record = fold(journal.read(folder / JOURNAL))
    planned = {cell.id for part in parts for cell in part.past.start.record.cells}
    planned |= {cell.id for one in missing for cell in one.cells or ()}
    if wrong := find_complaints(sorted(planned), record):
        raise MatrixctlError(
            "The count of the merged cells does not close; this is a fault of matrixctl.",
            details="\n".join(wrong),
        )
    write_run_json(record, folder / "run.json")
    write_reports(record, folder, place=out)
    return record


@dataclass(kw_only=True)
class Copies:
    """Files of one run, copied into another: none that lies outside of the run's folder, links included."""

    source: Path
    to: Path
    below: str
    """The folder of the copies, within ``to``."""
    left: int = _ALL
    known: dict[str, str | None] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    """What was not copied, and why."""

    def take(self, path: str) -> str | None:
        """Copy a file; return its new path. What is no path below the run's folder becomes ``None``.

        Of one that is missing or cannot be copied the path stays: the record says that there was such a file.
        """
        if path not in self.known:
            parts = path.split("/")
            is_below = not ({"", ".", ".."} & {*parts}) and "\0" not in path
            self.known[path] = f"{self.below}/{path}" if is_below else None
            why = self._copy(path, self.to / self.below / path) if is_below else "it is no path below the run"
            if why:
                self.refused[path] = why
        return self.known[path]

    def take_rest(self, part: Part) -> None:
        """Copy what is linked or named beside the evidence: patches, tracebacks, what the run began with."""
        for path in sorted(self.source.glob("internal-*.txt")):
            self.take(path.name)
        for path in sorted(self.source.glob(f"{FOLDER}/*")):
            if not (to := self.to / FOLDER / path.name).exists():  # each shard began with the same
                self._copy(f"{FOLDER}/{path.name}", to)
        patches = {
            patch.name: patch.sha256
            for cell in part.record.cells
            for patch in (*cell.axes.haproxy.patches, *cell.axes.tls.patches)
        }
        for name, sha256 in patches.items():
            to = self.to / "patches" / name
            if "/" in name or "\0" in name or name in {"", ".", ".."} or to.exists():
                continue
            if not self._copy(f"patches/{name}", to) and hash_file(to) != sha256:
                to.unlink()

    def warn(self, part: Part) -> None:
        """Say what was not copied."""
        if self.refused:
            path, why = next(iter(self.refused.items()))
            more = f", and {len(self.refused) - 1} more" if len(self.refused) > 1 else ""
            _log.warning("%s: not copied: %r (%s)%s", part.title, path, why, more)

    def _copy(self, path: str, to: Path) -> str:
        """Copy a file; return why not, or nothing."""
        try:
            found = self.source.resolve(strict=True) / path
            if found.resolve(strict=True) != found:
                return "a link"
            limit = min(_FILE, self.left)
            to.parent.mkdir(parents=True, exist_ok=True)
            copy_limited(found, to, limit)
        except OverflowError:
            to.unlink(missing_ok=True)
            return f"more than {format_size(limit)}"
        except (FileNotFoundError, NotADirectoryError):
            return "it is missing"
        except OSError as error:
            return error.strerror or str(error)
        self.left -= to.stat().st_size
        return ""
