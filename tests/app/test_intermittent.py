"""A cell that fails now and then: no attempt speaks for the others, on the terminal or in a report."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from whole_run import CELLS, Bench

from orchestrator.cli.closing import write_closing
from orchestrator.cli.progress import describe
from orchestrator.matrix.model import Cell
from orchestrator.outcome import REASONS, Outcome, Reason
from orchestrator.probe.judge import Judgement
from orchestrator.record.model import CellRecord, RunRecord
from orchestrator.report import attempts, disagreements, groups, headline, html, junit, markdown

UPLOAD, HANG, CRASH = Reason.UPLOAD_INCOMPLETE, Reason.HANDSHAKE_THEN_HANG, Reason.SERVER_CRASHED
SIX = (UPLOAD, None, UPLOAD, UPLOAD, None, UPLOAD)
TALLY = "4 of 6 attempts failed"


def playing(ends: Sequence[Reason | None]) -> Callable[[Cell], Judgement]:
    """Each cell ends so, attempt by attempt; every message names its own number."""
    plays: dict[str, Iterator[tuple[int, Reason | None]]] = {}

    def judged_as(cell: Cell) -> Judgement:
        number, reason = next(plays.setdefault(cell.id, cycle(enumerate(ends, 1))))
        outcome = REASONS[reason].outcome if reason else Outcome.PASS
        return Judgement(outcome=outcome, reason=reason, message=f"what attempt {number} showed")

    return judged_as


def bench(tmp_path: Path, *ends: Reason | None, cells: Sequence[Cell] = CELLS[:1]) -> Bench:
    return Bench(folder=tmp_path, cells=cells, repeat=len(ends), judged_as=playing(ends))


def made(tmp_path: Path, *ends: Reason | None) -> CellRecord:
    return bench(tmp_path, *ends).go().cells[0]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, RunRecord]:
    one = bench(tmp_path_factory.mktemp("six"), *SIX)
    return one, one.go()


@pytest.fixture
def record(played: tuple[Bench, RunRecord]) -> RunRecord:
    return played[1]


def test_each_attempt_tells_its_own_result(played: tuple[Bench, RunRecord]) -> None:
    lines = [str(line) for line in map(describe, played[0].heard) if line and CELLS[0].id in str(line)]
    assert [re.sub(rf"\s+{re.escape(CELLS[0].id)}\s*", " | ", line) for line in lines] == [
        "✕ fail | upload-incomplete: what attempt 1 showed",
        "✓ pass | repeat 2",
        "✕ fail | repeat 3  upload-incomplete: what attempt 3 showed",
        "✕ fail | repeat 4  upload-incomplete: what attempt 4 showed",
        "✓ pass | repeat 5",
        "✕ fail | repeat 6  upload-incomplete: what attempt 6 showed",
    ]


def test_the_last_lines_of_a_run_count_the_attempts(record: RunRecord, tmp_path: Path) -> None:
    lines = [str(line) for line in write_closing(record, tmp_path)]
    assert f"regression: upload-incomplete (1 cell; {TALLY})" in lines
    assert f"  {CELLS[0].id}  {TALLY}: what attempt 6 showed" in lines


def test_the_headline_says_that_it_is_not_always_so(record: RunRecord) -> None:
    assert headline.write_parts(record) == (
        "1 regression in 1 cell: upload-incomplete",
        "1 cell failed in only some of its attempts",
    )


def test_a_constant_failure_is_called_no_intermittent_one(tmp_path: Path) -> None:
    steady = bench(tmp_path, UPLOAD, UPLOAD).go()
    assert not any("some of" in part for part in headline.write_parts(steady))
    assert attempts.tally(steady.cells[0]) == "2 of 2 attempts failed"
    assert attempts.describe_share(steady.cells[0]) == ""


def test_the_step_summary_counts_them_in_the_grid_the_group_and_the_cell(record: RunRecord) -> None:
    text = markdown.render(record)
    assert "**✕ upload-incomplete, regression, 4 of 6 attempts**" in text
    assert f"- **{CELLS[0].id}**: {TALLY}: what attempt 6 showed" in text
    assert re.search(rf"^the origin did not get the upload whole.*; {TALLY}$", text, re.MULTILINE)


def test_junit_counts_them_and_tells_each(record: RunRecord) -> None:
    root = ET.fromstring(junit.render(record))
    problem = root.find(".//failure")
    assert problem is not None
    assert problem.text is not None
    assert problem.get("message") == f"regression: fail: upload-incomplete: {TALLY}: what attempt 6 showed"
    assert "attempt 2 (repeat 2): pass, 0.10 s; what attempt 2 showed" in problem.text
    assert "attempt 4 (repeat 4): fail upload-incomplete, 0.10 s; what attempt 4 showed" in problem.text
    assert f"[[PROPERTY|attempts={TALLY}]]" in str(root.findtext(".//system-out")).splitlines()


def test_junit_says_so_of_a_cell_that_always_passed(tmp_path: Path) -> None:
    root = ET.fromstring(junit.render(bench(tmp_path, None, None, None).go()))
    said = str(root.findtext(".//system-out")).splitlines()
    assert "[[PROPERTY|attempts=3 of 3 attempts passed]]" in said


def test_the_page_counts_them_in_cell_group_and_grid(record: RunRecord) -> None:
    page = html.render(record)
    (group,) = re.findall(r'<section class="group.*?</section>', page, re.DOTALL)
    assert f"the origin did not get the upload whole. {TALLY}</p>" in group
    assert f"<b>{TALLY}.</b> what attempt 6 showed" in group
    (panel,) = re.findall(r'<div class="panel".*?</dl>', page, re.DOTALL)
    assert f"<b>{TALLY}.</b> what attempt 6 showed" in panel
    assert "repeat 2: pass, 0.10 s; what attempt 2 showed" in panel
    (field,) = re.findall(r'<a class="c field.*?</a>', page)
    assert '<em title="attempts">4 of 6</em>' in field
    assert '0,"4 of 6"]]' in page  # what the script draws it from


def test_several_reasons_are_named_the_worst_kind_of_end_first(tmp_path: Path) -> None:
    cell = made(tmp_path, UPLOAD, CRASH, None, CRASH, Reason.DEADLINE)
    assert attempts.tally(cell) == (
        "3 of 5 attempts failed (2 server-crashed, 1 upload-incomplete), 1 ended in error"
    )
    assert attempts.describe_share(cell) == "3 of 5"


def test_what_another_attempt_replaced_is_not_counted(tmp_path: Path) -> None:
    cell = made(tmp_path, UPLOAD, Reason.DEADLINE, None)
    first, second, third = cell.attempts
    again = third.model_copy(update={"again": True})
    assert attempts.tally(cell.model_copy(update={"attempts": (first, second, again)})) == (
        "1 of 2 attempts failed"
    )


def test_one_attempt_is_no_count(tmp_path: Path) -> None:
    cell = made(tmp_path, UPLOAD)
    assert (attempts.tally(cell), attempts.describe_share(cell)) == ("", "")
    assert attempts.describe(cell) == "what attempt 1 showed"


def test_a_group_counts_the_attempts_of_all_its_cells(tmp_path: Path) -> None:
    played = Bench(folder=tmp_path, cells=CELLS[:2], repeat=6, judged_as=playing(SIX)).go()
    assert [group.tally for group in groups.group_cells(played)] == ["8 of 12 attempts failed"]
    assert headline.write_parts(played)[-1] == "2 cells failed in only some of their attempts"


def test_clients_that_disagree_show_how_often(record: RunRecord) -> None:
    (cell,) = record.cells
    client = cell.axes.client.model_copy(update={"name": "gtlsclient", "family": "gtlsclient"})
    other = cell.model_copy(
        update={
            "id": "other",
            "axes": cell.axes.model_copy(update={"client": client}),
            "outcome": Outcome.PASS,
            "reason": None,
            "attempts": (),
        }
    )
    (found,) = disagreements.find_disagreements(record.model_copy(update={"cells": (cell, other)}))
    assert found.sentence == f"curl: fail (upload-incomplete, {TALLY}); gtlsclient: pass"


def test_a_known_failure_says_how_often_it_was_seen(tmp_path: Path, record: RunRecord) -> None:
    (cell,) = record.cells
    known = cell.model_copy(update={"verdict": "known-failure"})
    (head,) = [
        str(line)
        for line in write_closing(record.model_copy(update={"cells": (known,)}), tmp_path)
        if "known failure" in str(line)
    ]
    assert TALLY in head
