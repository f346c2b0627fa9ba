"""Joins matrix, plan, execute, probe and record into a run: the one room that sees them all."""

from orchestrator.app.first_record import describe_local_host
from orchestrator.app.options import Exploring, Options
from orchestrator.app.running import run_matrix

__all__ = ["Exploring", "Options", "describe_local_host", "run_matrix"]
