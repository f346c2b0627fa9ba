"""Which ``expect`` rule counts for which cell, and whether it is out of date. Pure.

Of the rules that meet a cell the most specific one counts: the one that constrains more axes; among those
the one that names more of them exactly (``tls=libressl-3.9.2``, no glob, range, version or family). Two
that are equal in both and say different things are an error: the file's order never decides.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from operator import attrgetter

from orchestrator.errors import UsageError
from orchestrator.matrix import capabilities
from orchestrator.matrix.model import AXES, AxisValue, Cell, ExpectRule, Matrix, Unsupported
from orchestrator.matrix.select import find_names, find_values, is_exact, parse
from orchestrator.matrix.until import parse_until
from orchestrator.outcome import Outcome, Reason

_SERVER_CANNOT = {Reason.LIBRARY_CANNOT, Reason.HAPROXY_CANNOT}
"""Declarations of the server: it can still be asked. A client that cannot ask proves nothing of it."""
_OF_THE_HARNESS = {Outcome.BLOCKED, Outcome.ERROR}

Bits = int
"""A set of rules, one bit each in the order of the file: sets of a hundred are one machine operation."""


@dataclass(frozen=True, kw_only=True)
class Expectations:
    """What is expected of all cells of a matrix. ``met`` counts the cells that each of its rules fits."""

    rules: tuple[ExpectRule, ...]
    met: tuple[int, ...]
    today: date
    counting: Mapping[str, ExpectRule]
    """The rule that counts, by the cell's id."""

    def find_rule(self, cell: Cell) -> ExpectRule | None:
        """Return the rule that counts for the cell.

        A cell that is declared unsupported for what the server lacks is held against a rule that says
        something of the server; otherwise the declaration stands.
        """
        rule = self.counting.get(cell.id)
        declared = capabilities.find_unsupported(cell) if rule else None
        if rule is None or declared is None:
            return rule
        tried = declared.reason in _SERVER_CANNOT and rule.outcome not in _OF_THE_HARNESS
        return rule if tried else None

    def find_declared(self, cell: Cell) -> Unsupported | None:
        """Return the declaration for the cell: none if a rule expects it to pass or to fail."""
        rule = self.find_rule(cell)
        return (
            capabilities.find_unsupported(cell)
            if rule is None or rule.outcome is Outcome.UNSUPPORTED
            else None
        )

    def is_run(self, cell: Cell) -> bool:
        """Return true if the cell is not declared unsupported, or if a rule makes it worth a try."""
        return capabilities.find_unsupported(cell) is None or self.find_rule(cell) is not None

    def explain_stale(self, rule: ExpectRule, cells: Sequence[Cell]) -> str:
        """Return why the rule is out of date for the first such cell, or an empty string."""
        if not rule.until:
            return ""
        until = parse_until(rule.until)
        held = (cell for cell in cells if self.find_rule(cell) is rule)
        return next((why for cell in held if (why := until.explain_past(cell, self.today))), "")

    def list_unmet(self) -> tuple[ExpectRule, ...]:
        """Return the rules that fit no cell of the whole matrix."""
        return tuple(rule for rule, met in zip(self.rules, self.met, strict=True) if not met)


def resolve(matrix: Matrix, cells: Sequence[Cell], today: date) -> Expectations:
    """Match the rules of a matrix with all its cells.

    :raises UsageError: with every pair of rules that contradict each other, and one cell of each.
    """
    if not matrix.expect:
        return Expectations(rules=(), met=(), today=today, counting={})
    tables, ranks = _compile(matrix.expect, {axis: find_values(cells, axis) for axis in AXES})
    met_by = _match_rules(cells, tables)
    counts = Counter(met_by)
    # Cells by the thousand share few sets of rules: each set is looked at once.
    examples: dict[Bits, Cell] = {}
    for cell, met in zip(cells, met_by, strict=True):
        examples.setdefault(met, cell)
    winners = _choose_rules(matrix, examples, ranks)
    bits = range(len(matrix.expect))
    return Expectations(
        rules=matrix.expect,
        met=tuple(sum(count for met, count in counts.items() if met >> bit & 1) for bit in bits),
        today=today,
        counting={cell.id: winners[met] for cell, met in zip(cells, met_by, strict=True) if met},
    )


def _compile(
    rules: Sequence[ExpectRule], values: Mapping[str, Mapping[str, AxisValue]]
) -> tuple[Mapping[str, Mapping[str, Bits]], Sequence[tuple[int, int]]]:
    """Return, by axis and name, the rules that match it; and how specific each rule is."""
    every = (1 << len(rules)) - 1
    tables = {axis: dict.fromkeys(known, every) for axis, known in values.items()}
    ranks = []
    for number, rule in enumerate(rules):
        items = [parse(text) for text in rule.when]
        for item in items:
            known = values[item.axis]
            for name in known.keys() - find_names(item, known, strict=False):
                tables[item.axis][name] &= ~(1 << number)
        exactly = {item.axis for item in items if is_exact(item, values[item.axis])}
        ranks.append((len({item.axis for item in items}), len(exactly)))
    return tables, ranks


def _match_rules(cells: Sequence[Cell], tables: Mapping[str, Mapping[str, Bits]]) -> list[Bits]:
    """Return the rules that fit each cell: those that match its value on every axis."""
    narrowing = [(attrgetter(f"{axis}.name"), table) for axis, table in tables.items()]
    found = []
    for cell in cells:
        met = -1
        for name, table in narrowing:
            met &= table[name(cell)]
        found.append(met)
    return found


def _choose_rules(
    matrix: Matrix, groups: Mapping[Bits, Cell], ranks: Sequence[tuple[int, int]]
) -> dict[Bits, ExpectRule]:
    """Return the rule that counts for each set of rules."""
    winners: dict[Bits, ExpectRule] = {}
    contradictions: dict[tuple[int, int], Cell] = {}
    for met, cell in groups.items():
        numbers = [number for number in range(len(ranks)) if met >> number & 1]
        if not numbers:
            continue
        highest = max(ranks[number] for number in numbers)
        first, *others = [number for number in numbers if ranks[number] == highest]
        winners[met] = matrix.expect[first]
        for other in others:
            if _read_promise(matrix.expect[first]) != _read_promise(matrix.expect[other]):
                contradictions.setdefault((first, other), cell)
    if contradictions:
        raise _make_contradiction(matrix, contradictions)
    return winners


def _read_promise(rule: ExpectRule) -> tuple[object, ...]:
    return rule.outcome, rule.reason, rule.cipher


def _make_contradiction(matrix: Matrix, found: Mapping[tuple[int, int], Cell]) -> UsageError:
    lines = []
    for (one, other), cell in sorted(found.items(), key=lambda entry: entry[0]):
        first, second = matrix.expect[one], matrix.expect[other]
        lines.append(
            f"{first.place} says {first.says}, {second.place} says {second.says}; both meet {cell.id}"
        )
    count = "two rules contradict" if len(lines) == 1 else f"{len(lines)} pairs of rules contradict"
    return UsageError(
        f"{matrix.path}: {count} each other",
        details="\n".join(lines),
        resolution="The rule that names more axes in `when` counts, then the one with more exact names:"
        " say more in the one that is to count",
    )
