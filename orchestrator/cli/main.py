"""The entry point."""

import gc

import click

from orchestrator import __version__
from orchestrator.cli.group import Later, Lazy, leave
from orchestrator.errors import Exit

_COMMANDS = (
    Later("init", "orchestrator.cli.init:init", "Write a commented matrix.yaml into this folder."),
    Later(
        "doctor",
        "orchestrator.cli.doctor:command",
        "Say what this machine lacks for a run; --fix installs it.",
    ),
    Later(
        "capabilities",
        "orchestrator.cli.capabilities:capabilities",
        "Show what each TLS library can do in HAProxy, with sources.",
    ),
    Later("cells", "orchestrator.cli.cells:cells", "Show the cells of the matrix that the options select."),
    Later("plan", "orchestrator.cli.plan:plan", "Show what a run would do, and how long that would take."),
    Later("run", "orchestrator.cli.run:run", "Build HAProxy for the selected cells and probe HTTP/3."),
    Later(
        "report",
        "orchestrator.cli.report:report",
        "Print the report of RUN: HTML, JUnit, CTRF, JSON, Markdown.",
    ),
    Later("logs", "orchestrator.cli.report:logs", "Print what is known of CELL, with each file of evidence."),
    Later(
        "explain",
        "orchestrator.cli.explain:command",
        "Name the smallest combinations that explain the failures.",
    ),
    Later("compare", "orchestrator.cli.compare:command", "Say what became of each cell from BASE to HEAD."),
    Later(
        "bisect",
        "orchestrator.cli.bisect:command",
        "Find since which version or commit CELL fails, or passes.",
    ),
    Later(
        "repro", "orchestrator.cli.repro:repro", "Write a folder that shows the failure of CELL elsewhere."
    ),
    Later("shell", "orchestrator.cli.shell:shell", "Open a container of CELL as RUN had it."),
    Later(
        "render",
        "orchestrator.cli.render:render",
        "Write all files that a run would use, to rerun it by hand.",
    ),
    Later(
        "history",
        "orchestrator.cli.history:history",
        "Keep the runs of many nights in a database, and ask it.",
    ),
    Later("site", "orchestrator.cli.site:command", "Write the dashboard of a series: static pages."),
    Later(
        "serve", "orchestrator.cli.serve:command", "Show the dashboard here, and follow a run until Ctrl-C."
    ),
    Later(
        "github", "orchestrator.cli.github:github", "Make jobs of a selection, and tell GitHub of their runs."
    ),
    Later("worker", "orchestrator.cli.worker:command", "Build and probe for the runs of other machines."),
    Later("merge", "orchestrator.cli.merge:merge", "Make one run of the runs of a selection's shards."),
    Later("store", "orchestrator.cli.store:store", "Name, export and import what a selection needs."),
    Later("clean", "orchestrator.cli.clean:clean", "Remove what dead runs left behind."),
    Later(
        "schema", "orchestrator.cli.schema:schema", "Print the JSON Schema of matrix.yaml or of an output."
    ),
)
"""In the order in which a person needs them."""


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="matrixctl")
def main() -> None:
    """Judge HTTP/3 in HAProxy for every architecture, TLS library and cipher."""


for command in _COMMANDS:
    main.add_command(command)


def collect_seldom() -> None:
    """Look for garbage less often: records have no cycles, and looking was half the work of reading a run."""
    gc.set_threshold(50_000, 20, 20)


def process() -> None:
    """Run ``matrixctl`` as a process of its own, which ends when its command has ended."""
    collect_seldom()
    try:
        main(prog_name="matrixctl")
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else Exit.OK)
