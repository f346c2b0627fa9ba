"""JUnit XML: a test suite per build, a test case per cell.

JUnit has no schema of its own. This keeps to the one of Jenkins' xunit plugin, which skips any other file,
and to what GitLab, Jenkins' junit plugin and GitHub actions agree on
(https://github.com/testmoapp/junitxml). A test case has no element for properties and files there: they
stand in its output, as `[[PROPERTY|name=value]]` and `[[ATTACHMENT|path]]`. `failure` and `error` are red,
`skipped` is not, and no element at all is a pass. So the verdict chooses: what was expected to fail is
skipped, with its rule as the message, and so is what is flaky, unless `--fail-on-flaky` made the run fail
of it; whatever was not judged is an error, so that no consumer shows it green. JUnit has no word for a
failure that is gone: it passes, and says so in its output.
"""

import posixpath
import re
from collections import Counter
from collections.abc import Iterable
from xml.etree import ElementTree as ET

from orchestrator.analyse.compare import Comparison
from orchestrator.matrix.model import AXES
from orchestrator.outcome import Outcome, Verdict
from orchestrator.record.model import CellRecord, Rule, RunInfo, RunRecord
from orchestrator.report import (
    attempts,
    expectations,
    headline,
    panel,
    provenance,
    selection,
    summary,
    text,
    units,
)
from orchestrator.report.news import News, read_news

_ELEMENT = {
    Verdict.REGRESSION: "failure",
    Verdict.CHANGED_FAILURE: "failure",
    Verdict.FLAKY: "skipped",
    Verdict.NOT_JUDGED: "error",
    Verdict.KNOWN_FAILURE: "skipped",
    Verdict.NOW_PASSING: None,
    Verdict.AS_EXPECTED: None,
}
_LIMIT = 2000
"""Characters of one message."""


def render(record: RunRecord, comparison: Comparison | None = None, folder: str = "") -> str:
    """Return the whole document, with its XML declaration. Pure: the same record gives the same bytes.

    :param comparison: of another run with this one.
    :param folder: where the run lies, seen from where a consumer looks for attachments: GitLab's project,
        Jenkins' workspace.
    """
    record = text.make_safe(record, text.make_printable)  # consumers print it into logs
    news = read_news(comparison, text.make_printable)
    root = ET.Element("testsuites", {"name": f"matrixctl {record.run.id}"})
    if record.run.duration_s is not None:
        root.set("time", _write_seconds(record.run.duration_s))
    builds: dict[str, list[CellRecord]] = {}
    for cell in record.cells:
        builds.setdefault(cell.build.name, []).append(cell)
    for name, cells in builds.items():
        root.append(_make_suite(name, cells, record, news, folder))
    stale = [rule for rule in record.rules if rule.stale]
    if stale:
        root.append(_make_stale(stale))
    if root.find(".//failure") is None and root.find(".//error") is None and not headline.went_well(record):
        root.append(_make_broken(record))
    for element in root:
        element.attrib |= _count(element)
    root.attrib |= {name: count for name, count in _count(root).items() if name != "skipped"}
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _make_suite(
    name: str, cells: list[CellRecord], record: RunRecord, news: News | None, folder: str
) -> ET.Element:
    run = record.run
    suite = ET.Element("testsuite", {"name": name})
    suite.set("time", _write_seconds(sum(cell.duration_s or 0 for cell in cells)))
    if stamp := re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", run.started_at):
        suite.set("timestamp", stamp[0])
    properties = ET.SubElement(suite, "properties")
    for key, value in _describe_suite(record, cells[0]).items():
        ET.SubElement(properties, "property", name=key, value=value)
    if news:
        ET.SubElement(properties, "property", name="base.id", value=news.comparison.base.id)
    for made in provenance.find_made(cells[0], record):
        ET.SubElement(properties, "property", name=f"built.{made.name}", value=made.words)
    for cell in cells:
        suite.append(_make_case(cell, record.run, news, folder))
    return suite


def _make_stale(rules: list[Rule]) -> ET.Element:
    """Return test cases for stale rules: a rule is no cell, and still makes the run fail."""
    suite = ET.Element("testsuite", {"name": "expectations"})
    for rule in rules:
        case = ET.SubElement(
            suite, "testcase", name=rule.place, classname="expectations", time=_write_seconds(0)
        )
        message = f"stale rule: {text.shorten(rule.stale, _LIMIT)}"
        problem = ET.SubElement(case, "failure", message=message, type="stale-rule")
        problem.text = f"when {' '.join(rule.when)}\nbecause {rule.because}"
    return suite


def _make_broken(record: RunRecord) -> ET.Element:
    """Return a test case for a run that was cut off or ended badly, though every cell of it passes."""
    suite = ET.Element("testsuite", {"name": "run"})
    case = ET.SubElement(suite, "testcase", name=record.run.id, classname="run", time=_write_seconds(0))
    problem = ET.SubElement(case, "error", message=headline.write_parts(record)[0], type="run")
    problem.text = text.shorten(record.run.message, _LIMIT)
    return suite


def _describe_suite(record: RunRecord, cell: CellRecord) -> dict[str, str]:
    run = record.run
    return {
        "run.id": run.id,
        "run.status": run.status,
        "run.resumed": headline.describe_resumes(run) or "never",
        "run.cells": selection.describe(record),
        "run.command": selection.find_command(run),
        "matrixctl.version": run.tool_version,
        "matrix.digest": run.matrix_digest,
        "host": "; ".join(f"{one.system}, {one.arch}, kernel {one.kernel}" for one in record.hosts),
        "engine": record.engines or "none",
        "build.digest": cell.build.digest or "",
        "execution": cell.execution.mode,
    }


def _make_case(cell: CellRecord, run: RunInfo, news: News | None, folder: str) -> ET.Element:
    case = ET.Element(
        "testcase", name=cell.id, classname=cell.build.name, time=_write_seconds(cell.duration_s or 0)
    )
    changed = [text.shorten(text.join_lines(line), _LIMIT) for line in news.describe(cell.id)] if news else []
    element = _choose_element(cell, run)
    if element:
        title = _write_title(cell)
        name = summary.find_state(cell)
        message = text.shorten(attempts.describe(cell), _LIMIT) or summary.MEANINGS[name]
        problem = ET.SubElement(case, element, message=f"{title}: {message}", type=cell.reason or name)
        cause = [f"Cause: {cell.cause}"] if cell.cause else []
        problem.text = "\n".join(
            (
                *(
                    *changed,
                    message,
                    *cause,
                    *_describe_rule(cell),
                    *panel.list_complaints(cell),
                    *_list_attempts(cell),
                ),
                f"Rerun: {cell.reproducer}",
            )
        )
    properties = (
        f"[[PROPERTY|{name}={text.join_lines(value)}]]" for name, value in _list_properties(cell, news)
    )
    files = (f"[[ATTACHMENT|{posixpath.join(folder, path)}]]" for path in cell.files)
    output = (*changed, *_list_facts(cell), *properties, *files)
    ET.SubElement(case, "system-out").text = "\n".join(output)
    return case


def _list_properties(cell: CellRecord, news: News | None) -> Iterable[tuple[str, str]]:
    """Yield the cell's properties: its verdict, and what only some cells have."""
    yield "verdict", summary.find_verdict(cell).value
    if news:
        yield "change", news.change(cell.id)
        if suspect := news.suspect(cell.id):
            yield "suspect", text.shorten(suspect, _LIMIT)
    if tally := attempts.tally(cell):
        yield "attempts", tally
    if cell.confirmation:
        yield "confirmation", attempts.describe_confirmation(cell)


def _choose_element(cell: CellRecord, run: RunInfo) -> str | None:
    """Return the element inside the test case; ``None`` where it passes."""
    verdict = summary.find_verdict(cell)
    if verdict is Verdict.FLAKY and run.fail_on_flaky:
        return "failure"
    if verdict is Verdict.AS_EXPECTED and cell.outcome is not Outcome.PASS:
        return "skipped"
    return _ELEMENT[verdict]


def _write_title(cell: CellRecord) -> str:
    name = summary.TITLES[summary.find_state(cell)]
    said = f"{name}: {cell.reason}" if cell.reason else name
    loud = summary.TAGS[summary.find_verdict(cell)]
    return f"{summary.VERDICT_TITLES[summary.find_verdict(cell)]}: {said}" if loud else said


def _describe_rule(cell: CellRecord) -> Iterable[str]:
    if cell.expected and cell.expected.rule:
        yield f"expected: {expectations.describe(cell.expected)}"


def _list_attempts(cell: CellRecord) -> Iterable[str]:
    """Yield a line for each attempt, where there were several."""
    for one in cell.attempts if len(cell.attempts) > 1 else ():
        yield text.shorten(
            text.join_lines(f"attempt {one.number} ({one.why}): {panel.describe_attempt(one)}"), _LIMIT
        )


def _list_facts(cell: CellRecord) -> Iterable[str]:
    yield f"verdict: {summary.VERDICT_TITLES[summary.find_verdict(cell)]}"
    yield from _describe_rule(cell)
    yield " ".join(f"{axis}={getattr(cell.axes, axis).name}" for axis in AXES)
    yield f"execution: {panel.describe_execution(cell)}"
    yield from _list_attempts(cell)
    if cell.observations:
        yield f"negotiated: {cell.observations.negotiated_cipher or units.NOT_MEASURED}"
    for title, client, exchange in panel.list_exchanges(cell):
        for request in exchange.requests:
            yield (
                f"{title}, {request.name}: HTTP {request.http_version or units.NOT_MEASURED},"
                f" status {request.status or units.NOT_MEASURED}, {client} {request.exit_code},"
                f" handshake {units.format_milliseconds(request.handshake_s)} ms,"
                f" total {units.format_milliseconds(request.total_s)} ms"
            )
    yield f"rerun: {cell.reproducer}"


def _count(suite: ET.Element) -> dict[str, str]:
    """Count what was written, so that the counts cannot differ from it."""
    cases = list(suite.iter("testcase"))
    found = Counter(child.tag for case in cases for child in case)
    kinds = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    return {"tests": str(len(cases)), **{name: str(found[kind]) for name, kind in kinds.items()}}


def _write_seconds(value: float) -> str:
    return f"{max(value, 0):.3f}"
