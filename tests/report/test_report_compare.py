"""A comparison as text and as Markdown: the news first, each with its suspect; hostile text stays text."""

import json
import re

from hostile import CORPUS
from samples import hostile, mixed, quick

from orchestrator.analyse.compare import Comparison, compare
from orchestrator.cli import common
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.model import RunRecord
from orchestrator.report import compare_markdown, compare_text

RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2067\ufeff\ud800-\udfff]")


def text(found: Comparison) -> str:
    return "\n".join(line for _, line in compare_text.render(found))


def told(record: RunRecord) -> RunRecord:
    """As a newer matrixctl writes it: with what each action needs, and who used each component."""
    actions = tuple(one.model_copy(update={"needs": ()}) for one in record.actions)
    components = tuple(one.model_copy(update={"used_by": ()}) for one in record.components)
    return record.model_copy(update={"actions": actions, "components": components})


def broken(record: RunRecord) -> RunRecord:
    """The same night with a failure, and a newer kernel."""
    first, *rest = record.cells
    failed = {
        "outcome": Outcome.FAIL,
        "reason": Reason.HANDSHAKE_TIMEOUT,
        "verdict": Verdict.REGRESSION,
        "message": "nothing came",
    }
    host = record.run.host.model_copy(update={"kernel": "6.19.0"})
    run = record.run.model_copy(update={"id": "20261123-065801-7f3a", "series": "nightly", "host": host})
    return record.model_copy(update={"cells": (first.model_copy(update=failed), *rest), "run": run})


def test_the_news_come_first_with_the_suspect() -> None:
    lines = text(compare(told(quick()), told(broken(quick())))).splitlines()
    assert lines[0] == "HEAD is worse: 1 cell fails in a way that BASE does not show and no rule expects."
    assert lines[1] == "1 new failure, 9 unchanged"
    assert lines[2:4] == [
        "BASE  20261122-065801-7f3a  by hand  2026-11-22 06:58 UTC  10 of 10 cells judged",
        "HEAD  20261123-065801-7f3a  series nightly  2026-11-22 06:58 UTC  10 of 10 cells judged",
    ]
    assert lines[5:9] == [
        "new failure: pass -> fail: handshake-timeout (regression), 1 cell",
        "  nothing came",
        "  suspect: host kernel: 6.18.0 -> 6.19.0, and nothing else on which this cell depends differs",
        f"  - {quick().cells[0].id}",
    ]
    assert lines[-1] == "  host kernel: 6.18.0 -> 6.19.0"


def test_an_older_record_is_no_ground_for_a_suspect() -> None:
    shown = text(compare(quick(), broken(quick())))
    assert "suspect:" not in shown
    assert "1 difference somewhere in this run, see below" in shown
    assert "note: a record is too old to say what a cell depends on" in shown


def test_what_makes_a_comparison_weaker_is_said() -> None:
    head = mixed()
    shown = text(compare(quick(), head))
    assert "note: other cells were asked for: BASE --profile quick; HEAD --profile full --filter" in shown
    assert "note: BASE and HEAD are the same run" in shown


def test_markdown_has_every_cell_and_the_command() -> None:
    shown = compare_markdown.render(compare(told(quick()), told(broken(quick()))))
    assert shown.startswith("## ✕ HEAD is worse: 1 cell fails")
    assert "suspect: host kernel: 6.18.0" in shown
    assert f"<code>{quick().cells[0].reproducer}</code>" in shown


def test_hostile_text_stays_text_in_every_form() -> None:
    for base, head in ((quick(), hostile()), (hostile(), quick()), (hostile(), hostile(quick()))):
        found = compare(base, head)
        shown = text(found)
        assert not RAW.search(shown)
        assert "\n::" not in shown
        marked = compare_markdown.render(found)
        assert not RAW.search(marked)
        assert not re.search(r"<(?!br>|code>|/code>)", marked), "no markup but ours"
        printed = common.as_json(found.model_dump(mode="json"))
        assert printed.isascii()
        assert json.loads(printed)["exit_code"] == found.exit_code


def test_each_hostile_value_as_a_version_stays_on_its_line() -> None:
    base = told(quick())
    for value in CORPUS:
        if not value.says:
            continue
        components = tuple(one.model_copy(update={"version": value.text}) for one in base.components)
        found = compare(base, base.model_copy(update={"components": components}))
        shown = text(found)
        assert not RAW.search(shown), value.name
        assert len(shown.splitlines()) <= 7 + len(found.differences), value.name
