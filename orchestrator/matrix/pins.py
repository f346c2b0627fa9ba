"""Pins: what each source that moves stood at, so that several machines build the same of it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from orchestrator import bounds
from orchestrator.atomic_files import read_limited
from orchestrator.errors import UsageError
from orchestrator.frozen_value import Value
from orchestrator.matrix.catalog import Moving, find_moving_source
from orchestrator.matrix.model import Cell, Matrix
from orchestrator.matrix.versionless import find_archs, find_software
from orchestrator.phrases import join_names

_LARGEST = 1 << 20
"""Bytes of a file of pins; one pin has some 200."""
_MOST = 2_000
"""Pins of one file."""
_MAKE = "Make it again with the options of this command: matrixctl github matrix ... --pins FILE"

_Line = Annotated[str, Field(max_length=1024, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Pin(Value):
    """One source that moves, and what it stands at."""

    component: _Line
    kind: Literal["git", "path", "prebuilt", "tarball"]
    where: _Line
    ref: _Line
    at: Annotated[str, Field(pattern="^([0-9a-f]{40}|[0-9a-f]{64})$")]
    """Of git the commit; else the SHA-256 of the file, or of the tar that is made of a tree."""


class Pins(Value):
    """All of a selection. Debian's own HAProxy is not among them: it is the package that the image has."""

    schema_version: Literal[1] = 1
    matrix: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """The SHA-256 of the matrix file."""
    pins: Annotated[tuple[Pin, ...], Field(max_length=_MOST)]

    def find(self, what: Moving) -> str:
        """Return what a source stands at; empty where no pin says so."""
        place = what.component, what.kind, what.where, what.ref
        return next(
            (one.at for one in self.pins if (one.component, one.kind, one.where, one.ref) == place), ""
        )


def find_moving(cells: Iterable[Cell]) -> tuple[Moving, ...]:
    """Return what can be pinned of that which the cells are built of, each place once."""
    found = (
        find_moving_source(software, cell.arch.name)
        for cell in cells
        for software in (cell.haproxy, cell.tls)
    )
    return _list_places(found)


def find_branches(matrix: Matrix) -> tuple[Moving, ...]:
    """Return every ref of git in the matrix, each place once: the versions of all of them are read."""
    archs = find_archs(matrix)
    found = (find_moving_source(one, arch) for one in find_software(matrix) for arch in archs)
    return tuple(one for one in _list_places(found) if one.kind == "git")


def _list_places(found: Iterable[Moving | None]) -> tuple[Moving, ...]:
    """Return each place once: two values of one place have one pin, whatever version they declare."""
    places = (one.model_copy(update={"version": ""}) for one in found if one and one.kind != "distro")
    return tuple(dict.fromkeys(places))


def read_pins(path: Path) -> Pins:
    """Read a file of pins, which may come from anywhere.

    :raises UsageError: where it cannot be read, or is no file of pins.
    """
    try:
        content = read_limited(path, _LARGEST)
    except OSError as error:
        raise UsageError(f"the pins {path} cannot be read: {error.strerror}", resolution=_MAKE) from None
    if len(content) > _LARGEST:
        raise UsageError(f"{path} is no file of pins: it is larger than {bounds.format_size(_LARGEST)}")
    try:
        pins = Pins.model_validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise UsageError(
            f"{path} is no file of pins that this version knows",
            details=bounds.cut(f"{where}: {first['msg']}".removeprefix(": "), bounds.WORDS),
            resolution=_MAKE,
        ) from None
    places = [one.model_dump(exclude={"at"}) for one in pins.pins]
    twice = next((one for number, one in enumerate(places) if one in places[:number]), None)
    if twice is not None:
        raise UsageError(
            f"{path} pins {twice['component']} {twice['kind']}: {twice['where']} twice", resolution=_MAKE
        )
    return pins


def has_pins(pins: Pins, cell: Cell) -> bool:
    """Return whether all that moves in a cell is pinned."""
    return all(pins.find(one) for one in find_moving([cell]))


def refuse_others(pins: Pins, matrix: Matrix, cells: Iterable[Cell]) -> None:
    """Let pins stand only where they are of this matrix, and have all that moves in these cells.

    :raises UsageError: naming what is missing.
    """
    if pins.matrix != matrix.digest:
        raise UsageError(
            f"the pins are of another matrix than {matrix.path}",
            details=f"pins: {pins.matrix}\n{matrix.path}: {matrix.digest}",
            resolution=_MAKE,
        )
    missing = [f"{one.component} {one}" for one in find_moving(cells) if not pins.find(one)]
    if missing:
        raise UsageError(f"the pins have none for {join_names(missing)}", resolution=_MAKE)
