"""Fill the tables of the history and empty them; the caller has the transaction."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, tuple_, union
from sqlalchemy.exc import DBAPIError

from orchestrator.record.history import rows
from orchestrator.record.history.rows import Numbers, Row
from orchestrator.record.history.tables import (
    ALARMS,
    ATTEMPTS,
    BUILDS,
    CELLS,
    COMPONENTS,
    INGREDIENT_SETS,
    INGREDIENTS,
    OF_A_RUN,
    RESULTS,
    RULES,
    RUN_COMPONENTS,
    RUN_RULES,
)
from orchestrator.record.model import Alarm, Ingredient, RunRecord

Made = Mapping[str, tuple[frozenset[Ingredient], frozenset[Ingredient]]]
"""Of what a cell was made: what it shares with all others of its session, and what is its own."""
AT_ONCE = 1000
"""Values of one query; SQLite takes 32,766 parameters."""


def clear(connection: Connection, numbers: Sequence[int]) -> None:
    """Remove all that belongs to some runs, but for their own rows."""
    for table in OF_A_RUN:
        connection.execute(delete(table).where(table.c.run.in_(numbers)))


def drop_unused(connection: Connection) -> None:
    """Remove what runs share and no run uses any more."""
    for table, *used in (
        (CELLS, RESULTS.c.cell),
        (BUILDS, RESULTS.c.build),
        (COMPONENTS, RUN_COMPONENTS.c.component),
        (RULES, RUN_RULES.c.rule),
        (INGREDIENT_SETS, RESULTS.c.session_set, RESULTS.c.own_set),
    ):
        still = union(*(select(one).where(one.is_not(None)) for one in used))
        connection.execute(delete(table).where(table.c.number.not_in(still)))
    told = connection.execute(select(INGREDIENT_SETS.c.members)).scalars()
    still_there = {number for members in told for number in json.loads(members)}
    gone = set(connection.execute(select(INGREDIENTS.c.number)).scalars()) - still_there
    for some in split_batches(sorted(gone), AT_ONCE):
        connection.execute(delete(INGREDIENTS).where(INGREDIENTS.c.number.in_(some)))


def write_run(
    connection: Connection, record: RunRecord, run: int, alarms: Sequence[Alarm], made: Made
) -> None:
    """Write everything that belongs to a run."""
    numbers = Numbers(
        cells=_number_cells(connection, record),
        builds=_number_by(
            connection, BUILDS, ("name", "digest"), {rows.make_build_key(c) for c in record.cells}
        ),
        rules=_number_by(connection, RULES, rows.RULE_KEY, {rows.make_rule_key(one) for one in record.rules}),
        sets=_number_sets(connection, made),
    )
    names = ("kind", "name", "version", "digest", "origin")
    keys = {rows.make_component_key(component) for component in record.components}
    parts = _number_by(connection, COMPONENTS, names, keys)
    _insert(connection, RESULTS, rows.make_result_rows(record, run, numbers, alarms))
    _insert(connection, ATTEMPTS, rows.make_attempt_rows(record, run, numbers.cells))
    _insert(connection, RUN_COMPONENTS, [{"run": run, "component": number} for number in parts.values()])
    _insert(connection, RUN_RULES, rows.make_run_rule_rows(record, run, numbers.rules))
    _insert(connection, ALARMS, rows.make_alarm_rows(run, alarms))


def _number_sets(connection: Connection, made: Made) -> Mapping[str, tuple[int, int]]:
    """Return the numbers of the two sets of each cell; make the ones that are new."""
    digests = _name_sets(made)
    known = _find_digests(connection, digests.values())
    new = [one for one, digest in digests.items() if digest not in known]
    if new:
        fit = {item: Ingredient(*rows.fit(tuple(item))) for one in new for item in one}
        numbers = _number_by(connection, INGREDIENTS, Ingredient._fields, set(fit.values()))
        told = [
            {"digest": digests[one], "members": json.dumps(sorted({numbers[fit[item]] for item in one}))}
            for one in new
        ]
        _insert(connection, INGREDIENT_SETS, told)
    return find_sets(connection, made)


def find_sets(connection: Connection, made: Made) -> Mapping[str, tuple[int, int]]:
    """Return the numbers of the two sets of each cell, where both are there."""
    digests = _name_sets(made)
    known = _find_digests(connection, digests.values())
    pairs = {cell: (known.get(digests[one]), known.get(digests[two])) for cell, (one, two) in made.items()}
    return {cell: (one, two) for cell, (one, two) in pairs.items() if one is not None and two is not None}


def _name_sets(made: Made) -> Mapping[frozenset[Ingredient], str]:
    return {one: rows.name_set(one) for one in {one for pair in made.values() for one in pair}}


def _find_digests(connection: Connection, digests: Iterable[str]) -> Mapping[str, int]:
    """Return the numbers of the sets of those digests, where there are any."""
    found: dict[str, int] = {}
    for some in split_batches(sorted(digests), AT_ONCE):
        query = select(INGREDIENT_SETS.c.digest, INGREDIENT_SETS.c.number)
        query = query.where(INGREDIENT_SETS.c.digest.in_(some))
        found |= {row[0]: row[1] for row in connection.execute(query)}
    return found


def _number_cells(connection: Connection, record: RunRecord) -> dict[str, int]:
    """Return the number of each cell; one whose axes have other versions or families now has another."""
    columns = [CELLS.c[name] for name in rows.CELL_KEY]

    def known() -> dict[tuple[str, ...], int]:
        return {tuple(row[1:]): row[0] for row in connection.execute(select(CELLS.c.number, *columns))}

    made = {cell.id: rows.make_cell_row(cell) for cell in record.cells}
    keys = {cell_id: tuple(row[name] for name in rows.CELL_KEY) for cell_id, row in made.items()}
    found = known()
    new = [row for cell_id, row in made.items() if keys[cell_id] not in found]
    if new:
        _insert(connection, CELLS, new)
        found = known()
    return {cell_id: found[key] for cell_id, key in keys.items()}


def _number_by(
    connection: Connection, table: Table, names: Sequence[str], keys: AbstractSet[tuple[Any, ...]]
) -> dict[tuple[Any, ...], int]:
    """Return the number of each row that those columns name; make the ones that are new."""
    columns = [table.c[name] for name in names]

    def known() -> dict[tuple[Any, ...], int]:
        found = dict[tuple[Any, ...], int]()
        for some in split_batches(sorted(keys), AT_ONCE):
            query = select(table.c.number, *columns).where(tuple_(*columns).in_(some))
            found |= {tuple(row[1:]): row[0] for row in connection.execute(query)}
        return found

    found = known()
    new = [dict(zip(names, key, strict=True)) for key in sorted(keys - found.keys())]
    if new:
        _insert(connection, table, new)
        found = known()
    return found


def split_batches(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Return the values in pieces."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def insert_one(connection: Connection, table: Table, row: Row) -> int:
    """Insert a row; return its number."""
    made = connection.execute(insert(table).values(**row)).inserted_primary_key
    return int(made[0]) if made else 0


def _insert(connection: Connection, table: Table, many: Sequence[Row]) -> None:
    """Insert rows of the same keys, on PostgreSQL by COPY."""
    if not many:
        return
    if connection.dialect.name != "postgresql":
        connection.execute(insert(table), list(many))
        return
    names = list(many[0])
    told = ", ".join(f'"{name}"' for name in names)  # the names of our own tables and columns
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101 - a connection in a transaction has one
    statement = f'COPY "{table.name}" ({told}) FROM STDIN'
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in many:
                copy.write_row([row[name] for name in names])
    except connection.dialect.loaded_dbapi.Error as error:  # SQLAlchemy sees nothing of a COPY
        raise DBAPIError(statement, None, error) from error
