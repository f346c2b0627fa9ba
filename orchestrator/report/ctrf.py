"""CTRF, the Common Test Report Format: one JSON document, a test per cell (https://ctrf.io).

Its words are few, so the verdict chooses among them as in JUnit, and stands itself in ``rawStatus``: what was
expected to fail is skipped; what is flaky or was not judged is ``other`` or ``pending``, never passed. A run
that must not be taken for green, and has no failed test, gets one of its own, named ``run``.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal

from orchestrator.analyse.compare import Comparison
from orchestrator.errors import Exit
from orchestrator.matrix.model import AXES
from orchestrator.outcome import FAILURES, Outcome, Verdict
from orchestrator.record.model import Attempt, CellRecord, Rule, RunInfo, RunRecord, list_counted
from orchestrator.report import attempts, expectations, headline, panel, selection, summary, text
from orchestrator.report.news import News, read_news

VERSION = "0.0.0"
"""Of the specification."""
Status = Literal["passed", "failed", "skipped", "pending", "other"]
_STATUS: dict[Verdict, Status] = {
    Verdict.REGRESSION: "failed",
    Verdict.CHANGED_FAILURE: "failed",
    Verdict.FLAKY: "other",
    Verdict.NOT_JUDGED: "other",
    Verdict.KNOWN_FAILURE: "skipped",
    Verdict.NOW_PASSING: "passed",
    Verdict.AS_EXPECTED: "passed",
}
_LIMIT = 2000
"""Characters of one message."""


def render(record: RunRecord, comparison: Comparison | None = None) -> str:
    """Return the document. Pure: the same record gives the same bytes.

    :param comparison: of another run with this one.
    """
    record = text.make_safe(record, text.make_printable)  # consumers print it into logs
    news = read_news(comparison, text.make_printable)
    run = record.run
    tests = [_make_test(cell, run, news) for cell in record.cells]
    tests += [_make_stale(rule) for rule in record.rules if rule.stale]
    if not any(test["status"] == "failed" for test in tests) and not _is_green(record):
        tests.append(_make_broken(record))
    began = _read_time(run.started_at)
    ended = _read_time(run.finished_at) or began + _to_ms(run.duration_s)
    results = {
        "tool": {"name": "matrixctl", "version": run.tool_version},
        "summary": {**_count(tests), "start": began, "stop": max(began, ended)},
        "tests": tests,
        "environment": _describe_environment(record, news),
    }
    document = {
        "reportFormat": "CTRF",
        "specVersion": VERSION,
        "runId": run.id,
        "generatedBy": f"matrixctl {run.tool_version}",
        "results": results,
    }
    return json.dumps(document, indent=1) + "\n"


def _is_green(record: RunRecord) -> bool:
    return headline.went_well(record) and record.run.exit_code == Exit.OK


def _make_test(cell: CellRecord, run: RunInfo, news: News | None) -> dict[str, Any]:
    verdict, made = summary.find_verdict(cell), list_counted(cell.attempts)
    test: dict[str, Any] = {
        "testId": cell.id,
        "name": cell.id,
        "status": _choose_status(cell, run),
        "rawStatus": str(verdict),
        "duration": _to_ms(cell.duration_s),
        "suite": [cell.build.name],
        "tags": [part for part in (summary.find_state(cell), cell.reason) if part],
        "labels": {axis: getattr(cell.axes, axis).name for axis in AXES},
        "retries": max(0, len(made) - 1),
        "flaky": verdict is Verdict.FLAKY,
        "extra": dict(_list_extra(cell)),
    }
    if news:
        test["labels"]["change"] = str(news.change(cell.id))
        test["extra"] |= dict(_list_news(cell, news))
    if message := text.shorten(attempts.describe(cell), _LIMIT):
        test["message"] = message
    if trace := "\n".join(panel.list_complaints(cell)):
        test["trace"] = text.shorten(trace, _LIMIT)
    if len(made) > 1:
        test["retryAttempts"] = [_make_attempt(one) for one in made[:-1]]
    if cell.files:
        test["attachments"] = [
            {"name": one, "contentType": _choose_type(one), "path": one} for one in cell.files
        ]
    if made and (began := _read_time(made[0].started_at)):
        last = made[-1]
        test |= {"start": began, "stop": max(began, _read_time(last.started_at) + _to_ms(last.duration_s))}
    return test


def _choose_status(cell: CellRecord, run: RunInfo) -> Status:
    verdict = summary.find_verdict(cell)
    if verdict is Verdict.FLAKY and run.fail_on_flaky:
        return "failed"
    if verdict is Verdict.AS_EXPECTED and cell.outcome is not Outcome.PASS:
        return "skipped"
    return "pending" if cell.outcome is None else _STATUS[verdict]


def _choose_type(path: str) -> str:
    return "application/octet-stream" if path.endswith(".pcapng") else "text/plain"


def _make_attempt(one: Attempt) -> dict[str, Any]:
    if one.outcome is Outcome.PASS:
        status: Status = "passed"
    else:
        status = "failed" if one.outcome in FAILURES else "other"
    found: dict[str, Any] = {"attempt": one.number, "status": status, "duration": _to_ms(one.duration_s)}
    if one.message:
        found["message"] = text.shorten(one.message, _LIMIT)
    if began := _read_time(one.started_at):
        found |= {"start": began, "stop": began + _to_ms(one.duration_s)}
    return found


def _list_extra(cell: CellRecord) -> Iterator[tuple[str, str]]:
    facts = {
        "outcome": cell.outcome or "",
        "reason": cell.reason or "",
        "cause": cell.cause,
        "expected": expectations.describe(cell.expected) if cell.expected else "",
        "attempts": attempts.tally(cell),
        "confirmation": attempts.describe_confirmation(cell),
        "execution": panel.describe_execution(cell),
        "negotiated": (cell.observations and cell.observations.negotiated_cipher) or "",
        "build.digest": cell.build.digest or "",
        "rerun": cell.reproducer,
    }
    return ((name, str(value)) for name, value in facts.items() if value)


def _list_news(cell: CellRecord, news: News) -> Iterator[tuple[str, str]]:
    if said := news.describe(cell.id):
        yield "change", text.shorten(text.join_lines(said[0]), _LIMIT)
    if suspect := news.suspect(cell.id):
        yield "suspect", text.shorten(suspect, _LIMIT)


def _make_stale(rule: Rule) -> dict[str, Any]:
    """Return a test of its own for a rule that is out of date: it makes the run fail, and is no cell."""
    return {
        "name": rule.place,
        "status": "failed",
        "rawStatus": "stale-rule",
        "duration": 0,
        "suite": ["expectations"],
        "message": text.shorten(f"stale rule: {rule.stale}; because {rule.because}", _LIMIT),
    }


def _make_broken(record: RunRecord) -> dict[str, Any]:
    """Return a test of its own for a run that ended badly, or judged less than it should."""
    said = "; ".join((*headline.write_parts(record), *([record.run.message] if record.run.message else [])))
    code = record.run.exit_code
    return {
        "name": "run",
        "status": "failed",
        "rawStatus": record.run.status,
        "duration": 0,
        "suite": ["run"],
        "message": text.shorten(f"{said}; exit code {'none' if code is None else int(code)}", _LIMIT),
    }


def _describe_environment(record: RunRecord, news: News | None) -> dict[str, Any]:
    run = record.run
    return {
        "reportName": f"matrixctl {run.id}",
        "appName": "haproxy",
        "osPlatform": "; ".join(dict.fromkeys(one.system for one in record.hosts)),
        "osRelease": "; ".join(dict.fromkeys(one.kernel for one in record.hosts)),
        "healthy": headline.went_well(record),
        "extra": {
            "series": run.series,
            "cells": selection.describe(record),
            "command": selection.find_command(run),
            "matrix": run.matrix_digest,
            "engine": record.engines or "none",
            "exit_code": run.exit_code,
            **({"base": news.comparison.base.id} if news else {}),
        },
    }


def _count(tests: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Count what was written, so that the counts cannot differ from it."""
    every = list(tests)
    found = Counter(test["status"] for test in every)
    names: tuple[Status, ...] = ("passed", "failed", "skipped", "pending", "other")
    return {
        "tests": len(every),
        **{name: found[name] for name in names},
        "flaky": sum(bool(test.get("flaky")) for test in every),
        "suites": len({test["suite"][0] for test in every}),
    }


def _read_time(moment: str | None) -> int:
    """Return milliseconds since 1970; 0 where there is no such moment."""
    try:
        read = datetime.fromisoformat(moment or "")
        return max(0, round((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp() * 1000))
    except (ValueError, OverflowError):
        return 0


def _to_ms(seconds: float | None) -> int:
    found = (seconds or 0) * 1000
    return round(found) if math.isfinite(found) else 0
