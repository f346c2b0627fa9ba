"""What a report says of the run that it is compared with: what is new, and what became of each cell. Pure."""

from collections.abc import Callable
from typing import NamedTuple

from orchestrator.analyse.change import Change
from orchestrator.analyse.compare import CellChange, Comparison
from orchestrator.outcome import Outcome, Verdict
from orchestrator.report import comparison as words
from orchestrator.report import summary
from orchestrator.report.text import make_safe, make_visible

TITLE = "News since BASE"


class News:
    """A comparison as the report of its HEAD takes it in."""

    def __init__(self, comparison: Comparison) -> None:
        """Take a comparison whose texts may be shown."""
        self.comparison = comparison
        self._cells = {cell.now.cell: cell for cell in comparison.cells if cell.now}

    @property
    def groups(self) -> tuple[words.ChangeGroup, ...]:
        """Return what is new, the most urgent first."""
        found = words.group_changes(self.comparison)
        return tuple(group for group in found if group.alarm or not _is_old(group))

    def change(self, cell_id: str) -> Change:
        """Return what became of a cell of HEAD."""
        found = self._cells.get(cell_id)
        return found.change if found else Change.UNCHANGED

    def describe(self, cell_id: str) -> tuple[str, ...]:
        """Return the lines on what became of a cell of HEAD and what differs below it; none if unchanged."""
        found = self._cells.get(cell_id)
        return (words.describe_since_base(found), *words.explain_change([found])) if found else ()

    def suspect(self, cell_id: str) -> str:
        """Return the one ingredient that differs, where a cell of HEAD ended otherwise; else nothing."""
        found = self._cells.get(cell_id)
        return words.describe_difference(found.suspect) if found and found.suspect else ""


def read_news(comparison: Comparison | None, show: Callable[[str], str] = make_visible) -> News | None:
    """Return the news of a comparison, its texts made visible; ``None`` where a report has no BASE."""
    return News(make_safe(comparison, show)) if comparison else None


def _is_old(group: words.ChangeGroup) -> bool:
    """Return whether its cells end as they did in BASE: the rest of a report shows them as they are."""
    was, now = group.cells[0].was, group.cells[0].now
    if was is None or now is None:
        return False
    return (was.outcome, was.reason, was.verdict) == (now.outcome, now.reason, now.verdict)


class Look(NamedTuple):
    """By what sign, and with what strength, a group is shown."""

    state: str
    verdict: Verdict


def look(group: words.ChangeGroup) -> Look:
    """Return how its cells ended in HEAD.

    No green for what is not known to be good: a cell that vanished is not judged, and one that was flaky in
    BASE and passes now looks as it did there.
    """
    cell: CellChange = group.cells[0]
    state = cell.now
    if group.change is Change.FLAKY and state and state.outcome is Outcome.PASS:
        state = cell.was
    if state is None:
        return Look(summary.NOT_JUDGED, Verdict.NOT_JUDGED)
    return Look(
        summary.find_state(state),
        Verdict.FLAKY if group.change is Change.FLAKY else summary.find_verdict(state),
    )
