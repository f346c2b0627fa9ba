"""What each cell depended on, the rules, and how the attempts that count ended."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "v0002"
down_revision = "v0001"

_RESULTS = sa.table(
    "results", *map(sa.column, ("run", "cell", "outcome", "attempts", "passed", "failed", "failures"))
)
_ATTEMPTS = sa.table("attempts", *map(sa.column, ("run", "cell", "number", "outcome", "reason", "again")))
_FAILURES = {"fail", "misbuilt"}


def upgrade() -> None:
    """Bring the tables from the shape before to this one."""
    op.create_table(
        "ingredients",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("built_in", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("kind", "name", "version", "digest", "built_in"),
    )
    op.create_table(
        "ingredient_sets",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("members", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("digest"),
    )
    op.create_table(
        "rules",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("conditions", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("cipher", sa.Text(), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("until", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("conditions", "outcome", "reason", "cipher", "because", "until"),
    )
    op.create_table(
        "run_rules",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("rule", sa.Integer(), nullable=False),
        sa.Column("met", sa.Integer(), nullable=False),
        sa.Column("counted", sa.Integer(), nullable=False),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("stale", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run", "rule"),
        sqlite_with_rowid=False,
    )
    op.add_column("results", sa.Column("passed", sa.Integer(), nullable=False, server_default="0"))
    for name, kind in (
        ("failures", sa.Text()),
        ("confirmation", sa.Text()),
        ("rule", sa.Integer()),
        ("session_set", sa.Integer()),
        ("own_set", sa.Integer()),
    ):
        op.add_column("results", sa.Column(name, kind, nullable=True))
    _count_again()


def _count_again() -> None:
    """Of the runs that are there: count only the attempts that no other one replaced."""
    connection = op.get_bind()
    passed = sa.and_(_RESULTS.c.outcome == "pass", _RESULTS.c.attempts == 1)
    connection.execute(_RESULTS.update().where(passed).values(passed=1))
    query = sa.select(_ATTEMPTS).order_by(_ATTEMPTS.c.run, _ATTEMPTS.c.cell, _ATTEMPTS.c.number)
    rows: Sequence[Mapping[str, Any]] = list(map(dict, connection.execute(query).mappings()))
    for (run, cell), some in groupby(rows, key=lambda row: (row["run"], row["cell"])):
        ends = list(_read_ends(list(some)))
        values = {
            "attempts": len(ends),
            "passed": sum(outcome == "pass" for outcome, _ in ends),
            "failed": sum(outcome in _FAILURES for outcome, _ in ends),
            "failures": json.dumps(sorted({end for end in ends if end[0] in _FAILURES})),
        }
        here = sa.and_(_RESULTS.c.run == run, _RESULTS.c.cell == cell)
        connection.execute(_RESULTS.update().where(here).values(**values))


def _read_ends(attempts: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for attempt, after in zip(attempts, [*attempts[1:], None], strict=True):
        if after is None or not after["again"]:
            yield attempt["outcome"], attempt["reason"] or ""
