"""Two runs against each other as Markdown, for a step summary or a mail. Pure."""

from collections.abc import Iterator

from orchestrator.analyse.compare import Comparison
from orchestrator.report import comparison as words
from orchestrator.report.step_summary import escape, fit
from orchestrator.report.text import shorten, visible

_MESSAGE = 300
_SIGNS = {0: "✓", 1: "✕", 4: "?"}


def render(comparison: Comparison) -> str:
    """Return the news, then what else has changed; cut where a step summary ends, and saying so."""
    return "\n".join(fit(_lines(comparison))) + "\n"


def _lines(comparison: Comparison) -> Iterator[str]:
    yield f"## {_SIGNS[comparison.exit_code]} {_safe(words.verdict(comparison))}\n"
    yield _safe(words.headline(comparison))
    for name, run in (("BASE", comparison.base), ("HEAD", comparison.head)):
        yield f"\n{' · '.join(_safe(part) for part in words.side(name, run))}"
    for note in words.notes(comparison):
        yield f"\n**Note:** {_safe(note)}"
    for group in words.groups(comparison):
        yield from _group(group)
    if comparison.differences:
        yield f"\n### {words.DIFFERENCES}\n"
        yield from (f"- {_safe(words.difference(one))}" for one in comparison.differences)
    else:
        yield f"\n{words.NO_DIFFERENCE}"


def _group(group: words.ChangeGroup) -> Iterator[str]:
    sign = "✕ " if group.alarm else ""
    yield f"\n### {sign}{_safe(group.title)}, {len(group.cells)}\n"
    shared = words.shared_message(group)
    if shared:
        yield f"{_safe(shorten(shared, _MESSAGE))}<br>"
    yield from (f"{_safe(line.strip())}<br>" for line in group.why)
    if group.quiet:
        return
    yield ""
    for cell in group.cells:
        said = "" if shared else words.message(cell)
        told = f": {_safe(shorten(said, _MESSAGE))}" if said else ""
        yield f"- **{_safe(words.cell_name(cell))}**{told}<br><code>{_safe(cell.reproducer)}</code>"


def _safe(text: str) -> str:
    return escape(visible(text))
