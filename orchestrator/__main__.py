"""``python -m orchestrator`` is ``matrixctl``."""

from orchestrator.cli.main import process

process()
