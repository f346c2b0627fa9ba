"""A report that is compared with another run: news first, and in each cell what became of it."""

import json
import re
from functools import cache
from itertools import product
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import nights
import pytest
import samples
from test_no_false_green import (
    COMBINATIONS,
    GOOD,
    cell,
    green_classes,
    green_of_markdown,
    passing_cases,
    passing_tests,
    run,
)

from orchestrator.analyse.change import Change
from orchestrator.analyse.compare import Comparison, compare
from orchestrator.outcome import Outcome, Reason, Verdict, correct_verdict
from orchestrator.record.model import RunRecord
from orchestrator.report import ctrf, html, junit, markdown
from orchestrator.report.comparison import describe_since_base
from orchestrator.report.html import make_anchor

SCHEMA = json.loads((Path(__file__).parent / "ctrf" / "schema-0.0.json").read_text())
SUSPECT = "host kernel: 6.17.0 -> 6.18.0"
GONE = "amd64.gone"
NEW_FAILURE = "new failure since BASE: pass -> fail: handshake-timeout (regression)"


@cache
def head() -> RunRecord:
    """Ten cells: the first fails, the second is new, the third was never judged."""
    record = samples.quick()
    first, second, third, *rest = record.cells
    failed = {"outcome": Outcome.FAIL, "reason": Reason.HANDSHAKE_TIMEOUT, "verdict": Verdict.REGRESSION}
    unjudged = {"outcome": None, "verdict": Verdict.NOT_JUDGED, "attempts": ()}
    cells = (first.model_copy(update={**failed, "message": "nothing came"}), second)
    return told(record.model_copy(update={"cells": (*cells, third.model_copy(update=unjudged), *rest)}))


@cache
def base() -> RunRecord:
    """The night before, on an older kernel: all is well, and there is a cell that is gone since."""
    record = samples.quick()
    host = record.run.host.model_copy(update={"kernel": "6.17.0"})
    run_before = record.run.model_copy(update={"id": "20261121-065801-7f3a", "host": host})
    gone = record.cells[1].model_copy(update={"id": GONE})
    cells = (record.cells[0], gone, *record.cells[2:])
    return told(record.model_copy(update={"run": run_before, "cells": cells}))


def told(record: RunRecord) -> RunRecord:
    """With what each action needs, and who used each component: then a suspect can be named."""
    actions = tuple(one.model_copy(update={"needs": ()}) for one in record.actions)
    components = tuple(one.model_copy(update={"used_by": ()}) for one in record.components)
    return record.model_copy(update={"actions": actions, "components": components})


@cache
def found() -> Comparison:
    return compare(base(), head())


def section(page: str) -> str:
    return page[page.index('<section class="news"') : page.index('id="h-grid"')]


def plain(markup: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", markup).replace("&gt;", ">").split())


def test_the_news_stand_before_everything_else_with_suspect_and_links() -> None:
    page = html.render(head(), found())
    assert page.index('id="h-news"') < page.index('id="why"') < page.index('id="h-grid"')
    news = section(page)
    assert "HEAD is worse: 1 cell fails in a way that BASE does not show and no rule expects." in plain(news)
    assert "20261121-065801-7f3a · by hand" in plain(news)
    assert plain(news).index("new failure: pass -> fail") < plain(news).index("judged in one run only: ")
    assert f"suspect: {SUSPECT}, and nothing else on which this cell depends differs" in plain(news)
    links = re.findall(r'href="#(c-[^"]*)"', news)
    assert links[0] == make_anchor(head().cells[0])
    assert make_anchor(head().cells[1]) in links, "the new cell"
    assert f"<b>{GONE}</b>" in news, "there is no panel to go to"
    assert all(f'id="{link}"' in page for link in links)


def test_what_was_so_before_is_counted_and_not_told_again() -> None:
    """Cells that pass again though a rule expects a failure among it."""
    news = section(html.render(nights.bad(), compare(nights.bad(), nights.bad())))
    assert "HEAD has no new failure" in news
    assert "3 now passing, 32 still failing, " in news
    assert '<section class="change' not in news


def test_each_panel_says_what_became_of_its_cell() -> None:
    page = html.render(head(), found())
    panels = dict(re.findall(r'<details class="cell" data-cell="([^"]*)">(.*?)</details>', page, re.DOTALL))
    first = plain(panels[make_anchor(head().cells[0])])
    assert f"news {NEW_FAILURE} suspect: {SUSPECT}, and" in first
    assert "new cell since BASE: pass" in plain(panels[make_anchor(head().cells[1])])
    assert make_anchor(head().cells[-1]) not in panels, "it is unchanged, and as expected"


@pytest.mark.parametrize("render", [html.render, junit.render, ctrf.render, markdown.render])
def test_a_report_without_a_base_speaks_of_none(render: type) -> None:
    assert "BASE" not in str(render(head()))
    assert "BASE" in str(render(head(), found()))


def test_junit_has_change_and_suspect_as_properties_and_the_class_first() -> None:
    root = ET.fromstring(junit.render(head(), found()))
    cases = {case.attrib["name"]: case for case in root.iter("testcase")}
    said = {name: str(case.findtext("system-out")) for name, case in cases.items()}
    line = re.compile(r"^\[\[PROPERTY\|(\w+)=(.*)\]\]$", re.MULTILINE)
    properties = {name: dict(line.findall(text)) for name, text in said.items()}
    first, second, third, *_, last = (one.id for one in head().cells)
    changes = [properties[name]["change"] for name in (first, second, third, last)]
    assert changes == ["new-failure", "new-cell", "not-judged", "unchanged"]
    assert properties[first]["suspect"] == SUSPECT
    assert "suspect" not in properties[last]
    failure = cases[first].find("failure")
    assert failure is not None
    assert (failure.text or "").splitlines()[:3] == [
        NEW_FAILURE,
        f"suspect: {SUSPECT}, and nothing else on which this cell depends differs",
        "nothing came",
    ]
    assert set(cases) == {one.id for one in head().cells}, "a cell that is gone is no test of this run"


def test_ctrf_has_the_change_as_a_label_and_fits_its_schema() -> None:
    document = json.loads(ctrf.render(head(), found()))
    jsonschema.Draft7Validator(SCHEMA).validate(document)
    first, *_, last = document["results"]["tests"]
    assert (first["labels"]["change"], first["extra"]["suspect"]) == ("new-failure", SUSPECT)
    assert first["extra"]["change"] == NEW_FAILURE
    assert last["labels"]["change"] == "unchanged"
    assert "suspect" not in last["extra"]
    assert document["results"]["environment"]["extra"]["base"] == base().run.id


def test_markdown_says_the_news_before_the_failures() -> None:
    shown = markdown.render(head(), found())
    assert shown.index("### ✕ News since BASE") < shown.index("### ✕ regression: handshake-timeout, 1")
    assert "**✕ new failure: pass -&#62; fail: handshake-timeout (regression)**, 1<br>" in shown
    assert "suspect: host kernel: 6.17.0 -&#62; 6.18.0, and nothing else" in shown
    assert f"- {head().cells[0].id}\n" in shown


def test_the_page_on_two_runs_runs_no_script_and_leads_nowhere() -> None:
    page = html.render_comparison(found())
    assert "<script" not in page
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    assert "script-src" not in policy[1]
    assert policy[1].startswith("default-src &#39;none&#39;; style-src &#39;sha256-")
    assert set(re.findall(r'href="([^"]*)"', page)) <= {"#main", *(f"#g-{name}" for name in GLYPHS)}
    assert head().cells[0].reproducer in page
    for name in (base().run.id, head().run.id):
        assert f"<dd>{name} · by hand" in page


GLYPHS = ("pass", "fail", "not-judged", "alarm")


@pytest.mark.parametrize(("outcome", "said", "status"), COMBINATIONS)
@pytest.mark.parametrize("was", [Outcome.PASS, Outcome.FAIL, None])
@pytest.mark.whole
def test_no_news_make_green_what_was_not_judged(
    outcome: Outcome | None, said: Verdict, status: str, was: Outcome | None
) -> None:
    before = run(
        "finished", cell(was, correct_verdict(was, Verdict.AS_EXPECTED if was else Verdict.NOT_JUDGED))
    )
    record = run(status, cell(outcome, said))
    compared = compare(before, record)
    good = (outcome, said) in GOOD
    assert bool(passing_cases(junit.render(record, compared))) is good
    assert bool(passing_tests(ctrf.render(record, compared))) is good
    if not good and (outcome is not Outcome.PASS or correct_verdict(outcome, said) is Verdict.NOT_JUDGED):
        assert green_classes(html.render(record, compared)) == []
        assert green_classes(html.render_comparison(compared)) == []
        assert green_of_markdown(markdown.render(record, compared)) == []


@pytest.mark.parametrize("passes", [True, False])
def test_a_flaky_cell_is_never_green_in_the_news(*, passes: bool) -> None:
    axes = samples.quick().cells[0].axes
    failed = samples.cell(axes, Reason.UPLOAD_INCOMPLETE).model_copy(update={"verdict": Verdict.FLAKY})
    passed = samples.cell(axes, None)
    was, now = (samples.run((one,)) for one in ((failed, passed) if passes else (passed, failed)))
    compared = compare(was, now)
    assert compared.counts == {Change.FLAKY: 1}
    news = section(html.render(now, compared))
    assert '<svg class="g fail v-flaky"' in news
    assert green_classes(news) == green_classes(html.render_comparison(compared)) == []


def test_a_cell_that_is_gone_is_not_green_though_it_passed() -> None:
    passed = samples.cell(samples.quick().cells[0].axes, None)
    now = samples.run(())
    compared = compare(samples.run((passed,)), now)
    assert compared.counts == {Change.VANISHED_CELL: 1}
    for page in (section(html.render(now, compared)), html.render_comparison(compared)):
        assert '<svg class="g not-judged v-not-judged"' in page
        assert green_classes(page) == []


def test_every_class_of_change_has_a_title() -> None:
    for was, now in product((samples.mixed(), nights.bad(), head()), repeat=2):
        for one in compare(was, now).cells:
            assert describe_since_base(one).count("since BASE: ") == 1
