"""The HTML report: one file that works offline, with JavaScript and without."""

import base64
import hashlib
import json
import re
from functools import cache
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from orchestrator import resources
from orchestrator.matrix.model import AXES
from orchestrator.outcome import Outcome
from orchestrator.record.model import CellRecord, RunRecord
from orchestrator.report import grid, panel, summary, text, units

_GROUP_SHOWN = 12
"""Cells of one group of failures that stand in the open; the others are folded."""


def render(record: RunRecord) -> str:
    """The whole page. Pure: the same record gives the same bytes."""
    record = text.safe(record)
    style, script = _asset("style.css"), _asset("script.js")
    page = _environment().get_template("report.html.j2")
    return page.render(
        record=record,
        run=record.run,
        verdict=summary.verdict(record),
        state=_headline_state(record),
        counts=summary.counts(record.cells),
        groups=summary.groups(record),
        group_shown=_GROUP_SHOWN,
        grid=grid.default(record.cells),
        builds=_builds(record.cells),
        data=_data(record.cells),
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        policy=_policy(style, script),
    )


def anchor(cell: CellRecord) -> str:
    """The fragment of the cell's panel: stable from run to run."""
    return "c-" + re.sub(r"[^A-Za-z0-9._-]", "_", cell.id)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(resources.root() / "templates" / "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        panel_of=panel, state_of=summary.state, titles=summary.TITLES, meanings=summary.MEANINGS
    )
    environment.filters.update(
        anchor=anchor,
        breakable=_breakable,
        emulated=_emulated,
        tried=_tried,
        duration=units.duration,
        href=_href,
        moment=units.moment,
        ms=units.milliseconds,
        short=text.shorten,
        size=units.size,
        suite=_suite,
    )
    return environment


def _asset(name: str) -> str:
    return (resources.root() / "templates" / "report" / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """A Content-Security-Policy under which nothing but our own two inline blocks has any effect."""
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(block: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()}'"


def _headline_state(record: RunRecord) -> str:
    """The worst state in the run; of an unfinished one, and of one without a cell, never green."""
    worst = next((name for name, count in summary.counts(record.cells).items() if count), summary.NOT_JUDGED)
    if record.run.status != "finished" and worst in {"pass", "unsupported"}:
        return summary.NOT_JUDGED
    if worst == "unsupported" and any(cell.outcome is Outcome.PASS for cell in record.cells):
        return "pass"
    return worst


def _builds(cells: tuple[CellRecord, ...]) -> dict[str, list[CellRecord]]:
    found: dict[str, list[CellRecord]] = {}
    for cell in cells:
        found.setdefault(cell.build.name, []).append(cell)
    return found


def _data(cells: tuple[CellRecord, ...]) -> Markup:
    """What the script needs of every cell, as numbers into short lists; texts it reads from the page."""
    names = {axis: grid.values(axis, cells) for axis in AXES}
    index = {axis: {name: i for i, name in enumerate(found)} for axis, found in names.items()}
    data = {
        "axes": names,
        "states": summary.STATES,
        "titles": summary.TITLES,
        "reasons": (reasons := list(dict.fromkeys(cell.reason or "" for cell in cells))),
        "rows": grid.ROWS,
        "columns": grid.COLUMNS,
        "cells": [
            [
                anchor(cell),
                [index[axis][getattr(cell.axes, axis).name] for axis in AXES],
                summary.STATES.index(summary.state(cell)),
                reasons.index(cell.reason or ""),
                int(_emulated(cell)),
            ]
            for cell in cells
        ],
    }
    dumped = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return Markup(dumped.replace("<", "\\u003c"))  # noqa: S704 - no "<" is left, so no tag can end or begin


def _emulated(cell: CellRecord) -> bool:
    """True where something really ran under QEMU: what was not tried says nothing of emulation."""
    return _tried(cell) and cell.execution.mode == "emulated"


def _tried(cell: CellRecord) -> bool:
    return cell.outcome not in {None, Outcome.UNSUPPORTED, Outcome.BLOCKED}


def _breakable(name: str) -> Markup:
    """``name`` with permission to break after underscores (browsers break after hyphens already)."""
    return Markup(re.sub(r"_(?=\w)", "_<wbr>", str(escape(name))))  # noqa: S704 - escaped before


def _suite(name: str) -> str:
    """A suite's name without the parts that all TLS 1.3 suites share."""
    return re.sub(r"^TLS_(\w+?)_SHA(256|384)$", r"\1", name)


def _href(path: str) -> str | None:
    """A link to a file of the run's folder, or ``None`` for a path that would leave it."""
    if path.startswith("/") or ".." in path.split("/"):
        return None
    return "./" + quote(path)
