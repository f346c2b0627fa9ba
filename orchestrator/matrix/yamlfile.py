"""Read a YAML file of any model; a bad file gets one message that lists every fault with its place."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from orchestrator.atomic_files import read_limited
from orchestrator.errors import UsageError
from orchestrator.matrix.yamltree import Fault, Tree, explain_kind, join_faults, read
from orchestrator.phrases import join_names, suggest

MAX_BYTES = 1 << 20

M = TypeVar("M", bound=BaseModel)


def parse(path: Path, model: type[M], *, help: str) -> M:  # noqa: A002 - what click calls it, too
    """Return the file as an instance of ``model``; ``help`` says what to do about a bad file.

    :raises UsageError: with one line ``file:line:column: path: fault`` for each fault, all at once.
    """
    tree = read(_read_text(path, help))
    instance = None
    try:
        instance = model.model_validate({} if tree.data is None else tree.data)
    except ValidationError as error:
        tree.add([_make_fault(tree, model, details) for details in error.errors()])
    if instance is None or tree.faults:
        raise join_faults(path, tree.faults, resolution=help)
    return instance


def _read_text(path: Path, resolution: str) -> str:
    try:
        raw = read_limited(path, MAX_BYTES)
        if len(raw) > MAX_BYTES:
            raise UsageError(f"{path}: larger than {MAX_BYTES >> 10} KiB", resolution=resolution)
        return raw.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{path}: cannot be read: {reason}", resolution=resolution) from None


def _make_fault(tree: Tree, model: type[BaseModel], details: ErrorDetails) -> Fault:
    at, kind = details["loc"], details["type"]
    if kind == "missing":
        return tree.make_fault(at[:-1], f"the key {at[-1]!r} is missing")
    if kind == "extra_forbidden":
        known = _list_keys(model, at[:-1])
        hint = suggest(str(at[-1]), known)
        return tree.make_fault(at, f"unknown key{hint} (keys: {join_names(known)})", at_key=True)
    if at and at[-1] == "[key]":
        return tree.make_fault(at[:-1], _write_message(details), at_key=True)
    if kind == "string_type" and isinstance(details["input"], bool | int | float):
        raw = tree.raw[at]
        return tree.make_fault(
            at, f'YAML reads {raw} as a number or truth value; write it in quotes: "{raw}"'
        )
    return tree.make_fault(at, _write_message(details))


def _write_message(details: ErrorDetails) -> str:
    if wrong := explain_kind(details["type"], details["input"]):
        return wrong
    return details["msg"].removeprefix("Value error, ").replace("Input should be", "must be", 1)


def _list_keys(annotation: Any, at: Sequence[str | int]) -> list[str]:
    """Return the keys that a model of records and mappings accepts at a location."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = {name: field.annotation for name, field in annotation.model_fields.items()}
        return _list_keys(fields[str(at[0])], at[1:]) if at else list(fields)
    return _list_keys(get_args(annotation)[-1], at[1:])  # the values of a mapping
