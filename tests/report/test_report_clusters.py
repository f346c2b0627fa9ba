"""Clusters stand before the cells: in the page, in Markdown, in the last lines of a run."""

import re
from pathlib import Path

import nights
import samples
from issue_2569 import CHACHA20, record

from orchestrator.analyse.explain import explain
from orchestrator.cli.closing import write_closing
from orchestrator.outcome import FAILURES, Verdict
from orchestrator.record.model import RunRecord
from orchestrator.report import explanation, html, markdown

LINE = (
    f"handshake-then-hang when tls=libressl<4.0  negotiated={CHACHA20}: 12 of 12 cells, 0 of 160 others; "
    "6 more fit as far as is known (strong)"
)


def known() -> RunRecord:
    """The same failures, each of them known."""
    base = record()
    cells = (
        one.model_copy(update={"verdict": Verdict.KNOWN_FAILURE}) if one.outcome in FAILURES else one
        for one in base.cells
    )
    return base.model_copy(update={"cells": tuple(cells)})


def test_the_last_lines_of_a_run_have_a_line_for_each_cluster_before_the_cells() -> None:
    lines = [line.plain for line in write_closing(record(), Path("run"))]
    assert lines[1] == "handshake-then-hang and handshake-refused, 30 cells:"
    assert lines[2] == f"  {LINE}"
    assert lines[4].startswith("server-crashed when tls=libressl<4.0")
    assert lines[5].startswith("regression: ")


def test_the_page_has_the_clusters_before_the_groups_and_says_no_more_what_they_say_better() -> None:
    page = html.render(record())
    place = page.index(explanation.TITLE)
    assert place < page.index("Look at these</h2>")
    assert "<code>tls=libressl&lt;4.0</code>" in page[place : place + 2000]
    assert "<dt>irrelevant</dt><dd>arch</dd>" in page
    assert ". In common: <code>" not in page[page.index("Look at these</h2>") : page.index('id="h-grid"')]


def test_markdown_has_the_clusters_before_the_groups() -> None:
    text = markdown.render(record())
    place = text.index(f"### {explanation.TITLE}\n")
    assert place < text.index("regression: handshake-then-hang")
    assert f"<code>tls=libressl&#60;4.0 negotiated={CHACHA20}</code>" in text[place:]


def test_a_cluster_of_known_failures_is_told_in_short() -> None:
    shown = explanation.show(known())
    assert all(one.quiet for one in shown)
    assert not any(one.quiet for one in explanation.show(record()))
    text = markdown.render(known())
    assert "**handshake-then-hang and handshake-refused, 30 cells, known failure**" in text
    assert "irrelevant" not in text
    page = html.render(known())
    assert page.index("<summary>More</summary>") < page.index("<dt>irrelevant</dt>")


def test_a_command_that_would_decide_stands_on_the_page_whole() -> None:
    """With all options of its run it may be long, and half of one does something else."""
    base = record()
    options = f"--matrix /{'long/' * 300}matrix.yaml"
    cells = (
        one.model_copy(update={"reproducer": f"matrixctl run {options} --cell {one.id}"})
        for one in base.cells
    )
    page = html.render(base.model_copy(update={"cells": tuple(cells)}))
    assert re.search(
        f"<code>matrixctl run {re.escape(options)} --with [^<]* --with execution=default</code>", page
    )


def test_the_most_urgent_cluster_stands_first() -> None:
    base = known()
    crashed = tuple(
        one.model_copy(update={"verdict": Verdict.REGRESSION}) if one.reason == "server-crashed" else one
        for one in base.cells
    )
    first, *others = explanation.show(base.model_copy(update={"cells": crashed}))
    assert first.cluster.reason == "server-crashed"
    assert [one.quiet for one in (first, *others)] == [False, True]


def test_a_run_without_failures_or_without_cells_has_no_clusters() -> None:
    for run in (samples.quick(), samples.run(())):
        assert explanation.show(run) == ()
        assert explanation.TITLE not in html.render(run)
        assert explanation.TITLE not in markdown.render(run)


def test_what_is_not_explained_stays_with_its_group() -> None:
    shown = explanation.show(nights.bad())
    failing = {one.id for one in nights.bad().cells if one.outcome in FAILURES}
    assert shown
    assert explanation.list_explained(shown) < failing


def test_a_single_cell_is_told_where_neighbours_come_from() -> None:
    failing = next(cell for cell in record().cells if cell.outcome in FAILURES)
    alone = record().model_copy(update={"cells": (failing,)})
    said = [text for _, text in explanation.describe_unexplained(explain([alone]))]
    assert said[1:] == [
        "one cell proves no combination; its neighbours would tell which of its values matters",
        "it has none in this run: ask for more values, or let `matrixctl run --explain` choose the cells",
    ]
