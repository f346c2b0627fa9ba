"""The entry point."""

import click

from orchestrator import __version__
from orchestrator.cli import doctor
from orchestrator.cli.capabilities import capabilities
from orchestrator.cli.cells import cells
from orchestrator.cli.clean import clean
from orchestrator.cli.common import Explaining, leave
from orchestrator.cli.plan import plan
from orchestrator.cli.read import logs, report
from orchestrator.cli.render import render
from orchestrator.cli.run import run
from orchestrator.cli.schema import schema
from orchestrator.errors import Exit


@click.group(cls=Explaining, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="matrixctl")
def main() -> None:
    """Judge HTTP/3 in HAProxy for every architecture, TLS library and cipher."""


for command in (cells, capabilities, plan, run, render, report, logs, doctor.command, clean, schema):
    main.add_command(command)


def process() -> None:
    """``matrixctl`` as a process of its own, which ends when its command has ended."""
    try:
        main(prog_name="matrixctl")
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else Exit.OK)
