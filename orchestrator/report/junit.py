"""JUnit XML: a test suite per build, a test case per cell.

JUnit has no schema of its own; this keeps to what Jenkins, GitLab and GitHub actions agree on
(https://github.com/testmoapp/junitxml). Whatever was not judged is an error
there, so that no consumer shows it green.
"""

import re
from collections.abc import Iterable
from xml.etree import ElementTree as ET

from orchestrator.matrix.model import AXES
from orchestrator.outcome import Outcome
from orchestrator.record.model import CellRecord, RunInfo, RunRecord
from orchestrator.report import panel, summary, text, units

_ELEMENT = {
    "fail": "failure",
    "misbuilt": "failure",
    "error": "error",
    "blocked": "error",
    summary.NOT_JUDGED: "error",
    "unsupported": "skipped",
}
_LIMIT = 2000
"""Characters of one message."""


def render(record: RunRecord) -> str:
    """The whole document, with its XML declaration. Pure: the same record gives the same bytes."""
    record = text.safe(record)
    root = ET.Element("testsuites", {"name": f"matrixctl {record.run.id}"} | _counts(record.cells))
    if record.run.duration_s is not None:
        root.set("time", _seconds(record.run.duration_s))
    builds: dict[str, list[CellRecord]] = {}
    for cell in record.cells:
        builds.setdefault(cell.build.name, []).append(cell)
    for name, cells in builds.items():
        root.append(_suite(name, cells, record.run))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(name: str, cells: list[CellRecord], run: RunInfo) -> ET.Element:
    suite = ET.Element("testsuite", {"name": name} | _counts(cells))
    suite.set("time", _seconds(sum(cell.duration_s or 0 for cell in cells)))
    if stamp := re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", run.started_at):
        suite.set("timestamp", stamp[0])
    properties = ET.SubElement(suite, "properties")
    for key, value in _properties(run, cells[0]).items():
        ET.SubElement(properties, "property", name=key, value=value)
    for cell in cells:
        suite.append(_case(cell))
    return suite


def _properties(run: RunInfo, cell: CellRecord) -> dict[str, str]:
    engine = f"{run.engine.name} {run.engine.version}" if run.engine else "none"
    return {
        "run.id": run.id,
        "run.status": run.status,
        "run.profile": run.profile,
        "run.filters": " ".join(run.filters),
        "matrixctl.version": run.tool_version,
        "matrix.digest": run.matrix_digest,
        "host": f"{run.host.system}, {run.host.arch}, kernel {run.host.kernel}",
        "engine": engine,
        "build.digest": cell.build.digest or "",
        "execution": cell.execution.mode,
    }


def _case(cell: CellRecord) -> ET.Element:
    case = ET.Element(
        "testcase", name=cell.id, classname=cell.build.name, time=_seconds(cell.duration_s or 0)
    )
    if cell.outcome is not Outcome.PASS:
        name = summary.state(cell)
        reason = f"{summary.TITLES[name]}: {cell.reason}" if cell.reason else summary.TITLES[name]
        message = text.shorten(cell.message, _LIMIT) or summary.MEANINGS[name]
        problem = ET.SubElement(
            case, _ELEMENT[name], message=f"{reason}: {message}", type=cell.reason or name
        )
        problem.text = "\n".join((message, *panel.complaints(cell), f"Rerun: {cell.reproducer}"))
    ET.SubElement(case, "system-out").text = "\n".join(_facts(cell))
    return case


def _facts(cell: CellRecord) -> Iterable[str]:
    yield " ".join(f"{axis}={getattr(cell.axes, axis).name}" for axis in AXES)
    qemu = f", QEMU {cell.execution.qemu_version}" if cell.execution.qemu_version else ""
    yield f"execution: {cell.execution.mode} on {cell.execution.host_arch}{qemu}"
    if cell.observations:
        yield f"negotiated: {cell.observations.negotiated_cipher or units.NOT_MEASURED}"
    for title, exchange in panel.exchanges(cell):
        for request in exchange.requests:
            yield (
                f"{title}, {request.name}: HTTP {request.http_version or units.NOT_MEASURED},"
                f" status {request.status or units.NOT_MEASURED}, curl {request.exit_code},"
                f" handshake {units.milliseconds(request.handshake_s)} ms,"
                f" total {units.milliseconds(request.total_s)} ms"
            )
    for path in cell.evidence:
        yield f"evidence: {path}"
    yield f"rerun: {cell.reproducer}"


def _counts(cells: Iterable[CellRecord]) -> dict[str, str]:
    found = summary.counts(cells)
    kinds = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    sums = {
        key: sum(count for name, count in found.items() if _ELEMENT.get(name) == kind)
        for key, kind in kinds.items()
    }
    return {"tests": str(sum(found.values())), **{key: str(count) for key, count in sums.items()}}


def _seconds(value: float) -> str:
    return f"{value:.3f}"
