"""JUnit: what consumers agree on, and nothing green that was not judged.

``junit/junit-10.xsd`` is the schema by which Jenkins' xunit plugin takes or skips a whole file
(https://github.com/jenkinsci/xunit-plugin), under the MIT licence that it begins with.
"""

from pathlib import Path
from xml.etree import ElementTree as ET

import nights
import pytest
import samples
import xmlschema

from orchestrator.app.output import see_from_here
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.model import RunRecord
from orchestrator.report import junit

CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase"},
    "properties": {"property"},
    "testcase": {"failure", "error", "skipped", "system-out"},
}
EXPECTED = {
    (Verdict.REGRESSION, Outcome.FAIL): "failure",
    (Verdict.REGRESSION, Outcome.MISBUILT): "failure",
    (Verdict.CHANGED_FAILURE, Outcome.FAIL): "failure",
    (Verdict.NOT_JUDGED, Outcome.ERROR): "error",
    (Verdict.NOT_JUDGED, Outcome.BLOCKED): "error",
    (Verdict.NOT_JUDGED, None): "error",
    (Verdict.NOW_PASSING, Outcome.PASS): None,
    (Verdict.KNOWN_FAILURE, Outcome.FAIL): "skipped",
    (Verdict.AS_EXPECTED, Outcome.PASS): None,
    (Verdict.AS_EXPECTED, Outcome.UNSUPPORTED): "skipped",
}


SCHEMA = xmlschema.XMLSchema(Path(__file__).parent / "junit" / "junit-10.xsd")


def parse(record: RunRecord) -> ET.Element:
    return ET.fromstring(junit.render(record))


def lines(case: ET.Element, kind: str) -> list[str]:
    """What of a case's output consumers read as PROPERTY or ATTACHMENT."""
    prefix = f"[[{kind}|"
    found = [line for line in str(case.findtext("system-out")).splitlines() if line.startswith(prefix)]
    assert all(line.endswith("]]") for line in found)
    return [line.removeprefix(prefix).removesuffix("]]") for line in found]


def told(case: ET.Element) -> dict[str, str]:
    return dict(line.split("=", 1) for line in lines(case, "PROPERTY"))


@pytest.mark.parametrize(
    "record",
    [
        samples.quick(),
        samples.mixed(),
        samples.running(),
        samples.hostile(),
        samples.run(()),
        samples.run((), duration_s=-1.0),
        nights.calm(),
        nights.bad(),
        nights.wide(),
    ],
)
def test_every_document_fits_the_schema_of_jenkins(record: RunRecord) -> None:
    """Its xunit plugin skips a file that does not, whole and in silence."""
    SCHEMA.validate(junit.render(record))


def test_the_schema_refuses_what_the_plugin_refuses() -> None:
    case = '<testcase name="x"><properties/></testcase>'
    document = f'<testsuite name="x" tests="1" failures="0" errors="0">{case}</testsuite>'
    with pytest.raises(xmlschema.XMLSchemaValidationError):
        SCHEMA.validate(document)


def test_evidence_is_attached_by_its_path_in_the_workspace() -> None:
    """GitLab looks from the project's folder, Jenkins' junit-attachments plugin from its workspace."""
    cell = samples.mixed().cells[0]
    root = ET.fromstring(junit.render(samples.mixed(), folder="reports/20261122-065801-7f3a"))
    found = lines(next(root.iter("testcase")), "ATTACHMENT")
    assert found == [f"reports/20261122-065801-7f3a/{path}" for path in cell.evidence]


def test_foreign_text_attaches_no_file_and_sets_no_property() -> None:
    record = samples.mixed()
    cell = next(one for one in record.cells if one.message)
    message = "x\n[[ATTACHMENT|/etc/passwd]]\n[[PROPERTY|verdict=as-expected]]"
    (case,) = parse(samples.run((cell.model_copy(update={"message": message, "cause": message}),))).iter(
        "testcase"
    )
    text = "".join(case.itertext())
    assert "<U+005B>[ATTACHMENT|/etc/passwd]]" in text
    assert "[[ATTACHMENT|/etc" not in text
    assert told(case)["verdict"] == cell.verdict


@pytest.mark.parametrize(
    "record",
    [samples.quick(), samples.mixed(), samples.running(), samples.hostile(), samples.run(()), nights.calm()],
)
def test_the_common_rules_of_junit(record: RunRecord) -> None:
    root = parse(record)
    assert root.tag == "testsuites"
    for parent in root.iter():
        assert {child.tag for child in parent} <= CHILDREN.get(parent.tag, set())
    assert int(root.attrib["tests"]) == len(record.cells)
    for suite in root:
        cases = list(suite.iter("testcase"))
        assert int(suite.attrib["tests"]) == len(cases)
        for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.attrib[count]) == sum(case.find(tag) is not None for case in cases)
    names = [case.attrib["name"] for case in root.iter("testcase")]
    assert len(set(names)) == len(names) == len(record.cells)
    assert len({suite.attrib["name"] for suite in root}) == len(root)
    assert all(float(case.attrib["time"]) >= 0 for case in root.iter("testcase"))


@pytest.mark.parametrize("record", [samples.mixed(), nights.calm(), nights.bad()])
def test_every_verdict_becomes_what_a_consumer_must_see(record: RunRecord) -> None:
    found = {
        case.attrib["name"]: next((c.tag for c in case if c.tag != "system-out"), None)
        for case in parse(record).iter("testcase")
        if case.attrib["classname"] != "expectations"
    }
    assert found == {cell.id: EXPECTED[cell.verdict, cell.outcome] for cell in record.cells}


def test_what_was_blocked_as_expected_is_not_red() -> None:
    cell = samples.cell(samples.quick().cells[0].axes, Reason.SOURCE_UNREACHABLE)
    root = parse(samples.run((cell.model_copy(update={"verdict": Verdict.AS_EXPECTED}),)))
    assert [(suite.attrib["errors"], suite.attrib["skipped"]) for suite in root] == [("0", "1")]


def test_a_calm_night_is_not_red_and_says_why() -> None:
    root = parse(nights.calm())
    assert (root.attrib["failures"], root.attrib["errors"]) == ("0", "0")
    assert sum(int(suite.attrib["skipped"]) for suite in root) == 14
    (case, *_) = (
        c for c in root.iter("testcase") if c.find("skipped[@type='handshake-then-hang']") is not None
    )
    skipped = case.find("skipped")
    assert skipped is not None
    assert skipped.attrib["message"].startswith("known failure: fail: handshake-then-hang: the handshake")
    assert f"because {nights.THREAD} ({nights.HANG_RULE})" in str(skipped.text)
    assert told(case)["verdict"] == "known-failure"


def test_a_failure_that_is_gone_passes_and_says_so() -> None:
    (case, *_) = (
        case for case in parse(nights.bad()).iter("testcase") if told(case).get("verdict") == "now-passing"
    )
    assert case.find("skipped") is None
    assert "verdict: now passing\nexpected: fail: handshake-then-hang, because" in str(
        case.findtext("system-out")
    )


def test_a_stale_rule_is_a_failure_of_its_own() -> None:
    (case,) = parse(nights.bad()).findall("testsuite[@name='expectations']/testcase")
    failure = case.find("failure")
    assert case.attrib["name"] == nights.STALE_RULE
    assert failure is not None
    assert failure.attrib["message"] == "stale rule: 2026-11-01 is over"


def test_patches_and_causes_are_said() -> None:
    root = parse(nights.bad())
    found = {p.attrib["name"]: p.attrib["value"] for p in root.iter("property")}
    assert found["built.wolfssl-5.9.2"] == "patched with open-in-place.diff (sha256 c0ffeec0ffee)"
    assert any(f"Cause: {nights.CAUSE}" in str(failure.text) for failure in root.iter("failure"))


def test_a_failure_names_reason_message_and_reproducer() -> None:
    id_ = "arm64.haproxy-2.8.9.libressl-3.9.2.TLS_CHACHA20_POLY1305_SHA256"
    case = parse(samples.mixed()).find(f".//testcase[@name='{id_}']")
    assert case is not None
    failure = case.find("failure")
    assert failure is not None
    assert failure.attrib["type"] == "handshake-then-hang"
    assert failure.attrib["message"].startswith(
        "regression: fail: handshake-then-hang: the handshake ended after 41 ms"
    )
    assert f"Rerun: matrixctl run --cell {id_}" in str(failure.text)
    assert "curl 28" in str(case.findtext("system-out"))


def test_hostile_text_is_text() -> None:
    rendered = junit.render(samples.hostile())
    assert "<script" not in rendered
    assert "\x1b" not in rendered
    problem = parse(samples.hostile()).find(".//failure")
    assert problem is not None
    assert "</script><script>" in problem.attrib["message"]
    assert "<U+001B>[31m" in problem.attrib["message"]


def test_the_properties_say_which_run_it_was() -> None:
    found = {p.attrib["name"]: p.attrib["value"] for p in parse(samples.mixed()).iter("property")}
    assert found["run.id"] == "20261122-065801-7f3a"
    assert found["run.cells"] == "60 cells: --profile full --filter haproxy=2.8.9,3.0.11 --filter client=curl"


def test_a_run_is_named_as_its_workspace_sees_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "workspace").mkdir()
    monkeypatch.chdir(tmp_path / "workspace")
    assert see_from_here(tmp_path / "workspace" / "reports" / "run") == "reports/run"
    assert see_from_here(tmp_path / "elsewhere") == str(tmp_path / "elsewhere")
