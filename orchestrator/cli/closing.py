"""The last lines of a run: what to look at first, what is known, where the report is."""

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.text import Text

from orchestrator.outcome import Outcome, Verdict
from orchestrator.record.model import CellRecord, Rule, RunRecord, SelfTest
from orchestrator.report import attempts, explanation, summary, units
from orchestrator.report.expectations import describe_expected
from orchestrator.report.groups import Group, group_cells
from orchestrator.report.headline import find_resume_command, went_well
from orchestrator.report.selftests import find_unsound
from orchestrator.report.text import flatten

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
"""Those that are shown, each in its style."""
_SHOWN = 10
"""Cells that a group names; the report has all."""


def write_closing(record: RunRecord, folder: Path) -> list[Text]:
    """Return the counts, what failures have in common, the cells, rules to look at, the report.

    Clusters and groups of cells stand with the most urgent first.
    """
    lines = [_count_cells(record)]
    stale = [rule for rule in record.rules if rule.stale]
    clusters = explanation.show(record)
    lines += [line for shown in clusters for line in _write_clusters(shown)]
    found = group_cells(record, explanation.list_explained(clusters))
    told = [group for group in found if group.verdict in _VERDICTS]
    for group in told:
        if not group.quiet:
            lines += _write_group(group)
    lines += [_write_unsound(test) for test in find_unsound(record)]
    lines += [line for rule in stale for line in _write_stale(rule)]
    for group in told:
        if group.quiet:
            lines += _write_group(group)
    lines += [_write_unmet(rule) for rule in record.rules if not rule.met]
    return [*lines, *_resume(record, folder), Text(flatten(f"Report: {folder / 'index.html'}"))]


def _resume(record: RunRecord, folder: Path) -> Iterator[Text]:
    """Yield the command that continues a run which was interrupted."""
    if command := find_resume_command(record.run):
        there = folder.parent.absolute()
        words = "" if there == Path("reports").absolute() else f" --reports {shlex.quote(str(there))}"
        yield Text(flatten(f"Go on with: {command}{words}"), style="bold")


def _write_clusters(shown: explanation.ShownCluster) -> Iterator[Text]:
    style = _VERDICTS.get(shown.verdict, "")
    if shown.also:
        yield Text(flatten(f"{shown.title}:"), style=style)
    for cluster in shown.every:
        yield Text(flatten(f"{'  ' if shown.also else ''}{explanation.write_line(cluster)}"), style=style)


def describe_unmet(place: str, when: Sequence[str]) -> str:
    """Return the warning of a rule that fits no cell: a wrong name, or a version that is gone."""
    return f"{place}: this rule fits no cell of the matrix: {', '.join(when)}"


def _count_cells(record: RunRecord) -> Text:
    counts = Counter(summary.find_state(cell) for cell in record.cells)
    line = Text(
        f"{record.run.judged} of {units.format_count(record.run.planned, 'cell')} judged: ", style="bold"
    )
    words = [(f"{counts[o]} {o}", STYLES[o][1]) for o in STYLES if counts[o]]
    for position, (text, style) in enumerate(words):
        line.append(", " if position else "").append(text, style=style)
    if record.run.status == "interrupted":
        line.append("; interrupted", style="bold yellow")
    elif record.run.status == "finished" and not went_well(record):
        line.append(flatten(f"; exit code {record.run.exit_code}: {record.run.message}"), style="bold yellow")
    return line


def _write_group(group: Group) -> Iterator[Text]:
    count = len(group.cells)
    tally = f"; {group.tally}" if group.tally else ""
    head = Text(flatten(f"{group.title} ({units.format_count(count, 'cell')}{tally})"))
    head.stylize(_VERDICTS[group.verdict])
    if group.quiet:
        rules = sorted({(cell.expected.rule, cell.expected.because) for cell in group.cells if cell.expected})
        yield head.append(flatten("".join(f"  {rule} {because}" for rule, because in rules)))
        return
    yield head
    yield from (_write_cell(cell) for cell in group.cells[:_SHOWN])
    if count > _SHOWN:
        yield Text(f"  and {count - _SHOWN} more", style="dim")


def _write_cell(cell: CellRecord) -> Text:
    rule = f"  [{cell.expected.rule}]" if cell.expected and cell.expected.rule else ""
    return Text(flatten(f"  {cell.id}  {attempts.describe(cell)}{rule}"))


def _write_stale(rule: Rule) -> Iterator[Text]:
    yield Text(flatten(f"stale rule {rule.place}: {rule.stale}"), style="bold red")
    yield Text(
        flatten(
            f"  it expects {describe_expected(rule)} for {', '.join(rule.when)}, because of {rule.because}"
        )
    )


def _write_unsound(test: SelfTest) -> Text:
    failed = ", ".join(dict.fromkeys(f"{one.check} of {one.suite}" for one in test.checks if one.ok is False))
    head = f"self-test of {test.tls} on {test.arch} fails where cells pass: "
    return Text(flatten(head + failed), style="bold red")


def _write_unmet(rule: Rule) -> Text:
    return Text(flatten(describe_unmet(rule.place, rule.when)), style="yellow")
