"""``matrixctl clean``."""

import re
import time
from datetime import UTC, datetime
from pathlib import Path

import click
from click.core import ParameterSource

from orchestrator.app import leftovers
from orchestrator.cli import common
from orchestrator.errors import MatrixctlError, UsageError
from orchestrator.execute.engine.engine import Engine, Leftover, connect
from orchestrator.execute.images import workshop
from orchestrator.execute.store import prune
from orchestrator.execute.store.shared import Bounds, prune_remote
from orchestrator.execute.store.store import Store
from orchestrator.phrases import quote
from orchestrator.report.units import format_count, format_size

_DEFAULT = Path()
_DAY = 24 * 3600
_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?([KMGT]?)(?:i?B)?", re.IGNORECASE | re.ASCII)


def _parse_size(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    """Return the bytes of ``500M``, ``20G`` or ``1.5TiB``: binary units, as sizes are shown."""
    if text is None:
        return None
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise click.BadParameter(f"{quote(text)} is no size; write a number and a unit: 500M, 20G, 1.5T")
    return int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " "))


@click.command(epilog="Example: matrixctl clean --dry-run")
@click.option("--images", "with_images", is_flag=True, help="Remove the images that were made here, too.")
@click.option(
    "--store",
    type=click.Path(path_type=Path, file_okay=False),
    is_flag=False,
    flag_value=_DEFAULT,
    metavar="[DIR]",
    help="Empty the store of artifacts and compiler caches [DIR: user's cache].",
)
@common.remote_store
@click.option(
    "--keep-days",
    type=click.IntRange(0),
    metavar="N",
    help="Of the store only what no run used for N days; runs may go on meanwhile.",
)
@click.option(
    "--max-size",
    callback=_parse_size,
    metavar="SIZE",
    help="Of the store the least recently used, until it is at most SIZE (500M, 20G).",
)
@click.option("--runs", "with_runs", is_flag=True, help="The folders of old runs that the history has.")
@click.option(
    "--keep-nights",
    type=click.IntRange(1),
    metavar="N",
    help="With --runs: but for the newest N nights of each series.",
)
@common.history_place
@common.reports_folder
@click.option("--foreign", is_flag=True, help="Also what another machine, or an earlier boot, left.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def clean(
    *,
    with_images: bool,
    store: Path | None,
    remote_store: str | None,
    keep_days: int | None,
    max_size: int | None,
    with_runs: bool,
    keep_nights: int | None,
    history: str | None,
    out: Path | None,
    foreign: bool,
    dry_run: bool,
) -> None:
    """Remove what dead runs left behind.

    It looks in the engine and in folders, and never takes what a run in progress has.
    """
    given = click.get_current_context().get_parameter_source("remote_store")
    if remote_store and given is ParameterSource.COMMANDLINE:
        _prune_remote(remote_store, keep_days=keep_days, max_size=max_size, dry_run=dry_run)
        return
    if store is None and (keep_days is not None or max_size is not None):
        raise UsageError(
            "--keep-days and --max-size say what goes from a store",
            resolution="Add --store, or --remote-store URL.",
        )
    if with_runs == (keep_nights is None):
        raise UsageError("--runs and --keep-nights N go together", resolution="Say how many nights stay.")
    if keep_nights is not None:
        _remove_runs(history, out or common.find_default_out(), keep_nights, dry_run=dry_run)
    root = common.find_default_store() if store in {None, _DEFAULT} else store
    if store is not None:
        _clean_store(root, keep_days=keep_days, max_size=max_size, dry_run=dry_run)
    _remove_files(root, dry_run=dry_run)
    engine = connect()
    kept = _remove_leftovers(engine, foreign=foreign, dry_run=dry_run)
    if with_images and kept:
        raise MatrixctlError(
            "the images stay: a run may be using them", resolution="Try again when it has ended."
        )
    if with_images:
        for tag in workshop.remove_images(engine, dry_run=dry_run):
            _say(f"image {tag}", dry_run=dry_run)


def _remove_leftovers(engine: Engine, *, foreign: bool, dry_run: bool) -> bool:
    """Remove them, and return whether any of them stays."""
    kept = False
    for leftover in engine.find_leftovers():
        if leftover.alive or (leftover.alive is None and not foreign):
            kept = True
            _say_kept(leftover)
        elif dry_run or engine.remove_leftover(leftover):
            _say(f"{leftover.kind} {leftover.name}", dry_run=dry_run)
    return kept


def _remove_runs(history: str | None, reports: Path, keep_nights: int, *, dry_run: bool) -> None:
    from orchestrator.app.history import remove_folders  # noqa: PLC0415 - heavy, and an option
    from orchestrator.cli.history import open_history  # noqa: PLC0415

    with open_history(history, reports) as kept:
        for folder in remove_folders(kept, reports, keep_nights, dry_run=dry_run):
            _say(str(folder), dry_run=dry_run)


def _clean_store(root: Path, *, keep_days: int | None, max_size: int | None, dry_run: bool) -> None:
    if not root.is_dir():  # mistyped, perhaps: no reason to make one
        common.say(f"there is no store in {root}")
    elif keep_days is None and max_size is None:
        _empty(root, dry_run=dry_run)
    else:
        _prune(root, before=_find_time(keep_days), max_size=max_size, dry_run=dry_run)


def _empty(root: Path, *, dry_run: bool) -> None:
    store = Store(root)
    for path in store.list_contents() if dry_run else store.empty():
        _say(str(path), dry_run=dry_run)


def _prune(root: Path, *, before: float | None, max_size: int | None, dry_run: bool) -> None:
    pruned = prune.prune(Store(root), before=before, max_size=max_size, keep=dry_run)
    _say_pruned(pruned, "last used", dry_run=dry_run)
    if max_size is not None and pruned.stays > max_size:
        common.say(
            f"the store is still larger than {format_size(max_size)}:"
            " tarballs, and what a run works with, stay"
        )


def _prune_remote(url: str, *, keep_days: int | None, max_size: int | None, dry_run: bool) -> None:
    if keep_days is None and max_size is None:
        raise UsageError(
            "a remote store is shared, so say what goes from it",
            resolution="Add --keep-days N or --max-size SIZE.",
        )
    limit = Bounds(before=_find_time(keep_days), max_size=max_size)
    pruned = prune_remote(url, limit, keep=dry_run)
    _say_pruned(pruned, "put there", dry_run=dry_run)
    if max_size is not None and pruned.stays > max_size:
        common.say(f"it is still larger than {format_size(max_size)}: what was put there within a day stays")


def _find_time(days: int | None) -> float | None:
    return None if days is None else time.time() - days * _DAY


def _say_pruned(pruned: prune.Pruned, when: str, *, dry_run: bool) -> None:
    for item in pruned.gone:
        _say(f"{item.path} ({format_size(item.size)}, {when} {_write_day(item.used)})", dry_run=dry_run)
    freed = sum(item.size for item in pruned.gone)
    _say(
        f"{format_count(len(pruned.gone), 'thing')}, {format_size(freed)}; {format_size(pruned.stays)} stay",
        dry_run=dry_run,
    )


def _remove_files(root: Path, *, dry_run: bool) -> None:
    store = Store(root) if root.is_dir() else None
    for path in leftovers.remove_files(store, common.find_default_out(), dry_run=dry_run):
        _say(str(path), dry_run=dry_run)


def _write_day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def _say(what: str, *, dry_run: bool) -> None:
    click.echo(f"{'would remove' if dry_run else 'removed'} {what}")


def _say_kept(leftover: Leftover) -> None:
    why = (
        "its run still goes on"
        if leftover.alive
        else "of another machine or an earlier boot; --foreign removes it"
    )
    click.echo(f"kept {leftover.kind} {leftover.name}: {why}")
