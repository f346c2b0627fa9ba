"""Markdown for a step summary (at most 1 MiB, https://docs.github.com/actions: job summaries)."""

from collections.abc import Iterator, Sequence

from orchestrator.analyse.compare import Comparison
from orchestrator.matrix.model import name_haproxy
from orchestrator.outcome import ALARMS, Verdict
from orchestrator.record.model import RunRecord
from orchestrator.report import (
    attempts,
    disagreements,
    expectations,
    explanation,
    grid,
    groups,
    headline,
    news_markdown,
    provenance,
    selection,
    selftests,
    summary,
    text,
    units,
)
from orchestrator.report.news import News, read_news
from orchestrator.report.step_summary import escape, fit

_SYMBOLS = {
    "fail": "✕",
    "misbuilt": "◆",
    "error": "!",
    "blocked": "⊘",
    summary.NOT_JUDGED: "?",
    "unsupported": "–",  # noqa: RUF001 - the report's own sign
    "pass": "✓",
}
_LEGEND = "\n" + " · ".join(f"{symbol} {summary.TITLES[name]}" for name, symbol in _SYMBOLS.items())
_LEVELS = {"alarm": "✕ ", "unsure": "? ", "note": "↑ ", "calm": "✓ "}
_MESSAGE = 300


def render(record: RunRecord, comparison: Comparison | None = None) -> str:
    """Return verdict, news, what needs a look, grids, known failures; cut where a summary ends.

    :param comparison: of another run with this one.
    """
    end = "\nEvery cell with its evidence: [index.html](index.html) in the run's folder.\n"
    return "\n".join((*fit(_write_blocks(text.make_safe(record), read_news(comparison))), end))


def _write_blocks(record: RunRecord, news: News | None) -> Iterator[str]:
    """Yield the pieces, each of which may be the last one."""
    clusters = explanation.show(record)
    yield from write_state(record, clusters)
    yield from news_markdown.render(news)
    yield from write_clusters(clusters)
    found = groups.group_cells(record, explanation.list_explained(clusters))
    for group in found:
        if not group.quiet and group.verdict is not Verdict.NOT_JUDGED:
            yield from write_group(group)
    yield from write_rules(record)
    yield from write_disagreements(record)
    yield from write_selftests(record)
    for _, lines in write_grids(record):
        yield from lines
    for group in found:
        if group.verdict in {Verdict.NOT_JUDGED, Verdict.KNOWN_FAILURE}:
            yield from write_group(group)


def write_state(record: RunRecord, clusters: Sequence[explanation.ShownCluster]) -> Iterator[str]:
    """Yield the run in words, its facts, and what made it special."""
    first, *more = (escape(part) for part in headline.write_parts(record, clusters))
    yield f"## {_LEVELS[headline.find_level(record)]}{first}\n"
    if more:
        yield "; ".join(more) + "\n"
    yield _write_facts(record)
    if command := headline.find_resume_command(record.run):
        yield f"\nIt goes on with <code>{escape(command)}</code>"
    if record.run.message:
        yield f"\nThe run says: {escape(text.shorten(record.run.message, _MESSAGE))}"
    for made in provenance.find_special(record):
        yield f"\n**Built in its own way:** {escape(f'{made.name}: {made.words}')}"


def write_clusters(clusters: Sequence[explanation.ShownCluster]) -> Iterator[str]:
    """Yield what failures have in common, the most urgent first."""
    if clusters:
        yield f"\n### {explanation.TITLE}\n"
    yield from map(_write_cluster, clusters)


def _write_facts(record: RunRecord) -> str:
    run = record.run
    facts = {
        "run": run.id,
        "status": run.status,
        "started": units.format_moment(run.started_at),
        "resumed": headline.describe_resumes(run),
        "took": units.format_duration(run.duration_s),
        "cells": text.shorten(selection.describe(record), _MESSAGE),
        "host": "; ".join(dict.fromkeys(f"{one.system}, {one.arch}" for one in record.hosts)),
        "engine": record.engines or "none",
        "matrixctl": run.tool_version,
        "exit code": headline.explain_exit(record),
        "command": text.shorten(selection.find_command(run), _MESSAGE),
    }
    return " · ".join(f"{name} {escape(value)}" for name, value in facts.items() if value)


def write_grids(record: RunRecord) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the table of each architecture, then the legend, each with its name."""
    table = grid.make_grid(record.cells)
    for arch in table.arches:
        yield f"grid of {arch}", tuple(_write_grid(table, arch))
    yield "legend", (_LEGEND,)


def _write_grid(table: grid.Grid, arch: str) -> Iterator[str]:
    columns = [i for i, column in enumerate(table.columns) if column.arch == arch]
    ciphers = [escape(table.columns[i].cipher) for i in columns]
    yield f"\n### {escape(arch)}\n\n| build | {' | '.join(ciphers)} |\n| --- |{' --- |' * len(columns)}"
    for row in table.rows:
        slots = (_write_slot(row.slots[i]) for i in columns)
        yield f"| {escape(row.haproxy)} {escape(row.tls)} | {' | '.join(slots)} |"


def _write_slot(slot: grid.Slot) -> str:
    """Return the worst of the field, and how many there are of each kind where there are several."""
    if not slot.cells:
        return ""
    worst = slot.cells[0]
    said = (
        f"{_SYMBOLS[summary.find_state(worst)]} {worst.reason or summary.TITLES[summary.find_state(worst)]}"
    )
    if tag := summary.TAGS[summary.find_verdict(worst)]:
        said += f", {tag}"
    if part := attempts.describe_share(worst):
        said += f", {part} attempts"
    if summary.find_verdict(worst) in ALARMS:
        said = f"**{said}**"
    if len(slot.cells) == 1:
        return said
    return (
        f"{said} ({' '.join(f'{_SYMBOLS[summary.find_state(cell)]}{count}' for cell, count in slot.tally)})"
    )


def _write_cluster(shown: explanation.ShownCluster) -> str:
    """Return a cluster in one line and its details; known failures have no details."""
    cluster = shown.cluster
    tag = f", {summary.VERDICT_TITLES[shown.verdict]}" if shown.quiet else ""
    said = f"- {_SYMBOLS[shown.state]} **{escape(shown.title)}{tag}**"
    said += f"<br><code>{escape(explanation.write_conditions(cluster))}</code>"
    said += f"<br>{escape(explanation.count_evidence(cluster))}"
    said += "".join(f"<br>{escape(explanation.write_line(other))}" for other in shown.also)
    details = () if shown.quiet else explanation.list_details(cluster)
    return "".join((said, *(f"<br>{escape(name)}: {escape(value)}" for name, value in details)))


def write_group(group: groups.Group, most: int | None = None) -> Iterator[str]:
    """Yield a group and its cells, each with its reproducer.

    :param most: how many cells are shown; ``None`` for all.
    """
    common = f"; in common: {escape(group.common)}" if group.common else ""
    yield f"\n### {_SYMBOLS[group.state]} {escape(group.title)}, {len(group.cells)}\n"
    tally = f"; {group.tally}" if group.tally else ""
    yield f"{escape(group.meaning)}{common}{tally}\n"
    if group.cause:
        yield f"**Cause:** {escape(text.shorten(group.cause, _MESSAGE))}\n"
    if group.expected:
        yield f"Expected by {escape(group.expected.rule)}, because {_link(group.expected.because)}\n"
    for cell in group.cells[:most]:
        message = text.shorten(attempts.describe(cell), _MESSAGE)
        said = f": {escape(message)}" if message else ""
        yield f"- **{escape(cell.id)}**{said}<br><code>{escape(cell.reproducer)}</code>"
    if hidden := group.cells[len(group.cells[:most]) :]:
        yield f"- and {len(hidden)} more"


def _link(address: str) -> str:
    """Return a link that cannot be anything else: between angle brackets, and no character that ends it."""
    return f"<{address}>" if expectations.is_plain_link(address) else escape(address)


def write_rules(record: RunRecord) -> Iterator[str]:
    """Yield only the rules that need a hand: all of them are in the page."""
    needy = [line for line in expectations.list_rules(record) if line.state]
    if needy:
        yield "\n### Rules of the matrix that need a hand\n"
    for line in needy:
        rule = line.rule
        why = f"stale, {rule.stale}" if rule.stale else "fits no cell of the matrix"
        when = escape(" ".join(rule.when))
        yield f"- **{escape(rule.place)}** ({when}): {escape(why)}; because {_link(rule.because)}"


def write_disagreements(record: RunRecord) -> Iterator[str]:
    """Yield the servers about which clients disagree."""
    found = disagreements.find_disagreements(record)
    if found:
        yield f"\n### Clients disagree, {len(found)}\n"
    for one in found:
        server = escape(f"{one.arch} {name_haproxy(one.haproxy)} {one.tls} {one.cipher} {one.execution}")
        yield f"- **{server}**: {escape(one.sentence)}"


def write_selftests(record: RunRecord) -> Iterator[str]:
    """Yield the self-tests that failed."""
    bad = [row for row in selftests.make_overview(record.selftests).rows if not row.good]
    if bad:
        yield "\n### Self-tests of libraries that failed\n"
    for row in bad:
        where = f"{row.test.tls} {row.test.arch} {row.test.execution}"
        failed = ", ".join(
            dict.fromkeys(f"{one.suite} {one.check}" for slot in row.slots for one in slot.failed)
        )
        yield f"- **{escape(where)}**: {escape(text.shorten(failed or row.test.problem, _MESSAGE))}"
