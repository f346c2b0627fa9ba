"""The entry point."""

import click

from orchestrator import __version__
from orchestrator.cli.group import Later, Lazy, leave
from orchestrator.errors import Exit

_COMMANDS = (
    Later(
        "bisect",
        "orchestrator.cli.bisect:command",
        "Find since which version or commit CELL fails, or passes again: each step is a run of its own.",
    ),
    Later(
        "capabilities",
        "orchestrator.cli.capabilities:capabilities",
        "Show the declared table of what each TLS library can do in HAProxy, with its sources.",
    ),
    Later(
        "cells",
        "orchestrator.cli.cells:cells",
        "Show the cells that the matrix expands to and the filters leave.",
    ),
    Later(
        "clean",
        "orchestrator.cli.clean:clean",
        "Remove what dead runs left behind, in the engine and in folders; never what a running one has.",
    ),
    Later(
        "compare",
        "orchestrator.cli.compare:command",
        "Say what became of each cell from BASE to HEAD, and what else has changed.",
    ),
    Later(
        "doctor",
        "orchestrator.cli.doctor:command",
        "Say what this machine lacks for a run, with the remedy for each.",
    ),
    Later(
        "explain",
        "orchestrator.cli.explain:command",
        "Name the smallest combinations that explain the failures of the first RUN; others add outcomes.",
    ),
    Later(
        "github",
        "orchestrator.cli.github:github",
        "Cut a selection into the jobs of a workflow, and say on GitHub what their runs have shown.",
    ),
    Later(
        "history",
        "orchestrator.cli.history:history",
        "Keep the runs of many nights in a database, and ask it; the runs' folders stay the truth.",
    ),
    Later(
        "init",
        "orchestrator.cli.init:init",
        "Write a commented matrix.yaml into this folder, for work on HAProxy, a TLS library or packages.",
    ),
    Later(
        "logs",
        "orchestrator.cli.read:logs",
        "Print what is known of CELL: its outcome, its attempts, and its files of evidence.",
    ),
    Later(
        "merge",
        "orchestrator.cli.merge:merge",
        "Make one run of the runs of a selection's shards (`run --shard K/N`).",
    ),
    Later(
        "plan",
        "orchestrator.cli.plan:plan",
        "Show the actions that a run would take, what of it is there already, and an estimate.",
    ),
    Later(
        "render",
        "orchestrator.cli.render:render",
        "Write everything that a run would use, complete enough to be rerun by hand with docker alone.",
    ),
    Later(
        "report",
        "orchestrator.cli.read:report",
        "Render RUN again from its journal, to stdout.",
    ),
    Later(
        "repro",
        "orchestrator.cli.repro:repro",
        "Write a folder with which anybody sees again what a run saw of CELL: a report with all it needs.",
    ),
    Later("run", "orchestrator.cli.run:run", "Build HAProxy for the selected cells and probe HTTP/3."),
    Later("schema", "orchestrator.cli.schema:schema", "Print the JSON Schema of matrix.yaml, for editors."),
    Later(
        "serve",
        "orchestrator.cli.serve:command",
        "Show the dashboard on this machine, and follow a run as it goes on, until Ctrl-C.",
    ),
    Later(
        "shell",
        "orchestrator.cli.shell:shell",
        "Open a container of CELL as RUN had it: its server (HAProxy runs), its client, or its build.",
    ),
    Later(
        "site",
        "orchestrator.cli.site:command",
        "Write the dashboard of a series: static pages from the history, for a web server or a folder.",
    ),
    Later(
        "store",
        "orchestrator.cli.store:store",
        "Name, export and import what a selection needs of the store: sources, libraries, HAProxy builds.",
    ),
)


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="matrixctl")
def main() -> None:
    """Judge HTTP/3 in HAProxy for every architecture, TLS library and cipher."""


for command in _COMMANDS:
    main.add_command(command)


def process() -> None:
    """``matrixctl`` as a process of its own, which ends when its command has ended."""
    try:
        main(prog_name="matrixctl")
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else Exit.OK)
