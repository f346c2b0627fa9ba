"""An alarm as Markdown, for a step summary and for an issue: whatever is not ours stands in code. Pure."""

from collections.abc import Iterator

from orchestrator.report import text
from orchestrator.report.alarms import RERUN, Story
from orchestrator.report.step_summary import fence, write_code

_MESSAGE = 300
_SHARED = 10
"""Lines on clusters, causes and rules that are told."""


def write_alarm(story: Story, most: int = 10) -> Iterator[str]:
    """Yield what fails, where, since when, why as far as it is known, and how it is run again.

    :param most: how many cells are named.
    """
    yield f"\n### ✕ {story.title}\n"
    confirmed = f"; {write_code(story.confirmation)}" if story.confirmation else ""
    yield f"{story.meaning}{confirmed}"
    yield from _list("What these cells have in common", story.clusters or story.alarm.conditions)
    yield from _list("Said", tuple(text.shorten(one, _MESSAGE) for one in story.messages))
    yield from _list("Cause, by the self-test", story.causes)
    yield from _list("Expected", story.expected)
    yield from _list("Since BASE", story.since)
    yield from _commands(story)
    yield f"\n**Cells**, {len(story.cells)}\n"
    yield from (f"- {write_code(cell.id)}" for cell in story.cells[:most])
    if len(story.cells) > most:
        yield f"- and {len(story.cells) - most} more"


def _list(name: str, values: tuple[str, ...]) -> Iterator[str]:
    if not values:
        return
    yield f"\n**{name}**\n"
    yield from (f"- {write_code(value.strip(' '))}" for value in values[:_SHARED])
    if len(values) > _SHARED:
        yield f"- and {len(values) - _SHARED} more"


def _commands(story: Story) -> Iterator[str]:
    """Yield the commands; that of all cells names the first of them where they are many."""
    yield "\n**Run one cell again**"
    yield fence(story.reproducer)
    if len(story.cells) > 1:
        yield "**Run all again**" if len(story.cells) <= RERUN else f"**Run {RERUN} of them again**"
        yield fence(story.rerun)
