"""A second, traced run in every form of the report: told apart from the first, its files linked."""

import json
from xml.etree import ElementTree as ET

import pytest
import samples

from orchestrator.outcome import Outcome, Reason
from orchestrator.record.model import CellRecord, RunRecord, Traced
from orchestrator.report import ctrf, html, issue, junit, trace

CHACHA = "TLS_CHACHA20_POLY1305_SHA256"
FOLDER = "cells/a/traced"


def hang(*, ends: Outcome = Outcome.FAIL) -> CellRecord:
    """A hang on the default offer, whose suite the capture alone tells."""
    axes = next(cell.axes for cell in samples.quick().cells if cell.axes.cipher.suite is None)
    cell = samples.cell(axes, Reason.HANDSHAKE_THEN_HANG)
    assert cell.observations is not None
    made = Traced(
        outcome=ends,
        reason=cell.reason if ends is cell.outcome else None,
        message="two bodies and an upload",
        started_at="2026-11-22T07:00:00Z",
        duration_s=7.0,
        negotiated_cipher=CHACHA,
        evidence=(f"{FOLDER}/capture.pcapng", f"{FOLDER}/haproxy.log"),
        missing=("a qlog was left out",),
    )
    silent = cell.observations.model_copy(update={"negotiated_cipher": None})
    return cell.model_copy(update={"observations": silent, "traced": made})


def run(cell: CellRecord) -> RunRecord:
    return samples.run((cell,))


def test_the_page_links_each_file_relative_to_itself() -> None:
    page = html.render(run(hang()))
    for name in ("capture.pcapng", "haproxy.log"):
        assert f'<a href="./{FOLDER}/{name}">{name}</a>' in page
    assert "a second run, 7.00 s, ended as the first: fail: handshake-then-hang" in page
    assert "a qlog was left out" in page
    assert f"{CHACHA} (by the capture of a second run: no answer told it)" in page


def test_a_second_run_that_ended_otherwise_tells_no_suite() -> None:
    cell = hang(ends=Outcome.PASS)
    assert trace.describe_end(cell) == "a second run, 7.00 s, ended otherwise: pass; two bodies and an upload"
    assert trace.describe_suite(cell) == ""
    assert CHACHA not in html.render(run(cell)).partition('id="cells"')[2].partition("<dt>traced")[0]


@pytest.mark.parametrize("name", ["capture.pcapng", "haproxy.log"])
def test_junit_and_ctrf_attach_them(name: str) -> None:
    record = run(hang())
    said = "".join(one.text or "" for one in ET.fromstring(junit.render(record)).iter("system-out"))
    assert f"[[ATTACHMENT|{FOLDER}/{name}]]" in said
    (test,) = json.loads(ctrf.render(record))["results"]["tests"]
    kinds = {one["path"]: one["contentType"] for one in test["attachments"]}
    assert kinds[f"{FOLDER}/{name}"] == (
        "application/octet-stream" if name.endswith(".pcapng") else "text/plain"
    )


def alike(count: int) -> tuple[CellRecord, ...]:
    """So many cells that hang alike, the last one without packets."""
    cells = [hang().model_copy(update={"id": f"cell-{number}"}) for number in range(count)]
    return (*cells[:-1], cells[-1].model_copy(update={"traced": None}))


def test_a_cell_without_packets_leads_to_those_that_fail_alike() -> None:
    record = samples.run(alike(6))
    page = html.render(record)
    said = "no packets: 3 cells that fail alike have them: "
    links = ", ".join(f'<a href="#c-cell-{number}">cell-{number}</a>' for number in range(3))
    assert f"<dd>{said}{links}; the command that runs this cell again" in page
    text = issue.render(record, record.cells[-1], {}, steps=())
    assert "no packets: 3 cells that fail alike have them: cell&#45;0" in text.replace("cell-", "cell&#45;")
    assert "run --evidence all" in text.replace("&#45;", "-")
    assert said not in issue.render(record, record.cells[0], {}, steps=())


def test_what_a_limit_left_out_says_which() -> None:
    (cell,) = alike(1)
    cell = cell.model_copy(update={"untraced": "the 10 minutes were over"})
    assert "no packets: the 10 minutes were over; the command" in html.render(run(cell))
    found = trace.explain_absence(cell, trace.find_traces([cell, *alike(4)]))
    assert found is not None
    assert found.others == (), "what kept it from its turn, not what others have"


def test_without_packets_of_any_or_of_a_cell_that_was_asked_nothing_there_is_nothing_to_say() -> None:
    traces = trace.find_traces(alike(4))
    *_, last = alike(4)
    assert trace.explain_absence(last, {}) is None
    assert trace.explain_absence(last.model_copy(update={"observations": None}), traces) is None
    assert trace.explain_absence(last.model_copy(update={"reason": Reason.SERVER_CRASHED}), traces) is None
    assert (
        trace.explain_absence(last.model_copy(update={"outcome": Outcome.PASS, "reason": None}), traces)
        is None
    )


@pytest.mark.parametrize(
    "lacks",
    [
        pytest.param({"evidence": (f"{FOLDER}/haproxy.log",)}, id="no packets were captured"),
        pytest.param({"outcome": Outcome.PASS, "reason": None}, id="the packets are of a pass"),
    ],
)
def test_what_shows_no_failure_is_no_reason_why_others_have_no_packets(lacks: dict[str, object]) -> None:
    first, second, last = alike(3)
    assert first.traced is not None
    first = first.model_copy(update={"traced": first.traced.model_copy(update=lacks)})
    assert trace.explain_absence(last, trace.find_traces([first])) is None
    found = trace.explain_absence(last, trace.find_traces([first, second]))
    assert found is not None
    assert found.others == (second.id,)
