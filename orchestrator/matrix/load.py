"""Read and validate ``matrix.yaml``: a Matrix, or one error that lists every fault with its place."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import UsageError
from orchestrator.matrix import schema
from orchestrator.matrix.checks import check_data, check_matrix
from orchestrator.matrix.faults import explain
from orchestrator.matrix.model import AXES, DEFAULTS, Limits, Matrix
from orchestrator.matrix.yamltree import Fault, Tree, read

MAX_BYTES = 256 * 1024

_HELP = "docs/matrix.md describes the file; `matrixctl schema` prints its JSON Schema"


def load(path: Path) -> Matrix:
    """Read ``path`` and validate it.

    :raises UsageError: with one line ``file:line:column: path: fault`` for each fault, all at once.
    """
    content = _content(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line}: not UTF-8 text (byte {error.start})", resolution=_HELP) from None
    tree = read(text)
    if tree.data is None and not tree.faults:
        raise UsageError(f"{path}: the file is empty", resolution=_HELP)
    file = _validated(tree)
    if file is None or tree.faults:
        raise _error(path, tree.faults)
    matrix = _matrix(file, path=str(path), digest=hashlib.sha256(content).hexdigest())
    if faults := check_matrix(tree, matrix):
        raise _error(path, faults)
    return matrix


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(
            f"{path}: cannot read the matrix: {reason}", resolution="name the file with --matrix FILE"
        ) from None
    if len(content) > MAX_BYTES:
        raise UsageError(f"{path}: larger than {MAX_BYTES // 1024} KiB, which no matrix needs")
    return content


def _error(path: Path, faults: Sequence[Fault]) -> UsageError:
    lines = [f"{path}:{fault}" for fault in sorted(set(faults))]
    count = "1 fault" if len(lines) == 1 else f"{len(lines)} faults"
    return UsageError(f"{path}: {count}", details="\n".join(lines), resolution=_HELP)


def _validated(tree: Tree) -> schema.MatrixFile | None:
    """The file in its form, or ``None``; all faults go to ``tree.faults``."""
    if tree.data is None:
        return None
    try:
        return schema.MatrixFile.model_validate(tree.data)
    except ValidationError as error:
        # A value that YAML could not read is nothing by now: no second message about it.
        told = {(fault.line, fault.column) for fault in tree.faults}
        tree.faults += [fault for fault in explain(tree, error) if (fault.line, fault.column) not in told]
        return None
    finally:
        tree.faults += check_data(tree)


def _matrix(file: schema.MatrixFile, *, path: str, digest: str) -> Matrix:
    axes = {
        axis: tuple(schema.value(axis, entry) for entry in entries)
        for axis, entries in _given(file.axes).items()
    }
    include = tuple(
        {axis: schema.value(axis, entry) for axis, entry in _given(entries).items()}
        for entries in file.include
    )
    named = {(axis, value.name): value for entries in include for axis, value in entries.items()}
    named |= {(axis, value.name): value for axis, values in axes.items() for value in values}
    return Matrix(
        axes=axes,
        defaults=DEFAULTS,
        include=include,
        exclude=tuple(
            {axis: named[axis, name] for axis, name in _given(entries).items()} for entries in file.exclude
        ),
        profiles={name: profile.filters for name, profile in file.profiles.items()},
        limits=Limits(**file.limits.model_dump()),
        digest=digest,
        path=path,
    )


def _given(part: schema.Axes | schema.Include | schema.Exclude) -> dict[str, Any]:
    """The axes that the file names, in the order of AXES."""
    return {axis: getattr(part, axis) for axis in AXES if axis in part.model_fields_set}
