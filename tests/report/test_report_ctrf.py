"""CTRF: it fits the schema that CTRF publishes, and says no more than the record."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import nights
import pytest
import samples

from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.model import RunRecord
from orchestrator.report import ctrf

HERE = Path(__file__).parent / "ctrf"
SCHEMA = json.loads((HERE / "schema-0.0.json").read_text())
"""Of npm's package ctrf, 0.3.0; its licence lies beside it."""
EXPECTED = {
    (Verdict.REGRESSION, Outcome.FAIL): "failed",
    (Verdict.REGRESSION, Outcome.MISBUILT): "failed",
    (Verdict.CHANGED_FAILURE, Outcome.FAIL): "failed",
    (Verdict.FLAKY, Outcome.FAIL): "other",
    (Verdict.NOT_JUDGED, Outcome.ERROR): "other",
    (Verdict.NOT_JUDGED, Outcome.BLOCKED): "other",
    (Verdict.NOT_JUDGED, None): "pending",
    (Verdict.NOW_PASSING, Outcome.PASS): "passed",
    (Verdict.KNOWN_FAILURE, Outcome.FAIL): "skipped",
    (Verdict.AS_EXPECTED, Outcome.PASS): "passed",
    (Verdict.AS_EXPECTED, Outcome.UNSUPPORTED): "skipped",
}
RECORDS = [
    samples.quick(),
    samples.mixed(),
    samples.running(),
    samples.hostile(),
    samples.run(()),
    nights.calm(),
    nights.bad(),
]


def read(record: RunRecord) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ctrf.render(record))
    jsonschema.Draft7Validator(SCHEMA).validate(found)
    return found


@pytest.mark.parametrize("record", RECORDS, ids=str)
def test_every_document_fits_the_published_schema(record: RunRecord) -> None:
    results = read(record)["results"]
    counts, tests = results["summary"], results["tests"]
    assert counts["tests"] == len(tests) >= len(record.cells)
    for status in ("passed", "failed", "skipped", "pending", "other"):
        assert counts[status] == sum(test["status"] == status for test in tests)
    assert counts["start"] <= counts["stop"]


def test_the_schema_is_not_one_that_takes_anything() -> None:
    found = read(samples.quick())
    found["results"]["tests"][0]["status"] = "green"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(SCHEMA).validate(found)


@pytest.mark.parametrize("record", [samples.mixed(), nights.calm(), nights.bad()], ids=str)
def test_every_verdict_becomes_a_word_of_ctrf(record: RunRecord) -> None:
    tests = {test["name"]: test for test in read(record)["results"]["tests"]}
    for cell in record.cells:
        assert tests[cell.id]["status"] == EXPECTED[cell.verdict, cell.outcome]
        assert tests[cell.id]["rawStatus"] == cell.verdict


def with_cell(**changes: Any) -> RunRecord:
    record = samples.quick()
    first, *others = record.cells
    return record.model_copy(update={"cells": (first.model_copy(update=changes), *others)})


def test_a_flaky_cell_has_its_attempts_and_fails_where_that_was_asked_for() -> None:
    attempt = samples.quick().cells[0].attempts[0]
    failed = {"outcome": Outcome.FAIL, "reason": Reason.UPLOAD_INCOMPLETE}
    attempts = (attempt.model_copy(update=failed), attempt.model_copy(update={"number": 2}))
    record = with_cell(**failed, verdict=Verdict.FLAKY, attempts=attempts)
    found = read(record)["results"]
    (test,) = (one for one in found["tests"] if one["flaky"])
    assert (test["status"], test["retries"], found["summary"]["flaky"]) == ("other", 1, 1)
    assert [one["status"] for one in test["retryAttempts"]] == ["failed"]
    assert test["extra"]["attempts"] == "1 of 2 attempts failed"
    strict = record.model_copy(update={"run": record.run.model_copy(update={"fail_on_flaky": True})})
    assert read(strict)["results"]["summary"]["failed"] == 1


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ({"status": "cut-off", "exit_code": None}, "Cut off: "),
        ({"exit_code": 4, "message": "the engine is gone"}, "the engine is gone; exit code 4"),
    ],
)
def test_a_run_that_ended_badly_has_a_failed_test(run: dict[str, Any], said: str) -> None:
    record = samples.quick()
    assert read(record)["results"]["summary"]["failed"] == 0
    broken = record.model_copy(update={"run": record.run.model_copy(update=run)})
    (test,) = (one for one in read(broken)["results"]["tests"] if one["status"] == "failed")
    assert test["name"] == "run"
    assert said in test["message"]


def test_evidence_axes_and_reproducer_are_there() -> None:
    cell = next(one for one in samples.mixed().cells if one.evidence and one.reason)
    (test,) = (one for one in read(samples.mixed())["results"]["tests"] if one["name"] == cell.id)
    assert [one["path"] for one in test["attachments"]] == list(cell.evidence)
    assert test["labels"]["tls"] == cell.axes.tls.name
    assert test["extra"]["rerun"] == cell.reproducer
    assert test["extra"]["reason"] == cell.reason
