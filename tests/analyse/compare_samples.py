"""Cells and runs to compare: real records of a run on an engine in memory, with other ends."""

from pathlib import Path
from typing import Any

from engine_run import GCM, PACKAGES, EngineRun, chosen

from orchestrator.outcome import REASONS, Outcome, Reason, Verdict
from orchestrator.record.model import Attempt, CellRecord, Expected, Rule, RunRecord

CELLS = chosen("arch=amd64", "tls=openssl-3.5.7", f"cipher={GCM}")
AT = "2026-11-22T06:59:12+00:00"


def night(folder: Path, name: str, **versions: str) -> RunRecord:
    """A run of one cell, which passes, with packages of other versions in its images."""
    packages = {
        image: {key: versions.get(key, old) for key, old in each.items()} for image, each in PACKAGES.items()
    }
    return EngineRun(folder, CELLS, name=name, packages=packages).go()


def ended(
    cell: CellRecord, end: Reason | str | None, verdict: Verdict | None = None, attempts: str = ""
) -> CellRecord:
    """The cell with another end: a reason, "pass", or ``None`` for one that was not judged.

    :param attempts: a letter for each: p passes, f fails for that reason (or with a timeout).
    """
    reason = end if isinstance(end, Reason) else None
    outcome = REASONS[reason].outcome if reason else Outcome.PASS if end == "pass" else None
    if verdict is None:
        fails = outcome in {Outcome.FAIL, Outcome.MISBUILT}
        calm = outcome in {Outcome.PASS, Outcome.UNSUPPORTED}
        verdict = Verdict.REGRESSION if fails else Verdict.AS_EXPECTED if calm else Verdict.NOT_JUDGED
    made = []
    for number, letter in enumerate(attempts or ("p" if outcome is Outcome.PASS else "f"), start=1):
        why = None if letter == "p" else reason or Reason.HANDSHAKE_TIMEOUT
        made.append(
            Attempt(
                number=number,
                why="first" if number == 1 else "repeat",
                outcome=REASONS[why].outcome if why else Outcome.PASS,
                reason=why,
                message="",
                started_at=AT,
                duration_s=0.3,
            )
        )
    changed: dict[str, Any] = {"outcome": outcome, "reason": reason, "verdict": verdict}
    message = "" if reason is None else f"what {reason} means here"
    return cell.model_copy(update={**changed, "attempts": tuple(made) if outcome else (), "message": message})


def with_cells(record: RunRecord, *cells: CellRecord, **run: Any) -> RunRecord:
    return record.model_copy(update={"cells": cells, "run": record.run.model_copy(update=run)})


def on(day: int, record: RunRecord, end: Reason | str | None = "pass", attempts: str = "") -> RunRecord:
    """That record as the run of a night in November, its cell with another end."""
    verdict = Verdict.FLAKY if {"p", "f"} <= set(attempts) else None
    run = {"id": f"202611{day:02}-020000-0001", "series": "nightly"}
    run["started_at"] = f"2026-11-{day:02}T02:00:00+00:00"
    cells = tuple(ended(cell, end, verdict, attempts) for cell in record.cells)
    return record.model_copy(update={"cells": cells, "run": record.run.model_copy(update=run)})


def with_rule(record: RunRecord, verdict: Verdict = Verdict.KNOWN_FAILURE, line: int = 41) -> RunRecord:
    """The record with a rule that decides its cell."""
    place = f"matrix.yaml:{line}"
    rule = Rule(
        place=place,
        when=("tls=openssl-3.5.7",),
        outcome=Outcome.FAIL,
        reason=Reason.HANDSHAKE_TIMEOUT,
        cipher=None,
        because="https://github.com/haproxy/haproxy/issues/2569",
        until="",
        stale="",
        met=3,
    )
    expected = Expected(
        outcome=Outcome.FAIL,
        reason=Reason.HANDSHAKE_TIMEOUT,
        cipher=None,
        because=rule.because,
        rule=place,
        stale="",
    )
    change = {"expected": expected, "verdict": verdict}
    if verdict is Verdict.KNOWN_FAILURE:
        change |= {"outcome": Outcome.FAIL, "reason": Reason.HANDSHAKE_TIMEOUT}
    cells = tuple(cell.model_copy(update=change) for cell in record.cells)
    return record.model_copy(update={"cells": cells, "rules": (rule,)})
