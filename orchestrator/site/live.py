"""The page of a run that goes on. It is served, and no part of a site in a folder. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.outcome import Outcome
from orchestrator.record.model import CellRecord, RunRecord
from orchestrator.report import headline, html, summary, units
from orchestrator.report.text import make_visible
from orchestrator.site.pages import LIVE, POLICY, render

LIVE_POLICY = f"{POLICY}; connect-src 'self'"
"""The page may ask its own server for news."""
SHOWN = 20
"""Cells that are shown, the last ones that were judged."""
NOTHING: Mapping[str, Any] = {
    "run": "",
    "series": "",
    "status": "none",
    "level": "unsure",
    "sentence": "No run yet",
    "also": [],
    "began": "",
    "planned": 0,
    "judged": 0,
    "counts": [],
    "running": [],
    "last": [],
    "report": "",
    "problem": "",
}
"""What is told where there is no run."""


def tell_run(record: RunRecord, judged: Sequence[str], *, report: str) -> Mapping[str, Any]:
    """Return how far a run is, as JSON has it; its texts are safe to show, and still have to be escaped.

    :param judged: the ids of the judged cells, in the order in which they were judged.
    :param report: the address of the run's report.
    """
    cells = {cell.id: cell for cell in record.cells}
    first, *others = headline.write_parts(record, ())
    done = [cell for cell in record.cells if cell.outcome is not None]
    return {
        "run": make_visible(record.run.id),
        "series": make_visible(record.run.series),
        "status": record.run.status,
        "level": headline.find_level(record),
        "sentence": make_visible(first),
        "also": [make_visible(text) for text in others],
        "began": make_visible(units.format_moment(record.run.started_at)),
        "planned": len(record.cells),
        "judged": len(done),
        "counts": [list(part) for part in summary.make_segments(done)],
        "running": [
            {"kind": make_visible(action.kind), "name": make_visible(action.name)}
            for action in record.actions
            if action.status == "running"
        ],
        "last": [_tell_cell(cells[name], report) for name in reversed(judged[-SHOWN:]) if name in cells],
        "report": report,
        "problem": "",
    }


def _tell_cell(cell: CellRecord, report: str) -> Mapping[str, str]:
    verdict = summary.find_verdict(cell)
    return {
        "cell": make_visible(cell.id),
        "state": summary.find_state(cell),
        "outcome": summary.TITLES[summary.find_state(cell)],
        "verdict": str(verdict),
        "tag": summary.TAGS[verdict],
        "reason": str(cell.reason or ""),
        "message": make_visible(cell.message) if cell.outcome is not Outcome.PASS else "",
        "link": f"{report}#{html.make_anchor(cell)}",
    }


def tell_problem(told: Mapping[str, Any], error: Exception) -> Mapping[str, Any]:
    """Return the same, with why the run cannot be followed any further."""
    return {**told, "problem": make_visible(f"The run cannot be followed: {error}")}


def render_live(told: Mapping[str, Any], *, pages: bool) -> bytes:
    """Return the page.

    :param pages: whether the site has any other page.
    """
    return render(
        "live.html.j2",
        LIVE[0],
        policy=LIVE_POLICY,
        series=told["series"],
        count=int(pages),
        overdue="",
        live=told,
    )
