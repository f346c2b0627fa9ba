"""Why cells fail, for a terminal. Pure."""

from collections.abc import Iterator

from orchestrator.analyse.explain import Cluster, Explanation
from orchestrator.report import explanation as words
from orchestrator.report.text import Style, flatten


def render(found: Explanation) -> Iterator[tuple[Style, str]]:
    """Return the lines, each with the style in which it stands out."""
    for style, line in _write(found):
        indent = line[: len(line) - len(line.lstrip(" "))]
        yield style, indent + flatten(line.strip(" "))


def _write(found: Explanation) -> Iterator[tuple[Style, str]]:
    yield "bold", words.write_headline(found)
    yield "dim", "  ".join(words.list_facts(found))
    for note in found.notes:
        yield "unsure", f"note: {note}"
    for cluster in found.clusters:
        yield from _write_cluster(cluster)
    told = list(words.describe_unexplained(found))
    if told:
        yield "", ""
    for name, said in told:
        yield "unsure" if name == "unexplained" else "", f"{name}: {said}" if name else f"  {said}"


def _write_cluster(cluster: Cluster) -> Iterator[tuple[Style, str]]:
    yield "", ""
    yield "alarm", words.write_title(cluster)
    yield "bold", f"  {words.write_conditions(cluster)}"
    yield "", f"  {words.count_evidence(cluster)}"
    for name, said in words.list_details(cluster):
        yield "", f"  {name}: {said}"
    cells = words.list_members(cluster)
    for cell in cells[: words.SHOWN]:
        yield "dim", f"  - {cell}"
    if len(cells) > words.SHOWN:
        yield "dim", f"  and {len(cells) - words.SHOWN} more; --format json has all"
