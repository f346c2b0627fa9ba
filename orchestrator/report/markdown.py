"""Markdown for a step summary (at most 1 MiB, https://docs.github.com/actions: job summaries)."""

import re
from collections.abc import Iterator

from orchestrator.outcome import Outcome
from orchestrator.record.model import CellRecord, RunInfo, RunRecord
from orchestrator.report import grid, summary, text, units

LIMIT = 1_000_000
"""Bytes of the whole text: GitHub drops a summary of more than 1 MiB as a whole."""
_ROOM_FOR_THE_END = 500
_SYMBOLS = {
    "fail": "✕",
    "misbuilt": "◆",
    "error": "!",
    "blocked": "⊘",
    summary.NOT_JUDGED: "?",
    "unsupported": "–",  # noqa: RUF001 - the report's own sign
    "pass": "✓",
}
_MESSAGE = 300
_SPECIAL = re.compile(
    r"[^\w\s.,;/=+%()'?_:-]"  # whatever may be markup, a mention, an issue, or a table cell's end
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"  # emphasis; inside a name it is none
    r"|:(?!\s|\d\d\b)"  # emoji names, URLs and workflow commands; not "fail: x", not "06:58"
    r"|(?<=www)\.",
    re.ASCII,
)


def render(record: RunRecord) -> str:
    """Verdict, grid per architecture, failures with their reproducers; cut at LIMIT, and saying so."""
    record = text.safe(record)
    size = 0
    kept: list[str] = []
    for block in _blocks(record):
        size += len(block.encode()) + 1
        if size > LIMIT - _ROOM_FOR_THE_END:
            kept.append("\n**Cut here: the rest does not fit in a step summary.**\n")
            break
        kept.append(block)
    kept.append("\nEvery cell with its evidence: [index.html](index.html) in the run's folder.\n")
    return "\n".join(kept)


def escape(value: str) -> str:
    """``value`` on one line, as text only: no markup, no mention, no workflow command, no table cell."""
    return _SPECIAL.sub(
        lambda match: f"&#{ord(match[0])};" if match[0].isascii() else match[0], text.one_line(value)
    )


def _blocks(record: RunRecord) -> Iterator[str]:
    """Pieces that may stand or be cut off one by one."""
    first, *more = (escape(part) for part in summary.verdict(record))
    yield f"## {first}\n"
    if more:
        yield "; ".join(more) + "\n"
    yield _facts(record.run)
    if record.run.message:
        yield f"\nThe run says: {escape(text.shorten(record.run.message, _MESSAGE))}"
    yield from _grids(record)
    yield from _failures(record)


def _facts(run: RunInfo) -> str:
    facts = {
        "run": run.id,
        "status": run.status,
        "started": units.moment(run.started_at),
        "took": units.duration(run.duration_s),
        "profile": run.profile or "none",
        "filters": " ".join(run.filters) or "none",
        "host": f"{run.host.system}, {run.host.arch}",
        "engine": f"{run.engine.name} {run.engine.version}" if run.engine else "none",
        "matrixctl": run.tool_version,
    }
    return " · ".join(f"{name} {escape(value)}" for name, value in facts.items())


def _grids(record: RunRecord) -> Iterator[str]:
    table = grid.default(record.cells)
    for arch in table.arches:
        columns = [i for i, column in enumerate(table.columns) if column.arch == arch]
        ciphers = [escape(table.columns[i].cipher) for i in columns]
        yield f"\n### {escape(arch)}\n\n| build | {' | '.join(ciphers)} |\n| --- |{' --- |' * len(columns)}"
        for row in table.rows:
            slots = (" ".join(_short(cell) for cell in row.slots[i]) for i in columns)
            yield f"| {escape(row.haproxy)} {escape(row.tls)} | {' | '.join(slots)} |"
    legend = (f"{symbol} {summary.TITLES[name]}" for name, symbol in _SYMBOLS.items())
    yield f"\n{' · '.join(legend)}"


def _short(cell: CellRecord) -> str:
    name = summary.state(cell)
    return f"{_SYMBOLS[name]} {cell.reason or summary.TITLES[name]}"


def _failures(record: RunRecord) -> Iterator[str]:
    for group in summary.groups(record):
        if group.state == Outcome.UNSUPPORTED.value:
            continue
        reason = f": {group.reason}" if group.reason else ""
        common = f"; in common: {escape(group.common)}" if group.common else ""
        title = f"{_SYMBOLS[group.state]} {summary.TITLES[group.state]}{reason}, {len(group.cells)}"
        yield f"\n### {title}\n\n{escape(group.meaning)}{common}\n"
        for cell in group.cells:
            said = f": {escape(text.shorten(cell.message, _MESSAGE))}" if cell.message else ""
            yield f"- **{escape(cell.id)}**{said}<br><code>{escape(cell.reproducer)}</code>"
