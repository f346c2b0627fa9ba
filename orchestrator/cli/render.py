"""``matrixctl render``."""

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from orchestrator import reproduce
from orchestrator.cli import common
from orchestrator.errors import UsageError
from orchestrator.execute.sources import unpinned
from orchestrator.execute.sources.unpinned import Moved
from orchestrator.execute.store.store import Store
from orchestrator.matrix.catalog import Moving
from orchestrator.matrix.names import listed
from orchestrator.preview import engine_here, packages_here

_MARK = ".matrixctl-render"
"""Lists what render wrote into a folder: that, and nothing else, may be replaced."""


@click.command()
@common.selecting
@common.matrix_sources
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="A new or empty folder, or one that render made.",
)
def render(
    selection: common.Selection,
    *,
    store: Path | None,
    mirrors: Sequence[str],
    sources: Sequence[Path],
    out: Path,
) -> None:
    """Write everything that a run would use, complete enough to be rerun by hand with docker alone.

    Unsupported cells are among it, to prove that they are. Prints the script of each build.
    """
    old = _written_before(out)
    engine, host = engine_here()
    limits, package = selection.matrix.limits, packages_here(engine, host)

    def bring(what: Moving) -> Moved:
        kept = Store(store or common.default_store())
        deadline = time.monotonic() + limits.fetch
        return unpinned.fetch(what, store=kept, mirrors=mirrors, deadline=deadline, package=package)

    made = reproduce.render(selection.cells, common.catalog(sources), limits, host, bring)
    _replace(out, old, {**made.files, **made.copies})
    for problem in made.left_out:
        common.say(problem)
    for name in made.builds:
        click.echo(out / name / reproduce.SCRIPT)


def _written_before(out: Path) -> frozenset[str]:
    """:raises UsageError: for a folder in which somebody else's files lie."""
    if not out.exists() or not any(out.iterdir()):
        return frozenset()
    mark = out / _MARK
    if not mark.is_file():
        raise UsageError(
            f"{out} is not empty, and `matrixctl render` did not make it",
            resolution="Name a new folder: nothing of yours is overwritten.",
        )
    names = mark.read_text("utf-8", "replace").splitlines()
    return frozenset(name for name in names if not Path(name).is_absolute() and ".." not in Path(name).parts)


def _replace(out: Path, old: frozenset[str], files: Mapping[str, bytes | Path]) -> None:
    """:raises UsageError: where a file that render did not write is in the way."""
    foreign = [path for path in files if path not in old and (out / path).exists()]
    if foreign:
        raise UsageError(
            f"in {out}, these files are not render's: {listed(foreign)}", resolution="Move them away first."
        )
    out.mkdir(parents=True, exist_ok=True)
    # Both, for as long as either may be there: a render that is cut off can be done again.
    (out / _MARK).write_text("\n".join(sorted({*old, *files})) + "\n")
    for path in old - files.keys():
        (out / path).unlink(missing_ok=True)
    for path, content in files.items():
        _write(out / path, content)
    (out / _MARK).write_text("\n".join(sorted(files)) + "\n")


def _write(path: Path, content: bytes | Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600 if path.name == "server.pem" else 0o666)  # it has a key in it
    if isinstance(content, Path):
        shutil.copyfile(content, path)
    else:
        path.write_bytes(content)
    if path.name == reproduce.SCRIPT:
        path.chmod(path.stat().st_mode | 0o111)
