"""No report shows green for what was not judged: every outcome x every verdict x every state of a run.

Green is what a reader takes for it: the hue of a pass, its sign, a headline that says that all is well, a
case of JUnit without an element, exit code 0.
"""

import json
import re
from itertools import product
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pytest
import samples

from orchestrator.cli.closing import write_closing
from orchestrator.outcome import (
    REASONS,
    Outcome,
    Reason,
    Verdict,
    correct_verdict,
    find_exit_code,
    find_verdict,
)
from orchestrator.record.model import AeadCheck, CellRecord, Expected, RunRecord, SelfTest
from orchestrator.report import ctrf, github_summary, headline, html, junit, markdown, selftests, summary

AXES = samples.quick().cells[0].axes
STATES = ("running", "interrupted", "cut-off", "finished")
GOOD = {(Outcome.PASS, Verdict.AS_EXPECTED), (Outcome.PASS, Verdict.NOW_PASSING)}
FORGIVEN = GOOD | {
    *product((Outcome.UNSUPPORTED, Outcome.BLOCKED, Outcome.ERROR), [Verdict.AS_EXPECTED]),
    *product((Outcome.FAIL, Outcome.MISBUILT), [Verdict.KNOWN_FAILURE]),
}
"""What may end with exit code 0 and be calm, and only some of it is green."""
FLAKY = set(product((Outcome.FAIL, Outcome.MISBUILT), [Verdict.FLAKY]))
"""What is no reason to fail unless somebody asks for it, and never calm."""
ALL_WELL = re.compile(r"\ball\b.*\bpass|\bpass(es)?, as expected", re.IGNORECASE)
ASSETS = re.compile(r"<style>.*?</style>|<script.*?</script>", re.DOTALL)
HEADING = re.compile(r'<h1><svg class="g ([a-z-]+)"')
NONE_OF_IT = re.compile(r'<li data-(?:verdict|state)="[^"]*" class="none".*?</li>', re.DOTALL)
LEGEND = re.compile(r"^.*\? not judged · .*$", re.MULTILINE)


def cell(outcome: Outcome | None, said: Verdict) -> CellRecord:
    reason = next((one for one, info in REASONS.items() if info.outcome is outcome), None)
    made = samples.cell(AXES, reason, judged=outcome is not None)
    return made.model_copy(update={"verdict": said, "observations": None, "attestation": None})


def run(status: str, *cells: CellRecord, **changes: object) -> RunRecord:
    code = {"finished": 0, "interrupted": 130}.get(status)
    return samples.run(cells, **{"status": status, "exit_code": code, **changes})


def green_classes(page: str) -> list[str]:
    """The classes of elements that the style sheet makes green, but for heading and empty legends."""
    page = HEADING.sub("", NONE_OF_IT.sub("", ASSETS.sub("", page)))
    return [words for words in re.findall(r'class="([^"]*)"', page) if _green({*words.split()})]


def _green(classes: set[str]) -> bool:
    return (
        ("pass" in classes and bool(classes & {"g", "field"}))
        or "v-now-passing" in classes
        or classes == {"v-as-expected"}  # a part of the bar
    )


def green_of_terminal(record: RunRecord) -> list[str]:
    lines = write_closing(record, Path("reports"))
    return [str(span.style) for line in lines for span in line.spans if "green" in str(span.style)]


def green_of_markdown(rendered: str) -> list[str]:
    _, _, below = rendered.partition("\n")
    return re.findall("✓.*", LEGEND.sub("", below))


def passing_cases(rendered: str) -> list[str]:
    """Of JUnit."""
    cases = ET.fromstring(rendered).iter("testcase")
    return [case.get("name", "") for case in cases if all(case.find(tag) is None for tag in RED)]


def passing_tests(rendered: str) -> list[str]:
    """Of CTRF."""
    tests = json.loads(rendered)["results"]["tests"]
    return [test["name"] for test in tests if test["status"] == "passed"]


RED = ("failure", "error", "skipped")


ENDS = tuple(product([None, *Outcome], Verdict))
COMBINATIONS = tuple((*end, status) for end, status in product(ENDS, STATES))


@pytest.mark.parametrize(("outcome", "said", "status"), COMBINATIONS)
def test_only_a_pass_that_counts_is_green(outcome: Outcome | None, said: Verdict, status: str) -> None:
    record = run(status, cell(outcome, said))
    good = (outcome, said) in GOOD
    assert bool(passing_cases(junit.render(record))) is good
    assert bool(passing_tests(ctrf.render(record))) is good
    if good:
        assert green_classes(html.render(record))
    elif outcome is not Outcome.PASS or correct_verdict(outcome, said) is Verdict.NOT_JUDGED:
        assert green_classes(html.render(record)) == []
        assert green_of_markdown(markdown.render(record)) == []
        assert green_of_markdown(github_summary.render(record)) == []
        assert green_of_terminal(record) == []


@pytest.mark.parametrize(("outcome", "said", "status"), COMBINATIONS)
def test_only_a_whole_run_that_tested_something_is_calm(
    outcome: Outcome | None, said: Verdict, status: str
) -> None:
    record = run(status, cell(None, Verdict.NOT_JUDGED) if outcome is None else cell(outcome, said))
    first = headline.write_parts(record)[0]
    judged = outcome is not None and outcome.judged_product
    calm = status == "finished" and (outcome, said) in FORGIVEN and judged
    assert (headline.find_level(record) in {"calm", "note"}) is calm
    if status != "finished" or (outcome, said) != (Outcome.PASS, Verdict.AS_EXPECTED):
        assert not ALL_WELL.search(first)
    page = html.render(record)
    assert f"<title>{first} ·" in page
    assert (HEADING.findall(page) == ["pass"]) is (headline.find_level(record) == "calm")
    for rendered in (markdown.render(record), github_summary.render(record)):
        assert rendered.startswith("## ✓ ") is (headline.find_level(record) == "calm")


@pytest.mark.parametrize(("outcome", "said"), ENDS)
def test_exit_code_0_is_for_what_is_as_expected(outcome: Outcome | None, said: Verdict) -> None:
    assert (find_exit_code([(outcome, said)]) == 0) is ((outcome, said) in FORGIVEN | FLAKY)
    assert (find_exit_code([(outcome, said)], fail_on_flaky=True) == 0) is ((outcome, said) in FORGIVEN)
    forgiven = outcome is Outcome.BLOCKED and correct_verdict(outcome, said) is Verdict.NOT_JUDGED
    allowed = find_exit_code([(outcome, said)], allow_blocked=True) == 0
    assert allowed is (forgiven or (outcome, said) in FORGIVEN | FLAKY)


def test_every_verdict_that_we_give_is_believed() -> None:
    wanted: list[tuple[Outcome, Reason | None]] = [(info.outcome, one) for one, info in REASONS.items()]
    wanted.append((Outcome.PASS, None))
    for (outcome, reason), other, rule in product(wanted, [None, *wanted], ["matrix.yaml:1", ""]):
        expected = other and Expected(
            outcome=other[0], reason=other[1], cipher=None, because="x", rule=rule, stale=""
        )
        given = find_verdict(outcome, reason, expected)
        assert correct_verdict(outcome, given) is given


class Night(NamedTuple):
    """A run, and what a reader takes from it. ``elements``: of its cells in JUnit, in their order."""

    record: RunRecord
    first: str
    level: str
    elements: str


PASS = cell(Outcome.PASS, Verdict.AS_EXPECTED)
NOW = cell(Outcome.PASS, Verdict.NOW_PASSING)
UNSUPPORTED = cell(Outcome.UNSUPPORTED, Verdict.AS_EXPECTED)
BLOCKED = cell(Outcome.BLOCKED, Verdict.NOT_JUDGED)
RULED = cell(Outcome.BLOCKED, Verdict.AS_EXPECTED)
ERROR = cell(Outcome.ERROR, Verdict.NOT_JUDGED)
NEVER = cell(None, Verdict.NOT_JUDGED)

NIGHTS = {
    "cut in the middle": Night(
        run("cut-off", PASS, NEVER), "Cut off: 1 of 2 cells judged", "unsure", "pass error"
    ),
    "cut after the last cell": Night(
        run("cut-off", PASS, PASS), "Cut off: 2 of 2 cells judged", "unsure", "pass pass error"
    ),
    "interrupted after the last cell": Night(
        run("interrupted", PASS), "Interrupted: 1 of 1 cell judged", "unsure", "pass error"
    ),
    "broke off after the last cell": Night(
        run("finished", PASS, PASS, exit_code=4, message="error: internal"),
        "Ended with exit code 4: 2 of 2 cells judged",
        "unsure",
        "pass pass error",
    ),
    "blocked": Night(
        run("finished", PASS, BLOCKED, exit_code=4),
        "1 of 2 cells was not judged: source-unreachable",
        "unsure",
        "pass error",
    ),
    "blocked, and forgiven": Night(
        run("finished", PASS, BLOCKED),
        "1 of 2 cells was not judged: source-unreachable",
        "unsure",
        "pass error",
    ),
    "blocked as a rule says": Night(
        run("finished", PASS, RULED), "1 of 2 cells passes, as expected", "calm", "pass skipped"
    ),
    "all blocked as a rule says": Night(
        run("finished", RULED), "Nothing was put to the test", "unsure", "skipped"
    ),
    "all unsupported": Night(
        run("finished", UNSUPPORTED), "Nothing was put to the test", "unsure", "skipped"
    ),
    "errors": Night(
        run("finished", PASS, ERROR, exit_code=4),
        "1 of 2 cells was not judged: killed",
        "unsure",
        "pass error",
    ),
    "now passing": Night(run("finished", PASS, NOW), "1 of 2 cells now passes", "note", "pass pass"),
    "well": Night(
        run("finished", PASS, PASS, UNSUPPORTED),
        "All 2 judged cells pass, as expected",
        "calm",
        "pass pass skipped",
    ),
}


@pytest.mark.parametrize("night", NIGHTS.values(), ids=NIGHTS)
def test_what_each_night_is_called(night: Night) -> None:
    record = night.record
    assert headline.write_parts(record)[0] == night.first
    assert headline.find_level(record) == night.level
    assert HEADING.findall(html.render(record)) == [GLYPHS[night.level]]
    assert markdown.render(record).startswith(f"## {SIGNS[night.level]} ")
    cases = ET.fromstring(junit.render(record)).iter("testcase")
    found = [next((tag for tag in RED if case.find(tag) is not None), "pass") for case in cases]
    assert " ".join(found) == night.elements


GLYPHS = {"unsure": "not-judged", "calm": "pass", "note": "note"}
SIGNS = {"unsure": "?", "calm": "✓", "note": "↑"}


def test_exit_code_0_beside_a_blocked_cell_is_explained() -> None:
    forgiven = "0: --allow-blocked forgives what is blocked"
    record = NIGHTS["blocked, and forgiven"].record
    assert f"<dt>exit code</dt><dd>{forgiven}</dd>" in html.render(record)
    assert f"exit code {forgiven}" in markdown.render(record)
    assert "<dt>exit code</dt><dd>4</dd>" in html.render(NIGHTS["blocked"].record)
    assert headline.explain_exit(NIGHTS["well"].record) == "0"


def test_a_run_that_broke_off_says_so_on_the_terminal() -> None:
    first = write_closing(NIGHTS["broke off after the last cell"].record, Path("reports"))[0].plain
    assert first == "2 of 2 cells judged: 2 pass; exit code 4: error: internal"


def test_the_bar_tells_what_passes_from_what_was_not_tried() -> None:
    found = {name: count for name, _, count in summary.make_segments((PASS, UNSUPPORTED, RULED, BLOCKED))}
    assert found == {"not-judged": 1, "as-expected": 1, "untried": 2}


def test_a_self_test_that_could_check_nothing_is_not_good() -> None:
    check = AeadCheck(suite="x", api="evp-aead", check="seal", ok=None, detail="")
    test = SelfTest(
        tls="x", arch="amd64", execution="default", library="x", problem="", checks=(check,), evidence=()
    )
    (row,) = selftests.make_overview([test]).rows
    assert row.good is None
    record = run("finished", PASS).model_copy(update={"selftests": (test,)})
    assert "no result: nothing could be checked" in html.render(record)
