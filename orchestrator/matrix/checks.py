"""Checks across entries of the file: names that occur twice, entries without effect, sizes.

The first checks work on plain data, so that they also work if other entries are faulty.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, product
from math import prod
from typing import Any

from orchestrator.arch import ALIASES
from orchestrator.errors import UsageError
from orchestrator.matrix.expand import find_idle, list_names
from orchestrator.matrix.model import (
    AXES,
    DEFAULTS,
    REQUIRED,
    AxisValue,
    HaproxyValue,
    Matrix,
    TlsValue,
    name_haproxy,
)
from orchestrator.matrix.select import find_names, parse
from orchestrator.matrix.yamltree import Fault, Path, Tree
from orchestrator.phrases import join_names, quote, suggest

MAX_CELLS = 1_000_000


def check_data(tree: Tree) -> list[Fault]:
    """Return the faults across entries of a file that may have other faults."""
    names = _read_names(tree.data)
    return [
        *_find_nothings(tree),
        *_find_doubles(tree, names),
        *_find_empty_entries(tree),
        *_find_unknown_excludes(tree, names),
        *_find_too_many(tree),
        *_find_no_cells(tree),
        *_find_incomplete(tree),
    ]


def check_matrix(tree: Tree, matrix: Matrix) -> list[Fault]:
    """Return the faults that can only be found in a file without other faults."""
    return [
        *_find_conflicts(tree, matrix),
        *_check_sizes(tree, matrix),
        *_find_orderless(tree, matrix),
        *_find_foreign_libraries(tree, matrix),
    ]


def find_notes(tree: Tree, matrix: Matrix) -> tuple[str, ...]:
    """Return a sentence, with its place, for each entry of a valid file that can be deleted."""
    idle = find_idle(*list_names(matrix))
    notes = {("exclude", number): f"removes nothing: {why}" for number, why in idle.exclude.items()}
    places = [number for number, _ in _spread_all(_read_entries(tree.data, "include"))]
    busy = {number for at, number in enumerate(places) if at not in idle.include}
    notes |= {
        ("include", number): "adds nothing: its cells are in the matrix already"
        for number in sorted(set(places) - busy)
    }
    faults = sorted(tree.make_fault(path, message) for path, message in notes.items())
    return tuple(f"{matrix.path}:{fault}" for fault in faults)


def find_spelled_out(data: Any) -> Mapping[str, list[str]]:
    """Return by axis the names of the records in ``axes`` and ``include``, also if they have other faults."""
    sections = (data.get(section) for section in ("axes", "include")) if isinstance(data, Mapping) else ()
    found: dict[str, list[str]] = {axis: [] for axis in AXES}
    for section in sections:
        for entry in _make_list(section):
            for axis, items in entry.items() if isinstance(entry, Mapping) else ():
                records = (item for item in _make_list(items) if isinstance(item, Mapping))
                found.get(axis, []).extend(name for item in records if (name := _read_name(item)) is not None)
    return found


def _find_nothings(tree: Tree) -> Iterator[Fault]:
    """Yield a fault for each key without a value; the models treat it like a missing key."""
    told = {(fault.line, fault.column) for fault in tree.faults}
    for path in tree.raw:
        fault = tree.make_fault(path, "nothing stands here; give a value or leave the key out")
        if _look_up(tree.data, path) is None and (fault.line, fault.column) not in told:
            yield fault


def _look_up(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data


def _read_name(entry: Any) -> str | None:
    name = entry.get("name") if isinstance(entry, Mapping) else entry
    return name if isinstance(name, str) else None


def spread(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return an include with lists as one include per combination, the last axis fastest."""
    values = [value if isinstance(value, list | tuple) else (value,) for value in entry.values()]
    return [dict(zip(entry, combination, strict=True)) for combination in product(*values)]


def _read_entries(data: Any, section: str) -> list[dict[str, list[str]]]:
    """Return ``include`` or ``exclude`` as names by axis, also if they have other faults."""
    entries = data.get(section) if isinstance(data, Mapping) else None
    return [
        {
            axis: [name for one in _make_list(item) if (name := _read_name(one)) is not None]
            for axis, item in entry.items()
            if axis in AXES
        }
        if isinstance(entry, Mapping)
        else {}
        for entry in (entries if isinstance(entries, list) else ())
    ]


def _make_list(item: Any) -> list[Any]:
    return item if isinstance(item, list) else [item]


def _spread_all(entries: Sequence[Mapping[str, list[str]]]) -> list[tuple[int, dict[str, str]]]:
    """Return each combination with the number of its entry."""
    return [(number, one) for number, entry in enumerate(entries) for one in spread(entry)]


def _read_names(data: Any) -> Mapping[str, list[str | None]]:
    """Return the names in ``axes``, also if some entries are faulty."""
    axes = data.get("axes") if isinstance(data, Mapping) else None
    return {
        axis: [_read_name(entry) for entry in entries]
        for axis, entries in (axes.items() if isinstance(axes, Mapping) else ())
        if axis in AXES and isinstance(entries, list)
    }


def _find_doubles(tree: Tree, names: Mapping[str, list[str | None]]) -> Iterator[Fault]:
    for axis, given in names.items():
        for number, name in enumerate(given):
            if name is not None and given.index(name) < number:
                yield tree.make_fault(("axes", axis, number), f"{quote(name)} stands here twice")


def _find_unknown_excludes(tree: Tree, names: Mapping[str, list[str | None]]) -> Iterator[Fault]:
    includes = _read_entries(tree.data, "include")
    for number, entry in enumerate(_read_entries(tree.data, "exclude")):
        for axis, given in entry.items():
            known = [one for one in names.get(axis, ()) if one]
            known += [one for include in includes for one in include.get(axis, ())]
            known += [DEFAULTS[axis].name] if axis in DEFAULTS and axis not in names else []
            for name in set(given) - set(known):
                hint = suggest(name, known, ALIASES if axis == "arch" else {})
                message = f"no {axis} {quote(name)} in this file{hint}"
                yield tree.make_fault(("exclude", number, axis), message)


def _find_empty_entries(tree: Tree) -> Iterator[Fault]:
    for section in ("include", "exclude"):
        entries = tree.data.get(section) if isinstance(tree.data, Mapping) else None
        for number, entry in enumerate(entries if isinstance(entries, list) else ()):
            if entry == {}:
                yield tree.make_fault((section, number), "names no axis")


def _find_no_cells(tree: Tree) -> Iterator[Fault]:
    if isinstance(tree.data, Mapping) and "axes" not in tree.data and not tree.data.get("include"):
        yield tree.make_fault((), "declares no cell; give `axes`, `include` or both")


def _find_incomplete(tree: Tree) -> Iterator[Fault]:
    entries = tree.data.get("include") if isinstance(tree.data, Mapping) else None
    for number, entry in enumerate(entries if isinstance(entries, list) else ()):
        if (
            isinstance(entry, Mapping)
            and entry
            and (lacking := [axis for axis in REQUIRED if axis not in entry])
        ):
            yield tree.make_fault(
                ("include", number), f"adds cells of its own, and lacks their {', '.join(lacking)}"
            )


def _find_too_many(tree: Tree) -> Iterator[Fault]:
    """Yield a fault for too many combinations before any include is spread: a short file can have them."""
    for number, count in enumerate(accumulate(map(_count_combinations, _read_entries(tree.data, "include")))):
        if count > MAX_CELLS:
            yield tree.make_fault(
                ("include", number), f"{count} combinations up to here; at most {MAX_CELLS}"
            )
            return


def _count_combinations(axes: Mapping[str, Sequence[object]]) -> int:
    return prod(len(given) for given in axes.values())


def _find_conflicts(tree: Tree, matrix: Matrix) -> Iterator[Fault]:
    """Yield a fault for each name of two records: ids and filters would mean two things."""
    records = {(axis, value.name): value for axis, values in matrix.axes.items() for value in values}
    places = [number for number, _ in _spread_all(_read_entries(tree.data, "include"))]
    for number, entry in zip(places, matrix.include, strict=True):
        for axis, value in entry.items():
            if records.setdefault((axis, value.name), value) != value:
                message = f"{quote(value.name)} is another value already; give this one its own name"
                yield tree.make_fault(("include", number, axis), message)
    names = [name for axis, name in records if axis == "haproxy"]
    for name in names:
        if name_haproxy(name) != name and name_haproxy(name) in names:
            yield tree.make_fault(
                ("axes",), f"haproxy {quote(name)} and {quote(name_haproxy(name))} have the same ids"
            )


def _find_orderless(tree: Tree, matrix: Matrix) -> Iterator[Fault]:
    """Yield a fault for each range over values without an order. A word that no value has is none."""
    records = [*matrix.include, *(dict.fromkeys([axis], value) for axis, value in matrix.defaults.items())]
    for number, rule in enumerate(matrix.expect):
        for place, text in enumerate(rule.when):
            item = parse(text)
            values = {value.name: value for value in matrix.axes.get(item.axis, ())}
            values |= {entry[item.axis].name: entry[item.axis] for entry in records if item.axis in entry}
            try:
                find_names(item, values, strict=False)
            except UsageError as error:
                said = "; ".join(part for part in (error.brief, error.details, error.resolution) if part)
                yield tree.make_fault(("expect", number, "when", place), said)


def _find_foreign_libraries(tree: Tree, matrix: Matrix) -> Iterator[Fault]:
    """Yield a fault for Debian's own HAProxy with a TLS library that it is not linked with."""
    removed = [{axis: value.name for axis, value in entry.items()} for entry in matrix.exclude]
    for number, haproxy in enumerate(matrix.axes.get("haproxy", ())):
        pairs = [
            {"haproxy": haproxy.name, "tls": tls.name}
            for tls in find_foreign(haproxy, matrix.axes.get("tls", ()))
        ]
        left = [pair["tls"] for pair in pairs if not any(entry.items() <= pair.items() for entry in removed)]
        if left:
            yield tree.make_fault(("axes", "haproxy", number), explain_foreign(left))
    places = [number for number, _ in _spread_all(_read_entries(tree.data, "include"))]
    for number, entry in zip(places, matrix.include, strict=True):
        if "haproxy" in entry and "tls" in entry and find_foreign(entry["haproxy"], [entry["tls"]]):
            yield tree.make_fault(("include", number, "tls"), explain_foreign([entry["tls"].name]))


def find_foreign(haproxy: AxisValue, libraries: Sequence[AxisValue]) -> list[AxisValue]:
    """Return the libraries that are not in a HAProxy which is Debian's own; none for another HAProxy."""
    if not isinstance(haproxy, HaproxyValue) or haproxy.source != "distro":
        return []
    return [tls for tls in libraries if isinstance(tls, TlsValue) and tls.source != "distro"]


def explain_foreign(libraries: Sequence[str]) -> str:
    return (
        f"Debian's HAProxy is linked with Debian's OpenSSL, not with {join_names(libraries)}: "
        "name it in an include with tls: openssl-distro"
    )


def _check_sizes(tree: Tree, matrix: Matrix) -> Iterator[Fault]:
    if (count := _count_combinations(matrix.axes)) > MAX_CELLS:
        yield tree.make_fault(("axes",), f"{count} combinations; at most {MAX_CELLS}")
