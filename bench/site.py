"""The dashboard: how long a year of nights takes, how long one more night, and how large it is."""

import random
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench import report
from bench.figures import Section, check_target
from bench.history import _make_night
from orchestrator.app.history import add_run
from orchestrator.app.site import build_site
from orchestrator.outcome import FAILURES, Outcome, Reason, Verdict
from orchestrator.record.history.history import History
from orchestrator.record.history.place import HistoryPlace, parse_place
from orchestrator.record.model import CellRecord, Observations, RunRecord
from orchestrator.site.write import Written

CELLS, NIGHTS = 500, 365


@dataclass(frozen=True, kw_only=True)
class Took:
    """Seconds of the clock, and of the CPU: on a busy machine the first says little."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        """Return both."""
        return f"{self.wall:.1f} s ({self.cpu:.1f} s of CPU)"


def measure(cells: int = CELLS, nights: int = NIGHTS, *, open_it: bool = True) -> Section:
    """Make the site of a year, then that with one more night."""
    with tempfile.TemporaryDirectory() as folder:
        place, out = parse_place(f"{folder}/history.db"), Path(folder) / "site"
        record = report.make_sample(cells)
        fill(place, record, 0, nights)
        first, written = _build(place, out, record, nights)
        fill(place, record, nights, nights + 1)
        again, more = _build(place, out, record, nights + 1)
        page = (out / "index.html").stat().st_size
        opened = report.open_page(out / "index.html") if open_it else None
    return Section(
        key="site",
        title="The dashboard",
        header=("nights x cells", "files", "size", "first time", "one more night", "of it written"),
        rows=(
            (
                f"{nights} x {cells}",
                f"{written.pages:,}",
                f"{written.size / 1e6:.0f} MB",
                str(first),
                str(again),
                f"{more.changed:,}",
            ),
        ),
        notes=(
            check_target("made the first time", first.wall, 60, "s"),
            check_target("made for one more night", again.wall, 5, "s"),
            check_target("size", written.size / 1e6, 100, "MB"),
            check_target("first page", page / 1e3, 300, "kB"),
            *([check_target("first page, opened by Chromium", opened, 1, "s")] if opened is not None else []),
        ),
    )


def _build(place: HistoryPlace, out: Path, record: RunRecord, nights: int) -> tuple[Took, Written]:
    began = _make_night(record, nights - 1).run.started_at
    now = datetime.fromisoformat(began) + timedelta(hours=5)
    started, worked = time.perf_counter(), time.process_time()
    with History(place) as kept:
        written = build_site(kept, out, series="nightly", now=now.astimezone(UTC))
    return Took(wall=time.perf_counter() - started, cpu=time.process_time() - worked), written


def fill(place: HistoryPlace, record: RunRecord, first: int, end: int) -> None:
    """Write nights that differ: a fault that comes and goes, a flaky cell, times that take a step."""
    with History(place) as kept:
        for number in range(first, end):
            night = _vary(_make_night(record, number), number)
            add_run(kept, night)


def _vary(night: RunRecord, number: int) -> RunRecord:
    """Return the record as one night made it; the tool changes each tenth night, packages each 30th."""
    dice = random.Random(number)  # noqa: S311 - no secret
    return night.model_copy(
        update={
            "run": night.run.model_copy(update={"tool_digest": f"{number // 10:064}"}),
            "components": tuple(
                one.model_copy(update={"version": f"{one.version}-{number // 30}"})
                if one.kind == "package"
                else one
                for one in night.components
            ),
            "cells": tuple(_vary_cell(cell, n, number, dice) for n, cell in enumerate(night.cells)),
        }
    )


def _vary_cell(cell: CellRecord, place: int, number: int, dice: random.Random) -> CellRecord:
    """Return the cell as one night found it."""
    slow = (1.4 if place % 50 == 0 and number > 200 else 1.0) * dice.lognormvariate(0, 0.08)  # noqa: PLR2004
    update: dict[str, object] = {"observations": _slow_down(cell.observations, slow)}
    broken = place % 40 == 7 and number % 90 > 80 - place % 30  # noqa: PLR2004
    flaky = place % 125 == 3 and dice.random() < 0.2  # noqa: PLR2004
    lost = number % 61 == 60 and place % 9 == 4  # noqa: PLR2004
    if cell.outcome is Outcome.PASS and (broken or flaky):
        reason = Reason.UPLOAD_INCOMPLETE if flaky else Reason.HANDSHAKE_THEN_HANG
        message = "the origin got 524288 of 1048576 bytes" if flaky else "nothing came for 8.0 s (curl 28)"
        verdict = Verdict.FLAKY if flaky else Verdict.REGRESSION
        failed = cell.attempts[0].model_copy(
            update={"outcome": Outcome.FAIL, "reason": reason, "message": message}
        )
        again = cell.attempts[0].model_copy(update={"number": 2, "why": "confirm 1"})
        update |= {"outcome": Outcome.FAIL, "reason": reason, "verdict": verdict, "message": message}
        update |= {"attempts": (failed, again) if flaky else (failed,)}
    elif cell.outcome is not Outcome.UNSUPPORTED and cell.outcome not in FAILURES and lost:
        update |= {"outcome": Outcome.BLOCKED, "reason": Reason.SOURCE_UNREACHABLE}
        update |= {"verdict": Verdict.NOT_JUDGED, "message": "no origin had libressl-3.9.2.tar.gz"}
    return cell.model_copy(update=update)


def _slow_down(seen: Observations | None, factor: float) -> Observations | None:
    if seen is None or seen.h3 is None:
        return seen
    requests = tuple(
        one.model_copy(update={"handshake_s": one.handshake_s and one.handshake_s * factor})
        for one in seen.h3.requests
    )
    return seen.model_copy(update={"h3": seen.h3.model_copy(update={"requests": requests})})
