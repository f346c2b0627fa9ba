"""What ``--with`` says: a value that takes the place of an axis's values for one command.

The long form has the keys of ``matrix.yaml``: ``haproxy={path: ., version: 3.5-dev5}``; the short ones are
sugar for it: ``haproxy=path:.``. See docs/with.md.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from orchestrator.atomic_files import expand_home
from orchestrator.errors import UsageError
from orchestrator.matrix import schema
from orchestrator.matrix.capability_table import FAMILIES
from orchestrator.matrix.expand import index_values
from orchestrator.matrix.faults import explain
from orchestrator.matrix.model import AXES, AxisValue, Matrix
from orchestrator.matrix.records import PLACES
from orchestrator.matrix.yamltree import Tree, read
from orchestrator.phrases import join_names, quote, suggest

_EXAMPLES = (
    "as in haproxy=path:.   haproxy=git:URL#REF   tls=libressl:path:../libressl   tls=openssl-3.5.7"
    "   'haproxy={path: ., make_flags: [DEBUG=-g]}'"
)
_WIDE = 1 << 20
"""Characters of a line of YAML: none is broken."""


@dataclass(frozen=True, kw_only=True)
class Replacement:
    """``given``: the name of a value, or the keys of a record, its paths absolute."""

    axis: str
    given: str | Mapping[str, Any]
    tree: Tree

    @property
    def text(self) -> str:
        """Return it as ``--with`` takes it, in whatever folder; as short as it can be."""
        if isinstance(self.given, str):
            return f"{self.axis}={self.given}"
        if short := self._shorten():
            return short
        flow = yaml.safe_dump(
            dict(self.given), default_flow_style=True, sort_keys=False, width=_WIDE, allow_unicode=True
        )
        return f"{self.axis}={flow.strip()}"

    def _shorten(self) -> str:
        """Return the short form that means the same record; empty if there is none."""
        keys = dict(_list_items(self.given))
        place = next((one for one in PLACES if one in keys), "")
        where = str(keys.get(place)).replace(" ", "#", 1) if place == "git" else keys.get(place)
        family = f"{keys['family']}:" if "family" in keys else ""
        text = f"{self.axis}={family}{place}:{where}"
        try:
            return text if place and parse(text).given == self.given else ""
        except UsageError:
            return ""


def parse(text: str) -> Replacement:
    """Read ``AXIS=VALUE``; relative paths become absolute, so that it means the same in any folder.

    :raises UsageError: for another form, or an axis or kind of source that there is not.
    """
    axis, separator, rest = text.partition("=")
    axis = axis.strip()
    if not (axis and separator and rest.strip()):
        raise _make_refusal(text, "it names nothing" if not rest.strip() else "it is AXIS=VALUE")
    if axis not in AXES:
        raise UsageError(
            f"--with {quote(text)}: no axis {quote(axis)}{suggest(axis, AXES)}",
            details=f"axes: {join_names(AXES)}",
        )
    if rest.lstrip().startswith("{"):
        tree = _read_long(text, rest.strip())
    else:
        given = _read_short(text, axis, rest)
        tree = Tree(data=given, raw={(key,): str(value) for key, value in _list_items(given)})
    given = _make_absolute(tree.data)
    return Replacement(axis=axis, given=given, tree=replace(tree, data=given))


def make_value(replacement: Replacement, matrix: Matrix) -> AxisValue:
    """Return the value: of a name, the matrix's own value, if it has one.

    :raises UsageError: with every fault of it.
    """
    axis, given = replacement.axis, replacement.given
    if isinstance(given, str) and (known := index_values(matrix)[axis].get(given)) is not None:
        return known
    data = given if isinstance(given, str) else {"name": _make_name(axis, given), **given}
    try:
        return schema.make_value(axis, _make_adapter(axis).validate_python(data))
    except ValidationError as error:
        under = ("axes", axis, 0)
        faults = explain(_place_under(replace(replacement.tree, data=data), under), error, under)
        before = f"axes.{axis}[0]"
        lines = [
            ": ".join(filter(None, (fault.path.removeprefix(before).lstrip("."), fault.message)))
            for fault in faults
        ]
        raise UsageError(
            f"--with {quote(replacement.text)}: {lines[0]}",
            details="\n".join(lines[1:]),
            resolution="docs/with.md has the forms, docs/matrix.md the keys",
        ) from None


def _make_refusal(text: str, why: str) -> UsageError:
    return UsageError(f"--with {quote(text)}: {why}", resolution=_EXAMPLES)


def _list_items(given: str | Mapping[str, Any]) -> list[tuple[str, Any]]:
    return list(given.items()) if isinstance(given, Mapping) else []


def _read_long(text: str, mapping: str) -> Tree:
    tree = read(mapping)
    if tree.faults:
        raise _make_refusal(text, "; ".join(fault.message for fault in tree.faults))
    if not isinstance(tree.data, dict):
        raise _make_refusal(text, "it is no mapping {key: value, ...}")
    if not tree.data:
        raise _make_refusal(text, "it names nothing")
    return tree


def _read_short(text: str, axis: str, rest: str) -> str | Mapping[str, str]:
    """Return the name of a value, or the record that a short form is sugar for."""
    first, separator, place = rest.partition(":")
    if axis not in {"haproxy", "tls"} or not separator:
        return rest.strip()
    if axis == "haproxy":
        return _read_place(text, first, place)
    if first in PLACES:
        raise _make_refusal(text, f"of which library? name its family, as in tls=openssl:{rest}")
    if first not in FAMILIES:
        raise _make_refusal(
            text, f"no family {quote(first)}{suggest(first, FAMILIES)} ({join_names(FAMILIES)})"
        )
    kind, _, where = place.partition(":")
    return {"family": first, **_read_place(text, kind, where)}


def _read_place(text: str, kind: str, where: str) -> dict[str, str]:
    if kind not in PLACES:
        raise _make_refusal(text, f"no source {quote(kind)}{suggest(kind, PLACES)} ({join_names(PLACES)})")
    if not where.strip():
        raise _make_refusal(text, f"{kind}: names nothing")
    if kind == "git":
        url, _, ref = where.partition("#")
        return {"git": f"{url} {ref or 'HEAD'}"}
    return {kind: where}


def _make_absolute(given: Any) -> Any:
    """Return a record with absolute paths; a value of another form is left to the validation."""
    if not isinstance(given, Mapping):
        return given
    made = dict(given)
    for key in ("path", "prebuilt", "tarball"):
        if isinstance(made.get(key), str):
            made[key] = _resolve(made[key])
    if isinstance(made.get("git"), str):
        url, space, ref = made["git"].partition(" ")
        # `host:path` is ssh's short form, and refused with a sentence later.
        made["git"] = made["git"] if ":" in url else f"{_resolve(url)}{space}{ref}"
    if isinstance(made.get("patches"), list):
        made["patches"] = [_resolve(one) if isinstance(one, str) else one for one in made["patches"]]
    return made


def _resolve(path: str) -> str:
    """Return the path from the root; one that begins with a dash or is no path stays, to be refused."""
    if path.startswith("-") or not path.strip() or not path.isprintable():
        return path
    return os.path.abspath(expand_home(path))  # noqa: PTH100 - without `..`, as a person would write it


def _make_name(axis: str, given: Mapping[str, Any]) -> str:
    """Return the name for a record that has none: the same every night, so without version or path."""
    family = given.get("family", "haproxy") if axis != "execution" else "execution"
    kind = next((place for place in PLACES if place in given), None)
    if kind is not None:
        return f"{family}-{kind}"
    version = str(given.get("version", "given"))
    return version if axis == "haproxy" else f"{family}-{version}" if axis == "tls" else "given"


@cache
def _make_adapter(axis: str) -> TypeAdapter[Any]:
    types: Mapping[str, Any] = {
        "arch": schema.ArchName,
        "haproxy": schema.Haproxy,
        "tls": schema.Tls,
        "cipher": schema.CipherName,
        "client": schema.ClientName,
        "execution": schema.Execution,
    }
    return TypeAdapter(types[axis])


def _place_under(tree: Tree, under: tuple[str | int, ...]) -> Tree:
    """Return the tree as a part of a whole file."""
    data = tree.data
    for part in reversed(under):
        data = [data] if isinstance(part, int) else {part: data}
    return Tree(
        data=data,
        marks={(*under, *path): mark for path, mark in tree.marks.items()},
        keys={(*under, *path): mark for path, mark in tree.keys.items()},
        raw={(*under, *path): raw for path, raw in tree.raw.items()},
    )
