"""A run that was cut off, at any cell and in any state: no report shows green what was not judged."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import samples

from orchestrator.cli.closing import write_closing
from orchestrator.outcome import Verdict, find_exit_code
from orchestrator.record.model import CellRecord, RunRecord
from orchestrator.report import headline, html, junit, markdown, step_summary, summary

PASSING = tuple(samples.cell(cell.axes, None) for cell in samples.quick().cells)
STATES = ("running", "interrupted", "finished")
CUTS = (0, 1, len(PASSING) - 1)
GREEN = re.compile(r"\ball\b.*\bpass|as expected", re.IGNORECASE)


def cut(judged: int, status: str) -> RunRecord:
    """The first cells pass, the others were not judged; ``finished`` is how --fail-fast ends."""
    cells = tuple(
        cell if number < judged else samples.cell(cell.axes, None, judged=False)
        for number, cell in enumerate(PASSING)
    )
    over = {"exit_code": 4} if status == "finished" else {"exit_code": None}
    return samples.run(cells, status=status, **over)


def unjudged(record: RunRecord) -> list[CellRecord]:
    return [cell for cell in record.cells if cell.outcome is None]


@pytest.fixture(params=[(judged, status) for judged in CUTS for status in STATES], ids=str)
def record(request: pytest.FixtureRequest) -> RunRecord:
    return cut(*request.param)


def test_the_headline_is_never_calm_and_never_says_all(record: RunRecord) -> None:
    assert headline.find_level(record) == "unsure"
    first = headline.write_parts(record)[0]
    assert not GREEN.search(first)
    assert str(len(record.cells)) in first


def test_junit_has_an_error_for_each(record: RunRecord) -> None:
    root = ET.fromstring(junit.render(record))
    errors = {case.get("name") for case in root.iter("testcase") if case.find("error") is not None}
    assert errors == {cell.id for cell in unjudged(record)}
    assert int(root.get("errors", "0")) == len(errors) > 0
    assert int(root.get("tests", "0")) == len(record.cells)


def test_markdown_names_each_and_begins_with_a_question_mark(record: RunRecord) -> None:
    text = markdown.render(record)
    assert text.startswith("## ? ")
    for cell in unjudged(record):
        assert step_summary.escape(cell.id) in text


def test_the_page_counts_them(record: RunRecord) -> None:
    page = html.render(record)
    assert not re.search(r"<h1[^>]*>[^<]*all [^<]*pass", page, re.IGNORECASE)
    for cell in unjudged(record):
        assert cell.id in page


def test_the_closing_lines_count_what_was_judged_and_name_the_rest(record: RunRecord) -> None:
    first, *rest = [line.plain for line in write_closing(record, Path("reports"))]
    judged = len(record.cells) - len(unjudged(record))
    assert first.startswith(f"{judged} of {len(record.cells)} cells judged")
    named = "waiting" if record.run.status == "running" else "not judged"
    assert f"{named} ({len(unjudged(record))} " in " ".join(rest)


def test_no_exit_code_is_0(record: RunRecord) -> None:
    for lie in (None, Verdict.AS_EXPECTED):
        ends = ((cell.outcome, lie or cell.verdict) for cell in record.cells)
        assert find_exit_code(ends, allow_blocked=True) == 4


@pytest.mark.parametrize("lie", [Verdict.AS_EXPECTED, Verdict.KNOWN_FAILURE, Verdict.NOW_PASSING])
def test_a_verdict_without_an_outcome_is_not_believed(lie: Verdict) -> None:
    honest = cut(3, "finished")
    cells = tuple(cell if cell.outcome else cell.model_copy(update={"verdict": lie}) for cell in honest.cells)
    record = honest.model_copy(update={"cells": cells})
    assert headline.find_level(record) == "unsure"
    assert summary.count_verdicts(record.cells)[Verdict.NOT_JUDGED] == len(unjudged(record))
    root = ET.fromstring(junit.render(record))
    assert int(root.get("errors", "0")) == len(unjudged(record))
