"""Turn what pydantic found into messages for people, each with its place in the file."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from orchestrator.arch import ARCHES
from orchestrator.matrix import schema
from orchestrator.matrix.environment import VALUE, VALUE_RULE
from orchestrator.matrix.model import REQUIRED
from orchestrator.matrix.name_rules import (
    CONFIGURE_FLAG,
    CONFIGURE_FLAG_RULE,
    CPU_MODEL,
    CPU_RULE,
    MAKE_FLAG,
    MAKE_FLAG_RULE,
    NAME,
    NAME_RULE,
    PACKAGE,
    PACKAGE_RULE,
)
from orchestrator.matrix.records import ExecutionRecord, HaproxyRecord, Spec, TlsRecord
from orchestrator.matrix.rulespec import Expect
from orchestrator.matrix.yamltree import Fault, Path, Tree, explain_kind
from orchestrator.phrases import join_names, quote, suggest

_MODELS: Mapping[str, type[Spec]] = {
    "axes": schema.Axes,
    "include": schema.Include,
    "exclude": schema.Exclude,
    "expect": Expect,
    "profiles": schema.Profile,
    "limits": schema.LimitSpec,
}
_RECORDS: Mapping[str, type[Spec]] = {
    "haproxy": HaproxyRecord,
    "tls": TlsRecord,
    "execution": ExecutionRecord,
}
_RULES = {
    NAME: NAME_RULE,
    CPU_MODEL: CPU_RULE,
    MAKE_FLAG: MAKE_FLAG_RULE,
    CONFIGURE_FLAG: CONFIGURE_FLAG_RULE,
    VALUE: VALUE_RULE,
    PACKAGE: PACKAGE_RULE,
}
_TEXTS = {
    "matrix": "{text}",
    "too_short": "the list is empty",
    "string_pattern_mismatch": "{given} is not allowed: {rule}",
    "string_too_long": "longer than {max_length} characters",
    "literal_error": "{given} is not {expected}",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
}


def explain(tree: Tree, error: ValidationError, under: Path = ()) -> list[Fault]:
    """Return one fault per error that is not only a consequence of another.

    :param under: where the part of the file that was validated stands in it.
    """
    details: list[ErrorDetails] = [{**one, "loc": (*under, *one["loc"])} for one in error.errors()]
    return [_explain(tree, detail) for detail in details if not _is_consequence(detail)]


def _is_consequence(detail: ErrorDetails) -> bool:
    """Return true for "too few items" if there are items with their own faults, and for an include's axes.

    `check_data` names the axes that an include lacks, in one sentence.
    """
    kind, place = detail["type"], detail["loc"]
    return (kind == "too_short" and bool(detail["input"])) or (
        kind == "missing" and place[0] == "include" and place[-1] in REQUIRED
    )


def _explain(tree: Tree, detail: ErrorDetails) -> Fault:
    path = _find_path(tree.data, detail["loc"])
    kind = detail["type"]
    if kind == "extra_forbidden":
        valid = _list_valid_keys(path)
        message = f"unknown key{suggest(str(path[-1]), valid)} (keys: {join_names(valid)})"
        return tree.make_fault(path, message, at_key=True)
    if kind == "missing":
        return tree.make_fault(path, f"the key {detail['loc'][-1]!r} is missing")
    at_key = detail["loc"][-1:] == ("[key]",)
    return tree.make_fault(path, _write_message(tree, detail, path), at_key=at_key)


def _write_message(tree: Tree, detail: ErrorDetails, path: Path) -> str:
    kind, given = detail["type"], detail["input"]
    if path[:2] == ("axes", "arch") and isinstance(given, Mapping):
        return (
            f"an arch is one record in orchestrator/arch.py and has a name alone here: {join_names(ARCHES)}"
        )
    if kind == "string_type" and isinstance(given, bool | int | float):
        raw = tree.raw[path]
        return f'YAML reads {raw} as {_describe_number(given)}; write it in quotes: "{raw}"'
    if wrong := explain_kind(kind, given):
        return wrong
    context = dict(detail.get("ctx", {}))
    text = _TEXTS.get(kind)
    context["rule"] = _find_rule(str(context.get("pattern")))
    return text.format(given=quote(given), **context) if text else detail["msg"]


def _describe_number(given: bool | float) -> str:
    return "a truth value" if isinstance(given, bool) else f"the number {given}"


def _find_rule(pattern: str) -> str:
    return _RULES.get(pattern, f"it must match {pattern}")


def _list_valid_keys(path: Path) -> tuple[str, ...]:
    """Return the valid keys for the place of the unknown key at the end of ``path``."""
    around = path[:-1]
    if not around:
        return tuple(schema.MatrixFile.model_fields)
    axis = next((part for part in around[1:] if part in _RECORDS), None)
    if around[0] in {"axes", "include"} and axis is not None:
        return tuple(_RECORDS[str(axis)].model_fields)
    return tuple(_MODELS[str(around[0])].model_fields)


def _find_path(data: Any, location: Iterable[str | int]) -> Path:
    """Return the path in the file: pydantic's location without the names of its inner steps."""
    path: list[str | int] = []
    for part in location:
        inside = isinstance(data, dict) and part in data
        if inside or (isinstance(data, list) and isinstance(part, int) and part < len(data)):
            data = data[part]
            path.append(part)
    return tuple(path)
