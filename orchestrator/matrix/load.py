"""Read and validate ``matrix.yaml``: a Matrix, or one error that lists every fault with its place."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.atomic_files import read_limited
from orchestrator.errors import UsageError
from orchestrator.matrix import schema
from orchestrator.matrix.checks import check_data, check_matrix, find_notes, find_spelled_out, spread
from orchestrator.matrix.faults import explain
from orchestrator.matrix.model import AXES, DEFAULTS, ExpectRule, Limits, Matrix
from orchestrator.matrix.rulespec import Expect
from orchestrator.matrix.yamltree import Tree, join_faults, read
from orchestrator.outcome import Outcome, Reason

MAX_BYTES = 256 * 1024

_HELP = "docs/matrix.md describes the file; `matrixctl schema` prints its JSON Schema"


def load(path: Path) -> Matrix:
    """Read ``path`` and validate it.

    :raises UsageError: with one line ``file:line:column: path: fault`` for each fault, all at once.
    """
    content = _read_content(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line}: not UTF-8 text (byte {error.start})", resolution=_HELP) from None
    tree = read(text)
    if tree.data is None and not tree.faults:
        raise UsageError(f"{path}: the file is empty", resolution=_HELP)
    file = _validate(tree, path.parent)
    if file is None or tree.faults:
        raise join_faults(path, tree.faults, resolution=_HELP)
    lines = [tree.marks["expect", number][0] for number in range(len(file.expect))]
    matrix = _make_matrix(file, path=path, digest=hashlib.sha256(content).hexdigest(), lines=lines)
    if faults := check_matrix(tree, matrix):
        raise join_faults(path, faults, resolution=_HELP)
    return replace(matrix, notes=find_notes(tree, matrix))


def _read_content(path: Path) -> bytes:
    try:
        content = read_limited(path, MAX_BYTES)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot read the matrix: {error.strerror}", resolution="name the file with --matrix FILE"
        ) from None
    if len(content) > MAX_BYTES:
        raise UsageError(f"{path}: larger than {MAX_BYTES // 1024} KiB, which no matrix needs")
    return content


def _validate(tree: Tree, folder: Path) -> schema.MatrixFile | None:
    """Return the validated file, which lies in ``folder``, or ``None``; all faults go to ``tree.faults``."""
    if tree.data is None:
        return None
    try:
        context = {"folder": folder, "names": find_spelled_out(tree.data)}
        return schema.MatrixFile.model_validate(tree.data, context=context)
    except ValidationError as error:
        tree.add(explain(tree, error))
        return None
    finally:
        tree.faults += check_data(tree)


def _make_matrix(file: schema.MatrixFile, *, path: Path, digest: str, lines: Sequence[int]) -> Matrix:
    axes = {
        axis: tuple(schema.make_value(axis, entry, path.parent) for entry in entries)
        for axis, entries in _list_given(file.axes).items()
    }
    combinations = [one for entries in file.include for one in spread(_list_given(entries))]
    spelled = {
        (axis, entry.name): entry
        for axis, entry in (
            *((axis, entry) for one in combinations for axis, entry in one.items()),
            *((axis, entry) for axis, entries in _list_given(file.axes).items() for entry in entries),
        )
        if not isinstance(entry, str)
    }
    include = tuple(
        {
            # An entry that is spelled out means itself; one with an environment has no hash to look it up by.
            axis: schema.make_value(
                axis, spelled.get((axis, entry), entry) if isinstance(entry, str) else entry, path.parent
            )
            for axis, entry in one.items()
        }
        for one in combinations
    )
    named = {(axis, value.name): value for entries in include for axis, value in entries.items()}
    named |= {(axis, value.name): value for axis, values in axes.items() for value in values}
    named |= {(axis, value.name): value for axis, value in DEFAULTS.items() if axis not in axes}
    return Matrix(
        axes=axes,
        defaults=DEFAULTS,
        include=include,
        exclude=tuple(
            {axis: named[axis, name] for axis, name in _list_given(entries).items()}
            for entries in file.exclude
        ),
        profiles={name: profile.filters for name, profile in file.profiles.items()},
        limits=Limits(**file.limits.model_dump()),
        digest=digest,
        path=str(path),
        expect=tuple(
            _make_rule(one, f"{path.name}:{line}") for one, line in zip(file.expect, lines, strict=True)
        ),
    )


def _make_rule(rule: Expect, place: str) -> ExpectRule:
    return ExpectRule(
        when=rule.when,
        outcome=Outcome(rule.outcome),
        reason=Reason(rule.reason) if rule.reason else None,
        cipher=rule.cipher,
        because=rule.because,
        until=rule.until or "",
        place=place,
        seen=rule.seen or "",
    )


def _list_given(part: schema.Axes | schema.Include | schema.Exclude | None) -> dict[str, Any]:
    """Return the axes that the file names, in the order of AXES."""
    return {axis: getattr(part, axis) for axis in AXES if part is not None and axis in part.model_fields_set}
