"""Two runs against each other as Markdown, for a step summary or a mail. Pure."""

from collections.abc import Iterator

from orchestrator.analyse.compare import Comparison
from orchestrator.report import comparison as words
from orchestrator.report.step_summary import escape, fit
from orchestrator.report.text import make_visible, shorten

_MESSAGE = 300
_SIGNS = {0: "✓", 1: "✕", 4: "?"}


def render(comparison: Comparison) -> str:
    """Return the news, then what else has changed; cut where a step summary ends, and saying so."""
    return "\n".join(fit(_write(comparison))) + "\n"


def _write(comparison: Comparison) -> Iterator[str]:
    yield f"## {_SIGNS[comparison.exit_code]} {_escape(words.describe_verdict(comparison))}\n"
    yield _escape(words.write_headline(comparison))
    for name, run in (("BASE", comparison.base), ("HEAD", comparison.head)):
        yield f"\n{' · '.join(_escape(part) for part in words.describe_side(name, run))}"
    for note in words.list_notes(comparison):
        yield f"\n**Note:** {_escape(note)}"
    for group in words.group_changes(comparison):
        yield from _write_group(group)
    if comparison.differences:
        yield f"\n### {words.DIFFERENCES}\n"
        yield from (f"- {_escape(words.describe_difference(one))}" for one in comparison.differences)
    else:
        yield f"\n{words.NO_DIFFERENCE}"


def _write_group(group: words.ChangeGroup) -> Iterator[str]:
    sign = "✕ " if group.alarm else ""
    yield f"\n### {sign}{_escape(group.title)}, {len(group.cells)}\n"
    shared = words.find_shared_message(group)
    if shared:
        yield f"{_escape(shorten(shared, _MESSAGE))}<br>"
    yield from (f"{_escape(line.strip())}<br>" for line in group.why)
    if group.quiet:
        return
    yield ""
    for cell in group.cells:
        said = "" if shared else words.find_message(cell)
        told = f": {_escape(shorten(said, _MESSAGE))}" if said else ""
        yield f"- **{_escape(words.name_cell(cell))}**{told}<br><code>{_escape(cell.reproducer)}</code>"


def _escape(text: str) -> str:
    return escape(make_visible(text))
