"""``python -m bench [BENCHMARK]... [--write]``."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click

from bench import (
    builds,
    distributed,
    explore,
    figures,
    history,
    localise,
    machine,
    probes,
    report,
    scale,
    shards,
    site,
    transfer,
    warm,
)
from orchestrator.arch import Arch, find_arch
from orchestrator.cli import common
from orchestrator.cli.main import collect_seldom
from orchestrator.errors import MatrixctlError
from orchestrator.execute.engine import docker_engine

_DOCS = Path(__file__).parents[1] / "docs"
PAGE = _DOCS / "performance.md"
OWN_PAGES = {"localise": _DOCS / "localisation.md", "explore": _DOCS / "exploring.md"}
"""Benchmarks whose figures stand on a page of their own."""


def _list_benchmarks(
    store: Path, jobs: int, database: str | None, seeds: int, empty: str | None
) -> Mapping[str, Callable[[], figures.Section]]:
    """Return them by name, from the quickest to the slowest."""

    def find_host() -> Arch:
        return find_arch(docker_engine.connect().describe().arch)

    return {
        "scale": scale.measure,
        "report": report.measure,
        "history": lambda: history.measure(url=database),
        "explore": explore.measure,
        "localise": lambda: localise.measure(seeds),
        "shards": shards.measure,
        "distributed": distributed.measure,
        "site": site.measure,
        "transfer": lambda: transfer.measure(store, common.say, empty=empty),
        "warm": lambda: warm.measure(find_host(), store, say=common.say),
        "probes": lambda: probes.measure(find_host(), store, say=common.say),
        "builds": lambda: builds.measure(machine.find_foreign(find_host()), store, jobs=jobs, say=common.say),
    }


NAMES = (
    "scale",
    "report",
    "history",
    "shards",
    "distributed",
    "site",
    "transfer",
    "explore",
    "localise",
    "warm",
    "probes",
    "builds",
)


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES), metavar="[BENCHMARK]...")
@click.option("--write", is_flag=True, help="Put the figures into docs/performance.md, or their own page.")
@click.option(
    "--store", type=click.Path(path_type=Path, file_okay=False), help="Artifacts [default: user's cache]."
)
@click.option("--jobs", type=click.IntRange(1), help="Compilers at once [default: CPUs].")
@click.option("--database", metavar="URL", help="An empty PostgreSQL database, for `history`.")
@click.option(
    "--empty-engine",
    metavar="DOCKER_HOST",
    help="For `transfer`: an engine without images, to load them into.",
)
@click.option("--seeds", type=click.IntRange(1), default=localise.SEEDS, help="Matrices, for `localise`.")
def main(
    names: Sequence[str],
    *,
    write: bool,
    store: Path | None,
    jobs: int | None,
    database: str | None,
    seeds: int,
    empty_engine: str | None,
) -> None:
    """Measure what matrixctl costs: some benchmarks, or all of them.

    scale, report, history, shards, distributed, site, transfer, explore, localise, warm, probes, builds.

    `localise` and `builds` take a quarter of an hour or more each. Leave the machine alone meanwhile.
    """
    try:
        if not names or "builds" in names:
            builds.refuse_without_emulator(machine.find_foreign(find_arch(os.uname().machine)))
        measure(
            names or NAMES,
            _list_benchmarks(
                store or common.find_default_store(),
                jobs or os.cpu_count() or 1,
                database,
                seeds,
                empty_engine,
            ),
            write=write,
        )
    except MatrixctlError as error:
        raise click.ClickException(str(error)) from None


def measure(
    names: Sequence[str], benchmarks: Mapping[str, Callable[[], figures.Section]], *, write: bool
) -> None:
    """Measure one after another; each that ends is printed and written at once."""
    for name in names:
        common.say(f"{name} ...")
        where = machine.describe()
        section = benchmarks[name]()
        section = replace(section, notes=(*section.notes, where))
        click.echo(figures.write_markdown(section))
        if write:
            page = OWN_PAGES.get(name, PAGE)
            figures.write(page, section)
            common.say(f"written to {page}")


if __name__ == "__main__":
    collect_seldom()  # as the program that is measured
    main()
