"""What a run says in the step summary of a workflow: the important part first. Pure."""

from collections.abc import Iterator

from orchestrator.analyse.compare import Comparison
from orchestrator.outcome import ALARMS, Verdict
from orchestrator.record.model import RunRecord
from orchestrator.report import explanation, groups, markdown, news_markdown, text
from orchestrator.report.alarm_markdown import write_alarm
from orchestrator.report.alarms import tell_alarms
from orchestrator.report.news import read_news
from orchestrator.report.step_summary import LIMIT, Section, fit_sections

_CELLS = 10
"""Of a group, that are named; the report has all."""


def render(record: RunRecord, compared: Comparison | None = None, *, limit: int = LIMIT) -> str:
    """Return state, news, clusters, alarms, the rest that needs a look, grids, what is known.

    :param compared: of another run with this one.
    :param limit: bytes that there is room for; sections that do not fit are left out whole, and named.
    """
    return "\n".join(fit_sections(_write_sections(record, compared), limit)) + "\n"


def _write_sections(record: RunRecord, compared: Comparison | None) -> Iterator[Section]:
    """Yield the sections; those without anything to say have no line."""
    shown = text.make_safe(record)
    clusters = explanation.show(shown)
    yield Section("state", tuple(markdown.write_state(shown, clusters)))
    if news := read_news(compared):
        yield Section("news", tuple(news_markdown.write_headline(news)))
        for group in news.groups:
            yield Section(f"news: {group.title}", tuple(news_markdown.write_group(group)))
    yield Section("clusters", tuple(markdown.write_clusters(clusters)))
    for story in tell_alarms(record, compared):
        yield Section(story.title, tuple(write_alarm(story, _CELLS)))
    found = groups.group_cells(shown, explanation.list_explained(clusters))
    for one in found:
        if not one.quiet and one.verdict not in ALARMS | {Verdict.NOT_JUDGED}:
            yield _write_group(one)
    yield Section("rules", tuple(markdown.write_rules(shown)))
    yield Section("disagreements of clients", tuple(markdown.write_disagreements(shown)))
    yield Section("self-tests", tuple(markdown.write_selftests(shown)))
    *grids, (_, legend) = markdown.write_grids(shown)
    yield from (Section(name, (*grid, *legend)) for name, grid in grids)
    for one in found:
        if one.verdict in {Verdict.NOT_JUDGED, Verdict.KNOWN_FAILURE}:
            yield _write_group(one)


def _write_group(group: groups.Group) -> Section:
    return Section(group.title, tuple(markdown.write_group(group, _CELLS)))
