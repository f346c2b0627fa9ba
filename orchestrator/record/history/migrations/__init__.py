"""How the history came to have its shape; Alembic walks through it."""
