"""The news of a report, as Markdown that stands before all else. Pure."""

from collections.abc import Iterator

from orchestrator.report import comparison as words
from orchestrator.report.news import TITLE, News
from orchestrator.report.step_summary import escape

_SIGNS = {0: "", 1: "✕ ", 4: "? "}


def render(news: News | None) -> Iterator[str]:
    """Yield the blocks; the cells' own messages and commands stand further down in the report."""
    if news is None:
        return
    yield from write_headline(news)
    for group in news.groups:
        yield from write_group(group)


def write_headline(news: News) -> Iterator[str]:
    """Yield what the comparison comes to, and with what it was made."""
    found = news.comparison
    yield f"\n### {_SIGNS[found.exit_code]}{TITLE}\n"
    yield f"{escape(words.describe_verdict(found))}<br>"
    yield escape(words.write_headline(found))
    base = " · ".join(escape(part) for part in words.describe_side("BASE", found.base))
    yield f"\n{base}; HEAD is this run"
    for note in words.list_notes(found):
        yield f"\n**Note:** {escape(note)}"


def write_group(group: words.ChangeGroup) -> Iterator[str]:
    """Yield what became of some cells, and what differs below them."""
    sign = "✕ " if group.alarm else ""
    yield f"\n**{sign}{escape(group.title)}**, {len(group.cells)}<br>"
    yield from (f"{escape(line.strip())}<br>" for line in group.why)
    if group.quiet:
        return
    yield ""
    yield from (f"- {escape(words.name_cell(cell))}" for cell in group.cells[: words.SHOWN])
    if len(group.cells) > words.SHOWN:
        yield f"- and {len(group.cells) - words.SHOWN} more"
