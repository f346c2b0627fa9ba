"""The entry point."""

import click

from orchestrator import __version__


@click.group()
@click.version_option(__version__, prog_name="matrixctl")
def main() -> None:
    """Judge HTTP/3 in HAProxy for every architecture, TLS library and cipher."""
