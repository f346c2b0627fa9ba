"""``matrixctl schema``."""

import json

import click

from orchestrator.matrix import schema as matrix_schema
from orchestrator.record import schema as record_schema


@click.command()
@click.option("--run", "of_run", is_flag=True, help="That of run.json instead.")
def schema(*, of_run: bool) -> None:
    """Print the JSON Schema of matrix.yaml, for editors."""
    text = record_schema.text() if of_run else json.dumps(matrix_schema.json_schema(), indent=1) + "\n"
    click.echo(text, nl=False)
