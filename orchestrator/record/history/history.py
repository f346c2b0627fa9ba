"""The history of runs: what is written to it and asked of it. The folders of the runs are the truth."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Self

from sqlalchemy import (
    Engine,
    RowMapping,
    case,
    delete,
    func,
    select,
    update,
)

from orchestrator.atomic_files import make_ignored
from orchestrator.errors import UsageError
from orchestrator.phrases import join_names, quote
from orchestrator.record.find import (
    LAST_GOOD,
    WHAT,
    choose_only,
    find_path,
    is_counted,
    read_back,
    read_day,
    read_run,
)
from orchestrator.record.history import fill, rows
from orchestrator.record.history.database import begin_writing, explain_errors, make_engine, prepare
from orchestrator.record.history.place import HistoryPlace
from orchestrator.record.history.rows import Row
from orchestrator.record.history.tables import (
    ALARMS,
    BUILDS,
    CELLS,
    COMPONENTS,
    INGREDIENT_SETS,
    INGREDIENTS,
    RESULTS,
    RULES,
    RUN_COMPONENTS,
    RUN_RULES,
    RUNS,
)
from orchestrator.record.model import Alarm, Ingredient, RunRecord, utc_now

Added = Literal["imported", "unchanged", "replaced"]
JUDGED = (
    *("outcome", "reason", "verdict", "message", "attempts", "passed", "failed", "failures"),
    *("confirmation", "handshake_s", "alarm", "rule", "session_set", "own_set", "build"),
)
"""The columns that ``results_of`` returns of each result."""
_FOLLOWED = 30
"""Runs of a series in which an alarm is looked for that a new one is the same as."""


class History:
    """A history that is open; closed by ``with``."""

    def __init__(self, place: HistoryPlace) -> None:
        """Open it, and make it where there is none.

        :raises UsageError: where it is of another program, or of a newer matrixctl.
        :raises MatrixctlError: where the database refuses.
        """
        self.place = place
        with explain_errors(place):
            self._engine: Engine = make_engine(place)
        try:
            with explain_errors(place):
                if place.file is not None:
                    make_ignored(place.file.parent)
                prepare(self._engine, place)
        except BaseException:
            self._engine.dispose()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.dispose()

    # Writing.

    def add(
        self,
        record: RunRecord,
        alarms: Sequence[Alarm],
        made: fill.Made,
        *,
        folder: str,
        anyway: bool = False,
    ) -> Added:
        """Write down a run, all of it or nothing; one that is there already changes nothing.

        A run that went on since it was written down is replaced.

        :param made: of what each cell was made; empty where that is not known.
        :param folder: where it lies; empty where only its record is there.
        :param anyway: replace it, whatever it says: its folder is the truth.
        :raises UsageError: where the history has a run of that id that says something else.
        """
        record, digest = rows.clean(record)
        with explain_errors(self.place):
            new = rows.make_run_row(record, digest, folder, utc_now())
        with explain_errors(self.place), begin_writing(self._engine) as connection:
            old = connection.execute(select(RUNS).where(RUNS.c.id == record.run.id)).mappings().first()
            if old is None:
                number = fill.insert_one(connection, RUNS, new)
                fill.write_run(connection, record, number, alarms, made)
                return "imported"
            if old["digest"] == new["digest"] and not anyway:
                if folder and old["folder"] != folder:
                    connection.execute(
                        update(RUNS).where(RUNS.c.number == old["number"]).values(folder=folder)
                    )
                return "unchanged"
            if not anyway and not _has_gone_on(old, new):
                raise UsageError(
                    f"the history has a run {record.run.id} that says something else",
                    details=f"It was imported {old['imported_at']} from {old['folder'] or 'a run.json'}.",
                    resolution="Two runs have one id, or a record was edited. If the folder below --reports"
                    " is right: matrixctl history rebuild",
                )
            fill.clear(connection, [old["number"]])
            connection.execute(update(RUNS).where(RUNS.c.number == old["number"]).values(**new))
            fill.write_run(connection, record, old["number"], alarms, made)
            return "replaced"

    def remove(self, ids: Iterable[str]) -> None:
        """Forget runs, all of them or none; what no other run has goes with them."""
        with explain_errors(self.place), begin_writing(self._engine) as connection:
            numbers = list(
                connection.execute(select(RUNS.c.number).where(RUNS.c.id.in_(list(ids)))).scalars()
            )
            fill.clear(connection, numbers)
            connection.execute(delete(RUNS).where(RUNS.c.number.in_(numbers)))
            fill.drop_unused(connection)

    # Asking.

    def list_runs(self, series: str | None = None) -> list[Row]:
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
        every = self.list_runs()
        known = [run["id"] for run in every]
        if name not in known and not is_counted(name) and (path := find_path(name)):
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
                f"the history {self.place} has no run {quote(name)}",
                details=f"the newest: {join_names(known[:3])}" if known else "",
                resolution=f"RUN is {WHAT}." if known else "Fill it with: matrixctl history import --all",
            )
        return mine[0]

    def list_alarms(self, run: Row) -> list[Row]:
        """Return the alarms of a run, each with ``first`` and ``runs``.

        That is its first night in the series, and in how many runs of the series it was up to this one.
        """
        seen = (
            select(ALARMS.c.key, func.min(RUNS.c.night).label("first"), func.count().label("runs"))
            .join(RUNS, RUNS.c.number == ALARMS.c.run)
            .where(RUNS.c.series == run["series"], RUNS.c.id <= run["id"])
            .group_by(ALARMS.c.key)
            .subquery()
        )
        query = (
            select(ALARMS, seen.c.first, seen.c.runs)
            .join(seen, seen.c.key == ALARMS.c.key)
            .where(ALARMS.c.run == run["number"])
            .order_by(ALARMS.c.cells.desc(), ALARMS.c.key)
        )
        return [{**row, "conditions": json.loads(row["conditions"])} for row in self._ask(query)]

    def list_alarms_before(self, record: RunRecord) -> list[Alarm]:
        """Return the alarms of the last runs of its series before a run, the newest first."""
        series, before = (rows.fit(one) for one in (record.run.series, record.run.id))
        runs = (
            select(RUNS.c.number, RUNS.c.id)
            .where(RUNS.c.series == series, RUNS.c.id < before)
            .order_by(RUNS.c.id.desc())
            .limit(_FOLLOWED)
            .subquery()
        )
        if not series:
            return []
        cells: dict[tuple[int, str], list[str]] = {}
        of_cells = (
            select(RESULTS.c.run, RESULTS.c.alarm, CELLS.c.id)
            .join(CELLS, CELLS.c.number == RESULTS.c.cell)
            .where(RESULTS.c.run.in_(select(runs.c.number)), RESULTS.c.alarm.is_not(None))
        )
        for number, key, cell in self._ask_tuples(of_cells):
            cells.setdefault((number, key), []).append(cell)
        query = select(ALARMS).join(runs, runs.c.number == ALARMS.c.run)
        return [
            Alarm(
                key=row["key"],
                outcome=row["outcome"],
                reason=row["reason"],
                conditions=tuple(json.loads(row["conditions"])),
                cells=tuple(cells.get((row["run"], row["key"]), ())),
            )
            for row in self._ask(query.order_by(runs.c.id.desc(), ALARMS.c.key))
        ]

    def list_results(self, run: Row) -> list[Row]:
        """Return the cells of a run with their axes and results, and the digest of their build."""
        query = (
            select(CELLS, RESULTS, BUILDS.c.digest.label("build_digest"))
            .join(RESULTS, RESULTS.c.cell == CELLS.c.number)
            .join(BUILDS, BUILDS.c.number == RESULTS.c.build)
            .where(RESULTS.c.run == run["number"])
            .order_by(CELLS.c.number)
        )
        return self._ask(query)

    def list_timeline(self, cell: str, series: str, limit: int = 365) -> list[Row]:
        """Return the results of a cell in the runs of a series, the newest first."""
        query = (
            select(RUNS.c.id.label("run_id"), RUNS.c.night, RESULTS)
            .join(RESULTS, RESULTS.c.run == RUNS.c.number)
            .where(_is_of(cell), RUNS.c.series == series)
            .order_by(RUNS.c.id.desc())
            .limit(limit)
        )
        return self._ask(query)

    def list_past(
        self, series: str, *, first_night: str, before: str, cells: Sequence[str] | None = None
    ) -> list[Row]:
        """Return the results of cells in the runs of a series, the oldest first, with ``build_digest``.

        :param first_night: the first that counts.
        :param before: the id of a run; those from it on are left out.
        :param cells: their ids; without them, of all.
        """
        query = (
            select(
                RUNS.c.id.label("run_id"),
                RUNS.c.night,
                CELLS.c.id,
                BUILDS.c.digest.label("build_digest"),
                RESULTS,
            )
            .join(RESULTS, RESULTS.c.run == RUNS.c.number)
            .join(CELLS, CELLS.c.number == RESULTS.c.cell)
            .join(BUILDS, BUILDS.c.number == RESULTS.c.build)
            .where(RUNS.c.series == series, RUNS.c.night >= first_night, RUNS.c.id < before)
            .order_by(RUNS.c.id, CELLS.c.number)
        )
        if cells is None:
            return self._ask(query)
        pieces = (query.where(CELLS.c.id.in_(some)) for some in fill.split_batches(cells, fill.AT_ONCE))
        return [row for piece in pieces for row in self._ask(piece)]

    def find_sets(self, made: fill.Made) -> Mapping[str, tuple[int, int]]:
        """Return the numbers of what cells are made of; only of those of which both sets are known."""
        with explain_errors(self.place), self._engine.connect() as connection:
            return fill.find_sets(connection, made)

    def read_sets(self, numbers: Iterable[int]) -> Mapping[int, frozenset[Ingredient]]:
        """Return sets of ingredients by their numbers."""
        found: dict[int, list[int]] = {}
        for some in fill.split_batches(sorted(set(numbers)), fill.AT_ONCE):
            query = select(INGREDIENT_SETS).where(INGREDIENT_SETS.c.number.in_(some))
            found |= {row["number"]: json.loads(row["members"]) for row in self._ask(query)}
        every = sorted({number for members in found.values() for number in members})
        known: dict[int, Ingredient] = {}
        for some in fill.split_batches(every, fill.AT_ONCE):
            query = select(INGREDIENTS).where(INGREDIENTS.c.number.in_(some))
            known |= {row.pop("number"): Ingredient(**row) for row in self._ask(query)}
        return {number: frozenset(known[one] for one in members) for number, members in found.items()}

    def find_last_pass(self, cell: str, run: Row) -> str | None:
        """Return the night of the cell's last pass in the series of a run, up to that run."""
        query = (
            select(func.max(RUNS.c.night).label("night"))
            .join(RESULTS, RESULTS.c.run == RUNS.c.number)
            .where(_is_of(cell), RESULTS.c.outcome == "pass")
            .where(RUNS.c.series == run["series"], RUNS.c.id <= run["id"])
        )
        return next((row["night"] for row in self._ask(query)), None)

    def find_known_since(self, cell: str, run: Row) -> str | None:
        """Return since which night the cell is a known failure, without a night of another verdict."""
        mine = (
            select(RUNS.c.id, RUNS.c.night, RESULTS.c.verdict)
            .join(RESULTS, RESULTS.c.run == RUNS.c.number)
            .where(_is_of(cell), RUNS.c.series == run["series"], RUNS.c.id <= run["id"])
            .subquery()
        )
        other = select(func.max(mine.c.id)).where(mine.c.verdict.not_in(["known-failure", "not-judged"]))
        query = select(func.min(mine.c.night).label("night")).where(
            mine.c.verdict == "known-failure", mine.c.id > func.coalesce(other.scalar_subquery(), "")
        )
        return next((row["night"] for row in self._ask(query)), None)

    def list_rules(self, run: Row) -> list[Row]:
        """Return the rules of a run's matrix, each with ``since`` and ``last_held``.

        These are the first night of the series that has the rule, and the last one on which a cell ended as
        it says; ``None`` where none did.
        """
        held = func.max(case((RUN_RULES.c.held > 0, RUNS.c.night)))
        seen = (
            select(RUN_RULES.c.rule, func.min(RUNS.c.night).label("since"), held.label("last_held"))
            .join(RUNS, RUNS.c.number == RUN_RULES.c.run)
            .where(RUNS.c.series == run["series"], RUNS.c.id <= run["id"])
            .group_by(RUN_RULES.c.rule)
            .subquery()
        )
        query = (
            select(RULES, RUN_RULES, seen.c.since, seen.c.last_held)
            .join(RUN_RULES, RUN_RULES.c.rule == RULES.c.number)
            .join(seen, seen.c.rule == RULES.c.number)
            .where(RUN_RULES.c.run == run["number"])
            .order_by(RULES.c.number)
        )
        return [{**row, "conditions": json.loads(row["conditions"])} for row in self._ask(query)]

    def list_components(self, run: Row) -> list[Row]:
        """Return the components of a run."""
        query = (
            select(COMPONENTS)
            .join(RUN_COMPONENTS, RUN_COMPONENTS.c.component == COMPONENTS.c.number)
            .where(RUN_COMPONENTS.c.run == run["number"])
            .order_by(COMPONENTS.c.kind, COMPONENTS.c.name, COMPONENTS.c.version)
        )
        return self._ask(query)

    def list_nights(self, series: str, limit: int) -> list[Row]:
        """Return the newest runs of a series, the oldest of them first."""
        query = select(RUNS).where(RUNS.c.series == series).order_by(RUNS.c.id.desc()).limit(limit)
        return self._ask(query)[::-1]

    def list_cells(self) -> list[Row]:
        """Return every cell that any run has, with its number and axes."""
        return self._ask(select(CELLS).order_by(CELLS.c.number))

    def list_builds(self) -> Mapping[int, str]:
        """Return the digest of each build by its number; empty where it was never known."""
        return dict(self._ask_tuples(select(BUILDS.c.number, BUILDS.c.digest)))

    def list_results_of(self, series: str, first: str) -> list[tuple[Any, ...]]:
        """Return the results of the runs of a series from one id on: run, cell, and the columns of JUDGED.

        There may be a few hundred thousand, so they are tuples, in no order.
        """
        columns = [RESULTS.c[name] for name in ("run", "cell", *JUDGED)]
        query = select(*columns).join(RUNS, RUNS.c.number == RESULTS.c.run)
        return self._ask_tuples(query.where(RUNS.c.series == series, RUNS.c.id >= first))

    def list_alarms_of(self, series: str, first: str) -> list[Row]:
        """Return the alarms of the runs of a series from one id on."""
        query = select(ALARMS).join(RUNS, RUNS.c.number == ALARMS.c.run)
        found = self._ask(query.where(RUNS.c.series == series, RUNS.c.id >= first))
        return [{**row, "conditions": json.loads(row["conditions"])} for row in found]

    def list_components_of(self, series: str, first: str) -> list[tuple[Any, ...]]:
        """Return the components of the runs of a series from one id on: run, kind, name, version, digest."""
        columns = [COMPONENTS.c[name] for name in ("kind", "name", "version", "digest")]
        query = (
            select(RUN_COMPONENTS.c.run, *columns)
            .join(COMPONENTS, COMPONENTS.c.number == RUN_COMPONENTS.c.component)
            .join(RUNS, RUNS.c.number == RUN_COMPONENTS.c.run)
            .where(RUNS.c.series == series, RUNS.c.id >= first)
        )
        return self._ask_tuples(query)

    def _ask_tuples(self, query: Any) -> list[Any]:
        with explain_errors(self.place), self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def _ask(self, query: Any) -> list[Row]:
        with explain_errors(self.place), self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]


def _is_of(cell: str) -> Any:
    """Return the condition that a result is of a cell.

    With a join in its place SQLite reads all results of each run, and looks at their cells.
    """
    return RESULTS.c.cell.in_(select(CELLS.c.number).where(CELLS.c.id == cell))


def find_old_runs(runs: Sequence[Row], keep_nights: int) -> list[Row]:
    """Return the runs that are older than the newest nights of their series."""
    nights: dict[str, set[str]] = {}
    for run in runs:
        nights.setdefault(run["series"], set()).add(run["night"])
    kept = {name: set(sorted(every, reverse=True)[:keep_nights]) for name, every in nights.items()}
    return [run for run in runs if run["night"] not in kept[run["series"]]]


def _has_gone_on(old: RowMapping, new: Row) -> bool:
    """Return whether the run was resumed, or had no end yet, when it was written down."""
    if old["started_at"] != new["started_at"]:
        return False
    if new["judged"] < old["judged"] or new["resumed"] < old["resumed"]:  # an old copy of it
        return False
    return bool(new["resumed"] > old["resumed"] or old["status"] != "finished")
