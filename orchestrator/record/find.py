"""RUN: one meaning in every command. Which run is meant, and its record.

RUN is an id, a run's folder, the path of a ``run.json``, ``latest``, ``latest~N``, a date, or ``last-good``.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from orchestrator.atomic_files import read_limited
from orchestrator.errors import Exit, MatrixctlError, UsageError
from orchestrator.matrix.select import find_alike, find_ids, list_some
from orchestrator.outcome import ALARMS, Verdict, correct_verdict
from orchestrator.phrases import join_names, quote
from orchestrator.record import journal
from orchestrator.record.fold import fold, mark_cut_off
from orchestrator.record.journal import JOURNAL
from orchestrator.record.model import CellRecord, RunInfo, RunRecord
from orchestrator.record.runs import list_begun, list_runs

LATEST = "latest"
LAST_GOOD = "last-good"
WHAT = "an id, a folder, a run.json, `latest`, `latest~N`, a date or `last-good`"
"""What RUN may be, for helps and errors."""
SERIES = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
"""What a series may be called."""

_BACK = re.compile(rf"{LATEST}(?:~(\d{{1,6}}))?", re.ASCII)
_HEAD = 1 << 16
"""Bytes of a journal's first line in which the run itself stands, before its cells."""
_LIMIT = 1 << 29
"""Bytes of a ``run.json``: a hundred times what the largest one has."""
_BAD = ALARMS | {Verdict.NOT_JUDGED}


class NoSuchNightError(UsageError):
    """The series has not come so far: it has no run yet, none that is good, or not so many."""


def find_run(name: str, reports: Path, *, series: str | None = None, before: str | None = None) -> Path:
    """Return the folder of a run, or the file where the record alone is named.

    :param series: ``latest``, ``latest~N`` and a date count among its runs; without it among all runs.
        ``last-good`` is always of one series: without it of the only one.
    :param before: the id of a run; ``last-good`` is one before it.
    :raises NoSuchNightError: where ``latest``, ``latest~N`` or ``last-good`` means none yet.
    :raises UsageError: if there is none, with the nearest ids; or if it is not clear which series is meant.
    """
    known = list_runs(reports)
    if name in known:
        return reports / name
    if name == LAST_GOOD:
        return _find_last_good(reports, find_only_series(reports) if series is None else series, before)
    if (back := read_back(name)) is not None:
        return _find_back(reports, back, series)
    if day := read_day(name):
        return _find_of_day(reports, day, series)
    if (path := find_path(name)) is not None:
        return path
    raise UsageError(
        f"no run {quote(name)} below {reports}, and no folder of that name with a {JOURNAL}",
        details=f"nearest: {join_names(get_close_matches(name, known, n=3, cutoff=0.3) or known[-3:])}"
        if known
        else "",
        resolution=f"RUN is {WHAT}; --reports says where runs are looked for.",
    )


def find_path(name: str) -> Path | None:
    """Return the path that a person named if it is one of a run: its folder, or a file with its record.

    :raises UsageError: where it is one of something near to that.
    """
    path = Path(name)
    try:
        if path.name == JOURNAL and path.is_file():
            raise UsageError(f"{path} is a run's journal", resolution=f"Name its folder: {path.parent}")
        if (path / JOURNAL).is_file() or path.is_file():
            return path
        if (path / "run.json").is_file():
            raise UsageError(
                f"the folder {path} has no {JOURNAL}",
                resolution=f"Its record can be read alone: {path / 'run.json'}",
            )
    except (OSError, ValueError):  # too long for a name, or a NUL in it
        pass
    return None


def find_folder(name: str, reports: Path, *, series: str | None = None) -> Path:
    """Return the folder of a run; see ``find_run``.

    :raises UsageError: also where a ``run.json`` is named: its record alone is not enough.
    """
    found = find_run(name, reports, series=series)
    if found.is_file():
        raise UsageError(
            f"{found} is the record of a run alone, and this needs the run's folder, with its {JOURNAL}",
            resolution="Name the folder.",
        )
    return found


def read_run(path: Path, *, warn: bool = False) -> RunRecord:
    """Return the record of a run that ``find_run`` has found: of a folder its journal is the truth.

    A run without an end that no process writes to was cut off.

    :param warn: see ``journal.read``.

    :raises UnplannedError: where it died before it had planned anything.
    :raises MatrixctlError: where it cannot be read, or another version wrote it.
    """
    if path.is_file():
        return _read_file(path)
    events = tuple(journal.read(path / JOURNAL, warn=warn))
    if not events or not isinstance(events[0], journal.RunStarted):
        raise journal.UnplannedError(path)
    record = fold(events)
    return record if journal.goes_on(path) else mark_cut_off(record)


def find_cell(record: RunRecord, name: str) -> CellRecord:
    """Return the cell of an id, or of a part that no other cell's id has.

    :raises UsageError: if there is none, with the nearest ids, or if there are several.
    """
    cells = {cell.id: cell for cell in record.cells}
    found = find_ids(name, cells)
    if len(found) == 1:
        return cells[found[0]]
    all_of_them = f"All of them: matrixctl report {record.run.id} --format markdown"
    if found:
        raise UsageError(
            f"{quote(name)} is part of the ids of {len(found)} cells in the run {record.run.id}",
            details=list_some(found),
            resolution=f"Name more of it. {all_of_them}",
        )
    near = get_close_matches(name, find_alike(name, cells), n=3, cutoff=0.3)
    raise UsageError(
        f"the run {record.run.id} has no cell {quote(name)}",
        details=f"nearest: {join_names(near)}" if near else "",
        resolution=all_of_them,
    )


def is_counted(name: str) -> bool:
    """Return whether it is counted among the runs of a series which run this is."""
    return name == LAST_GOOD or read_back(name) is not None or read_day(name) is not None


def read_back(name: str) -> int | None:
    """Return how many runs before the newest ``latest`` or ``latest~N`` means."""
    found = _BACK.fullmatch(name)
    return int(found[1] or 0) if found else None


def read_day(name: str) -> date | None:
    """Return the day that a RUN names, as in ``2026-11-28``."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", name, re.ASCII):
        with suppress(ValueError):
            return date.fromisoformat(name)
    return None


def find_only_series(reports: Path) -> str:
    """Return the one series that runs below ``reports`` belong to: the empty one, where none has a name.

    :raises UsageError: where there are several.
    """
    return choose_only({read_series(reports / name) for name in list_begun(reports)}, f"below {reports}")


def choose_only(series: Iterable[str], where: str) -> str:
    """Return the one series with a name; the empty one, where none has a name.

    :param where: says to a person which runs they are of.
    :raises UsageError: where there are several.
    """
    names = sorted({*series} - {""})
    if len(names) > 1:
        raise UsageError(
            f"the runs {where} belong to {len(names)} series: {join_names(names)}",
            resolution="Say which one with --series.",
        )
    return names[0] if names else ""


def read_series(folder: Path) -> str:
    """Return the series of a run; empty if it has none, or does not say."""
    series = _read_begin(folder).get("series")
    return series if isinstance(series, str) else ""


def find_previous(folder: Path, run: RunInfo) -> str:
    """Return the id of the newest run beside this one that was begun before it and asked for the same cells.

    It is empty where there is none, or where its page is no longer there.
    """
    asked = _list_asked(run.model_dump(mode="json"))
    for name in reversed(list_begun(folder.parent)):
        other = folder.parent / name
        if name < run.id and _list_asked(_read_begin(other)) == asked:
            return name if (other / "index.html").is_file() else ""
    return ""


def _list_asked(run: dict[str, Any]) -> list[Any]:
    """Return what says which cells a run asked for, and how; the command line may be typed in many ways."""
    chosen = run.get("selection")
    chosen = chosen if isinstance(chosen, dict) else {}
    return [
        *(run.get(key) for key in ("series", "profile", "filters")),
        *(chosen.get(key) for key in ("cells", "options", "shard")),
    ]


def _read_begin(folder: Path) -> dict[str, Any]:
    """Return what the first event of a run says of the run itself; an event of another shape says nothing.

    Only the begin of the journal is read: the run stands there before its cells.
    """
    try:
        with (folder / JOURNAL).open("rb") as file:
            head = file.readline(_HEAD)
            with suppress(ValueError):
                return _find_run(from_json(head, allow_partial=True))
            return _find_run(from_json(head + file.readline()))
    except (OSError, ValueError):
        return {}


def _find_run(event: Any) -> dict[str, Any]:
    value = event
    for key in ("record", "run"):
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def is_good(record: RunRecord) -> bool:
    """Return whether the run is finished, without an alarm and without a cell that was not judged.

    A run of single cells, of one shard, or of cells that it chose itself (``run --explain``) says nothing of
    the rest: it is not what others are held against.
    """
    chosen = record.run.selection
    return (
        record.run.status == "finished"
        and not (chosen and (chosen.cells or chosen.shard))
        and record.run.exploration is None
        and record.run.exit_code != Exit.HARNESS  # a shard may be missing whose cells are unknown
        and bool(record.cells)
        and not any(correct_verdict(cell.outcome, cell.verdict) in _BAD for cell in record.cells)
    )


def _list_of_series(reports: Path, series: str | None) -> Iterator[str]:
    """Return the ids of the runs, the newest first."""
    return (n for n in reversed(list_begun(reports)) if series is None or read_series(reports / n) == series)


def _describe_series(series: str | None) -> str:
    return f" of the series {quote(series)}" if series else " without a series" if series == "" else ""


def _find_back(reports: Path, back: int, series: str | None) -> Path:
    count = 0
    for count, name in enumerate(_list_of_series(reports, series), start=1):
        if count > back:
            return reports / name
    if not count:
        raise NoSuchNightError(f"no run{_describe_series(series)} below {reports} yet")
    there = "is 1 run" if count == 1 else f"are {count} runs"
    raise NoSuchNightError(f"no run {LATEST}~{back}: there {there}{_describe_series(series)} below {reports}")


def _find_of_day(reports: Path, day: date, series: str | None) -> Path:
    ids = list(_list_of_series(reports, series))
    for name in ids:
        if name.startswith(f"{day:%Y%m%d}-"):
            return reports / name
    near = get_close_matches(f"{day:%Y%m%d}", ids, n=3, cutoff=0.3) or ids[:3]
    raise UsageError(
        f"no run{_describe_series(series)} below {reports} began on {day} (UTC)",
        details=f"nearest: {join_names(near)}" if near else "",
    )


def _find_last_good(reports: Path, series: str, before: str | None) -> Path:
    seen = 0
    for name in _list_of_series(reports, series):
        if before is not None and name >= before:
            continue
        with suppress(MatrixctlError):  # a run that cannot be read is not known to be good
            if is_good(read_run(reports / name)):
                return reports / name
        seen += 1
    earlier = f" before {before}" if before is not None else ""
    none = f"no run{_describe_series(series)} below {reports}{earlier}"
    raise NoSuchNightError(
        f"{none} is good: finished, no alarm, no unjudged cell" if seen else f"{none} yet",
        resolution=f"Name another run: RUN is {WHAT}." if seen else "",
    )


def _read_file(path: Path) -> RunRecord:
    try:
        text = read_limited(path, _LIMIT)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        return RunRecord.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        newer = where == "schema_version"
        raise UsageError(
            f"{path} is no run.json that this version of matrixctl can read",
            details=f"{where}: {first['msg']}" if where else first["msg"],
            resolution="Read it with the version of matrixctl that wrote it." if newer else "",
        ) from None
