"""``matrixctl doctor``: what is missing, and its remedy."""

import os
import shlex
import sys
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from orchestrator.cli import common
from orchestrator.cli.log import show_log
from orchestrator.cli.pipes import Answer
from orchestrator.errors import Exit
from orchestrator.execute.engine.engine import connect
from orchestrator.execute.images import bootstrap
from orchestrator.execute.setup import doctor, fix
from orchestrator.execute.system.host import LocalHost
from orchestrator.report.text import make_printable

_MARKS = {
    doctor.CheckState.OK: "[green]✔ ok[/]",
    doctor.CheckState.WARNING: "[yellow]! warning[/]",
    doctor.CheckState.MISSING: "[red]✘ missing[/]",
}


@click.command("doctor", epilog="Example: sudo matrixctl doctor --fix")
@click.option("--fix", "fixing", is_flag=True, help="Install and start what is missing (as root).")
@click.option("--quiet", is_flag=True, help="Say only what is missing.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def command(*, fixing: bool, quiet: bool, form: str) -> None:
    """Say what this machine lacks for a run; --fix installs it.

    Exit code 0 when all that a run needs is there, else 4.
    """
    patient = make_patient()
    with show_log((lambda _: None) if quiet else common.say):
        if fixing:
            fix.fix(patient)
        checks = doctor.examine(patient)
    healthy = doctor.is_healthy(checks)
    if form == "json":
        found = {"healthy": healthy, "checks": [check.model_dump(mode="json") for check in checks]}
        click.echo(common.as_json(found))
    else:
        _show([check for check in checks if not quiet or check.state is doctor.CheckState.MISSING])
    raise SystemExit(Exit.OK if healthy else Exit.HARNESS)


def make_patient() -> doctor.Patient:
    """Return this machine, as the doctor looks at it."""
    host = LocalHost()
    return doctor.Patient(
        host=host,
        connect=connect,
        docker_host=os.environ.get("DOCKER_HOST", ""),
        proxies=bootstrap.find_proxies(host, os.environ),
        fix_command=shlex.join([*([] if host.uid() == 0 else ["sudo"]), _find_program(), "doctor", "--fix"]),
    )


def _find_program() -> str:
    """Return the program as it was called: sudo's PATH lacks a virtual environment."""
    called = Path(sys.argv[0])
    return str(called.absolute()) if called.name == "matrixctl" and called.exists() else "matrixctl"


def _show(checks: list[doctor.Check]) -> None:
    table = Table("check", "state", "found", box=None, pad_edge=False)
    for check in checks:
        said = Text(make_printable(check.found))
        if check.remedy:
            said.append(f"\n→ {make_printable(check.remedy)}", style="bold")
        table.add_row(check.name, _MARKS[check.state], said)
    if checks:
        Answer(highlight=False).print(table)
