"""Opens the database of a history, and brings it to today's shape; its errors are sentences."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, column, create_engine, event, inspect, select, table, text
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.errors import MatrixctlError, UsageError
from orchestrator.mask_passwords import mask_text
from orchestrator.record.history import migrations
from orchestrator.record.history.place import HistoryPlace
from orchestrator.record.history.tables import METADATA, VERSION_TABLE

_PATIENCE = 20
"""Seconds that one writer waits for another; an import of a run takes one."""
_LOCK = 0x6D617472
"""The advisory lock of a writer on PostgreSQL, per database."""
_WHY = {
    "database is locked": "another process writes to it",
    "readonly database": "it can only be read",
    "database or disk is full": "the disk is full",
    "file is not a database": "it is no database of SQLite",
    "unable to open database file": "the file cannot be opened or made",
    "disk image is malformed": "it is damaged",
}
"""What SQLite says -> what that means."""


_RESCUE = "Move it away: `matrixctl history import --all` makes a new one from the folders of the runs."


@contextmanager
def explain_errors(place: HistoryPlace) -> Iterator[None]:
    """Turn an error of the database into a sentence.

    :raises MatrixctlError: in its place.
    """
    try:
        yield
    except (OverflowError, UnicodeEncodeError) as error:  # a time or number too large, a path that is no text
        raise MatrixctlError(f"the history {place} cannot be used: {error}") from None
    except SQLAlchemyError as error:
        said = mask_text(str(getattr(error, "orig", None) or error).strip())
        why = next((meaning for words, meaning in _WHY.items() if words in said), "")
        raise MatrixctlError(
            f"the history {place} cannot be used: {why or said.splitlines()[0]}",
            details="" if why else "\n".join(said.splitlines()[1:]),
            resolution=_RESCUE if "damaged" in why else "",
        ) from None


def make_engine(place: HistoryPlace) -> Engine:
    """Return the engine of a database; nothing is asked of it yet.

    :raises UsageError: where the driver of PostgreSQL is not installed.
    """
    if place.file is None:
        try:
            return create_engine(place.url, connect_args={"connect_timeout": _PATIENCE})
        except ImportError:  # or it finds no libpq
            raise UsageError(
                f"the history {place} is in PostgreSQL, and its driver is not installed",
                resolution="Install it: pipx inject matrixctl 'psycopg[binary]'; in a checkout"
                " .venv/bin/pip install 'psycopg[binary]'",
            ) from None
    engine = create_engine(place.url, connect_args={"timeout": _PATIENCE})

    @event.listens_for(engine, "connect")
    def leave_transactions_to_us(connection: object, _: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined] # the driver would begin too late

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def begin_writing(engine: Engine) -> Iterator[Connection]:
    """Return a connection in a transaction of the only writer; it is all done at the end, or nothing."""
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}s'"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        yield connection


def prepare(engine: Engine, place: HistoryPlace) -> None:
    """Make the tables where there are none, and bring those of an older matrixctl to today's shape.

    :raises UsageError: where it is a database of another program, or of a newer matrixctl.
    """
    with engine.connect() as connection:
        if _is_ready(connection, place):
            return
    with begin_writing(engine) as connection:
        if not _is_ready(connection, place):  # another process may have been quicker
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _is_ready(connection: Connection, place: HistoryPlace) -> bool:
    names = set(inspect(connection).get_table_names())
    if VERSION_TABLE not in names:
        foreign = names if place.file else names & METADATA.tables.keys()
        if foreign:
            raise UsageError(
                f"the history {place} is a database of another program: it has the table {min(foreign)!r}",
                resolution="Name another file or database; this one was not touched.",
            )
        return False
    scripts = ScriptDirectory.from_config(_config())
    found = connection.execute(select(column("version_num")).select_from(table(VERSION_TABLE))).scalar()
    if found not in {script.revision for script in scripts.walk_revisions()}:
        raise UsageError(
            f"the history {place} is of a newer matrixctl",
            resolution="Use that version, or name another history. This one was not touched.",
        )
    return bool(found == scripts.get_current_head())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
