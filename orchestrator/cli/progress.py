"""What a person sees while a run goes on: a live view on a terminal, plain lines elsewhere."""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestrator.cli import common
from orchestrator.cli.closing import STYLES, write_closing
from orchestrator.cli.pipes import silence
from orchestrator.mask_passwords import mask_text
from orchestrator.matrix.model import Cell
from orchestrator.outcome import Outcome, Verdict, find_verdict
from orchestrator.plan.plan import Known, estimate_seconds
from orchestrator.record.journal import (
    ActionChanged,
    CellJudged,
    CellsAsked,
    CellTraced,
    Event,
    RunResumed,
    RunStarted,
)
from orchestrator.record.model import ActionRecord, Attempt, Backtrace, CellRecord, RunRecord, Traced
from orchestrator.report import attempts, panel, units
from orchestrator.report.text import flatten, make_printable

_MINUTES_FROM = 90
"""Seconds from which an estimate is told in minutes: more digits would be a promise."""


_TOLD = {Verdict.KNOWN_FAILURE, Verdict.NOW_PASSING, Verdict.CHANGED_FAILURE}
"""Verdicts that the outcome alone does not tell."""


class View(Protocol):
    """What a run tells."""

    def listen(self, event: Event) -> None: ...

    def say(self, text: str) -> None: ...

    def show_end(self, record: RunRecord, folder: Path) -> None: ...


@contextmanager
def show_progress(cells: Sequence[Cell], *, known: Known, quiet: bool, as_json: bool) -> Iterator[View]:
    """Yield the view that fits stdout and stderr; ``known`` has earlier durations for the estimate."""
    if as_json:
        yield JsonLines()
    elif quiet:
        yield Quiet()
    elif common.errors.is_terminal:
        view = LiveView(len(cells), known)
        with view.live:
            yield view
    else:
        yield ProgressLines()


class Quiet:
    """Errors and the end."""

    def listen(self, event: Event) -> None:
        """Nothing until the end."""

    def say(self, text: str) -> None:
        """Nothing until the end."""

    def show_end(self, record: RunRecord, folder: Path) -> None:
        for line in write_closing(record, folder):
            common.errors.print(line)


class JsonLines(Quiet):
    """Events on stdout, one JSON object per line, as in ``journal.jsonl``; the rest to stderr.

    Where their reader has left, the run goes on to its end without them.
    """

    def say(self, text: str) -> None:
        common.say(text)

    def listen(self, event: Event) -> None:
        try:
            sys.stdout.write(common.as_json(event.model_dump(mode="json"), indent=None) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            silence(sys.stdout)


class ProgressLines(Quiet):
    """One line per event that a person would want in a log."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._cached: Counter[str] = Counter()

    def listen(self, event: Event) -> None:
        if isinstance(event, ActionChanged) and event.action.status == "cached" and not event.action.message:
            self._cached[event.action.kind] += 1
            return
        line = describe(event)
        if line is not None:
            self._print(line)

    def say(self, text: str) -> None:
        self._print(Text(make_printable(mask_text(text))))

    def show_end(self, record: RunRecord, folder: Path) -> None:
        if self._cached:
            kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self._cached.items()))
            total = units.format_count(self._cached.total(), "action")
            common.errors.print(Text(f"{'cached':9} {total}: {kinds}", style="dim"))
        super().show_end(record, folder)

    def _print(self, line: Text) -> None:
        spent = f"{time.monotonic() - self._started:6.1f} s  "
        common.errors.print(Text(spent) + line)


def describe(event: Event) -> Text | None:
    """Return the line for an event, or ``None`` where it is not worth one."""
    match event:
        case RunResumed(stood=stood):
            return Text(f"goes on; {stood} {'cell stands' if stood == 1 else 'cells stand'} as judged before")
        case CellsAsked(cells=cells):
            return Text(f"asks for {units.format_count(len(cells), 'cell')} more")
        case ActionChanged(action=action) if action.status not in {"waiting", "running"}:
            took = f" in {action.duration_s:.1f} s" if action.duration_s is not None else ""
            line = Text(flatten(f"{action.status:9} {action.kind} {action.name}{took}"))
            for said in make_printable(action.message).splitlines():
                line.append(f"\n    {said}", style="dim")
            return line
        case CellJudged() | CellTraced():
            return _tell_cell(event)
        case _:
            return None


def _tell_cell(event: CellJudged | CellTraced) -> Text | None:
    if isinstance(event, CellTraced):
        return _tell_trace(event.cell, event.traced)
    cell = event.cell
    if cell.backtrace is not None:  # its attempts have been told
        return _tell_backtrace(cell.id, cell.backtrace)
    if cell.confirmation is not None:
        return _tell_confirmation(cell)
    return _tell_attempt(cell, cell.attempts[-1]) if cell.outcome is not None and cell.attempts else None


def _tell_trace(cell: str, made: Traced) -> Text:
    """Return the line of a second run, which says nothing new of the cell's verdict."""
    reason = f": {made.reason}" if made.reason else ""
    line = Text(flatten(f"≡ traced  {cell}  {made.outcome}{reason}"))
    for said in made.missing:
        line.append(f"\n    {flatten(said)}", style="dim")
    return line


def _tell_backtrace(cell: str, found: Backtrace) -> Text:
    """Return the line of a second run under gdb, which says nothing new of the cell's verdict either."""
    where = ", ".join((found.signal, *found.frames[:1])) if found.signal else panel.describe_backtrace(found)
    return Text(flatten(f"≡ backtrace  {cell}  {where}"))


def _tell_attempt(cell: CellRecord, made: Attempt) -> Text:
    """Return the line of one attempt: its own result, whatever the attempts before it came to."""
    glyph, style = STYLES[made.outcome]
    line = Text(f"{glyph} {made.outcome}", style=style)
    found = find_verdict(made.outcome, made.reason, cell.expected)
    if found in _TOLD:
        line.append(f" ({found})", style="dim")
    line.append(flatten(f"  {cell.id}"), style="default")
    if made.number > 1:
        line.append(flatten(f"  {made.why}"), style="dim")
    if made.reason is not None:
        line.append(flatten(f"  {made.reason}: {made.message}"), style="default")
    return line


def _tell_confirmation(cell: CellRecord) -> Text:
    """Return the line of a cell whose verdict was confirmed, or not; its attempts have their own."""
    tally = attempts.tally(cell)
    said = attempts.describe_confirmation(cell) + (f" ({tally})" if tally else "")
    return Text("= ").append(flatten(f"{cell.verdict}  {cell.id}  {said}"))


class LiveView(ProgressLines):
    """Lines that scroll, above what runs now, the counts, and the time."""

    def __init__(self, planned: int, known: Known) -> None:
        super().__init__()
        self._planned, self._known = planned, known
        self._waiting: dict[tuple[str, str], float] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._stood = 0
        self._ended: set[str] = set()
        self._running: dict[tuple[str, str], float] = {}
        self.live = Live(
            get_renderable=self._draw, console=common.errors, refresh_per_second=4, transient=True
        )

    def listen(self, event: Event) -> None:
        match event:
            case RunStarted(record=record):
                self._plan(record.actions)
            case RunResumed(stood=stood, actions=actions):
                self._stood = stood
                self._plan(actions)
            case CellsAsked(cells=cells, actions=actions):
                self._planned += len(cells)
                self._plan([one for one in actions if one.kind == "probe" or one.key not in self._ended])
            case ActionChanged(action=action):
                key = (action.kind, action.name)
                self._waiting.pop(key, None)
                if action.status == "running":
                    self._running[key] = time.monotonic()
                else:
                    self._running.pop(key, None)
                    self._ended.add(action.key)
            case CellJudged(cell=cell) if cell.outcome is not None:
                self._outcomes[cell.id] = cell.outcome
        super().listen(event)

    def _plan(self, actions: Sequence[ActionRecord]) -> None:
        self._waiting = {(a.kind, a.name): estimate_seconds(a.kind, a.name, self._known) for a in actions}

    def _draw(self) -> Group:
        now = time.monotonic()
        table = Table.grid(padding=(0, 2))
        for (kind, name), since in list(self._running.items()):
            table.add_row(Text("▸", style="cyan"), kind, Text(flatten(name)), f"{now - since:.0f} s")
        return Group(table, self._draw_counts(now - self._started))

    def _draw_counts(self, spent: float) -> Text:
        counts = Counter(self._outcomes.values())
        line = Text(f"{self._stood + sum(counts.values())}/{self._planned} cells  ", style="bold")
        for outcome, (glyph, style) in STYLES.items():
            if counts[outcome]:
                line.append(f"{glyph} {counts[outcome]} {outcome}  ", style=style)
        return line.append(f"{spent:.0f} s, {self._estimate_left()}", style="dim")

    def _estimate_left(self) -> str:
        """Return an upper bound: one action after another, though a build may be in the store."""
        now = time.monotonic()
        late = [
            max(0.0, estimate_seconds(*key, self._known) - (now - since))
            for key, since in list(self._running.items())
        ]
        left = sum(self._waiting.values()) + sum(late)
        return (
            f"at most about {left / 60:.0f} min left" if left > _MINUTES_FROM else f"about {left:.0f} s left"
        )
