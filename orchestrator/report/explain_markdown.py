"""Why cells fail as Markdown, for a step summary or a bug report. Pure."""

from collections.abc import Iterator

from orchestrator.analyse.explain import Cluster, Explanation
from orchestrator.report import explanation as words
from orchestrator.report.step_summary import escape, fit
from orchestrator.report.text import visible


def render(found: Explanation) -> str:
    """Return the clusters, then what is unexplained; cut where a step summary ends, and saying so."""
    return "\n".join(fit(_lines(found))) + "\n"


def _lines(found: Explanation) -> Iterator[str]:
    yield f"## {_safe(words.headline(found))}\n"
    yield " · ".join(map(_safe, words.facts(found)))
    for note in found.notes:
        yield f"\n**Note:** {_safe(note)}"
    for cluster in found.clusters:
        yield from _cluster(cluster)
    told = list(words.unexplained(found))
    if told:
        yield "\n### Unexplained\n"
    for name, said in told:
        yield f"- {_safe(f'{name}: {said}' if name else said)}"


def _cluster(cluster: Cluster) -> Iterator[str]:
    yield f"\n### {_safe(words.title(cluster))}\n"
    yield f"<code>{_safe(words.when(cluster))}</code><br>"
    yield f"{_safe(words.evidence(cluster))}\n"
    for name, said in words.details(cluster):
        yield f"- **{_safe(name)}:** {_safe(said)}"
    yield ""
    for cell in words.members(cluster):
        yield f"- {_safe(cell)}"


def _safe(text: str) -> str:
    return escape(visible(text))
