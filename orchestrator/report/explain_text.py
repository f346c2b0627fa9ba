"""Why cells fail, for a terminal. Pure."""

from collections.abc import Iterator

from orchestrator.analyse.explain import Cluster, Explanation
from orchestrator.report import explanation as words
from orchestrator.report.text import Style, flat


def render(found: Explanation) -> Iterator[tuple[Style, str]]:
    """Return the lines, each with the style in which it stands out."""
    for style, line in _lines(found):
        indent = line[: len(line) - len(line.lstrip(" "))]
        yield style, indent + flat(line.strip(" "))


def _lines(found: Explanation) -> Iterator[tuple[Style, str]]:
    yield "bold", words.headline(found)
    yield "dim", "  ".join(words.facts(found))
    for note in found.notes:
        yield "unsure", f"note: {note}"
    for cluster in found.clusters:
        yield from _cluster(cluster)
    told = list(words.unexplained(found))
    if told:
        yield "", ""
    for name, said in told:
        yield "unsure" if name == "unexplained" else "", f"{name}: {said}" if name else f"  {said}"


def _cluster(cluster: Cluster) -> Iterator[tuple[Style, str]]:
    yield "", ""
    yield "alarm", words.title(cluster)
    yield "bold", f"  {words.when(cluster)}"
    yield "", f"  {words.evidence(cluster)}"
    for name, said in words.details(cluster):
        yield "", f"  {name}: {said}"
    cells = words.members(cluster)
    for cell in cells[: words.SHOWN]:
        yield "dim", f"  - {cell}"
    if len(cells) > words.SHOWN:
        yield "dim", f"  and {len(cells) - words.SHOWN} more; --format json has all"
