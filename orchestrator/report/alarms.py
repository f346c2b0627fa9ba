"""The alarms of a run in words: what a summary, an annotation and an issue say of each. Pure."""

import shlex
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from orchestrator.analyse.alarms import find_alarms
from orchestrator.analyse.change import name_end
from orchestrator.analyse.compare import Comparison
from orchestrator.outcome import REASONS, Verdict
from orchestrator.record.model import Alarm, CellRecord, RunRecord
from orchestrator.report import attempts, comparison, expectations, explanation, summary, units

_MESSAGES = 3
"""Different messages that are told."""
RERUN = 20
"""Cells that the command names which runs an alarm again: a line that can still be pasted."""


@dataclass(frozen=True, kw_only=True)
class Story:
    """What there is to say of one alarm. All texts are as the record has them."""

    alarm: Alarm
    verdict: Verdict
    """The worst of its cells'."""
    cells: tuple[CellRecord, ...]
    clusters: tuple[str, ...]
    """What its cells have in common with no cell that passes, a line each."""
    since: tuple[str, ...]
    """What BASE shows of these cells, and the suspect; empty without a BASE."""

    @property
    def title(self) -> str:
        """Return ``regression: fail: handshake-then-hang, 3 cells``."""
        count = units.format_count(len(self.cells), "cell")
        return f"{summary.VERDICT_TITLES[self.verdict]}: {self.end}, {count}"

    @property
    def end(self) -> str:
        """Return how its cells ended, as in ``fail: handshake-then-hang``."""
        return name_end(self.alarm.outcome, self.alarm.reason)

    @property
    def meaning(self) -> str:
        """Return one clause on its reason; empty where it has none."""
        return REASONS[self.alarm.reason].meaning if self.alarm.reason else ""

    @property
    def confirmation(self) -> str:
        """Return what became of its cells when they were probed again, alone; empty if none was."""
        found = Counter(attempts.describe_confirmation(cell) for cell in self.cells)
        return "; ".join(f"{count} of {len(self.cells)} {words}" for words, count in found.items() if words)

    @property
    def is_confirmed(self) -> bool:
        """Return whether one of its cells failed each time that it was probed again, alone."""
        return any(cell.confirmation and cell.confirmation.state == "confirmed" for cell in self.cells)

    @property
    def messages(self) -> tuple[str, ...]:
        """Return what its cells say, each message once, those of most cells first."""
        found = Counter(cell.message for cell in self.cells if cell.message)
        return tuple(message for message, _ in found.most_common(_MESSAGES))

    @property
    def causes(self) -> tuple[str, ...]:
        """Return what self-tests say of its cells."""
        return tuple(dict.fromkeys(cell.cause for cell in self.cells if cell.cause))

    @property
    def expected(self) -> tuple[str, ...]:
        """Return what rules expect of its cells in place of this."""
        return tuple(dict.fromkeys(expectations.describe(one.expected) for one in self.cells if one.expected))

    @property
    def rules(self) -> frozenset[str]:
        """Return the places of these rules, as in ``matrix.yaml:41``."""
        return frozenset(cell.expected.rule for cell in self.cells if cell.expected and cell.expected.rule)

    @property
    def rerun(self) -> str:
        """Return the command that runs its cells again, the first of them where they are many."""
        return write_rerun(self.cells)

    @property
    def reproducer(self) -> str:
        """Return the command that runs the first of its cells again."""
        return self.cells[0].reproducer


def tell_alarms(record: RunRecord, compared: Comparison | None = None) -> tuple[Story, ...]:
    """Return the alarms of a run, the most urgent first, then the largest.

    :param compared: of another run with this one.
    """
    cells = {cell.id: cell for cell in record.cells}
    found = explanation.find_clusters(record)
    clusters = [cluster for one in explanation.show(record, found) for cluster in one.every]
    told = []
    for alarm in find_alarms(record, found):
        ids = frozenset(alarm.cells)
        story = Story(
            alarm=alarm,
            verdict=min(
                (summary.find_verdict(cells[one]) for one in alarm.cells), key=summary.VERDICTS.index
            ),
            cells=tuple(cells[one] for one in alarm.cells),
            clusters=tuple(
                explanation.write_line(one)
                for one in clusters
                if ids.intersection(explanation.list_members(one))
            ),
            since=tell_since(compared, ids),
        )
        told.append(story)
    return tuple(sorted(told, key=lambda one: (summary.VERDICTS.index(one.verdict), -len(one.cells))))


def tell_since(compared: Comparison | None, ids: Collection[str]) -> tuple[str, ...]:
    """Return what became of some cells of HEAD, and what differs below them; no lines without a BASE."""
    if compared is None:
        return ()
    lines: list[str] = []
    for group in comparison.group_changes(compared):
        here = [cell for cell in group.cells if cell.now and cell.now.cell in ids]
        if here:
            count = "" if len(here) == len(ids) else f" ({len(here)} of {len(ids)} cells)"
            lines.append(f"{group.title}{count}")
            lines += [line.lstrip(" ") for line in comparison.explain_change(here)]
    return tuple(lines) or (f"as in {compared.base.id}",)


def write_rerun(cells: Sequence[CellRecord]) -> str:
    """Return the command that runs cells of one run again, the first of them where they are many."""
    first, *others = cells[:RERUN]
    return " ".join([first.reproducer, *(shlex.join(["--cell", cell.id]) for cell in others)])
