"""Values whose version the file leaves out, and the matrix with these versions, once they were read. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeGuard

from orchestrator.matrix.model import AxisValue, HaproxyValue, Matrix, Software, TlsValue


def find_software(matrix: Matrix) -> tuple[HaproxyValue | TlsValue, ...]:
    """Return every HAProxy and library of the matrix once."""
    entries = (*matrix.include, *matrix.exclude)
    values = [*(value for values in matrix.axes.values() for value in values)]
    values += [value for entry in entries for value in entry.values()]
    return tuple(dict.fromkeys(value for value in values if isinstance(value, HaproxyValue | TlsValue)))


def find_archs(matrix: Matrix) -> tuple[str, ...]:
    """Return the names of the architectures of the matrix."""
    values = [*matrix.axes.get("arch", ()), *(entry["arch"] for entry in matrix.include)]
    return tuple(dict.fromkeys(value.name for value in values))


def add_version(value: AxisValue, read: Callable[[Software], str]) -> AxisValue:
    """Return the value with its version, if its source is one that moves; see ``add_versions``."""
    return declare(value, {value: read(value)}) if _is_moving(value) else value


def add_versions(matrix: Matrix, read: Callable[[Software], str]) -> Matrix:
    """Return the matrix with the version of each source that moves; ``read`` is asked once for each."""
    known = {one: read(one) for one in find_software(matrix) if _is_moving(one)}
    if all(one.version == version for one, version in known.items()):
        return matrix

    def entries(given: tuple[Mapping[str, AxisValue], ...]) -> tuple[Mapping[str, AxisValue], ...]:
        return tuple({axis: declare(value, known) for axis, value in one.items()} for one in given)

    return replace(
        matrix,
        axes={axis: tuple(declare(value, known) for value in values) for axis, values in matrix.axes.items()},
        include=entries(matrix.include),
        exclude=entries(matrix.exclude),
    )


def _is_moving(value: AxisValue) -> TypeGuard[HaproxyValue | TlsValue]:
    return isinstance(value, HaproxyValue | TlsValue) and value.source != "distro" and not value.is_pinned


def declare(value: AxisValue, known: Mapping[HaproxyValue | TlsValue, str]) -> AxisValue:
    """Return the value with its version, if that is among the known ones."""
    if isinstance(value, HaproxyValue | TlsValue) and value in known:
        return value.model_copy(update={"version": known[value]})
    return value
