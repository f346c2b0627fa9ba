"""The last lines of a run: what to look at first, what is known, where the report is."""

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.text import Text

from orchestrator.outcome import Outcome, Verdict
from orchestrator.record.model import CellRecord, Rule, RunRecord, SelfTest
from orchestrator.report import attempts, explanation, summary, units
from orchestrator.report.expectations import wanted
from orchestrator.report.groups import Group, groups
from orchestrator.report.headline import goes_on, went_well
from orchestrator.report.selftests import unsound
from orchestrator.report.text import flat

STYLES = {
    Outcome.PASS: ("✓", "green"),
    Outcome.FAIL: ("✕", "bold red"),
    Outcome.MISBUILT: ("◆", "bold magenta"),
    Outcome.ERROR: ("!", "bold yellow"),
    Outcome.BLOCKED: ("⊘", "yellow"),
    Outcome.UNSUPPORTED: ("–", "dim"),  # noqa: RUF001 - the report shows the same dash
}
"""Sign and style of an outcome."""

_VERDICTS = {
    Verdict.REGRESSION: "bold red",
    Verdict.CHANGED_FAILURE: "bold red",
    Verdict.FLAKY: "bold yellow",
    Verdict.NOT_JUDGED: "yellow",
    Verdict.NOW_PASSING: "bold green",
    Verdict.KNOWN_FAILURE: "dim",
}
"""Those that are told, each in its style."""
_SHOWN = 10
"""Cells that a group names; the report has all."""


def closing(record: RunRecord, folder: Path) -> list[Text]:
    """The counts, what failures have in common, the cells, rules that need a hand, the report.

    Clusters and groups of cells stand with the most urgent first.
    """
    lines = [_counts(record)]
    stale = [rule for rule in record.rules if rule.stale]
    clusters = explanation.show(record)
    lines += [line for shown in clusters for line in _clusters(shown)]
    found = groups(record, explanation.explained(clusters))
    told = [group for group in found if group.verdict in _VERDICTS]
    for group in told:
        if not group.quiet:
            lines += _group(group)
    lines += [_unsound(test) for test in unsound(record)]
    lines += [line for rule in stale for line in _stale(rule)]
    for group in told:
        if group.quiet:
            lines += _group(group)
    lines += [_unmet(rule) for rule in record.rules if not rule.met]
    return [*lines, *_resume(record, folder), Text(flat(f"Report: {folder / 'index.html'}"))]


def _resume(record: RunRecord, folder: Path) -> Iterator[Text]:
    """Yield the command that continues a run which was interrupted."""
    if command := goes_on(record.run):
        there = folder.parent.absolute()
        words = "" if there == Path("reports").absolute() else f" --reports {shlex.quote(str(there))}"
        yield Text(flat(f"Go on with: {command}{words}"), style="bold")


def _clusters(shown: explanation.ShownCluster) -> Iterator[Text]:
    style = _VERDICTS.get(shown.verdict, "")
    if shown.also:
        yield Text(flat(f"{shown.title}:"), style=style)
    for cluster in shown.every:
        yield Text(flat(f"{'  ' if shown.also else ''}{explanation.line(cluster)}"), style=style)


def unmet(place: str, when: Sequence[str]) -> str:
    """The warning of a rule that fits nothing: a slip in a name, or a version that left the matrix."""
    return f"{place}: this rule fits no cell of the matrix: {', '.join(when)}"


def _counts(record: RunRecord) -> Text:
    counts = Counter(summary.state(cell) for cell in record.cells)
    line = Text(f"{record.run.judged} of {units.count(record.run.planned, 'cell')} judged: ", style="bold")
    words = [(f"{counts[o]} {o}", STYLES[o][1]) for o in STYLES if counts[o]]
    for position, (text, style) in enumerate(words):
        line.append(", " if position else "").append(text, style=style)
    if record.run.status == "interrupted":
        line.append("; interrupted", style="bold yellow")
    elif record.run.status == "finished" and not went_well(record):
        line.append(flat(f"; exit code {record.run.exit_code}: {record.run.message}"), style="bold yellow")
    return line


def _group(group: Group) -> Iterator[Text]:
    count = len(group.cells)
    tally = f"; {group.tally}" if group.tally else ""
    head = Text(flat(f"{group.title} ({units.count(count, 'cell')}{tally})"))
    head.stylize(_VERDICTS[group.verdict])
    if group.quiet:
        rules = sorted({(cell.expected.rule, cell.expected.because) for cell in group.cells if cell.expected})
        yield head.append(flat("".join(f"  {rule} {because}" for rule, because in rules)))
        return
    yield head
    yield from (_cell(cell) for cell in group.cells[:_SHOWN])
    if count > _SHOWN:
        yield Text(f"  and {count - _SHOWN} more", style="dim")


def _cell(cell: CellRecord) -> Text:
    rule = f"  [{cell.expected.rule}]" if cell.expected and cell.expected.rule else ""
    return Text(flat(f"  {cell.id}  {attempts.describe(cell)}{rule}"))


def _stale(rule: Rule) -> Iterator[Text]:
    yield Text(flat(f"stale rule {rule.place}: {rule.stale}"), style="bold red")
    yield Text(flat(f"  it expects {wanted(rule)} for {', '.join(rule.when)}, because of {rule.because}"))


def _unsound(test: SelfTest) -> Text:
    failed = ", ".join(dict.fromkeys(f"{one.check} of {one.suite}" for one in test.checks if one.ok is False))
    head = f"self-test of {test.tls} on {test.arch} fails where cells pass: "
    return Text(flat(head + failed), style="bold red")


def _unmet(rule: Rule) -> Text:
    return Text(flat(unmet(rule.place, rule.when)), style="yellow")
