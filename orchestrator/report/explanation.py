"""Why cells fail, in words: what is shared by the forms in which an explanation is printed. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

from orchestrator.analyse.explain import Cluster, Explanation, explain
from orchestrator.outcome import Verdict
from orchestrator.record.model import CellRecord, RunRecord
from orchestrator.report import summary, units
from orchestrator.report.causes import name_cause

TITLE = "What failures have in common"
SHOWN = 10
"""Cells that are named; JSON has all."""
NOTHING = "Nothing to explain: no cell fails."
COMMAND = "matrixctl run"
_RAN = "each of them has run, as far as the values of this run go"
_WITHOUT_NEIGHBOURS = (
    f"it has none in this run: ask for more values, or let `{COMMAND} --explain` choose the cells"
)


@dataclass(frozen=True, kw_only=True)
class ShownCluster:
    """A cluster as a report of its run shows it: as urgent as the worst of its cells."""

    cluster: Cluster
    verdict: Verdict
    state: str
    also: tuple[Cluster, ...] = ()
    """Others of the same fault: a self-test found the same cause, or the same conditions hold."""

    @property
    def every(self) -> tuple[Cluster, ...]:
        """Return all clusters of the fault."""
        return (self.cluster, *self.also)

    @property
    def title(self) -> str:
        """Return the cause with the number of cells if several clusters share it, else ``write_title``'s."""
        if not self.also:
            return write_title(self.cluster)
        cells = len({id_ for one in self.every for id_ in list_members(one)})
        named = name_cause(self.cluster.cause) or " and ".join(
            dict.fromkeys(str(one.reason or one.outcome) for one in self.every)
        )
        return f"{named}, {units.format_count(cells, 'cell')}"

    @property
    def cause(self) -> str:
        """Return in few words what the self-test found, else how its cells end, and when."""
        reasons = dict.fromkeys(str(one.reason or one.outcome) for one in self.every)
        return name_cause(self.cluster.cause) or f"{' and '.join(reasons)} with {' '.join(self.cluster.when)}"

    @property
    def quiet(self) -> bool:
        """Return true if nothing has to be done: each of its failures is known."""
        return self.verdict is Verdict.KNOWN_FAILURE


def find_clusters(record: RunRecord) -> tuple[Cluster, ...]:
    """Return the clusters of a run; none of a run without a cell."""
    return explain([record]).clusters if record.cells else ()


def show(record: RunRecord, clusters: Sequence[Cluster] | None = None) -> tuple[ShownCluster, ...]:
    """Return the clusters of a run, the most urgent first.

    :param clusters: those of ``find_clusters``, where somebody has them already: to find them takes time.
    """
    cells = {cell.id: cell for cell in record.cells}
    found: dict[tuple[bool, str], list[tuple[tuple[int, int], Cluster, CellRecord]]] = {}
    for cluster in find_clusters(record) if clusters is None else clusters:
        worst = min((cells[id_] for id_ in list_members(cluster)), key=summary.rank)
        one = (summary.rank(worst), cluster, worst)
        is_known = summary.find_verdict(worst) is Verdict.KNOWN_FAILURE  # which must not grow what is loud
        found.setdefault((is_known, name_cause(cluster.cause) or write_conditions(cluster)), []).append(one)
    joined = sorted((sorted(ones, key=itemgetter(0)) for ones in found.values()), key=lambda ones: ones[0][0])
    return tuple(
        ShownCluster(
            cluster=cluster,
            verdict=summary.find_verdict(worst),
            state=summary.find_state(worst),
            also=tuple(other for _, other, _ in others),
        )
        for (_, cluster, worst), *others in joined
    )


def list_explained(clusters: tuple[ShownCluster, ...]) -> frozenset[str]:
    """Return the ids of all cells that clusters explain."""
    return frozenset(id_ for one in clusters for cluster in one.every for id_ in list_members(cluster))


def list_members(cluster: Cluster) -> tuple[str, ...]:
    """Return the cells of a cluster, those that fit as far as is known among them."""
    return (*cluster.cells, *cluster.maybe)


def write_headline(found: Explanation) -> str:
    """Return how many cells fail, and how far that is explained."""
    if not found.failing:
        return NOTHING
    explained = found.failing - len(found.unexplained)
    fail = "1 cell fails" if found.failing == 1 else f"{found.failing} cells fail"
    if not found.clusters:
        return f"{fail}, and no combination explains {'it' if found.failing == 1 else 'them'}."
    clusters = (
        "1 combination explains"
        if len(found.clusters) == 1
        else f"{len(found.clusters)} combinations explain"
    )
    how_many = "all" if explained == found.failing else str(explained)
    return f"{fail}; {clusters} {how_many} of them."


def list_facts(found: Explanation) -> tuple[str, ...]:
    """Return which runs it is about, and how much they say."""
    also = f"with the outcomes of {' '.join(found.also)}" if found.also else ""
    said = f"{found.failing} fail, {found.passing} pass, {found.missing} say nothing"
    return tuple(part for part in (f"run {found.run}", also, said) if part)


def write_title(cluster: Cluster) -> str:
    """Return how the cells of a cluster fail, and how many they are."""
    count = len(cluster.cells) + len(cluster.maybe)
    said = f"{cluster.outcome}: {cluster.reason}" if cluster.reason else str(cluster.outcome)
    return f"{said}, {units.format_count(count, 'cell')}, {cluster.confidence}"


def write_conditions(cluster: Cluster) -> str:
    """Return the conditions as one would type them, without the quotes of a shell."""
    return "  ".join(cluster.when)


def count_evidence(cluster: Cluster) -> str:
    """Return support and counter-examples."""
    cells = len(cluster.cells)
    fit = units.format_count(cells + cluster.passing, "cell")
    said = f"{cells} of {fit}, {cluster.others_failing} of {cluster.others} others"
    if cluster.maybe:
        said += f"; {len(cluster.maybe)} more fit as far as is known"
    return said


def write_line(cluster: Cluster) -> str:
    """Return a cluster in one line."""
    end = cluster.reason or cluster.outcome
    return f"{end} when {write_conditions(cluster)}: {count_evidence(cluster)} ({cluster.confidence})"


def list_details(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """Yield what else there is to say: a name and a sentence each."""
    if cluster.cause:
        yield "cause", cluster.cause
    for reason, count in cluster.otherwise.items():
        yield "where it holds", f"{count} other {'cell fails' if count == 1 else 'cells fail'} with {reason}"
    if cluster.irrelevant:
        yield "irrelevant", ", ".join(cluster.irrelevant)
    yield from (("border", border) for border in cluster.borders)
    yield from _list_doubts(cluster)


def _list_doubts(cluster: Cluster) -> Iterator[tuple[str, str]]:
    yield from (("always together", f"{one} with {other}") for one, other in cluster.confounded)
    yield from (("or", "  ".join(texts)) for texts in cluster.alternatives)
    if cluster.mixed:
        yield "flaky", f"{cluster.mixed} of these cells passed in some attempts or runs"
    if cluster.exceptions:
        yield "passes nevertheless", list_names(cluster.exceptions)
    if cluster.because:
        yield f"only {cluster.confidence}", cluster.because
    yield from (("would decide", f"{COMMAND} {words}") for words in cluster.decide)


def list_names(cells: tuple[str, ...]) -> str:
    """Return the first cells, and how many there are beside them."""
    more = len(cells) - SHOWN
    return ", ".join(cells[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def describe_unexplained(found: Explanation) -> Iterator[tuple[str, str]]:
    """Yield what there is to say of failures that no cluster explains."""
    if not found.unexplained:
        return
    count = len(found.unexplained)
    yield "unexplained", f"{units.format_count(count, 'cell')}: {list_names(found.unexplained)}"
    if count == 1:
        yield "", "one cell proves no combination; its neighbours would tell which of its values matters"
        if not found.neighbours:
            yield "", _WITHOUT_NEIGHBOURS if found.passing + found.missing == 0 else _RAN
    for words in found.neighbours:
        yield "would tell", f"{COMMAND} {words}"
