"""``python -m bench [BENCHMARK]... [--write]``."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from bench import builds, figures, history, machine, probes, report, scale
from orchestrator.arch import Arch, by_machine
from orchestrator.cli import common
from orchestrator.errors import MatrixctlError
from orchestrator.execute.engine import docker_engine

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


def _benchmarks(store: Path, jobs: int, database: str | None) -> Mapping[str, Callable[[], figures.Section]]:
    """By name, from the quickest to the slowest."""

    def host() -> Arch:
        return by_machine(docker_engine.connect().info().arch)

    return {
        "scale": scale.measure,
        "report": report.measure,
        "history": lambda: history.measure(url=database),
        "probes": lambda: probes.measure(host(), store, say=common.say),
        "builds": lambda: builds.measure(machine.foreign(host()), store, jobs=jobs, say=common.say),
    }


NAMES = ("scale", "report", "history", "probes", "builds")


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES), metavar="[BENCHMARK]...")
@click.option("--write", is_flag=True, help="Put the figures into docs/performance.md.")
@click.option(
    "--store", type=click.Path(path_type=Path, file_okay=False), help="Artifacts [default: user's cache]."
)
@click.option("--jobs", type=click.IntRange(1), help="Compilers at once [default: CPUs].")
@click.option("--database", metavar="URL", help="An empty PostgreSQL database, for `history`.")
def main(
    names: Sequence[str], *, write: bool, store: Path | None, jobs: int | None, database: str | None
) -> None:
    """Measure what matrixctl costs: scale, report, history, probes, builds; all of them if none is named.

    `builds` takes a quarter of an hour or more. Leave the machine alone meanwhile.
    """
    if write and names:
        raise click.UsageError("--write takes the figures of one whole run: name no benchmark with it")
    try:
        _measure(
            names or NAMES,
            _benchmarks(store or common.default_store(), jobs or os.cpu_count() or 1, database),
            write=write,
        )
    except MatrixctlError as error:
        raise click.ClickException(str(error)) from None


def _measure(
    names: Sequence[str], benchmarks: Mapping[str, Callable[[], figures.Section]], *, write: bool
) -> None:
    parts = [f"{machine.describe()}\n"]
    for name in names:
        common.say(f"{name} ...")
        section = figures.markdown(benchmarks[name]())
        click.echo(section)
        parts.append(section)
    if write:
        figures.rewrite(PAGE, "\n".join(parts))
        common.say(f"written to {PAGE}")


if __name__ == "__main__":
    main()
