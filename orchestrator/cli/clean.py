"""``matrixctl clean``."""

from pathlib import Path

import click

from orchestrator.cli import common
from orchestrator.errors import MatrixctlError
from orchestrator.execute import docker_engine, images, leftovers
from orchestrator.execute.leftovers import Leftover
from orchestrator.execute.store import Store

_DEFAULT = Path()


@click.command()
@click.option("--images", "with_images", is_flag=True, help="Remove the images that were made here, too.")
@click.option(
    "--store",
    type=click.Path(path_type=Path, file_okay=False),
    is_flag=False,
    flag_value=_DEFAULT,
    metavar="[DIR]",
    help="Empty the store of artifacts and compiler caches [DIR: user's cache].",
)
@click.option("--foreign", is_flag=True, help="Also what another machine, or an earlier boot, left.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def clean(*, with_images: bool, store: Path | None, foreign: bool, dry_run: bool) -> None:
    """Remove containers, networks and volumes that dead runs left behind; never those of a running one."""
    if store is not None:
        _store(common.default_store() if store == _DEFAULT else store, dry_run=dry_run)
    client = docker_engine.connect().client
    kept = []
    for leftover in leftovers.find(client):
        if leftover.alive or (leftover.alive is None and not foreign):
            kept.append(leftover)
            _say_kept(leftover)
            continue
        if not dry_run:
            leftovers.remove(client, leftover)
        _say(f"{leftover.kind} {leftover.name}", dry_run=dry_run)
    if with_images and kept:
        raise MatrixctlError(
            "the images stay: a run may be using them", resolution="Try again when it has ended."
        )
    if with_images:
        for tag in images.tags(client) if dry_run else images.remove_images(client):
            _say(f"image {tag}", dry_run=dry_run)


def _store(root: Path, *, dry_run: bool) -> None:
    store = Store(root, say=common.say)
    for path in store.contents() if dry_run else store.empty():
        _say(str(path), dry_run=dry_run)


def _say(what: str, *, dry_run: bool) -> None:
    click.echo(f"{'would remove' if dry_run else 'removed'} {what}")


def _say_kept(leftover: Leftover) -> None:
    why = (
        "its run still goes on"
        if leftover.alive
        else "of another machine or an earlier boot; --foreign removes it"
    )
    click.echo(f"kept {leftover.kind} {leftover.name}: {why}")
