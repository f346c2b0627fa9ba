"""The matrix with other values on an axis, for one command: nothing downstream knows of it. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import product

from orchestrator.errors import UsageError
from orchestrator.matrix.checks import explain_foreign, find_foreign
from orchestrator.matrix.expand import expand, index_values
from orchestrator.matrix.expect import resolve
from orchestrator.matrix.model import AXES, DEFAULTS, AxisValue, ExpectRule, Matrix
from orchestrator.matrix.select import Filter, Term, match_term, parse
from orchestrator.phrases import join_names, quote

Values = Mapping[str, Mapping[str, AxisValue]]
"""By axis and name."""
Entry = Mapping[str, AxisValue]


def replace_values(matrix: Matrix, given: Sequence[tuple[str, AxisValue]]) -> Matrix:
    """Return the matrix in which the given values take the place of all values of their axes.

    That holds for ``axes`` and for each include. What names replaced values only, and so says nothing of the
    new ones, is left out: such an alternative of a profile's filter, such an exclude, such a rule; one of the
    ``notes`` counts them.

    :raises UsageError: for two values of one name, and where no cell is left.
    """
    if not given:
        return matrix
    new: dict[str, dict[str, AxisValue]] = {}
    for axis, value in given:
        if value.name in new.setdefault(axis, {}):
            raise UsageError(
                f"--with: two values of {axis} are called {quote(value.name)}",
                resolution=f"Give one a name of its own: --with '{axis}={{name: other, ...}}'",
            )
        new[axis][value.name] = value
    axes = {axis: tuple(new[axis].values()) for axis in AXES if matrix.axes and axis in new}
    axes = {axis: axes.get(axis) or matrix.axes[axis] for axis in AXES if axis in axes or axis in matrix.axes}
    scope = _Scope(old=index_values(matrix), new=new)
    exclude = [entry for one in matrix.exclude if (entry := scope.map_exclude(one)) is not None]
    rules = {
        number: rule for number, one in enumerate(matrix.expect) if (rule := scope.cut_rule(one)) is not None
    }
    foreign = tuple(_find_foreign_pairs(axes))
    made = replace(
        matrix,
        axes=axes,
        include=_make_includes(matrix.include, new),
        exclude=(*exclude, *foreign),
        profiles={name: scope.cut_filters(filters) for name, filters in matrix.profiles.items()},
        expect=tuple(rules.values()),
    )
    if not expand(made):
        libraries = sorted({pair["tls"].name for pair in foreign})
        raise UsageError(
            "--with: no cell is left",
            details=explain_foreign(libraries) if libraries else "",
            resolution="See the matrix's own excludes and includes.",
        )
    left = _find_meeting(matrix, made, tuple(rules))
    made = replace(made, expect=tuple(rules[number] for number in left))
    note = _write_note(matrix, made, new, excludes=len(matrix.exclude) - len(exclude))
    return replace(made, notes=(*matrix.notes, note)) if note else made


@dataclass(frozen=True, kw_only=True)
class _Scope:
    """The values before and after, of the axes that change."""

    old: Values
    new: Values

    def map_exclude(self, entry: Entry) -> Entry | None:
        """Return the entry; ``None`` if it names a value that is replaced."""
        if any(axis in self.new and value.name not in self.new[axis] for axis, value in entry.items()):
            return None
        return {
            axis: self.new[axis][value.name] if axis in self.new else value for axis, value in entry.items()
        }

    def cut_filters(self, texts: Sequence[str]) -> tuple[str, ...]:
        return tuple(left for text in texts if (left := self._cut(text)))

    def cut_rule(self, rule: ExpectRule) -> ExpectRule | None:
        """Return the rule; ``None`` if it asks for replaced values only: it says nothing of the new ones."""
        if any(not parse(text).negated and not self._cut(text) for text in rule.when):
            return None
        return rule.model_copy(update={"when": self.cut_filters(rule.when)})

    def _cut(self, text: str) -> str:
        """Return the filter without what only replaced values have; empty if nothing is left."""
        item = parse(text)
        if item.axis not in self.new:
            return text
        left = [term for term in item.terms if not self._is_gone(item, term)]
        if len(left) == len(item.terms):
            return text
        operator = "!=" if item.negated else "="
        return f"{item.axis}{operator}{','.join(str(term.name) for term in left)}" if left else ""

    def _is_gone(self, item: Filter, term: Term) -> bool:
        try:
            before, after = (
                match_term(item, term, side[item.axis], strict=False) for side in (self.old, self.new)
            )
        except UsageError:  # a range over values without an order: said where the filter is used
            return False
        return bool(before) and not after


def _find_meeting(matrix: Matrix, made: Matrix, numbers: Sequence[int]) -> list[int]:
    """Return the rules, of these numbers in the file, that fit a cell, or fitted none before either.

    Of the second kind it is said that they fit no cell, as without ``--with``.
    """
    before, after = (resolve(one, expand(one), date.min).met for one in (matrix, made))
    return [number for number, met in zip(numbers, after, strict=True) if met or not before[number]]


def _make_includes(include: Sequence[Entry], new: Values) -> tuple[Entry, ...]:
    """Return each include with each of the new values, once, without what cannot be linked."""
    found: dict[tuple[str, ...], Entry] = {}
    for entry in include:
        for values in product(*(new[axis].values() for axis in new)):
            made = {**entry, **dict(zip(new, values, strict=True))}
            if not find_foreign(made["haproxy"], [made["tls"]]):
                names = tuple(made.get(axis, DEFAULTS.get(axis, made["haproxy"])).name for axis in AXES)
                found.setdefault(names, {axis: made[axis] for axis in AXES if axis in made})
    return tuple(found.values())


def _find_foreign_pairs(axes: Mapping[str, Sequence[AxisValue]]) -> Iterator[Entry]:
    """Yield excludes of Debian's own HAProxy with each library that it is not linked with."""
    for haproxy in axes.get("haproxy", ()):
        for tls in find_foreign(haproxy, axes.get("tls", ())):
            yield {"haproxy": haproxy, "tls": tls}


def _write_note(matrix: Matrix, made: Matrix, new: Values, *, excludes: int) -> str:
    changed = [name for name, filters in matrix.profiles.items() if made.profiles[name] != filters]
    rules = len(matrix.expect) - len(made.expect)
    parts = [
        f"{rules} {'rule' if rules == 1 else 'rules'} of expect" if rules else "",
        f"{excludes} of exclude" if excludes else "",
        f"parts of the {'profile' if len(changed) == 1 else 'profiles'} {join_names(changed)}"
        if changed
        else "",
    ]
    named = ", ".join(part for part in parts if part)
    what = " and ".join(new)
    return (
        f"{matrix.path}: --with replaces {what}; left out, since only replaced values have it: {named}"
        if named
        else ""
    )
