"""What cells depended on, in the history: the same answers as from the records, shared and cleaned up."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from compare_samples import night, on, with_rule
from samples import HOSTILE
from sqlalchemy import Connection, func, select, text

from orchestrator.analyse.compare import compare
from orchestrator.analyse.ingredients import Ingredients, compare_cells, read_sets
from orchestrator.app.history import find_flaky_before, import_run
from orchestrator.outcome import Reason, Verdict
from orchestrator.record.history import database
from orchestrator.record.history.database import begin_writing, make_engine
from orchestrator.record.history.history import History
from orchestrator.record.history.place import HistoryPlace, parse_place
from orchestrator.record.history.tables import INGREDIENT_SETS, INGREDIENTS, METADATA
from orchestrator.record.model import Component, RunRecord

pytest_plugins = ["databases"]
TIMEOUT = Reason.HANDSHAKE_TIMEOUT
NIGHTS = {
    "old": {},
    "same": {},
    "curl": {"curl": "8.14.1-3"},
    "both": {"curl": "8.14.1-3", "libc6": "2.41-13"},
}


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunRecord]:
    """Real records of one cell, between which packages were upgraded."""
    folder = tmp_path_factory.mktemp("nights")
    return {name: night(folder, name, **versions) for name, versions in NIGHTS.items()}


@pytest.fixture
def kept(place: HistoryPlace) -> Iterator[History]:
    with History(place) as opened:
        yield opened


def add(kept: History, record: RunRecord) -> None:
    assert kept.add(record, (), Ingredients(record).list_sets(), folder="") == "imported"


def count(kept: History, table: Any) -> int:
    with kept._engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def test_the_history_says_what_the_records_say(kept: History, nights: dict[str, RunRecord]) -> None:
    for day, record in enumerate(nights.values(), start=1):
        add(kept, on(day, record))
    rows = [kept.list_results(run)[0] for run in reversed(kept.list_runs())]
    known = kept.read_sets(number for row in rows for number in (row["session_set"], row["own_set"]))
    made = [
        read_sets((known[row["session_set"]], known[row["own_set"]]), row["build_digest"]) for row in rows
    ]
    records = [Ingredients(record).find_dependencies(record.cells[0]) for record in nights.values()]
    assert [one.things for one in made] == [one.things for one in records]
    for first, second in ((0, 1), (0, 2), (0, 3), (2, 3)):
        assert compare_cells(made[first], made[second]) == compare_cells(records[first], records[second])
    assert [one.name for one in compare_cells(made[0], made[2])] == ["curl in client-amd64"]


def test_what_did_not_change_is_kept_once(kept: History, nights: dict[str, RunRecord]) -> None:
    add(kept, on(1, nights["old"]))
    before = count(kept, INGREDIENT_SETS), count(kept, INGREDIENTS)
    add(kept, on(2, nights["same"]))
    assert (count(kept, INGREDIENT_SETS), count(kept, INGREDIENTS)) == before
    add(kept, on(3, nights["curl"]))
    assert (count(kept, INGREDIENT_SETS), count(kept, INGREDIENTS)) == (before[0] + 1, before[1] + 1)


def test_what_no_run_has_any_more_is_forgotten(kept: History, nights: dict[str, RunRecord]) -> None:
    add(kept, on(1, nights["old"]))
    before = count(kept, INGREDIENT_SETS), count(kept, INGREDIENTS)
    add(kept, on(2, with_rule(nights["both"])))
    kept.remove(["20261102-020000-0001"])
    assert (count(kept, INGREDIENT_SETS), count(kept, INGREDIENTS)) == before
    kept.remove(["20261101-020000-0001"])
    with kept._engine.connect() as connection:
        left = {name for name, table in METADATA.tables.items() if connection.execute(select(table)).first()}
    assert left == set()


def test_an_older_record_is_of_unknown_ingredients(kept: History, nights: dict[str, RunRecord]) -> None:
    old = nights["old"]
    actions = tuple(one.model_copy(update={"needs": None}) for one in old.actions)
    add(kept, on(1, old.model_copy(update={"actions": actions})))
    (row,) = kept.list_results(kept.find("latest", None))
    assert (row["session_set"], row["own_set"]) == (None, None)
    assert count(kept, INGREDIENTS) == 0


def test_what_no_database_takes_is_taken_out(kept: History, nights: dict[str, RunRecord]) -> None:
    old = nights["old"]
    key = next(one.key for one in old.actions if one.kind == "haproxy")
    bad = "\0 \ud800 " + HOSTILE
    patch = Component(kind="patch", name=bad, version=bad, digest=bad, origin=bad, used_by=(key,))
    add(kept, on(1, old.model_copy(update={"components": (*old.components, patch)})))
    (row,) = kept.list_results(kept.find("latest", None))
    (name,) = (
        one.name for one in kept.read_sets([row["session_set"]])[row["session_set"]] if one.kind == "patch"
    )
    assert "</script><script>window.hurt=1" in name
    assert not {"\0", "\ud800"} & set(name)


def test_a_cell_that_was_flaky_with_the_same_ingredients_is_known(
    kept: History, nights: dict[str, RunRecord]
) -> None:
    old, curl = nights["old"], nights["curl"]
    for day, end, attempts in ((1, "pass", ""), (2, TIMEOUT, "ffp"), (3, "pass", "")):
        add(kept, on(day, old, end, attempts))
    base, head = on(3, old), on(4, old, TIMEOUT)
    found = find_flaky_before(kept, head)
    (flakiness,) = found.values()
    assert (flakiness.since, flakiness.failed, flakiness.attempts) == ("2026-11-02", 3, 6)
    assert find_flaky_before(kept, on(4, old)) == {}, "it passes tonight"
    assert find_flaky_before(kept, on(4, curl, TIMEOUT)) == {}, "curl is another one"
    assert find_flaky_before(kept, on(2, old, TIMEOUT)) == {}, "only what was before counts"
    assert compare(base, head).exit_code == 1
    told = compare(base, head, found)
    assert (told.exit_code, told.counts) == (0, {"flaky": 1})
    assert told.cells[0].flakiness == flakiness
    crashed = on(4, old, Reason.SERVER_CRASHED)
    assert find_flaky_before(kept, crashed) == {}, "it never failed so"
    assert compare(base, crashed).exit_code == 1


def test_what_was_flaky_long_ago_is_forgotten(kept: History, nights: dict[str, RunRecord]) -> None:
    old = nights["old"]
    add(kept, on(1, old, TIMEOUT, "ffp"))
    assert find_flaky_before(kept, on(30, old, TIMEOUT))
    later = on(30, old, TIMEOUT)
    run = later.run.model_copy(update={"id": "20261201-020000-0001", "started_at": "2026-12-01T02:00:00Z"})
    assert find_flaky_before(kept, later.model_copy(update={"run": run})) == {}


def test_a_rule_has_an_age_wherever_it_stands(kept: History, nights: dict[str, RunRecord]) -> None:
    old = nights["old"]
    cell = old.cells[0].id
    add(kept, on(1, old))
    add(kept, with_rule(on(2, old), line=41))
    add(kept, with_rule(on(3, old), line=57))
    (rule,) = kept.list_rules(kept.find("latest", None))
    assert (rule["place"], rule["since"], rule["last_held"]) == ("matrix.yaml:57", "2026-11-02", "2026-11-03")
    assert (rule["met"], rule["counted"], rule["held"]) == (3, 1, 1)
    assert rule["conditions"] == ["tls=openssl-3.5.7"]
    assert kept.find_known_since(cell, kept.find("latest", None)) == "2026-11-02"
    add(kept, with_rule(on(4, old), Verdict.NOW_PASSING))
    (rule,) = kept.list_rules(kept.find("latest", None))
    assert (rule["held"], rule["last_held"]) == (0, "2026-11-03")
    assert kept.find_known_since(cell, kept.find("latest", None)) is None
    add(kept, with_rule(on(5, old)))
    assert kept.find_known_since(cell, kept.find("latest", None)) == "2026-11-05"


def test_a_history_of_the_first_shape_is_counted_again(tmp_path: Path) -> None:
    place = parse_place(str(tmp_path / "history.db"))
    engine = make_engine(place)
    with begin_writing(engine) as connection:
        config = database._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "v0001")
        _fill_first_shape(connection)
    engine.dispose()
    with History(place) as kept:
        rows = kept.list_timeline("cell", "nightly")
    assert [(one["attempts"], one["passed"], one["failed"]) for one in rows] == [(2, 1, 1), (1, 1, 0)]
    assert json.loads(rows[0]["failures"]) == [["fail", "handshake-timeout"]]
    assert rows[1]["failures"] is None


def _fill_first_shape(connection: Connection) -> None:
    """Two nights: one attempt that passed; and three, of which the harness's own failure was made good."""

    def insert(table: str, **values: object) -> None:
        marks = ", ".join(f":{name}" for name in values)
        connection.execute(text(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})"), values)

    axes = dict.fromkeys(("arch", "haproxy", "haproxy_version", "tls", "tls_family", "tls_version"), "x")
    axes |= dict.fromkeys(("cipher", "client", "client_family", "execution"), "x")
    insert("cells", number=1, id="cell", **axes)
    insert("builds", number=1, name="b", digest="d")
    words = (
        "status",
        "tool_version",
        "tool_digest",
        "matrix_digest",
        "selection",
        "engine",
        "host",
        "folder",
        *("digest", "imported_at"),
    )
    for number in (1, 2):
        at = {"night": f"2026-11-0{number}", "started_at": f"2026-11-0{number}T02:00:00+00:00"}
        run = dict.fromkeys(words, "x") | at
        counts = {"good": 0, "planned": 1, "judged": 1, "resumed": 0, "schema_version": 3}
        insert("runs", number=number, id=f"2026110{number}-020000-0001", series="nightly", **run, **counts)
    same = {"cell": 1, "build": 1, "message": ""}
    insert("results", run=1, outcome="pass", verdict="as-expected", attempts=1, failed=0, **same)
    insert("results", run=2, outcome="fail", verdict="regression", attempts=3, failed=1, **same)
    ends = [("error", "deadline", 0), ("pass", None, 1), ("fail", "handshake-timeout", 0)]
    for number, (outcome, reason, again) in enumerate(ends, start=1):
        end = {"outcome": outcome, "reason": reason, "again": again, "number": number}
        insert("attempts", run=2, cell=1, why="", message="", started_at="", duration_s=0.3, **end)


def test_a_run_is_imported_with_its_ingredients(kept: History, tmp_path: Path) -> None:
    record = night(tmp_path, "one")
    (folder,) = (path.parent for path in tmp_path.rglob("journal.jsonl"))
    assert import_run(kept, folder) == "imported"
    (row,) = kept.list_results(kept.find(record.run.id, None))
    made = read_sets(kept.read_sets([row["session_set"], row["own_set"]]).values(), row["build_digest"])
    assert made.things == Ingredients(record).find_dependencies(record.cells[0]).things
