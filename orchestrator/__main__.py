"""``python -m orchestrator`` is ``matrixctl``."""

from orchestrator.cli.main import main

main(prog_name="matrixctl")
