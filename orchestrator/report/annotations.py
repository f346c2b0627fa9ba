"""What a run says beside the files of a repository: workflow commands of GitHub Actions. Pure.

https://docs.github.com/actions: workflow commands. GitHub shows 10 of each kind per step, and drops the rest.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

from orchestrator.analyse.compare import Comparison
from orchestrator.outcome import ALARMS, Verdict
from orchestrator.record.model import CellRecord, RunRecord
from orchestrator.report import alarms, expectations, explanation, groups, headline, text, units
from orchestrator.report.selftests import find_unsound

MOST = 10
"""Of a kind, that GitHub shows per step."""
_LINE = 500
"""Characters of a line of a message."""

AnnotationKind = Literal["error", "warning", "notice"]
KINDS: tuple[AnnotationKind, ...] = ("error", "warning", "notice")


class Annotation(NamedTuple):
    """One of them. Its texts are as the record has them."""

    kind: AnnotationKind
    title: str
    lines: tuple[str, ...]
    place: str = ""
    """Of the rule of the matrix that counts, as in ``matrix.yaml:41``."""


class FileLine(NamedTuple):
    """A line of a file of the repository."""

    file: str
    line: int


def annotate(record: RunRecord, compared: Comparison | None = None) -> tuple[Annotation, ...]:
    """Return one annotation for each cluster, or group of cells, that a person should know.

    An error is what makes the run fail, a warning is what is not known, a notice is good news. What is as
    expected, known failures among it, has none.

    :param compared: of another run with this one.
    """
    return tuple(_annotate(record, compared))


def write(annotations: Iterable[Annotation], find: Callable[[str], FileLine | None]) -> Iterator[str]:
    """Yield the lines of a log, of each kind as many as GitHub shows; the last says how many more there are.

    :param find: returns file and line for the place of a rule; ``None`` where the repository lacks the file.
    """
    every = tuple(annotations)
    for kind in KINDS:
        these = [one for one in every if one.kind == kind]
        shown = these if len(these) <= MOST else these[: MOST - 1]
        yield from (_write(one, find(one.place) if one.place else None) for one in shown)
        if len(these) > len(shown):
            more = len(these) - len(shown)
            rest = (f"GitHub shows {MOST} of a kind; the step summary and the report have all.",)
            yield _write(Annotation(kind, f"{more} more like these", rest), None)


def _annotate(record: RunRecord, compared: Comparison | None) -> Iterator[Annotation]:
    clusters = explanation.show(record)
    if not headline.went_well(record):
        first, *more = headline.write_parts(record, clusters)
        again = headline.find_resume_command(record.run)
        lines = (record.run.message, *more, f"It goes on with: {again}" if again else "")
        yield Annotation("error", first, lines)
    cells = {cell.id: cell for cell in record.cells}
    for shown in clusters:
        if kind := _choose_kind(shown.verdict):
            members = [cells[one] for cluster in shown.every for one in explanation.list_members(cluster)]
            lines = (*map(explanation.write_line, shown.every), shown.cluster.cause)
            yield _tell(kind, shown.title, lines, members, compared)
    explained = explanation.list_explained(clusters)
    for group in groups.group_cells(record, explained):
        members = [cell for cell in group.cells if cell.id not in explained]
        if members and (kind := _choose_kind(group.verdict)):
            count = units.format_count(len(members), "cell")
            lines = (group.meaning, group.common and f"in common: {group.common}", group.cause)
            yield _tell(kind, f"{group.title}, {count}", lines, members, compared)
    yield from _annotate_rules(record)
    for test in find_unsound(record):
        lines = ("The AEAD self-test fails where cells pass.",)
        yield Annotation("warning", f"self-test of {test.tls} on {test.arch}", lines)


def _choose_kind(verdict: Verdict) -> AnnotationKind | None:
    if verdict in ALARMS:
        return "error"
    if verdict in {Verdict.FLAKY, Verdict.NOT_JUDGED}:
        return "warning"
    return "notice" if verdict is Verdict.NOW_PASSING else None


def _tell(
    kind: AnnotationKind,
    title: str,
    lines: tuple[str, ...],
    cells: list[CellRecord],
    compared: Comparison | None,
) -> Annotation:
    messages = tuple(dict.fromkeys(cell.message for cell in cells if cell.message))
    since = alarms.tell_since(compared, [cell.id for cell in cells]) if kind != "notice" else ()
    rules = {cell.expected.rule if cell.expected else "" for cell in cells}
    return Annotation(
        kind,
        title,
        (
            *lines,
            *messages[:1],
            *(f"since BASE: {one}" for one in since),
            f"again: {cells[0].reproducer}",
        ),
        rules.pop() if len(rules) == 1 else "",
    )


def _annotate_rules(record: RunRecord) -> Iterator[Annotation]:
    """Yield the rules that need a hand; a stale one makes the run fail."""
    for one in expectations.list_rules(record):
        rule = one.rule
        if one.state == "stale":
            expected = expectations.describe_expected(rule)
            said = (f"{rule.stale}; it expects {expected}, because of {rule.because}",)
            yield Annotation("error", f"stale rule {rule.place}", said, rule.place)
        elif one.state == "unmet":
            said = (" ".join(rule.when),)
            yield Annotation("warning", f"rule {rule.place} fits no cell of the matrix", said, rule.place)


def _write(one: Annotation, place: FileLine | None) -> str:
    """Return the line of the log that makes the annotation."""
    properties = {"file": place.file, "line": str(place.line)} if place else {}
    properties["title"] = text.flatten(text.shorten(one.title, _LINE))
    named = ",".join(f"{name}={_escape_property(value)}" for name, value in properties.items())
    said = "\n".join(text.flatten(text.shorten(line, _LINE)) for line in one.lines if line)
    return f"::{one.kind} {named}::{_escape(said)}"


def _escape(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(value: str) -> str:
    return _escape(value).replace(":", "%3A").replace(",", "%2C")
