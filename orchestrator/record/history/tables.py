"""The tables of the history, as the newest migration leaves them.

``runs``, ``cells``, ``builds`` and ``components`` have a small number each, by which the others name them:
there may be a million results. Times are ISO 8601 in UTC, as in the record.
"""

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData()
VERSION_TABLE = "matrixctl_history"
"""Alembic's, under a name by which we know our own database."""


def _make_text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _make_number() -> Column[int]:
    return Column("number", Integer, primary_key=True, autoincrement=True)


RUNS = Table(
    "runs",
    METADATA,
    _make_number(),
    Column("id", Text, nullable=False, unique=True),
    _make_text("series"),
    _make_text("night"),
    _make_text("started_at"),
    Column("finished_at", Text),
    Column("duration_s", Float),
    _make_text("status"),
    Column("good", Boolean, nullable=False),
    Column("planned", Integer, nullable=False),
    Column("judged", Integer, nullable=False),
    Column("resumed", Integer, nullable=False),
    Column("exit_code", Integer),
    _make_text("tool_version"),
    _make_text("tool_digest"),
    _make_text("matrix_digest"),
    _make_text("selection"),
    _make_text("engine"),
    _make_text("host"),
    Column("schema_version", Integer, nullable=False),
    _make_text("folder"),
    _make_text("digest"),
    _make_text("imported_at"),
    Index("runs_by_series", "series", "id"),
)
CELLS = Table(
    "cells",
    METADATA,
    _make_number(),
    _make_text("id"),
    *(
        _make_text(name)
        for name in (
            *("arch", "haproxy", "haproxy_version", "tls", "tls_family", "tls_version"),
            *("cipher", "client", "client_family", "execution"),
        )
    ),
    UniqueConstraint("id", "haproxy_version", "tls_family", "tls_version", "client_family"),
)
BUILDS = Table(
    "builds",
    METADATA,
    _make_number(),
    _make_text("name"),
    _make_text("digest"),
    UniqueConstraint("name", "digest"),
)
RESULTS = Table(
    "results",
    METADATA,
    Column("run", Integer, nullable=False),
    Column("cell", Integer, nullable=False),
    Column("build", Integer, nullable=False),
    Column("outcome", Text),
    Column("reason", Text),
    _make_text("verdict"),
    _make_text("message"),
    Column("attempts", Integer, nullable=False),
    Column("passed", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("failures", Text),
    Column("confirmation", Text),
    Column("duration_s", Float),
    Column("handshake_s", Float),
    Column("load", Float),
    Column("alarm", Text),
    Column("rule", Integer),
    Column("session_set", Integer),
    Column("own_set", Integer),
    PrimaryKeyConstraint("run", "cell"),
    Index("results_by_cell", "cell", "run", "outcome"),
    sqlite_with_rowid=False,
)
"""``attempts``, ``passed``, ``failed``: of the attempts that count. ``failures``: JSON, the ends of those
that failed, where there was more than one attempt. ``session_set`` and ``own_set``: what the cell depended
on; null where its record is too old to say."""
ATTEMPTS = Table(
    "attempts",
    METADATA,
    Column("run", Integer, nullable=False),
    Column("cell", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    _make_text("why"),
    _make_text("outcome"),
    Column("reason", Text),
    _make_text("message"),
    _make_text("started_at"),
    Column("duration_s", Float, nullable=False),
    Column("again", Boolean, nullable=False),
    Column("load", Float),
    Column("steal", Float),
    PrimaryKeyConstraint("run", "cell", "number"),
    sqlite_with_rowid=False,
)
"""Only of cells that have more than one: of the others ``results`` says it all."""
COMPONENTS = Table(
    "components",
    METADATA,
    _make_number(),
    *(_make_text(name) for name in ("kind", "name", "version", "digest", "origin")),
    UniqueConstraint("kind", "name", "version", "digest", "origin"),
)
RUN_COMPONENTS = Table(
    "run_components",
    METADATA,
    Column("run", Integer, nullable=False),
    Column("component", Integer, nullable=False),
    PrimaryKeyConstraint("run", "component"),
    sqlite_with_rowid=False,
)
INGREDIENTS = Table(
    "ingredients",
    METADATA,
    _make_number(),
    *(_make_text(name) for name in ("kind", "name", "version", "digest")),
    Column("built_in", Boolean, nullable=False),
    UniqueConstraint("kind", "name", "version", "digest", "built_in"),
)
INGREDIENT_SETS = Table(
    "ingredient_sets",
    METADATA,
    _make_number(),
    Column("digest", Text, nullable=False, unique=True),
    _make_text("members"),
)
"""``members``: JSON, the numbers of its ingredients."""
RULES = Table(
    "rules",
    METADATA,
    _make_number(),
    *(_make_text(name) for name in ("conditions", "outcome", "reason", "cipher", "because", "until")),
    UniqueConstraint("conditions", "outcome", "reason", "cipher", "because", "until"),
)
RUN_RULES = Table(
    "run_rules",
    METADATA,
    Column("run", Integer, nullable=False),
    Column("rule", Integer, nullable=False),
    Column("met", Integer, nullable=False),
    Column("counted", Integer, nullable=False),
    Column("held", Integer, nullable=False),
    _make_text("place"),
    _make_text("stale"),
    PrimaryKeyConstraint("run", "rule"),
    sqlite_with_rowid=False,
)
"""``met``: cells of the whole matrix that the rule fits; ``counted``: cells of the run that it decided;
``held``: those of them that ended as it says."""
ALARMS = Table(
    "alarms",
    METADATA,
    Column("run", Integer, nullable=False),
    Column("key", Text, nullable=False),
    Column("outcome", Text),
    Column("reason", Text),
    _make_text("conditions"),
    Column("cells", Integer, nullable=False),
    PrimaryKeyConstraint("run", "key"),
    Index("alarms_by_key", "key", "run"),
    sqlite_with_rowid=False,
)
OF_A_RUN = (RESULTS, ATTEMPTS, RUN_COMPONENTS, RUN_RULES, ALARMS)
"""What is removed with a run."""
