"""From a record to the rows that the history keeps of it. Pure."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Any

from pydantic_core import PydanticSerializationError

from orchestrator.errors import UsageError
from orchestrator.frozen_value import replace_surrogates
from orchestrator.outcome import Verdict, correct_verdict
from orchestrator.phrases import quote
from orchestrator.record.find import is_good
from orchestrator.record.model import (
    Alarm,
    Attempt,
    CellRecord,
    Component,
    Ingredient,
    Rule,
    RunRecord,
    count_ends,
)

Row = dict[str, Any]

CELL_KEY = ("id", "haproxy_version", "tls_family", "tls_version", "client_family")
"""What tells rows of cells apart: the id has the names of the axes, and an old night had other versions."""
_HELD = {Verdict.AS_EXPECTED, Verdict.KNOWN_FAILURE}
_FIRST_YEAR = 1970
RULE_KEY = ("conditions", "outcome", "reason", "cipher", "because", "until")
"""What tells rules apart; the line at which one stands changes with those above it."""
_OF_AN_ATTEMPT = ("number", "why", "message", "started_at", "duration_s", "again")


def clean(record: RunRecord) -> tuple[RunRecord, str]:
    """Return the record without what no database takes as text, and a digest of it.

    The digest is the same whichever version of matrixctl reads the record: fields that it does not have are
    left out, since a later version may know more of them.

    :raises UsageError: where it does not say when the run began, or has a cell or an attempt twice.
    """
    _refuse_doubles(record)
    try:
        told = record.model_dump_json(exclude_defaults=True)
    except PydanticSerializationError:  # a surrogate without its partner
        told = ""
    if not told or "\\u0000" in told:
        record = RunRecord.model_validate(fit(record.model_dump()))
        told = record.model_dump_json(exclude_defaults=True)
    try:
        began = read_start(record.run.started_at)
    except (ValueError, OverflowError):
        began = None
    if began is None or began.year < _FIRST_YEAR:
        raise UsageError(
            f"the run {record.run.id} does not say when it began: {quote(record.run.started_at)}"
        ) from None
    return record, hashlib.sha256(told.encode()).hexdigest()


def _refuse_doubles(record: RunRecord) -> None:
    """Refuse a record that was edited: nothing that is written down twice means anything."""
    cells = Counter((cell.id,) for cell in record.cells)
    attempts = Counter((cell.id, attempt.number) for cell in record.cells for attempt in cell.attempts)
    double = next((what for what, count in (*cells.items(), *attempts.items()) if count > 1), None)
    if double is not None:
        said = "".join(f"attempt {number} at " for number in double[1:])
        raise UsageError(
            f"the run {record.run.id} has {said}the cell {quote(double[0])} twice",
            resolution="Its record was edited. Its journal says how it was: name the run's folder.",
        )


def fit(value: Any) -> Any:
    """Return the value without what no database takes as text."""
    if isinstance(value, str) and not isinstance(value, Enum):
        return str(replace_surrogates(value)).replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, dict):
        return {key: fit(item) for key, item in value.items()}
    return [fit(item) for item in value] if isinstance(value, list | tuple) else value


def _read_value(value: StrEnum | None) -> str | None:
    """Return the value itself: psycopg would write the name."""
    return None if value is None else str(value)


def make_run_row(record: RunRecord, digest: str, folder: str, now: str) -> Row:
    """Return the row of the run itself.

    :param digest: of the record; see ``clean``.
    :param folder: where it lies; empty where only its record is there.
    """
    run = record.run
    began = read_start(run.started_at)
    asked = {"profile": run.profile, "filters": run.filters}
    if run.selection is not None:
        asked |= run.selection.model_dump(mode="json", exclude={"command"})
    return {
        "id": run.id,
        "series": run.series,
        "night": name_night(began),
        "started_at": began.isoformat(timespec="milliseconds"),
        **{name: getattr(run, name) for name in ("finished_at", "duration_s", "status", "exit_code")},
        **{name: getattr(run, name) for name in ("planned", "judged", "tool_version", "matrix_digest")},
        "good": is_good(record),
        "resumed": len(run.resumed),
        "tool_digest": run.tool_digest or "",
        "selection": json.dumps(asked),
        "engine": record.engines,
        "host": "; ".join(f"{one.system}, {one.arch}, {one.kernel}" for one in record.hosts),
        "schema_version": record.schema_version,
        "folder": folder,
        "digest": digest,
        "imported_at": now,
    }


def read_start(text: str) -> datetime:
    """Return when a run began, in UTC."""
    began = datetime.fromisoformat(text)
    return began.astimezone(UTC) if began.tzinfo else began.replace(tzinfo=UTC)


def name_night(began: datetime) -> str:
    """Return the night of a run, as in ``2026-11-20``."""
    return began.date().isoformat()


def make_cell_row(cell: CellRecord) -> Row:
    """Return the row of a cell, which runs share: its axes, each as name, family and version."""
    axes = cell.axes
    return {
        "id": cell.id,
        "arch": axes.arch.name,
        "haproxy": axes.haproxy.name,
        "haproxy_version": axes.haproxy.version,
        "tls": axes.tls.name,
        "tls_family": axes.tls.family,
        "tls_version": axes.tls.version,
        "cipher": axes.cipher.name,
        "client": axes.client.name,
        "client_family": axes.client.family,
        "execution": axes.execution.name,
    }


def make_build_key(cell: CellRecord) -> tuple[str, str]:
    """Return what names the build of a cell."""
    return cell.build.name, cell.build.digest or ""


def make_component_key(component: Component) -> tuple[str, str, str, str, str]:
    """Return what names a component."""
    return component.kind, component.name, component.version, component.digest or "", component.origin


def make_rule_key(rule: Rule) -> tuple[str, ...]:
    """Return what names a rule."""
    conditions = json.dumps(sorted(rule.when))
    return conditions, str(rule.outcome), rule.reason or "", rule.cipher or "", rule.because, rule.until


def name_set(ingredients: Iterable[Ingredient]) -> str:
    """Return the digest of a set of ingredients."""
    return hashlib.sha256(json.dumps(sorted(ingredients)).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """The numbers of what runs share."""

    cells: Mapping[str, int]
    builds: Mapping[tuple[str, ...], int]
    rules: Mapping[tuple[str, ...], int]
    sets: Mapping[str, tuple[int, int]]
    """What each cell depended on: with its session, and its own; none where that is not known."""


def make_result_rows(record: RunRecord, run: int, numbers: Numbers, alarms: Sequence[Alarm]) -> list[Row]:
    """Return a row for each cell of the run."""
    loud = {cell: alarm.key for alarm in alarms for cell in alarm.cells}
    rules = {rule.place: numbers.rules[make_rule_key(rule)] for rule in record.rules}
    found = []
    for cell in record.cells:
        of_session, own = numbers.sets.get(cell.id, (None, None))
        found.append(
            {
                "run": run,
                "cell": numbers.cells[cell.id],
                "build": numbers.builds[make_build_key(cell)],
                "outcome": _read_value(cell.outcome),
                "reason": _read_value(cell.reason),
                "verdict": _read_value(correct_verdict(cell.outcome, cell.verdict)),
                "message": cell.message,
                **_count(cell),
                "confirmation": cell.confirmation.state if cell.confirmation else None,
                "duration_s": cell.duration_s,
                "handshake_s": _read_handshake(cell),
                "load": _read_load(cell.attempts[-1]) if cell.attempts else None,
                "alarm": loud.get(cell.id),
                "rule": rules.get(cell.expected.rule) if cell.expected else None,
                "session_set": of_session,
                "own_set": own,
            }
        )
    return found


def _count(cell: CellRecord) -> Row:
    """Return what the attempts that count say together."""
    ends = count_ends(cell.attempts)
    failures = sorted((str(outcome), reason or "") for outcome, reason in ends.failures)
    return {
        "attempts": ends.attempts,
        "passed": ends.passed,
        "failed": ends.failed,
        "failures": json.dumps(failures) if ends.attempts > 1 else None,
    }


def make_run_rule_rows(record: RunRecord, run: int, rules: Mapping[tuple[str, ...], int]) -> list[Row]:
    """Return a row for each rule of the run's matrix, with what became of it."""
    cells: dict[str, list[CellRecord]] = {}
    for cell in record.cells:
        if cell.expected and cell.expected.rule:
            cells.setdefault(cell.expected.rule, []).append(cell)
    found: dict[int, Row] = {}
    for rule in record.rules:
        number, mine = rules[make_rule_key(rule)], cells.get(rule.place, [])
        row: Row = {
            "run": run,
            "rule": number,
            "met": rule.met,
            "counted": len(mine),
            "held": sum(correct_verdict(cell.outcome, cell.verdict) in _HELD for cell in mine),
            "place": rule.place,
            "stale": rule.stale,
        }
        other = found.setdefault(number, row)
        if other is not row:  # the matrix says the same twice
            for name in ("met", "counted", "held"):
                other[name] += row[name]
    return list(found.values())


def make_attempt_rows(record: RunRecord, run: int, cells: Mapping[str, int]) -> list[Row]:
    """Return a row for each attempt at a cell that has more than one."""
    return [
        {
            "run": run,
            "cell": cells[cell.id],
            **{name: getattr(attempt, name) for name in _OF_AN_ATTEMPT},
            "outcome": _read_value(attempt.outcome),
            "reason": _read_value(attempt.reason),
            "load": _read_load(attempt),
            "steal": attempt.load.steal if attempt.load else None,
        }
        for cell in record.cells
        if len(cell.attempts) > 1
        for attempt in cell.attempts
    ]


def make_alarm_rows(run: int, alarms: Iterable[Alarm]) -> list[Row]:
    """Return a row for each alarm."""
    return [
        {
            "run": run,
            "key": alarm.key,
            "outcome": _read_value(alarm.outcome),
            "reason": _read_value(alarm.reason),
            "conditions": json.dumps(alarm.conditions),
            "cells": len(alarm.cells),
        }
        for alarm in alarms
    ]


def _read_load(attempt: Attempt) -> float | None:
    return attempt.load.average if attempt.load else None


def _read_handshake(cell: CellRecord) -> float | None:
    """Return how long the first handshake over HTTP/3 took."""
    h3 = cell.observations.h3 if cell.observations else None
    return h3.requests[0].handshake_s if h3 and h3.requests else None
