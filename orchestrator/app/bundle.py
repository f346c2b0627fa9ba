"""A run's page with the evidence of some of its cells and all that the run was begun with, as one zip."""

import io
import re
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from orchestrator import bounds
from orchestrator.analyse.compare import Comparison
from orchestrator.app.inputs import FOLDER as INPUTS
from orchestrator.atomic_files import read_beneath
from orchestrator.errors import MatrixctlError, UsageError
from orchestrator.record.merge_parts import move_files
from orchestrator.record.model import CellRecord, RunRecord
from orchestrator.report import html

_MIB = 1 << 20
_FILE, _ALL = 64 * _MIB, 512 * _MIB
"""Bytes of one file, and of all together, before they are packed."""
_BEGAN = (1980, 1, 1, 0, 0, 0)
"""The earliest date of a zip, for each file: the same run gives the same bytes."""
_ODD = frozenset('\\:*?"<>|')
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """What goes into a zip, by path, and which of the run's files do not, each with why."""

    files: Mapping[str, bytes]
    left_out: tuple[str, ...]


def gather(
    folder: Path,
    record: RunRecord,
    cells: Collection[str],
    comparison: Comparison | None = None,
    *,
    beside: Mapping[str, bytes] | None = None,
) -> Bundle:
    """Return the page and what it links to.

    The page and ``run.json`` have all cells of the run, and links to evidence of the chosen ones alone. No
    link of the folder is followed.

    :param cells: ids of those whose evidence is taken along; empty for all.
    :param beside: further files of ours.
    """
    files: dict[str, bytes] = {}
    left_out: list[str] = []
    room = _ALL
    for path in _list_files(folder, record, cells):
        if not path.isprintable() or _ODD & {*path}:  # another system would unpack it elsewhere
            left_out.append(f"{path}: no name that each system can unpack")
            continue
        try:
            content = read_beneath(folder, path, min(_FILE, room))
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else None
            left_out.append(f"{path}: {why or 'it is no path of a file'}")
            continue
        if len(content) > min(_FILE, room):
            file_limit, limit = bounds.format_size(_FILE), bounds.format_size(_ALL)
            left_out.append(f"{path}: too large, as a file has {file_limit}, all {limit}")
            continue
        files[path], room = content, room - len(content)
    chosen = record.model_copy(update={"cells": tuple(_strip(one, cells) for one in record.cells)})
    shown = move_files(chosen, lambda path: path if path in files else None)
    page = html.render(shown, comparison).encode()
    files |= {
        "index.html": page,
        "run.json": shown.model_dump_json(indent=1).encode() + b"\n",
        **(beside or {}),
    }
    return Bundle(files=files, left_out=tuple(left_out))


def _list_files(folder: Path, record: RunRecord, cells: Collection[str]) -> list[str]:
    """Return the paths of the run's files, what is needed most first, each once."""
    chosen = [one for one in record.cells if not cells or one.id in cells]
    found = [path for one in chosen for path in (*one.evidence, *filter(None, (one.build.vv,)))]
    found += [path for one in chosen for attempt in one.attempts for path in attempt.evidence]
    found += [path for one in chosen if one.traced for path in one.traced.evidence]
    found += [path for kept in (INPUTS, "patches") for path in _list_folder(folder, kept)]
    found += [path for test in record.selftests for path in test.evidence]
    found += [action.log for action in record.actions if action.log]
    return list(dict.fromkeys(found))


def _list_folder(folder: Path, name: str) -> list[str]:
    kept = folder / name
    if kept.is_symlink() or not kept.is_dir():
        return []
    return sorted(f"{name}/{path.name}" for path in kept.iterdir())


def _strip(cell: CellRecord, cells: Collection[str]) -> CellRecord:
    """Return a cell without its files, unless it is chosen; what its build says of itself stays."""
    if not cells or cell.id in cells:
        return cell
    tries = tuple(one.model_copy(update={"evidence": ()}) for one in cell.attempts)
    traced = cell.traced and cell.traced.model_copy(update={"evidence": ()})
    return cell.model_copy(update={"evidence": (), "attempts": tries, "traced": traced})


def write_zip(path: Path, bundle: Bundle, run_id: str) -> None:
    """Write a zip whose files lie in one folder; the same files give the same bytes.

    :raises UsageError: where there is a file of that name.
    :raises MatrixctlError: where it cannot be written; nothing is left of it.
    """
    try:
        with path.open("xb") as file:
            try:
                _pack(file, bundle, run_id if _NAME.fullmatch(run_id) else "run")
            except BaseException:
                path.unlink(missing_ok=True)
                raise
    except FileExistsError:
        raise UsageError(
            f"{path} is there already, and is not overwritten", resolution="Remove it, or name another file."
        ) from None
    except OSError as error:
        raise MatrixctlError(f"{path} cannot be written: {error.strerror or error}") from error


def _pack(file: IO[bytes], bundle: Bundle, name: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path, content in sorted(bundle.files.items()):
            entry = zipfile.ZipInfo(f"{name}/{path}", date_time=_BEGAN)
            entry.compress_type, entry.create_system, entry.external_attr = (
                zipfile.ZIP_DEFLATED,
                3,
                0o644 << 16,
            )
            archive.writestr(entry, content)
    file.write(packed.getvalue())
