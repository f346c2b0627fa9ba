"""The entry point."""

import click

from orchestrator import __version__
from orchestrator.cli import doctor
from orchestrator.cli.cells import cells
from orchestrator.cli.clean import clean
from orchestrator.cli.common import Explaining
from orchestrator.cli.plan import plan
from orchestrator.cli.read import logs, report
from orchestrator.cli.render import render
from orchestrator.cli.run import run
from orchestrator.cli.schema import schema


@click.group(cls=Explaining, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="matrixctl")
def main() -> None:
    """Judge HTTP/3 in HAProxy for every architecture, TLS library and cipher."""


for command in (cells, plan, run, render, report, logs, doctor.command, clean, schema):
    main.add_command(command)
