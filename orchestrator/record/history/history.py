"""The history of runs: what is written to it and asked of it. The folders of the runs are the truth."""

import json
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Literal, Self

from sqlalchemy import Connection, Engine, RowMapping, Table, delete, func, insert, select, tuple_, update
from sqlalchemy.exc import DBAPIError

from orchestrator.errors import UsageError
from orchestrator.matrix.names import listed, quoted
from orchestrator.record.find import (
    LAST_GOOD,
    WHAT,
    choose_only,
    counts,
    find_path,
    read_back,
    read_day,
    read_run,
)
from orchestrator.record.history import rows
from orchestrator.record.history.database import explained, make_engine, prepare, writing
from orchestrator.record.history.place import Place
from orchestrator.record.history.rows import Row
from orchestrator.record.history.tables import (
    ALARMS,
    ATTEMPTS,
    BUILDS,
    CELLS,
    COMPONENTS,
    OF_A_RUN,
    RESULTS,
    RUN_COMPONENTS,
    RUNS,
)
from orchestrator.record.model import Alarm, RunRecord, utc_now

Added = Literal["imported", "unchanged", "replaced"]


class History:
    """A history that is open; closed by ``with``."""

    def __init__(self, place: Place) -> None:
        """Open it, and make it where there is none.

        :raises UsageError: where it is of another program, or of a newer matrixctl.
        :raises MatrixctlError: where the database refuses.
        """
        self.place = place
        with explained(place):
            self._engine: Engine = make_engine(place)
        try:
            with explained(place):
                if place.file is not None:
                    place.file.parent.mkdir(parents=True, exist_ok=True)
                prepare(self._engine, place)
        except BaseException:
            self._engine.dispose()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.dispose()

    # Writing.

    def add(self, record: RunRecord, alarms: Sequence[Alarm], *, folder: str, anyway: bool = False) -> Added:
        """Write down a run, all of it or nothing; one that is there already changes nothing.

        A run that went on since it was written down is replaced.

        :param folder: where it lies; empty where only its record is there.
        :param anyway: replace it, whatever it says: its folder is the truth.
        :raises UsageError: where the history has a run of that id that says something else.
        """
        record, digest = rows.clean(record)
        with explained(self.place):
            new = rows.run_row(record, digest, folder, utc_now())
        with explained(self.place), writing(self._engine) as connection:
            old = connection.execute(select(RUNS).where(RUNS.c.id == record.run.id)).mappings().first()
            if old is None:
                number = _insert_one(connection, RUNS, new)
                _write(connection, record, number, alarms)
                return "imported"
            if old["digest"] == new["digest"] and not anyway:
                if folder and old["folder"] != folder:
                    connection.execute(
                        update(RUNS).where(RUNS.c.number == old["number"]).values(folder=folder)
                    )
                return "unchanged"
            if not anyway and not _went_on(old, new):
                raise UsageError(
                    f"the history has a run {record.run.id} that says something else",
                    details=f"It was imported {old['imported_at']} from {old['folder'] or 'a run.json'}.",
                    resolution="Two runs have one id, or a record was edited. If the folder below --reports"
                    " is right: matrixctl history rebuild",
                )
            _clear(connection, [old["number"]])
            connection.execute(update(RUNS).where(RUNS.c.number == old["number"]).values(**new))
            _write(connection, record, old["number"], alarms)
            return "replaced"

    def remove(self, ids: Iterable[str]) -> None:
        """Forget runs, all of them or none; what no other run has goes with them."""
        with explained(self.place), writing(self._engine) as connection:
            numbers = list(
                connection.execute(select(RUNS.c.number).where(RUNS.c.id.in_(list(ids)))).scalars()
            )
            _clear(connection, numbers)
            connection.execute(delete(RUNS).where(RUNS.c.number.in_(numbers)))
            for table, used in (
                (CELLS, RESULTS.c.cell),
                (BUILDS, RESULTS.c.build),
                (COMPONENTS, RUN_COMPONENTS.c.component),
            ):
                connection.execute(delete(table).where(table.c.number.not_in(select(used).distinct())))

    # Asking.

    def runs(self, series: str | None = None) -> list[Row]:
        """Return the runs, the newest first, each with ``alarms``, the number of its alarms.

        :param series: only those of it.
        """
        alarms = (
            select(func.count()).select_from(ALARMS).where(ALARMS.c.run == RUNS.c.number).scalar_subquery()
        )
        query = select(RUNS, alarms.label("alarms")).order_by(RUNS.c.id.desc())
        if series is not None:
            query = query.where(RUNS.c.series == series)
        return self._ask(query)

    def find(self, name: str, series: str | None) -> Row:
        """Return the run that RUN names; see ``record.find``.

        :param series: without it, that of the only series.
        :raises UsageError: where there is none.
        :raises MatrixctlError: where it is a folder or file that cannot be read.
        """
        every = self.runs()
        known = [run["id"] for run in every]
        if name not in known and not counts(name) and (path := find_path(name)):
            name = read_run(path).run.id
        for run in every:
            if run["id"] == name:
                return run
        if series is None:
            series = choose_only((run["series"] for run in every), "of the history")
        mine = [run for run in every if run["series"] == series]
        if name == LAST_GOOD:
            mine = [run for run in mine if run["good"]]
        elif read_day(name):
            mine = [run for run in mine if run["night"] == name]
        elif (back := read_back(name)) is not None:
            mine = mine[back:]
        else:
            mine = []
        if not mine:
            raise UsageError(
                f"the history {self.place} has no run {quoted(name)}",
                details=f"the newest: {listed(known[:3])}" if known else "",
                resolution=f"RUN is {WHAT}." if known else "Fill it with: matrixctl history import --all",
            )
        return mine[0]

    def alarms(self, run: Row) -> list[Row]:
        """Return the alarms of a run, each with ``since`` and ``runs``.

        That is its first night in the series, and in how many runs of the series it was up to this one.
        """
        seen = (
            select(ALARMS.c.key, func.min(RUNS.c.night).label("since"), func.count().label("runs"))
            .join(RUNS, RUNS.c.number == ALARMS.c.run)
            .where(RUNS.c.series == run["series"], RUNS.c.id <= run["id"])
            .group_by(ALARMS.c.key)
            .subquery()
        )
        query = (
            select(ALARMS, seen.c.since, seen.c.runs)
            .join(seen, seen.c.key == ALARMS.c.key)
            .where(ALARMS.c.run == run["number"])
            .order_by(ALARMS.c.cells.desc(), ALARMS.c.key)
        )
        return [{**row, "conditions": json.loads(row["conditions"])} for row in self._ask(query)]

    def results(self, run: Row) -> list[Row]:
        """Return the cells of a run with their axes and results."""
        query = (
            select(CELLS, RESULTS)
            .join(RESULTS, RESULTS.c.cell == CELLS.c.number)
            .where(RESULTS.c.run == run["number"])
            .order_by(CELLS.c.number)
        )
        return self._ask(query)

    def timeline(self, cell: str, series: str, limit: int = 365) -> list[Row]:
        """Return the results of a cell in the runs of a series, the newest first."""
        query = (
            select(RUNS.c.id.label("run_id"), RUNS.c.night, RESULTS)
            .join(RESULTS, RESULTS.c.run == RUNS.c.number)
            .join(CELLS, CELLS.c.number == RESULTS.c.cell)
            .where(CELLS.c.id == cell, RUNS.c.series == series)
            .order_by(RUNS.c.id.desc())
            .limit(limit)
        )
        return self._ask(query)

    def last_pass(self, cell: str, run: Row) -> str | None:
        """Return the night of the cell's last pass in the series of a run, up to that run."""
        query = (
            select(func.max(RUNS.c.night).label("night"))
            .join(RESULTS, RESULTS.c.run == RUNS.c.number)
            .join(CELLS, CELLS.c.number == RESULTS.c.cell)
            .where(CELLS.c.id == cell, RESULTS.c.outcome == "pass")
            .where(RUNS.c.series == run["series"], RUNS.c.id <= run["id"])
        )
        return next((row["night"] for row in self._ask(query)), None)

    def components(self, run: Row) -> list[Row]:
        """Return the components of a run."""
        query = (
            select(COMPONENTS)
            .join(RUN_COMPONENTS, RUN_COMPONENTS.c.component == COMPONENTS.c.number)
            .where(RUN_COMPONENTS.c.run == run["number"])
            .order_by(COMPONENTS.c.kind, COMPONENTS.c.name, COMPONENTS.c.version)
        )
        return self._ask(query)

    def _ask(self, query: Any) -> list[Row]:
        with explained(self.place), self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]


def old_runs(runs: Sequence[Row], keep_nights: int) -> list[Row]:
    """Return the runs that are older than the newest nights of their series."""
    nights: dict[str, set[str]] = {}
    for run in runs:
        nights.setdefault(run["series"], set()).add(run["night"])
    kept = {name: set(sorted(every, reverse=True)[:keep_nights]) for name, every in nights.items()}
    return [run for run in runs if run["night"] not in kept[run["series"]]]


def _went_on(old: RowMapping, new: Row) -> bool:
    """Return whether the run was resumed, or had no end yet, when it was written down."""
    if old["started_at"] != new["started_at"]:
        return False
    if new["judged"] < old["judged"] or new["resumed"] < old["resumed"]:  # an old copy of it
        return False
    return bool(new["resumed"] > old["resumed"] or old["status"] != "finished")


def _clear(connection: Connection, numbers: Sequence[int]) -> None:
    for table in OF_A_RUN:
        connection.execute(delete(table).where(table.c.run.in_(numbers)))


def _write(connection: Connection, record: RunRecord, run: int, alarms: Sequence[Alarm]) -> None:
    """Write everything that belongs to a run."""
    cells = _number_cells(connection, record)
    builds = _number_by(connection, BUILDS, ("name", "digest"), {rows.build_key(c) for c in record.cells})
    names = ("kind", "name", "version", "digest", "origin")
    keys = {rows.component_key(component) for component in record.components}
    parts = _number_by(connection, COMPONENTS, names, keys)
    _insert(connection, RESULTS, rows.result_rows(record, run, cells, builds, alarms))
    _insert(connection, ATTEMPTS, rows.attempt_rows(record, run, cells))
    _insert(connection, RUN_COMPONENTS, [{"run": run, "component": number} for number in parts.values()])
    _insert(connection, ALARMS, rows.alarm_rows(run, alarms))


def _number_cells(connection: Connection, record: RunRecord) -> dict[str, int]:
    """Return the number of each cell; one whose axes have other versions or families now has another."""
    columns = [CELLS.c[name] for name in rows.CELL_KEY]

    def known() -> dict[tuple[str, ...], int]:
        return {tuple(row[1:]): row[0] for row in connection.execute(select(CELLS.c.number, *columns))}

    made = {cell.id: rows.cell_row(cell) for cell in record.cells}
    keys = {cell_id: tuple(row[name] for name in rows.CELL_KEY) for cell_id, row in made.items()}
    found = known()
    new = [row for cell_id, row in made.items() if keys[cell_id] not in found]
    if new:
        _insert(connection, CELLS, new)
        found = known()
    return {cell_id: found[key] for cell_id, key in keys.items()}


def _number_by(
    connection: Connection, table: Table, names: Sequence[str], keys: AbstractSet[tuple[str, ...]]
) -> dict[tuple[str, ...], int]:
    """Return the number of each row that those columns name; make the ones that are new."""
    columns = [table.c[name] for name in names]

    def known() -> dict[tuple[str, ...], int]:
        query = select(table.c.number, *columns).where(tuple_(*columns).in_(sorted(keys)))
        return {tuple(row[1:]): row[0] for row in connection.execute(query)}

    found = known() if keys else {}
    new = [dict(zip(names, key, strict=True)) for key in sorted(keys - found.keys())]
    if new:
        _insert(connection, table, new)
        found = known()
    return found


def _insert_one(connection: Connection, table: Table, row: Row) -> int:
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
