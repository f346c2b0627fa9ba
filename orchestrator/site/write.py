"""Writes a site into its folder: what changed, and removes what is gone. It touches only files of its own."""

import hashlib
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.atomic_files import SITE_MANIFEST, read_limited, replace_bytes
from orchestrator.errors import UsageError
from orchestrator.site.pages import Page

_FORMAT = 1
_LIMIT = 1 << 26
"""Bytes of a manifest: ten times what a large site has."""
_PATH = re.compile(r"(?:[a-z0-9][a-z0-9.~_-]*/){0,2}[a-z0-9][a-z0-9.~_-]*", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Written:
    """What became of the site. ``size`` is in bytes."""

    pages: int
    changed: int
    removed: int
    size: int


def write_site(folder: Path, pages: Iterable[Page]) -> Written:
    """Write the pages that are not there already, and remove those that are no more.

    A page whose key is the one of the last time is not even made. A site that is cut off half-way is
    completed by the next.

    :raises UsageError: where the folder has files and is no site of ours.
    :raises OSError: as the file system says.
    """
    before = _read_manifest(folder)
    folder.mkdir(parents=True, exist_ok=True)
    there = dict(before)
    after: dict[str, dict[str, Any]] = {}
    changed = 0
    made: set[Path] = set()
    if not before:  # whatever is written from here on can be told to be ours
        _write_manifest(folder, {})
    try:
        for page in pages:
            assert _PATH.fullmatch(page.path), page.path  # noqa: S101 - page_paths.py makes no others
            old, path = before.get(page.path, {}), folder / page.path
            if page.key and page.key == old.get("key") and _read_size(path) == old["size"]:
                after[page.path] = old
                continue
            content = page.make()
            entry = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "key": page.key}
            after[page.path] = there[page.path] = entry
            if entry["sha256"] == old.get("sha256") and _read_size(path) == len(content):
                continue
            if path.parent not in made:
                path.parent.mkdir(parents=True, exist_ok=True)
                made.add(path.parent)
            replace_bytes(path, content)
            changed += 1
    except BaseException:
        _write_manifest(folder, there)
        raise
    gone = [path for path in before if path not in after]
    for name in gone:
        _remove(folder, name)
    _write_manifest(folder, after)
    return Written(
        pages=len(after), changed=changed, removed=len(gone), size=sum(one["size"] for one in after.values())
    )


def is_page(path: str) -> bool:
    """Return whether a file of a site can be called so."""
    return bool(_PATH.fullmatch(path))


def _read_size(path: Path) -> int | None:
    """Return the size of a file; ``None`` where there is none, and of a link."""
    try:
        return path.lstat().st_size if path.is_file() and not path.is_symlink() else None
    except OSError:
        return None


def _remove(folder: Path, name: str) -> None:
    path = folder / name
    for parent in (path, *path.parents):
        if parent == folder:
            break
        if parent.is_symlink():  # somebody else put it there
            return
    path.unlink(missing_ok=True)
    if path.parent != folder:
        with suppress(OSError):  # it has others
            path.parent.rmdir()


def _read_manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what was written the last time, by path; entries that are none of ours are left out."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return {}
    try:
        told = json.loads(read_limited(folder / SITE_MANIFEST, _LIMIT))
        files = told["files"] if told["format"] == _FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        files = None
    if not isinstance(files, dict):
        raise UsageError(
            f"{folder} is not empty, and no site that matrixctl wrote",
            resolution="Name an empty or a new folder: a site removes pages that are gone.",
        )
    return {
        path: entry
        for path, entry in files.items()
        if _PATH.fullmatch(path) and isinstance(entry, dict) and isinstance(entry.get("size"), int)
    }


def _write_manifest(folder: Path, files: dict[str, dict[str, Any]]) -> None:
    told = {"format": _FORMAT, "files": files}
    replace_bytes(folder / SITE_MANIFEST, json.dumps(told, separators=(",", ":")).encode())
