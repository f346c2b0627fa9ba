"""Select cells: by filter, by profile, by id. What a filter may say: docs/matrix.md."""

import heapq
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

from orchestrator.arch import ALIASES, Arch
from orchestrator.errors import NothingSelectedError, UsageError
from orchestrator.matrix.model import AXES, AxisValue, Cell, Matrix
from orchestrator.phrases import join_names, quote, suggest
from orchestrator.versions import Version

FULL = "full"
"""The built-in profile: no filters."""

LIST_IDS = "`matrixctl cells --format ids` lists all ids."
"""What to do where an id is not known."""
_NAMED = 8
"""Cells that a sentence names."""
_CIPHERS = {"cipher", "negotiated"}
"""What may be named without ``TLS_``, and in any case."""
_EXAMPLE = "examples: arch=arm64   tls=openssl*   cipher!=default   'haproxy<3.2'   haproxy=3.0..3.1"
_FILTER = re.compile(r"\s*(?P<axis>[^\s=!<>]+)\s*(?P<op>!=|<=|>=|=|<|>)\s*(?P<rest>\S(?:.*\S)?)\s*")
_PATTERN = re.compile(r"[A-Za-z0-9._+*?\[\]!-]+", re.ASCII)
_COMPARED = re.compile(r"(?P<family>[^<>=@]+)(?P<op><=|>=|<|>)(?P<version>[^<>=@]+)")
_RANGE = re.compile(r"(?:(?P<family>[^<>=@]+)@)?(?P<low>[^<>=@]*?)\.\.(?P<high>[^<>=@]*)")


class Named(Protocol):
    """What a filter can ask of: a value with a name. It may have a family, and a version with an order."""

    @property
    def name(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Range:
    """Versions, of one family if ``family`` is given. Each bound is an operator and a version."""

    family: str | None
    bounds: tuple[tuple[str, Version], ...]

    def has(self, version: Version) -> bool:
        return all(_COMPARE[op](version, bound) for op, bound in self.bounds)


@dataclass(frozen=True, kw_only=True)
class Term:
    """One alternative of a filter. ``name``: a name, glob, version or family.

    Both are set where a name such as ``a..b`` could be a range; a value of that name then wins.
    """

    name: str | None
    range: Range | None


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A parsed filter: the values of ``axis`` that any term holds for, or with ``negated`` all others."""

    text: str
    axis: str
    negated: bool
    terms: tuple[Term, ...]


# An upper bound includes its series ("at most 3.1" has 3.1.9), and ">" is the complement of "<=".
_COMPARE: Mapping[str, Callable[[Version, Version], bool]] = {
    "<": lambda version, bound: version < bound,
    "<=": lambda version, bound: version.is_at_most(bound),
    ">": lambda version, bound: not version.is_at_most(bound),
    ">=": lambda version, bound: version >= bound,
}


def parse(text: str, axes: Sequence[str] = AXES) -> Filter:
    """Read ``axis OP pattern[,pattern...]``.

    :param axes: what may be asked of; of finished cells that is more than the axes.
    :raises UsageError: for an unknown axis, with the nearest one, and for bad syntax, with an example.
    """
    match = _FILTER.fullmatch(text)
    if match is None:
        raise _make_syntax_error(text, "it is not axis, operator, value")
    axis, op, rest = match["axis"], match["op"], match["rest"]
    if axis not in axes:
        raise UsageError(
            f"filter {quote(text)}: no axis {quote(axis)}{suggest(axis, axes)}",
            details=f"axes: {join_names(axes)}",
        )
    if op in _COMPARE:
        bounds = ((op, _parse_version(text, rest)),)
        terms: tuple[Term, ...] = (Term(name=None, range=Range(family=None, bounds=bounds)),)
    else:
        terms = tuple(_parse_term(text, part.strip()) for part in rest.split(","))
    return Filter(text=text.strip(), axis=axis, negated=op == "!=", terms=terms)


def select(
    cells: Sequence[Cell], filters: Sequence[str], *, known: Sequence[Cell] | None = None
) -> tuple[Cell, ...]:
    """Return the cells that match every filter, in order; ``known`` are all cells of the matrix.

    :raises UsageError: for a bad filter, or one with a value that no known cell has.
    :raises NothingSelectedError: if no cell is left.
    """
    known = cells if known is None else known
    parsed = [parse(text) for text in filters]
    values = {axis: find_values(known, axis) for axis in {item.axis for item in parsed}}
    allowed = [(item, find_names(item, values[item.axis])) for item in parsed]
    left = tuple(
        cell for cell in cells if all(getattr(cell, item.axis).name in names for item, names in allowed)
    )
    if not left:
        raise _explain_nothing(cells, allowed)
    return left


def select_executed(
    cells: Sequence[Cell], only: str, host: Arch, natives: AbstractSet[str]
) -> tuple[Cell, ...]:
    """Return the cells that are run natively, or those that are run under QEMU.

    :param only: ``native`` or ``emulated``; empty: all.
    :param host: of the engine's machine.
    :param natives: as in ``Cell.find_host``.
    """
    return tuple(
        cell
        for cell in cells
        if not only or cell.is_emulated_on(cell.find_host(host, natives)) == (only == "emulated")
    )


def select_ids(cells: Sequence[Cell], ids: Sequence[str]) -> tuple[Cell, ...]:
    """Return the cells with these ids, in the order of ``cells``.

    :param ids: each an id, or a part that no other cell's id has.
    :raises UsageError: for an id that no cell has, with the nearest ones, and for a part of several ids.
    """
    known = [cell.id for cell in cells]
    found = {wanted: find_ids(wanted, known) for wanted in dict.fromkeys(ids)}
    lines = [
        _explain_not_one(wanted, fitting, known) for wanted, fitting in found.items() if len(fitting) != 1
    ]
    if lines:
        raise UsageError(lines[0], details="\n".join(lines[1:]), resolution=LIST_IDS)
    chosen = {fitting[0] for fitting in found.values()}
    return tuple(cell for cell in cells if cell.id in chosen)


def find_ids(wanted: str, known: Collection[str]) -> list[str]:
    """Return the id that ``wanted`` is, else all ids that it is a part of, in any case."""
    if wanted in known:
        return [wanted]
    part = wanted.casefold()
    return [one for one in known if part and part in one.casefold()]


def _explain_not_one(wanted: str, fitting: Sequence[str], known: Collection[str]) -> str:
    if not fitting:
        return f"no cell {quote(wanted)}{suggest(wanted, find_alike(wanted, known))}"
    return f"{quote(wanted)} is part of the ids of {len(fitting)} cells: {list_some(fitting)}"


def list_some(ids: Sequence[str]) -> str:
    """Return a few of the ids, and how many more there are."""
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return f"{join_names(ids[:_NAMED])}{more}"


def find_filters(matrix: Matrix, name: str) -> tuple[str, ...]:
    """Return the filters of a profile; ``full`` has none.

    :raises UsageError: for a profile that the matrix does not declare, with the nearest one.
    """
    profiles = {FULL: (), **matrix.profiles}
    if name not in profiles:
        raise UsageError(
            f"no profile {quote(name)}{suggest(name, profiles)}", details=f"profiles: {join_names(profiles)}"
        )
    return profiles[name]


def _parse_term(text: str, pattern: str) -> Term:
    if compared := _COMPARED.fullmatch(pattern):
        bounds: tuple[tuple[str, Version], ...] = (
            (compared["op"], _parse_version(text, compared["version"])),
        )
        return Term(name=pattern, range=Range(family=compared["family"], bounds=bounds))
    if (span := _RANGE.fullmatch(pattern)) and (span["low"] or span["high"]):
        ends = ((">=", span["low"]), ("<=", span["high"]))
        bounds = tuple((op, _parse_version(text, end)) for op, end in ends if end)
        return Term(name=pattern, range=Range(family=span["family"], bounds=bounds))
    if not _PATTERN.fullmatch(pattern):
        raise _make_syntax_error(text, f"{quote(pattern)} is no name, glob or range")
    return Term(name=pattern, range=None)


def _parse_version(text: str, version: str) -> Version:
    try:
        return Version.parse(version.strip())
    except ValueError as error:
        raise _make_syntax_error(text, str(error)) from None


def _make_syntax_error(text: str, why: str) -> UsageError:
    return UsageError(f"filter {quote(text)} cannot be read: {why}", resolution=_EXAMPLE)


def find_values(cells: Sequence[Cell], axis: str) -> Mapping[str, AxisValue]:
    """Return the values that the cells have on an axis, by name."""
    values = [getattr(cell, axis) for cell in cells]
    return {value.name: value for value in {id(value): value for value in values}.values()}


def find_names(item: Filter, values: Mapping[str, Named], *, strict: bool = True) -> set[str]:
    """Return the names of the values that match a filter.

    :param strict: a word or family that no value has is an error; else it holds for none.
    :raises UsageError: as above, and for a range over values that have no order among each other.
    """
    held = {name for term in item.terms for name in match_term(item, term, values, strict=strict)}
    return set(values) - held if item.negated else held


def is_exact(item: Filter, values: Mapping[str, Named]) -> bool:
    """Return true if every alternative is the name of a value, no glob, range, version or family."""
    return not item.negated and all(term.name in values for term in item.terms)


def match_term(item: Filter, term: Term, values: Mapping[str, Named], *, strict: bool) -> set[str]:
    """Return the names that match a term. A glob or word must match one; a range may be empty."""
    if term.name is not None and term.name in values:
        return {term.name}
    if term.range is not None:
        return _match_range(item, term.range, values, strict=strict)
    word = term.name or ""
    held = {name for name, value in values.items() if _is_meant(value, word)}
    if item.axis in _CIPHERS:
        held |= {name for name in values if _is_cipher(name.casefold(), word.casefold())}
    if strict and not held:
        families = {family for value in values.values() if (family := getattr(value, "family", None))}
        raise UsageError(
            f"filter {quote(item.text)}: no cell has {item.axis} {quote(word)}"
            f"{suggest(word.strip('*?'), {*values, *families}, ALIASES if item.axis == 'arch' else {})}",
            details=f"values of {item.axis}: {join_names(values)}",
        )
    return held


def _is_meant(value: Named, text: str) -> bool:
    return (
        fnmatchcase(value.name, text)
        or text == getattr(value, "version", None)
        or text == getattr(value, "family", None)
    )


def _is_cipher(name: str, text: str) -> bool:
    return fnmatchcase(name, text) or fnmatchcase(name.removeprefix("tls_"), text)


def _match_range(item: Filter, span: Range, values: Mapping[str, Named], *, strict: bool) -> set[str]:
    versioned: dict[str, Any] = {name: value for name, value in values.items() if hasattr(value, "version")}
    families = sorted({value.family for value in versioned.values()})
    if values and not versioned:
        raise UsageError(
            f"filter {quote(item.text)}: the values of {item.axis} have no order",
            details=f"values of {item.axis}: {join_names(values)}",
            resolution=f"name them: {item.axis}={next(iter(values))}",
        )
    if span.family is None and len(families) > 1:
        op, bound = span.bounds[0]
        raise UsageError(
            f"filter {quote(item.text)}: {item.axis} has several families, whose versions do not compare",
            details=f"families: {join_names(families)}",
            resolution=f"name one: '{item.axis}={families[0]}{op}{bound}'"
            + (f" or {item.axis}={families[0]}@{bound}.." if op == ">=" else ""),
        )
    if strict and span.family is not None and span.family not in families:
        raise UsageError(
            f"filter {quote(item.text)}: no family {quote(span.family)}{suggest(span.family, families)}",
            details=f"families: {join_names(families)}",
        )
    return {
        name
        for name, value in versioned.items()
        if span.family in {None, value.family} and _is_in_range(value.version, span)
    }


def _is_in_range(version: str, span: Range) -> bool:
    try:
        return span.has(Version.parse(version))
    except ValueError:
        return False


def _explain_nothing(
    cells: Sequence[Cell], allowed: Sequence[tuple[Filter, set[str]]]
) -> NothingSelectedError:
    lines = [
        f"{item.text} leaves {sum(getattr(cell, item.axis).name in names for cell in cells)} of {len(cells)}"
        for item, names in allowed
    ]
    return NothingSelectedError(
        "the selection matches no cell",
        details="\n".join(lines),
        resolution="`matrixctl cells` lists all cells of the matrix.",
    )


def find_alike(wanted: str, known: Collection[str]) -> list[str]:
    """Return a few ids that share parts with ``wanted``: difflib alone is slow for 100,000 ids."""
    parts = set(wanted.split("--"))
    return heapq.nlargest(50, known, key=lambda one: len(parts & set(one.split("--"))))
