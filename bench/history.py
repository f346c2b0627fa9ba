"""The history: how fast runs are written down, and how long its queries take with a million results."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from functools import partial
from pathlib import Path

from bench import report
from bench.figures import Section, check_target
from orchestrator.analyse.nights import find_first_night
from orchestrator.app.history import add_run, import_run
from orchestrator.plan.plan import name_session_of
from orchestrator.record.history.history import History
from orchestrator.record.history.place import HistoryPlace, parse_place
from orchestrator.record.journal import JOURNAL, CellJudged, Journal, RunFinished, RunStarted
from orchestrator.record.model import ActionRecord, Component, RunRecord

CELLS, NIGHTS = 500, 2_000
"""A million results: more than five years of nights."""
_FOLDERS = 5
"""Runs that are written as folders, to be imported from there."""
_PACKAGES = 15
"""Of each of two images; a cell of the real matrix depends on some 30 things that it shares."""
_ASKED = 5
"""How often each query is asked; the slowest counts."""
_FIRST = date(2021, 11, 1)


def measure(cells: int = CELLS, nights: int = NIGHTS, *, url: str | None = None) -> Section:
    """Import nights of records in memory and from folders, then ask what the pages ask.

    :param url: of an empty PostgreSQL database, to be measured as well.
    """
    record = report.make_sample(cells)
    with tempfile.TemporaryDirectory() as folder:
        folders = [_write(Path(folder), _make_night(record, nights + number)) for number in range(_FOLDERS)]
        places = [parse_place(f"{folder}/history.db"), *([parse_place(url)] if url else [])]
        measured = [_measure(place, record, nights, folders) for place in places]
    return Section(
        key="history",
        title="The history",
        header=("database", "results", "a second from memory", "a second from folders", "slowest query"),
        rows=tuple(row for row, _ in measured),
        notes=tuple(note for _, notes in measured for note in notes),
    )


def _measure(
    place: HistoryPlace, record: RunRecord, nights: int, folders: Sequence[Path]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the row of one database, and its sentences."""
    name, cells = "PostgreSQL" if place.file is None else "SQLite", len(record.cells)
    with History(place) as kept:
        written = 0.0
        for number in range(nights):
            night = _make_night(record, number)
            written += _time(partial(add_run, kept, night))
        memory = cells * nights / written
        from_folders = cells * len(folders) / _time(lambda: [import_run(kept, one) for one in folders])
        asked = ((_time(query), what) for what, query in _list_queries(kept, record) for _ in range(_ASKED))
        slowest, what = max(asked)
    row = (
        name,
        f"{cells * (nights + len(folders)):,}",
        f"{memory:,.0f}",
        f"{from_folders:,.0f}",
        f"{what}, {slowest * 1000:.0f} ms",
    )
    return row, (
        check_target(f"{name}, written from memory", memory, 5_000, "results a second", at_least=True),
        check_target(f"{name}, written from folders", from_folders, 2_000, "results a second", at_least=True),
        check_target(f"{name}, slowest query", slowest * 1000, 50, "ms"),
    )


def _list_queries(kept: History, record: RunRecord) -> Iterator[tuple[str, Callable[[], object]]]:
    run, cell = kept.find("latest", None), record.cells[-1].id
    yield "runs", kept.list_runs
    yield "results of a run", lambda: kept.list_results(run)
    yield "alarms of a run", lambda: kept.list_alarms(run)
    yield "components of a run", lambda: kept.list_components(run)
    yield "timeline of a cell", lambda: kept.list_timeline(cell, "nightly")
    yield "last pass of a cell", lambda: kept.find_last_pass(cell, run)
    yield "age of a known failure", lambda: kept.find_known_since(cell, run)
    yield "rules of a run", lambda: kept.list_rules(run)
    first = find_first_night(run["night"])
    yield (
        "30 nights of a cell",
        lambda: kept.list_past("nightly", first_night=first, before="x", cells=[cell]),
    )


def _time(do: Callable[[], object]) -> float:
    started = time.perf_counter()
    do()
    return time.perf_counter() - started


def _make_night(record: RunRecord, number: int) -> RunRecord:
    """Return the run of a night. Every third night one package has another version."""
    day = _FIRST + timedelta(days=number)
    run = {"id": f"{day:%Y%m%d}-020000-0001", "series": "nightly", "started_at": f"{day}T02:00:00+00:00"}
    sessions = {
        name_session_of(cell.build.name, cell.axes.execution, cell.axes.client): cell.build.name
        for cell in record.cells
    }
    actions = [_make_action("haproxy", name) for name in sorted(set(sessions.values()))]
    actions += [_make_action("probe", name, f"haproxy:{build}") for name, build in sessions.items()]
    used = {kind: tuple(one.key for one in actions if one.kind == kind) for kind in ("haproxy", "probe")}
    packages = tuple(
        Component(
            kind="package",
            name=f"package-{which} in {kind}",
            version=f"1.{(number // 3 + _PACKAGES - which) // _PACKAGES}",
            digest=None,
            origin=kind,
            used_by=keys,
        )
        for kind, keys in used.items()
        for which in range(_PACKAGES)
    )
    told = {"actions": tuple(actions), "components": packages}
    return record.model_copy(update={"run": record.run.model_copy(update=run), **told})


def _make_action(kind: str, name: str, *needs: str) -> ActionRecord:
    about = {"digest": None, "duration_s": None, "log": None, "message": ""}
    return ActionRecord(kind=kind, name=name, status="succeeded", needs=needs, **about)


def _write(folder: Path, record: RunRecord) -> Path:
    """Write a run as a run does: planned first, then cell by cell."""
    path = folder / record.run.id
    unfinished = {"status": "running", "finished_at": None, "exit_code": None, "duration_s": None}
    run = record.run.model_copy(update=unfinished)
    with Journal(path / JOURNAL) as journal:
        journal.append(RunStarted(record=record.model_copy(update={"run": run})))
        for cell in record.cells:
            journal.append(CellJudged(cell=cell))
        journal.append(
            RunFinished(
                status="finished",
                finished_at=record.run.started_at,
                duration_s=1.0,
                exit_code=1,
                message="",
            )
        )
    return path
