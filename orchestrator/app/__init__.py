"""Joins matrix, plan, execute, probe and record into a run: the one room that sees them all."""

from orchestrator.app.options import Options
from orchestrator.app.planned import expected, local_host
from orchestrator.app.run import run

__all__ = ["Options", "expected", "local_host", "run"]
