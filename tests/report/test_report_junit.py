"""JUnit: what consumers agree on, and nothing green that was not judged."""

from xml.etree import ElementTree as ET

import nights
import pytest
import samples

from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.model import RunRecord
from orchestrator.report import junit

CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase"},
    "properties": {"property"},
    "testcase": {"properties", "failure", "error", "skipped", "system-out"},
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


def parse(record: RunRecord) -> ET.Element:
    return ET.fromstring(junit.render(record))


@pytest.mark.parametrize(
    "record",
    [samples.quick(), samples.mixed(), samples.running(), samples.hostile(), samples.run(()), nights.calm()],
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


@pytest.mark.parametrize("record", [samples.mixed(), nights.calm(), nights.bad()])
def test_every_verdict_becomes_what_a_consumer_must_see(record: RunRecord) -> None:
    found = {
        case.attrib["name"]: next((c.tag for c in case if c.tag not in {"system-out", "properties"}), None)
        for case in parse(record).iter("testcase")
        if case.attrib["classname"] != "expectations"
    }
    assert found == {cell.id: EXPECTED[cell.verdict, cell.outcome] for cell in record.cells}


def test_what_was_blocked_as_expected_is_not_red() -> None:
    cell = samples.cell(samples.quick().cells[0].axes, Reason.SOURCE_UNREACHABLE)
    root = parse(samples.run((cell.model_copy(update={"verdict": Verdict.AS_EXPECTED}),)))
    assert (root.attrib["errors"], root.attrib["skipped"]) == ("0", "1")


def test_a_calm_night_is_not_red_and_says_why() -> None:
    root = parse(nights.calm())
    assert (root.attrib["failures"], root.attrib["errors"], root.attrib["skipped"]) == ("0", "0", "14")
    (case, *_) = (
        c for c in root.iter("testcase") if c.find("skipped[@type='handshake-then-hang']") is not None
    )
    skipped = case.find("skipped")
    assert skipped is not None
    assert skipped.attrib["message"].startswith("known failure: fail: handshake-then-hang: the handshake")
    assert f"because {nights.THREAD} ({nights.HANG_RULE})" in str(skipped.text)
    found = case.find("properties/property[@name='verdict']")
    assert found is not None
    assert found.attrib["value"] == "known-failure"


def test_a_failure_that_is_gone_passes_and_says_so() -> None:
    (case, *_) = (
        case
        for case in parse(nights.bad()).iter("testcase")
        if case.find("properties/property[@value='now-passing']") is not None
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
