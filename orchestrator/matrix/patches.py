"""Patches: read once, known by their digest from then on, and added to the components of cells."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from orchestrator.atomic_files import expand_home, read_limited
from orchestrator.errors import ChecksumMismatchError, UsageError
from orchestrator.matrix.diffs import fit_prefixes
from orchestrator.matrix.model import Cell, Patch, Software
from orchestrator.phrases import join_names, quote, suggest

S = TypeVar("S", bound=Software)

MAX_BYTES = 16 << 20
_LONGEST = 500
"""Characters of a path that a message carries."""
NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+~_-]*")
"""Of a patch's file: it stands in paths and scripts."""
_DIFF = re.compile(rb"^(--- |\*\*\* |diff --git )", re.MULTILINE)


def read_patch(path: Path) -> Patch:
    """Read a patch from a file and return it with its digest.

    :raises UsageError: for a file that cannot be read, is no diff, or has a name that is not plain.
    """
    if not NAME.fullmatch(path.name):
        raise UsageError(
            f"the patch {quote(str(path))} needs a plain file name: letters, digits and . + ~ _ -"
        )
    try:
        text = read_limited(path, MAX_BYTES)
    except OSError as error:
        raise UsageError(f"the patch {_show(path)} cannot be read: {error.strerror}") from None
    if len(text) > MAX_BYTES:
        raise UsageError(f"the patch {path} is larger than {MAX_BYTES >> 20} MiB")
    if not _DIFF.search(text):
        raise UsageError(f"the patch {path} is no diff: no line of it begins with `--- ` or `diff --git `")
    return Patch(name=path.name, sha256=hashlib.sha256(text).hexdigest(), path=str(path))


def _show(path: Path) -> str:
    text = str(path)
    return text if text.isprintable() and len(text) <= _LONGEST else quote(text)


def read_content(patch: Patch) -> bytes:
    """Return the patch's bytes, verified with its digest.

    :raises ChecksumMismatchError: where the file has changed since, or is gone.
    """
    try:
        text = read_limited(Path(patch.path), MAX_BYTES)
    except OSError as error:
        raise ChecksumMismatchError(
            f"the patch {patch.path} can no longer be read: {error.strerror}"
        ) from None
    found = hashlib.sha256(text).hexdigest()
    if found != patch.sha256:
        raise ChecksumMismatchError(
            f"the patch {patch.path} has changed since the run began",
            details=f"SHA-256 {found}, it was {patch.sha256}",
            resolution="Start the run again.",
        )
    return text


def read_fitted(patch: Patch) -> bytes:
    """Return the patch as ``patch -p1`` gets it, also if its paths lack ``a/`` and ``b/``.

    :raises ChecksumMismatchError: see ``read_content``.
    """
    return fit_prefixes(read_content(patch))


def parse(text: str) -> tuple[str, Patch]:
    """Read ``COMPONENT=FILE`` of the command line.

    :raises UsageError: for another form, and see ``read_patch``.
    """
    component, separator, file = text.partition("=")
    if not (component and separator and file):
        raise UsageError(f"--patch {quote(text)}: it is COMPONENT=FILE, as in openssl=fix.diff")
    return component, read_patch(expand_home(file))


def apply_patches(cells: Sequence[Cell], given: Sequence[tuple[str, Patch]]) -> tuple[Cell, ...]:
    """Return the cells with the patches added, in order, to the components of that name or family.

    :raises UsageError: for a component that no cell has or that is not compiled, for two patches of one
        name, and for a library whose patches a prebuilt HAProxy would never see.
    """
    for component, _ in given:
        _refuse_unknown(component, cells)
    haproxy = {cell.haproxy.name: cell.haproxy for cell in cells}
    tls = {cell.tls.name: cell.tls for cell in cells}
    haproxy = {name: _add_patches(value, given) for name, value in haproxy.items()}
    tls = {name: _add_patches(value, given) for name, value in tls.items()}
    made = tuple(replace(cell, haproxy=haproxy[cell.haproxy.name], tls=tls[cell.tls.name]) for cell in cells)
    list_patches(made)
    _refuse_unseen(made)
    return made


def drop_unseen(cells: Iterable[Cell], given: Sequence[tuple[str, Patch]]) -> tuple[Cell, ...]:
    """Return the cells without those whose prebuilt HAProxy would never see a patch of its library."""
    return tuple(
        cell
        for cell in cells
        if cell.haproxy.is_compiled
        or not any(cell.tls.is_compiled and _is_of(cell.tls, component) for component, _ in given)
    )


def list_patches(cells: Iterable[Cell]) -> Mapping[Patch, tuple[str, ...]]:
    """Return every patch with the names of the components that it is applied to.

    :raises UsageError: where two that differ have one name: reports and reproducers keep them by name.
    """
    found: dict[Patch, tuple[str, ...]] = {}
    by_name: dict[str, Patch] = {}
    for value in {(type(value), value.name): value for value in _list_software(cells)}.values():
        for patch in value.patches:
            other = by_name.setdefault(patch.name, patch)
            if other.sha256 != patch.sha256:
                raise UsageError(
                    f"two patches are called {patch.name}: {other.path} and {patch.path}",
                    resolution="Rename one.",
                )
            found[other] = (*found.get(other, ()), value.name)
    return found


def _list_software(cells: Iterable[Cell]) -> Iterator[Software]:
    for cell in cells:
        yield cell.haproxy
        yield cell.tls


def _is_of(value: Software, component: str) -> bool:
    return component in {value.family, value.name}


def _add_patches(value: S, given: Sequence[tuple[str, Patch]]) -> S:
    mine = tuple(patch for component, patch in given if _is_of(value, component) and value.is_compiled)
    if not mine:
        return value
    names = [patch.name for patch in (*value.patches, *mine)]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{value.name} would get two patches called {name}", resolution="Rename one.")
    return value.model_copy(update={"patches": (*value.patches, *mine)})


def _refuse_unknown(component: str, cells: Sequence[Cell]) -> None:
    values = {value.name: value for value in _list_software(cells)}
    mine = [value for value in values.values() if _is_of(value, component)]
    if not mine:
        known = sorted({*values, *(value.family for value in values.values())})
        raise UsageError(
            f"--patch: no selected cell has the component {quote(component)}{suggest(component, known)}",
            details=f"components: {join_names(known)}",
        )
    if not any(value.is_compiled for value in mine):
        names = ", ".join(value.name for value in mine)
        raise UsageError(f"--patch: {component} is not compiled here, so no patch gets into {names}")


def _refuse_unseen(cells: Sequence[Cell]) -> None:
    for cell in cells:
        if cell.tls.patches and not cell.haproxy.is_compiled:
            raise UsageError(
                f"HAProxy {cell.haproxy.name} is prebuilt: the patches of {cell.tls.name} are not in it",
                resolution=f"Exclude the combination, or: --filter haproxy!={cell.haproxy.name}",
            )
