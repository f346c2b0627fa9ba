"""The text of an issue for an alarm. Whatever is not ours stands in code. Pure."""

from orchestrator.analyse.issues import IssueMark, write_mark
from orchestrator.record.model import RunRecord
from orchestrator.report import expectations, text, units
from orchestrator.report.alarm_markdown import write_alarm
from orchestrator.report.alarms import Story
from orchestrator.report.step_summary import Section, fit_sections, write_code

_CELLS = 50
_TITLE = 200
"""Characters; GitHub takes 256."""
_ROOM = 30_000
"""Bytes of an issue's text without its mark: GitHub takes 65,536 characters."""


def write_title(story: Story) -> str:
    """Return the title of an issue: how cells fail, and what they have in common."""
    shared = ", ".join(story.alarm.conditions)
    return text.flatten(f"{story.end}: {shared}" if shared else f"{story.end}: {story.cells[0].id}")[:_TITLE]


def write_body(record: RunRecord, story: Story, mark: IssueMark, page: str) -> str:
    """Return the text of an issue, which ends with the mark of its alarm.

    :param mark: with the cells that the issue has to remember beside those of the alarm.
    :param page: the address of the workflow's run, or nothing.
    """
    sections = (
        Section("alarm", tuple(write_alarm(story, _CELLS))),
        Section(
            "run",
            (f"\nLast seen in {_name_run(record, page)}. Each run rewrites this text; comments stay.",),
        ),
    )
    return "\n".join((*fit_sections(sections, _ROOM), "", write_mark(mark)))


def write_change(record: RunRecord, story: Story, page: str) -> str:
    """Return the comment on an alarm that has other cells, or other things in common, than before."""
    count = "1 cell fails" if len(story.cells) == 1 else f"{len(story.cells)} cells fail"
    return f"It has changed: {count} so in {_name_run(record, page)}, see above."


def write_return(record: RunRecord, page: str) -> str:
    """Return the comment on an alarm that is there again."""
    return f"It is there again in {_name_run(record, page)}."


def write_end(record: RunRecord, page: str) -> str:
    """Return the comment on an alarm that is gone."""
    return f"None of its cells fails unexpectedly in {_name_run(record, page)}."


def _name_run(record: RunRecord, page: str) -> str:
    link = f", <{page}>" if expectations.is_plain_link(page) else ""
    return (
        f"run {write_code(record.run.id)} of {write_code(units.format_moment(record.run.started_at))}{link}"
    )
