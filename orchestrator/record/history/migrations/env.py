"""What Alembic runs: in the connection and the transaction that it is handed."""

from alembic import context

from orchestrator.record.history.tables import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
)
context.run_migrations()
