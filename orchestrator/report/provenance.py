"""What was not built from a released tarball alone: patches, and sources that move."""

from dataclasses import dataclass

from orchestrator.matrix.catalog import find_moving_source
from orchestrator.matrix.model import Patch, Software, name_haproxy
from orchestrator.record.model import CellRecord, RunRecord

_SHA = 12
"""Hexadecimal digits of a digest that are enough to compare by eye."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A component that is not what its version alone says."""

    name: str
    """As the grid names it, e.g. ``haproxy-3.0.11``."""
    source: str
    """``git: https://... master -> 5d1a7b0...``; empty for a tarball."""
    patches: tuple[Patch, ...]
    is_package: bool
    """It is what a distribution ships."""

    @property
    def words(self) -> str:
        """Return all of it on one line, for reports without links."""
        listed = ", ".join(f"{patch.name} (sha256 {shorten(patch.sha256)})" for patch in self.patches)
        return "; ".join(part for part in (self.source, f"patched with {listed}" if listed else "") if part)


def shorten(digest: str) -> str:
    """Return the first digits of a digest, without the name of the algorithm."""
    return digest.removeprefix("sha256:")[:_SHA]


def find_special(record: RunRecord) -> tuple[Made, ...]:
    """Return every such component of the run, once, in the order of the cells.

    Not Debian's own HAProxy: what a distribution ships needs no warning, and its build says what it is.
    """
    return tuple(
        dict.fromkeys(
            made for cell in record.cells for made in find_made(cell, record) if not made.is_package
        )
    )


def find_made(cell: CellRecord, record: RunRecord) -> tuple[Made, ...]:
    """Return those that the cell is built from."""
    return tuple(
        Made(
            name=name,
            source=_describe_source(software, cell.axes.arch.name, record),
            patches=software.patches,
            is_package=software.source == "distro",
        )
        for name, software in (
            (name_haproxy(cell.axes.haproxy.name), cell.axes.haproxy),
            (cell.axes.tls.name, cell.axes.tls),
        )
        if software.patches or find_moving_source(software, "")
    )


def _describe_source(software: Software, arch: str, record: RunRecord) -> str:
    """Return where it is from, and what it was in this run: a commit, or a digest of a tree or file."""
    place = find_moving_source(software, arch)
    if place is None:
        return ""
    for component in record.components:
        if component.kind == "source" and component.version == software.version:
            if component.origin.startswith(f"{place} -> "):
                return component.origin
            if component.origin == str(place) and component.digest:
                return f"{place}, sha256 {shorten(component.digest)}"
    return f"{place}, which was not reached"
