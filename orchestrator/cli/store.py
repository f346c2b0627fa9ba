"""``matrixctl store``: what a selection needs of the store, for a cache or for another machine."""

from collections.abc import Sequence
from pathlib import Path

import click

from orchestrator.app.needs import KeyInputs, find_needs, make_key
from orchestrator.arch import Arch
from orchestrator.cli import common
from orchestrator.cli.group import Ordered
from orchestrator.errors import NothingSelectedError
from orchestrator.execute.store import bundle
from orchestrator.execute.store.bundle import Item
from orchestrator.execute.store.store import Store
from orchestrator.matrix.catalog import Catalog
from orchestrator.preview import Preview, find_engine, preview
from orchestrator.report.units import format_size


@click.group(cls=Ordered)
def store() -> None:
    """Name, export and import what a selection needs.

    The store has sources, libraries, HAProxy builds and results of self-tests.
    """


@store.command(epilog="Example: matrixctl store key --profile nightly")
@common.pinned
@common.take_selection
@common.matrix_sources
@common.challenge_unsupported
def key(
    selection: common.SelectedCells,
    *,
    store: Path | None,
    mirrors: Sequence[str],
    sources: Sequence[Path],
    challenge_unsupported: bool,
) -> None:
    """Print a key for a cache: it changes with what is needed.

    `ASKED` until the toolchain images are there, `ASKED-EXACT` from then on: restore what begins with ASKED,
    save under the whole.
    """
    catalog, kept = common.read_catalog(sources), Store(store or common.find_default_store())
    found, host = _look(selection, catalog, kept, mirrors, challenge_unsupported=challenge_unsupported)
    inputs = KeyInputs(
        host=host,
        catalog=catalog,
        store=kept,
        mirrors=mirrors,
        expectations=selection.expectations,
        pins=selection.pins,
        challenge_unsupported=challenge_unsupported,
    )
    click.echo(make_key(selection.cells, inputs, found))


@store.command(epilog="Example: matrixctl store export night.tar.gz --profile nightly")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@common.pinned
@common.take_selection
@common.matrix_sources
@common.challenge_unsupported
@click.option("--ccache", is_flag=True, help="With the compiler caches: larger than all that is compiled.")
def export(
    selection: common.SelectedCells,
    *,
    file: Path,
    store: Path | None,
    mirrors: Sequence[str],
    sources: Sequence[Path],
    challenge_unsupported: bool,
    ccache: bool,
) -> None:
    """Write what the selection needs of the store into FILE.

    It says what is not there. FILE is a tar, compressed with gzip. Exit code 3: nothing is there.
    """
    catalog, kept = common.read_catalog(sources), Store(store or common.find_default_store())
    found, _ = _look(selection, catalog, kept, mirrors, challenge_unsupported=challenge_unsupported)
    needs = find_needs(found, caches=ccache)
    made = bundle.export(kept, needs.wanted, file)
    for name in sorted(needs.names[path] for path in made.missing):
        common.say(f"not in the store: {name}")
    for name in needs.unknown:
        common.say(f"not known yet: {name}")
    if not made.items:
        raise NothingSelectedError(
            f"the store {kept.root} has nothing that this selection needs",
            resolution="A run makes it; then export it.",
        )
    click.echo(f"{file}: {_count(made.items)}, {format_size(made.size)}")


@store.command("import", epilog="Example: matrixctl store import night.tar.gz")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@common.store_folder
def import_(file: Path, *, store: Path | None) -> None:
    """Take into the store what `store export` wrote into FILE.

    Nothing of it is taken in before all of it was read and held against its digests. What the store has
    already stays. The person who wrote FILE decides what your builds are: import your own alone.
    """
    made = bundle.import_(Store(store or common.find_default_store()), file)
    held = f"; {len(made.held)} were there" if made.held else ""
    click.echo(f"{file}: {_count(made.new)}{held}")


def _look(
    selection: common.SelectedCells,
    catalog: Catalog,
    store: Store,
    mirrors: Sequence[str],
    *,
    challenge_unsupported: bool,
) -> tuple[Preview, Arch]:
    """Return the plan as it would be carried out here, and the architecture of the engine's machine."""
    engine, host = find_engine()
    found = preview(
        selection.cells,
        catalog,
        store,
        engine,
        host,
        expectations=selection.expectations,
        mirrors=mirrors,
        pins=selection.pins,
        challenge_unsupported=challenge_unsupported,
    )
    return found, host


def _count(items: Sequence[Item]) -> str:
    kinds: list[str] = [item.kind for item in items]
    words = {"artifact": "artifact", "source": "source", "ccache": "compiler cache"}
    counts = [(kinds.count(kind), word) for kind, word in words.items()]
    told = [f"{count} {word}{'s' if count > 1 else ''}" for count, word in counts if count]
    return ", ".join(told) or "nothing new"
