"""The history of runs, in SQLite and PostgreSQL: whole or not at all, and never in place of the folders."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from samples import hostile, mixed, quick
from sqlalchemy import event, select, text

from orchestrator.app.history import add_run, find_folders, import_run
from orchestrator.atomic_files import is_ignored
from orchestrator.errors import MatrixctlError, UsageError
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.history import database, fill
from orchestrator.record.history.database import make_engine, prepare
from orchestrator.record.history.history import History, find_old_runs
from orchestrator.record.history.place import HistoryPlace, parse_place
from orchestrator.record.history.tables import METADATA, RESULTS, VERSION_TABLE
from orchestrator.record.journal import JOURNAL, Journal, RunFinished, RunStarted, hold
from orchestrator.record.model import Resumption, RunRecord, list_counted

pytest_plugins = ["databases"]


def night(day: int, record: RunRecord | None = None, series: str = "nightly", **changes: Any) -> RunRecord:
    """A run that began on a day of November."""
    made = record or mixed()
    run = {"id": f"202611{day:02}-020000-0001", "series": series, "started_at": f"2026-11-{day:02}T02:00:00Z"}
    return made.model_copy(update={"run": made.run.model_copy(update={**run, **changes})})


def content(kept: History) -> dict[str, list[Any]]:
    """Everything that stands in the database."""
    with kept._engine.connect() as connection:
        return {
            name: sorted(map(tuple, connection.execute(select(table))), key=str)
            for name, table in METADATA.tables.items()
        }


@pytest.fixture
def kept(place: HistoryPlace) -> Iterator[History]:
    with History(place) as opened:
        yield opened


def test_the_migrations_make_the_tables_that_the_code_has(kept: History) -> None:
    with kept._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, METADATA) == []


def test_importing_twice_changes_nothing(kept: History) -> None:
    assert add_run(kept, night(20)) == "imported"
    before = content(kept)
    assert len(before["results"]) == len(mixed().cells)
    assert add_run(kept, night(20)) == "unchanged"
    assert content(kept) == before


def test_what_is_kept_is_what_the_record_says(kept: History) -> None:
    record = night(20)
    add_run(kept, record, folder="/there")
    run = kept.find("latest", None)
    assert (run["id"], run["night"], run["folder"], run["good"]) == (
        record.run.id,
        "2026-11-20",
        "/there",
        False,
    )
    results = {one["id"]: one for one in kept.list_results(run)}
    for cell in record.cells:
        found = results[cell.id]
        assert (found["outcome"], found["reason"], found["message"]) == (
            cell.outcome,
            cell.reason,
            cell.message,
        )
        assert (found["tls_family"], found["tls_version"]) == (cell.axes.tls.family, cell.axes.tls.version)
        assert found["attempts"] == len(list_counted(cell.attempts))
    assert {(one["kind"], one["name"], one["version"]) for one in kept.list_components(run)} == {
        (one.kind, one.name, one.version) for one in record.components
    }
    attempts = content(kept)["attempts"]
    assert len(attempts) == 2 * sum(len(cell.attempts) == 2 for cell in record.cells) > 0


def test_an_old_night_keeps_the_versions_that_it_had(kept: History) -> None:
    record = quick()

    def upgraded() -> RunRecord:
        cells = []
        for cell in record.cells:
            tls = cell.axes.tls.model_copy(update={"version": "9.9.9"})
            cells.append(cell.model_copy(update={"axes": cell.axes.model_copy(update={"tls": tls})}))
        return record.model_copy(update={"cells": tuple(cells)})

    add_run(kept, night(20, record))
    add_run(kept, night(21, upgraded()))
    add_run(kept, night(22, record))
    old, new, back = (kept.list_results(kept.find(f"2026-11-{day}", None)) for day in (20, 21, 22))
    versions = {cell.id: cell.axes.tls.version for cell in record.cells}
    assert {one["id"]: one["tls_version"] for one in old} == versions
    assert {one["tls_version"] for one in new} == {"9.9.9"}
    assert {one["id"]: one["tls_version"] for one in back} == versions
    assert [one["number"] for one in back] == [one["number"] for one in old]
    assert len(kept.list_timeline(record.cells[0].id, "nightly")) == 3


@pytest.mark.parametrize("last", ["results", "run_components", "alarms"])
def test_an_import_that_is_cut_off_leaves_nothing_half(
    kept: History, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    add_run(kept, night(19, quick()))
    before, real = content(kept), fill._insert

    def cut(connection: Any, table: Any, many: Any) -> None:
        real(connection, table, many)
        if table.name == last:
            raise KeyboardInterrupt

    monkeypatch.setattr(fill, "_insert", cut)
    with pytest.raises(KeyboardInterrupt):
        add_run(kept, night(20))
    assert content(kept) == before
    monkeypatch.undo()
    assert add_run(kept, night(20)) == "imported"


@pytest.mark.parametrize("what", ["cell", "attempt"])
def test_what_stands_twice_in_a_record_is_refused(kept: History, what: str) -> None:
    record = night(20)
    first = record.cells[0]
    if what == "cell":
        record = record.model_copy(update={"cells": (*record.cells, first)})
    else:
        double = first.model_copy(update={"attempts": (first.attempts[0], first.attempts[0])})
        record = record.model_copy(update={"cells": (double, *record.cells[1:])})
    with pytest.raises(UsageError) as caught:
        add_run(kept, record)
    assert caught.value.brief.endswith("twice")
    assert content(kept)["runs"] == []


@pytest.mark.parametrize(
    "began", ["0001-01-05T00:00:00+00:00", "0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z", "soon", ""]
)
def test_a_day_on_which_no_run_was_is_refused(kept: History, began: str) -> None:
    with pytest.raises(UsageError, match="does not say when it began"):
        add_run(kept, night(20, started_at=began))


def test_a_history_in_a_new_folder_is_nothing_of_the_tree_in_which_it_lies(tmp_path: Path) -> None:
    with History(parse_place(str(tmp_path / "reports" / "history.db"))):
        assert is_ignored(tmp_path / "reports")


@pytest.mark.whole
def test_a_killed_import_leaves_nothing_half(tmp_path: Path) -> None:
    program = """
import os, signal, sys
sys.path[:0] = sys.argv[2:]
from orchestrator.record.history import fill
from test_history import History, add_run, night
from orchestrator.record.history.place import parse_place
real = fill._insert
def kill(connection, table, many):
    real(connection, table, many)
    if table.name == "results":
        os.kill(os.getpid(), signal.SIGKILL)
fill._insert = kill
add_run(History(parse_place(sys.argv[1])), night(20))
"""
    path = str(tmp_path / "history.db")
    done = subprocess.run([sys.executable, "-c", program, path, *sys.path], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    with History(parse_place(path)) as kept:
        assert {name: rows for name, rows in content(kept).items() if rows} == {}
        assert add_run(kept, night(20)) == "imported"


def test_a_run_that_was_resumed_is_replaced(kept: History) -> None:
    cut = night(20, status="cut-off", judged=3, exit_code=None)
    assert add_run(kept, cut) == "imported"
    went_on = night(20, quick(), resumed=(Resumption(at="2026-11-20T03:00:00Z", stood=3),))
    assert add_run(kept, went_on) == "replaced"
    assert len(content(kept)["results"]) == len(quick().cells)
    assert [run["status"] for run in kept.list_runs()] == ["finished"]


@pytest.mark.parametrize("poorer", [{"judged": 2}, {"resumed": ()}])
def test_a_poorer_record_replaces_no_fuller_one(kept: History, poorer: dict[str, Any]) -> None:
    """As an old copy of the folder is, of a run that was cut off and went on."""
    resumed = (Resumption(at="2026-11-20T03:00:00Z", stood=3),)
    fuller: dict[str, Any] = {"status": "cut-off", "judged": 5, "exit_code": None, "resumed": resumed}
    add_run(kept, night(20, **fuller))
    before = content(kept)
    with pytest.raises(UsageError, match="that says something else"):
        add_run(kept, night(20, quick(), **{**fuller, **poorer}))
    assert content(kept) == before
    assert add_run(kept, night(20, quick(), **{**fuller, "judged": 6})) == "replaced"


def test_two_runs_of_one_id_are_a_sentence(kept: History) -> None:
    add_run(kept, night(20))
    before = content(kept)
    with pytest.raises(UsageError, match="that says something else") as error:
        add_run(kept, night(20, quick()))
    assert "matrixctl history rebuild" in error.value.resolution
    assert content(kept) == before
    assert add_run(kept, night(20, quick()), anyway=True) == "replaced"


def test_a_record_of_an_older_version_has_the_digest_that_it_had(kept: History) -> None:
    """A later matrixctl knows more fields; they must not make another run of it."""
    old = night(20).model_copy(update={"schema_version": 2})
    add_run(kept, old)
    again = RunRecord.model_validate_json(old.model_dump_json(exclude_defaults=True))
    assert add_run(kept, again) == "unchanged"


def test_writers_at_once_wait_for_each_other(place: HistoryPlace) -> None:
    def write(day: int) -> str:
        with History(place) as kept:
            return add_run(kept, night(day))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(write, [20, 21, 22, 20])).count("imported") == 3
    with History(place) as kept:
        assert len(content(kept)["results"]) == 3 * len(mixed().cells)
        assert len(content(kept)["cells"]) == len(mixed().cells)


def test_hostile_text_comes_back_as_text(kept: History) -> None:
    record = hostile()
    record = record.model_copy(update={"run": record.run.model_copy(update={"started_at": "2026-11-20"})})
    assert add_run(kept, record) == "imported"
    assert add_run(kept, record) == "unchanged"
    (run,) = kept.list_runs()
    assert "</script>" in run["id"]
    assert len(kept.list_results(run)) == len(record.cells)
    assert kept.find(run["id"], None)["number"] == run["number"]


def test_a_run_that_says_no_time_is_a_sentence(kept: History) -> None:
    with pytest.raises(UsageError, match="does not say when it began"):
        add_run(kept, night(20, started_at="'; DROP TABLE runs; --"))
    assert kept.list_runs() == []


def test_a_number_that_no_database_takes_is_a_sentence(kept: History) -> None:
    with pytest.raises(MatrixctlError, match="cannot be used"):
        add_run(kept, night(20, planned=1 << 80))
    assert kept.list_runs() == []


def test_an_alarm_is_the_same_alarm_tomorrow(kept: History) -> None:
    for day in (18, 19, 20):
        add_run(kept, night(day, quick() if day == 19 else None))
    add_run(kept, night(21, series=""))
    run = kept.find("2026-11-20", "nightly")
    alarms = kept.list_alarms(run)
    reasons = ("handshake-then-hang", "no-quic", "server-crashed")
    seen = {one["reason"]: (one["first"], one["runs"]) for one in alarms}
    assert seen == dict.fromkeys(reasons, ("2026-11-18", 2))
    assert [one["conditions"] for one in alarms if one["reason"] == "no-quic"] == [
        ["quic-api=compat", "tls=openssl-3.5.7"]
    ]
    assert {one["alarm"] for one in kept.list_results(run)} == {None, *(one["key"] for one in alarms)}


def test_an_alarm_is_the_same_where_fewer_cells_are_selected(kept: History) -> None:
    """A night in which arm64 was left out words it otherwise: what its cells share is no longer the same."""
    failed = {"outcome": Outcome.FAIL, "reason": Reason.HANDSHAKE_TIMEOUT, "verdict": Verdict.REGRESSION}
    cells = tuple(cell.model_copy(update=failed) if "CHACHA20" in cell.id else cell for cell in quick().cells)
    assert len({cell.axes.arch.name for cell in cells if cell.reason}) > 1
    for day in (18, 19):
        some = tuple(cell for cell in cells if day == 18 or cell.axes.arch.name == "amd64")
        add_run(kept, night(day, quick().model_copy(update={"cells": some})))
    (alarm,) = kept.list_alarms(kept.find("2026-11-19", "nightly"))
    (before,) = kept.list_alarms(kept.find("2026-11-18", "nightly"))
    assert alarm["conditions"] != before["conditions"]
    assert (alarm["key"], alarm["first"], alarm["runs"]) == (before["key"], "2026-11-18", 2)
    by_hand = quick().model_copy(update={"cells": some})
    add_run(kept, night(20, by_hand, series=""))
    (alone,) = kept.list_alarms(kept.find("20261120-020000-0001", None))
    assert alone["key"] != before["key"], "a run by hand goes on with nothing"


def test_since_when_is_the_last_pass_of_the_cell(kept: History) -> None:
    cell = quick().cells[0]
    failed = cell.model_copy(
        update={"outcome": Outcome.FAIL, "reason": Reason.HANDSHAKE_TIMEOUT, "verdict": Verdict.REGRESSION}
    )
    bad = quick().model_copy(update={"cells": (failed, *quick().cells[1:])})
    for day, record in ((17, quick()), (18, bad), (19, bad), (20, quick())):
        add_run(kept, night(day, record))
    add_run(kept, night(19, quick(), series="", id="20261119-150000-0001"))
    assert kept.find_last_pass(cell.id, kept.find("2026-11-19", "nightly")) == "2026-11-17"
    assert [one["outcome"] for one in kept.list_timeline(cell.id, "nightly")] == [
        "pass",
        "fail",
        "fail",
        "pass",
    ]


@pytest.mark.parametrize(
    ("name", "series", "found"),
    [
        ("latest", None, "20"),
        ("latest~1", "nightly", "19"),
        ("2026-11-18", None, "18"),
        ("last-good", None, "19"),
        ("20261121-020000-0001", None, "21"),
        ("latest", "", "21"),
    ],
)
def test_a_run_is_named_as_everywhere(kept: History, name: str, series: str | None, found: str) -> None:
    add_run(kept, night(18))
    good = tuple(cell for cell in quick().cells if cell.outcome is Outcome.PASS)
    add_run(kept, night(19, quick().model_copy(update={"cells": good})))
    add_run(kept, night(20))
    add_run(kept, night(21, series=""))
    assert kept.find(name, series)["id"][6:8] == found


@pytest.mark.parametrize(
    "name", ["latest~9", "2026-01-01", "<script>", "../../x", "", "'; DROP TABLE runs; --"]
)
def test_a_run_that_is_not_there_is_a_sentence(
    kept: History, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    add_run(kept, night(18))
    with pytest.raises(UsageError, match="has no run"):
        kept.find(name, None)


def test_what_is_asked_of_one_cell_reads_no_other(tmp_path: Path) -> None:
    """SQLite may as well read all results of each run: a million of them in five years."""
    record = night(17)
    steps: list[str] = []

    def explain(connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if not statement.startswith("EXPLAIN"):
            told = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            steps.extend(row[3] for row in told)

    with History(parse_place(str(tmp_path / "history.db"))) as kept:
        add_run(kept, record)
        run, cell = kept.find("latest", "nightly"), record.cells[0].id
        event.listen(kept._engine, "before_cursor_execute", explain)
        kept.find_last_pass(cell, run)
        kept.find_known_since(cell, run)
        kept.list_timeline(cell, "nightly")
    of_results = [one for one in steps if "results" in one]
    assert len(of_results) > 3
    assert [one for one in of_results if "cell=?" not in one] == []


def test_old_nights_are_forgotten_with_what_no_other_run_has(kept: History) -> None:
    for day in (17, 18, 19):
        add_run(kept, night(day, quick() if day > 17 else None))
    add_run(kept, night(10, series=""))
    old = find_old_runs(kept.list_runs(), 2)
    assert [run["id"][6:8] for run in old] == ["17"]
    kept.remove(run["id"] for run in old)
    found = content(kept)
    assert {run["id"][6:8] for run in kept.list_runs()} == {"10", "18", "19"}
    kept.remove(["20261110-020000-0001"])
    found = content(kept)
    assert len(found["cells"]) == len(quick().cells)
    assert {len(found[name]) for name in ("alarms", "attempts")} == {0}


# What is there already.


def test_a_history_of_a_newer_matrixctl_is_not_touched(place: HistoryPlace) -> None:
    with History(place) as kept, kept._engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = 'v9999'"))
    with pytest.raises(UsageError, match="is of a newer matrixctl"):
        History(place)


def test_a_database_of_another_program_is_not_touched(place: HistoryPlace) -> None:
    engine = make_engine(place)
    with engine.execution_options(writes=True).begin() as connection:
        connection.execute(text("CREATE TABLE runs (miles INTEGER)"))
    with pytest.raises(UsageError, match="of another program: it has the table 'runs'"):
        History(place)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT miles FROM runs")).all() == []
    engine.dispose()


def test_any_table_in_a_file_is_another_program_s(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "history.db") as other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")
    other.close()
    with pytest.raises(UsageError, match="of another program: it has the table 'bookmarks'"):
        History(parse_place(str(tmp_path / "history.db")))


@pytest.mark.parametrize(("data", "why"), [(b"text, and no database at all" * 99, "no database of SQLite")])
def test_a_file_that_is_no_database_is_a_sentence(tmp_path: Path, data: bytes, why: str) -> None:
    file = tmp_path / "history.db"
    file.write_bytes(data)
    with pytest.raises(MatrixctlError, match=why):
        History(parse_place(str(file)))
    assert file.read_bytes() == data


def test_a_folder_is_no_history(tmp_path: Path) -> None:
    with pytest.raises(MatrixctlError, match="cannot be opened or made"):
        History(parse_place(str(tmp_path)))


def test_a_locked_history_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_PATIENCE", 0.2)
    place = parse_place(str(tmp_path / "history.db"))
    with History(place) as kept:
        other = sqlite3.connect(place.file or "", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(MatrixctlError, match="another process writes to it"):
            add_run(kept, night(20))
        other.execute("ROLLBACK")
        other.close()
        assert add_run(kept, night(20)) == "imported"


def test_a_full_disk_is_a_sentence_and_nothing_is_half(tmp_path: Path) -> None:
    with History(parse_place(str(tmp_path / "history.db"))) as kept:
        add_run(kept, night(19, quick()))
        before = content(kept)
        with kept._engine.connect() as connection:
            pages = connection.execute(text("PRAGMA page_count")).scalar_one()
            connection.execute(text(f"PRAGMA max_page_count = {pages + 2}"))  # of the pool's one connection
        with pytest.raises(MatrixctlError, match="the disk is full"):
            add_run(kept, night(20))
        assert content(kept) == before


def test_a_read_only_history_is_a_sentence(tmp_path: Path) -> None:
    """Root may write everything, so the connection is made read-only and not the file."""
    with History(parse_place(str(tmp_path / "history.db"))) as kept:
        add_run(kept, night(19))
        with kept._engine.connect() as connection:
            connection.execute(text("PRAGMA query_only = ON"))  # of the pool's one connection
        assert len(kept.list_runs()) == 1
        with pytest.raises(MatrixctlError, match="it can only be read"):
            add_run(kept, night(20))


def test_an_empty_file_becomes_a_history(tmp_path: Path) -> None:
    (tmp_path / "history.db").touch()
    place = parse_place(str(tmp_path / "history.db"))
    engine = make_engine(place)
    prepare(engine, place)
    prepare(engine, place)
    with engine.connect() as connection:
        assert connection.execute(select(RESULTS)).all() == []
    engine.dispose()


# Where it is.


@pytest.mark.parametrize("named", ["h.db", "./h.db", "sqlite:///h.db"])
def test_a_file_is_named_by_path_or_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_place(named).file == tmp_path / "h.db"


@pytest.mark.parametrize(
    "named",
    [
        *(
            "",
            ":memory:",
            "sqlite://",
            "sqlite:///:memory:",
            "sqlite:///x.db?mode=ro",
            "mysql://h/d",
            "http://h/x",
        ),
        *("a\0b", "postgresql+asyncpg://u:secret@h/d", "://", "postgresql+psycopg://u:secret@h:port/d"),
    ],
)
def test_what_names_no_history_is_a_sentence_without_a_password(named: str) -> None:
    with pytest.raises(UsageError, match="names no history") as error:
        parse_place(named)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("query", ["", "?sslmode=disable"])
def test_the_password_of_a_url_is_shown_nowhere(query: str) -> None:
    place = parse_place(f"postgresql://me:secret@127.0.0.1:1/nights{query}")
    assert "secret" not in str(place) + repr(place)
    assert "127.0.0.1" in str(place)
    with pytest.raises(MatrixctlError, match="cannot be used") as error:
        History(place)
    assert "secret" not in str(error.value)


# From the folders.


def written(folder: Path, record: RunRecord) -> Path:
    unfinished = {"status": "running", "finished_at": None, "exit_code": None, "duration_s": None}
    run = record.run.model_copy(update=unfinished)
    with Journal(folder / record.run.id / JOURNAL) as journal:
        journal.append(RunStarted(record=record.model_copy(update={"run": run})))
        journal.append(
            RunFinished(
                status="finished",
                finished_at="2026-11-20T03:00:00+00:00",
                duration_s=9.0,
                exit_code=1,
                message="",
            )
        )
    return folder / record.run.id


def test_a_run_that_still_goes_on_is_not_written_down(kept: History, tmp_path: Path) -> None:
    folder = written(tmp_path, night(20))
    journal = folder / JOURNAL
    journal.write_bytes(journal.read_bytes().splitlines(keepends=True)[0])
    with hold(folder), pytest.raises(UsageError, match="still goes on"):
        import_run(kept, folder)
    assert import_run(kept, folder) == "imported"
    assert [run["status"] for run in kept.list_runs()] == ["cut-off"]


def test_a_folder_that_is_half_there_is_a_sentence(kept: History, tmp_path: Path) -> None:
    folder = written(tmp_path, night(20))
    (folder / JOURNAL).write_bytes((folder / JOURNAL).read_bytes()[:5000])
    with pytest.raises(MatrixctlError):
        import_run(kept, folder)
    assert kept.list_runs() == []


def test_the_real_sample_of_an_older_schema_is_taken(kept: History) -> None:
    sample = Path(__file__).parents[2] / "reports" / "sample"
    assert import_run(kept, sample / "run.json") == "imported"
    (run,) = kept.list_runs()
    assert run["folder"] == ""
    assert import_run(kept, sample) == "unchanged", "the folder and its record are one run"
    assert kept.list_runs()[0]["folder"] == str(sample)


def test_a_run_whose_folder_is_gone_is_not_among_the_folders(kept: History, tmp_path: Path) -> None:
    one, two = (written(tmp_path, night(day, quick())) for day in (20, 21))
    elsewhere = written(tmp_path / "elsewhere", night(22, quick()))
    for folder in (one, two, elsewhere):
        import_run(kept, folder)
    (one / JOURNAL).unlink()
    one.rmdir()
    assert find_folders(kept, tmp_path) == [two, elsewhere]
