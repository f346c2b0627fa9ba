"""The history of runs: a database beside the runs' folders, which stay the truth.

It alone imports SQLAlchemy and Alembic; who does not use the history imports none of it.
"""
