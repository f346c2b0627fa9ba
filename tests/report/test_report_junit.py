"""JUnit: what consumers agree on, and nothing green that was not judged."""

from xml.etree import ElementTree as ET

import pytest
import samples

from orchestrator.outcome import Outcome
from orchestrator.record.model import RunRecord
from orchestrator.report import junit

CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase"},
    "properties": {"property"},
    "testcase": {"failure", "error", "skipped", "system-out"},
}
EXPECTED = {
    Outcome.PASS: None,
    Outcome.FAIL: "failure",
    Outcome.MISBUILT: "failure",
    Outcome.ERROR: "error",
    Outcome.BLOCKED: "error",
    None: "error",
    Outcome.UNSUPPORTED: "skipped",
}


def parse(record: RunRecord) -> ET.Element:
    return ET.fromstring(junit.render(record))


@pytest.mark.parametrize(
    "record", [samples.quick(), samples.mixed(), samples.running(), samples.hostile(), samples.run(())]
)
def test_the_common_rules_of_junit(record: RunRecord) -> None:
    root = parse(record)
    assert root.tag == "testsuites"
    for parent in root.iter():
        assert {child.tag for child in parent} <= CHILDREN.get(parent.tag, set())
    for suite in (root, *root):
        cases = list(suite.iter("testcase"))
        assert int(suite.attrib["tests"]) == len(cases)
        for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.attrib[count]) == sum(case.find(tag) is not None for case in cases)
    names = [case.attrib["name"] for case in root.iter("testcase")]
    assert len(set(names)) == len(names) == len(record.cells)
    assert len({suite.attrib["name"] for suite in root}) == len(root)
    assert all(float(case.attrib["time"]) >= 0 for case in root.iter("testcase"))


def test_every_outcome_becomes_what_a_consumer_must_see() -> None:
    record = samples.mixed()
    found = {
        case.attrib["name"]: next((c.tag for c in case if c.tag != "system-out"), None)
        for case in parse(record).iter("testcase")
    }
    assert found == {cell.id: EXPECTED[cell.outcome] for cell in record.cells}


def test_a_failure_names_reason_message_and_reproducer() -> None:
    id_ = "arm64.haproxy-2.8.9.libressl-3.9.2.TLS_CHACHA20_POLY1305_SHA256"
    case = parse(samples.mixed()).find(f".//testcase[@name='{id_}']")
    assert case is not None
    failure = case.find("failure")
    assert failure is not None
    assert failure.attrib["type"] == "handshake-then-hang"
    assert failure.attrib["message"].startswith("fail: handshake-then-hang: the handshake ended after 41 ms")
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
    assert found["run.filters"] == "haproxy=2.8.9,3.0.11 client=curl"
