"""Two runs against each other, for a terminal: the news first. Pure."""

from collections.abc import Iterator

from orchestrator.analyse.change import Change
from orchestrator.analyse.compare import Comparison
from orchestrator.report import comparison as words
from orchestrator.report import units
from orchestrator.report.text import Style, flatten, shorten

_STYLES: dict[Change, Style] = {
    Change.NEW_FAILURE: "alarm",
    Change.CHANGED_REASON: "unsure",
    Change.FLAKY: "unsure",
    Change.NOT_JUDGED: "unsure",
    Change.NEVER_JUDGED: "unsure",
    Change.NOW_PASSING: "good",
    Change.FIXED: "good",
}
_MESSAGE = 300


def render(comparison: Comparison) -> Iterator[tuple[Style, str]]:
    """Return the lines, each with the style in which it stands out."""
    for style, line in _write(comparison):
        indent = line[: len(line) - len(line.lstrip(" "))]
        yield style, indent + flatten(line.strip(" "))


def _write(comparison: Comparison) -> Iterator[tuple[Style, str]]:
    verdict: Style = {1: "alarm", 4: "unsure"}.get(comparison.exit_code, "bold")  # type: ignore[assignment]
    yield verdict, f"{words.describe_verdict(comparison)}."
    yield "", words.write_headline(comparison)
    for name, run in (("BASE", comparison.base), ("HEAD", comparison.head)):
        yield "dim", "  ".join(words.describe_side(name, run))
    for note in words.list_notes(comparison):
        yield "unsure", f"note: {note}"
    for group in words.group_changes(comparison):
        yield from _write_group(group)
    yield "", ""
    if comparison.differences:
        yield "bold", f"{words.DIFFERENCES}:"
        yield from (("", f"  {words.describe_difference(one)}") for one in comparison.differences)
    else:
        yield "bold", words.NO_DIFFERENCE


def _write_group(group: words.ChangeGroup) -> Iterator[tuple[Style, str]]:
    count = len(group.cells)
    style: Style = "alarm" if group.alarm else "dim" if group.quiet else _STYLES.get(group.change, "")
    yield "", ""
    yield style, f"{group.title}, {units.format_count(count, 'cell')}"
    shared = words.find_shared_message(group)
    if shared:
        yield "", f"  {shorten(shared, _MESSAGE)}"
    yield from (("", f"  {line}") for line in group.why)
    if group.quiet:
        return
    for cell in group.cells[: words.SHOWN]:
        said = "" if shared else words.find_message(cell)
        yield "", f"  - {words.name_cell(cell)}" + (f": {shorten(said, _MESSAGE)}" if said else "")
    if count > words.SHOWN:
        yield "dim", f"  and {count - words.SHOWN} more; --format json has all"
    if group.alarm or group.change is Change.NEW_FAILURE:
        yield "dim", f"  again: {group.cells[0].reproducer}"
