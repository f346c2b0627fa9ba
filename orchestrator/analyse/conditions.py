"""A set of values, written as a filter that selects just them. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from orchestrator.analyse.attributes import ATTRIBUTES
from orchestrator.errors import UsageError
from orchestrator.matrix.select import Named, find_names, parse
from orchestrator.versions import Version

Values = Mapping[str, Named]
"""The values that the cells of a run have of one attribute, by name."""


@dataclass(frozen=True, kw_only=True)
class OrderedValues:
    """Values of one family in the order of their versions, or one value without an order."""

    family: str
    """Empty for a value without an order."""
    names: tuple[str, ...]


def order_values(values: Values) -> tuple[OrderedValues, ...]:
    """Return all values: those with versions by family and ascending, each other one alone."""
    versions: dict[str, list[tuple[Version, str]]] = {}
    alone = []
    for name, value in values.items():
        version = _find_version(value)
        if version is None:
            alone.append(OrderedValues(family="", names=(name,)))
        else:
            versions.setdefault(getattr(value, "family", ""), []).append((version, name))
    found = [
        OrderedValues(family=family, names=tuple(name for _, name in sorted(pairs)))
        for family, pairs in sorted(versions.items())
    ]
    return (*found, *alone)


def write_condition(attribute: str, values: Values, chosen: AbstractSet[str]) -> str:
    """Return a filter that holds for the chosen values and no other one, the plainest that there is."""
    for text in _write_candidates(attribute, values, chosen):
        try:
            if find_names(parse(text, ATTRIBUTES), values, strict=False) == chosen:
                return text
        except UsageError:
            continue
    return f"{attribute}={','.join(name for name in values if name in chosen)}"


def describe_border(values: Values, chosen: AbstractSet[str]) -> tuple[tuple[str, str], ...]:
    """Return the neighbours in version between which a set ends: the border lies somewhere between them."""
    return tuple(
        (one, other) if one in chosen else (other, one)
        for ordered in order_values(values)
        for one, other in zip(ordered.names, ordered.names[1:], strict=False)
        if (one in chosen) != (other in chosen)
    )


def _write_candidates(attribute: str, values: Values, chosen: AbstractSet[str]) -> Iterator[str]:
    orders = order_values(values)
    families = {getattr(value, "family", None) for value in values.values()}
    inside, outside = (_list_pieces(orders, one) for one in (chosen, values.keys() - chosen))
    if len(inside) == 1 and len(families) == 1:
        yield from (f"{attribute}{term}" for term in _write_one_sided(values, *inside[0]))
    if len(inside) > 1 and len(outside) == 1 and _is_plain(*outside[0]):
        yield f"{attribute}!={next(_write_terms(values, *outside[0]))}"
    options = [list(_write_terms(values, *piece)) for piece in inside]
    for choice in range(max(map(len, options), default=0)):
        yield f"{attribute}={','.join(terms[min(choice, len(terms) - 1)] for terms in options)}"


Piece = tuple[OrderedValues, int, int]
"""Some of the ordered values, from one position to another, both included."""


def _list_pieces(orders: Sequence[OrderedValues], chosen: AbstractSet[str]) -> list[Piece]:
    found: list[Piece] = []
    for ordered in orders:
        for position, name in enumerate(ordered.names):
            if name not in chosen:
                continue
            if found and found[-1][0] is ordered and found[-1][2] == position - 1:
                found[-1] = (ordered, found[-1][1], position)
            else:
                found.append((ordered, position, position))
    return found


def _is_plain(ordered: OrderedValues, first: int, last: int) -> bool:
    """Return whether one word says it: a value or a family."""
    return first == last or last + 1 - first == len(ordered.names)


def _write_one_sided(values: Values, ordered: OrderedValues, first: int, last: int) -> Iterator[str]:
    """Yield the comparisons that one family needs no name for."""
    if not ordered.family or first == last:  # one version is no range
        return
    if first == 0 and last + 1 < len(ordered.names):
        yield f"<{_find_between(values, ordered.names[last], ordered.names[last + 1])}"
    if first > 0 and last + 1 == len(ordered.names):
        yield f">={_find_between(values, ordered.names[first - 1], ordered.names[first])}"


def _write_terms(values: Values, ordered: OrderedValues, first: int, last: int) -> Iterator[str]:
    """Yield alternatives for one piece, the plainest first; the last one is good for any piece."""
    chosen = ordered.names[first : last + 1]
    if first < last:
        whole = first == 0 and last + 1 == len(ordered.names)
        if whole and ordered.family:
            yield ordered.family
        yield from (f"{ordered.family}{term}" for term in _write_one_sided(values, ordered, first, last))
        low, high = (getattr(values[name], "version", "") for name in (chosen[0], chosen[-1]))
        yield f"{low}..{high}"
        yield f"{ordered.family}@{low}..{high}"
    yield ",".join(chosen)


def _find_between(values: Values, lower: str, upper: str) -> str:
    """Return the roundest version above one and up to another: 4.0 lies between 3.9.2 and 4.3.2."""
    low, high = _find_version(values[lower]), _find_version(values[upper])
    if low is None or high is None:
        return upper
    for length in range(1, len(high.release) + 1):
        text = ".".join(map(str, high.release[:length])) + (".0" if length == 1 else "")
        if low < Version.parse(text) <= high:
            return text
    return high.text


def _find_version(value: Named) -> Version | None:
    try:
        return Version.parse(getattr(value, "version", ""))
    except ValueError:
        return None
