"""``matrixctl schema``."""

import json

import click

from orchestrator.analyse.bisection import make_json_schema as bisect_schema
from orchestrator.analyse.compare import make_json_schema as compare_schema
from orchestrator.analyse.explain import make_json_schema as explain_schema
from orchestrator.matrix import schema as matrix_schema
from orchestrator.record import schema as record_schema


@click.command(epilog="Example: matrixctl schema --run")
@click.option("--run", "what", flag_value="run", help="That of run.json instead.")
@click.option("--compare", "what", flag_value="compare", help="That of `compare --format json` instead.")
@click.option("--explain", "what", flag_value="explain", help="That of `explain --format json` instead.")
@click.option("--bisect", "what", flag_value="bisect", help="That of bisect.json instead.")
def schema(*, what: str | None) -> None:
    """Print the JSON Schema of matrix.yaml or of an output."""
    if what == "run":
        text = record_schema.make_text()
    elif what == "compare":
        text = json.dumps(compare_schema(), indent=1) + "\n"
    elif what == "explain":
        text = json.dumps(explain_schema(), indent=1) + "\n"
    elif what == "bisect":
        text = json.dumps(bisect_schema(), indent=1) + "\n"
    else:
        text = json.dumps(matrix_schema.make_json_schema(), indent=1) + "\n"
    click.echo(text, nl=False)
