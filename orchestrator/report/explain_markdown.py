"""Why cells fail as Markdown, for a step summary or a bug report. Pure."""

from collections.abc import Iterator

from orchestrator.analyse.explain import Cluster, Explanation
from orchestrator.report import explanation as words
from orchestrator.report.step_summary import escape, fit
from orchestrator.report.text import make_visible


def render(found: Explanation) -> str:
    """Return the clusters, then what is unexplained; cut where a step summary ends, and saying so."""
    return "\n".join(fit(_write(found))) + "\n"


def _write(found: Explanation) -> Iterator[str]:
    yield f"## {_escape(words.write_headline(found))}\n"
    yield " · ".join(map(_escape, words.list_facts(found)))
    for note in found.notes:
        yield f"\n**Note:** {_escape(note)}"
    for cluster in found.clusters:
        yield from _write_cluster(cluster)
    told = list(words.describe_unexplained(found))
    if told:
        yield "\n### Unexplained\n"
    for name, said in told:
        yield f"- {_escape(f'{name}: {said}' if name else said)}"


def _write_cluster(cluster: Cluster) -> Iterator[str]:
    yield f"\n### {_escape(words.write_title(cluster))}\n"
    yield f"<code>{_escape(words.write_conditions(cluster))}</code><br>"
    yield f"{_escape(words.count_evidence(cluster))}\n"
    for name, said in words.list_details(cluster):
        yield f"- **{_escape(name)}:** {_escape(said)}"
    yield ""
    for cell in words.list_members(cluster):
        yield f"- {_escape(cell)}"


def _escape(text: str) -> str:
    return escape(make_visible(text))
