"""What the script of a report draws when it is asked for: panels of cells that ended as expected. Pure.

In a large run these are nearly all cells, and most of their panels are never opened. So the page has them as
data: numbers into one list of parts, since most parts are those of many cells.
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from orchestrator.matrix.model import AXES
from orchestrator.outcome import Verdict
from orchestrator.record.model import ActionRecord, CellRecord, Expected, RunRecord
from orchestrator.report import attempts, expectations, grid, panel, summary, text, units

Href = Callable[[str], str | None]
Part = list[Any] | str
_ID, _FOLDER = "\x01", "\x02"
"""Stand for the cell's id and the folder of its evidence, so that their neighbours are alike in all cells. No
text that is shown has these characters."""
_MESSAGE, _STATUS = 2000, 500
"""Characters of a cell's message, and of an action's."""
_dump = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def is_drawn(cell: CellRecord, more: Collection[str]) -> bool:
    """Return whether the panel is drawn on demand: the cell is as expected, and there is nothing to tell.

    :param more: ids of cells of which something else is told, as news.
    """
    told = (
        (cell.expected and cell.expected.stale)
        or (cell.cause or cell.confirmation or cell.backtrace or cell.traced or cell.untraced)
        or cell.id in more
    )
    return summary.find_verdict(cell) is Verdict.AS_EXPECTED and len(cell.attempts) <= 1 and not told


def pack(
    record: RunRecord, builds: Mapping[str, int], *, words: summary.Words, more: Collection[str], href: Href
) -> Markup:
    """Return what the script needs of every cell and action, as JSON.

    :param builds: each build's place among those of the page.
    :param href: a link to a file of the run's folder, or nothing.
    """
    cells = record.cells
    names = {axis: grid.list_values(axis, cells) for axis in AXES}
    index = {axis: {name: i for i, name in enumerate(found)} for axis, found in names.items()}
    reasons = {name: i for i, name in enumerate(dict.fromkeys(cell.reason or "" for cell in cells))}
    panels = [list(_pack_panel(cell, href)) if is_drawn(cell, more) else [] for cell in cells]
    parts, packed = _share(panels)
    plain = {
        "axes": names,
        "states": summary.STATES,
        "titles": words.titles,
        "verdicts": summary.VERDICTS,
        "verdictTitles": words.verdict_titles,
        "tags": summary.TAGS,
        "reasons": list(reasons),
        "rows": grid.ROWS,
        "columns": grid.COLUMNS,
        "crowd": grid.CROWD,
        "many": grid.MANY,
        "emulated": sorted(grid.find_emulated(cells)),
        "builds": list(builds),
        "actions": [_pack_action(one, href) for one in record.actions],
    }
    rows = (
        [
            builds[cell.build.name],
            cell.id.removeprefix(cell.build.name),
            int(cell.id.startswith(cell.build.name)),
            [index[axis][getattr(cell.axes, axis).name] for axis in AXES],
            summary.STATES.index(summary.find_state(cell)),
            summary.VERDICTS.index(summary.find_verdict(cell)),
            reasons[cell.reason or ""],
            int(summary.is_emulated(cell)),
            attempts.describe_share(cell),
        ]
        for cell in cells
    )
    # Each part is written once, and what is written is put together as it is.
    whole = (f"{_dump(row)[:-1]}{''.join(found)}]" for row, found in zip(rows, packed, strict=True))
    dumped = f'{_dump(plain)[:-1]},"parts":[{",".join(parts)}],"cells":[{",".join(whole)}]}}'
    return Markup(dumped.replace("<", "\\u003c"))  # noqa: S704 - no "<" is left, so no tag can end or begin


def _pack_panel(cell: CellRecord, href: Href) -> Iterator[Part]:
    """Yield what stands at the right of the cell's line, the folder of its evidence, the panel's blocks."""
    folder = cell.evidence[0].rpartition("/")[0] if cell.evidence else ""

    def share(said: str) -> str:
        shared = said.replace(folder, _FOLDER) if folder else said
        return shared.replace(cell.id, _ID) if cell.id else shared

    def common(said: str) -> str:
        return str(text.isolate(share(said)))

    yield f"{cell.execution.mode}, {units.format_duration(cell.duration_s)}" if summary.is_tried(cell) else ""
    yield folder.replace(cell.id, _ID) if cell.id else folder
    if cell.message:
        yield ["said", common(text.shorten(cell.message, _MESSAGE))]
    if cell.expected and cell.expected.rule:
        yield ["fact", "expected", *_pack_rule(cell.expected)]
    for fact in panel.list_facts(cell):
        yield ["fact", fact.label, *(_pack_piece(said, common, href) for said in fact.said)]
    yield ["rerun", share(cell.reproducer)]  # no marks in what is to be copied
    if heads := panel.list_heads(cell):
        yield ["heads", *([text.isolate(head.title), head.names] for head in heads)]
        for line in panel.list_lines(cell):
            yield ["line", line.label, *(_pack_value(*value) for value in line.values)]
    if cell.attestation:
        claims = panel.list_claims(cell, cell.attestation)
        yield ["claims", *([one.what, one.declared, _pack_value(one.found, one.good)] for one in claims)]
    if log := panel.find_log_end(cell):
        yield ["log", common(log)]


def _pack_rule(rule: Expected) -> Iterator[Part]:
    """Yield what a rule expects, its reason as a text with its address, and its place."""
    yield expectations.describe_expected(rule)
    if rule.because:
        yield ", because "
        address = expectations.check_link(rule.because)
        yield [text.isolate(rule.because), address] if address else str(text.isolate(rule.because))
    yield str(text.isolate(f" ({rule.rule})"))


def _pack_action(one: ActionRecord, href: Href) -> list[Any]:
    status = f"{one.status}: {text.shorten(one.message, _STATUS)}" if one.message else one.status
    shown = (one.kind, one.name, status, units.format_duration(one.duration_s))
    log = [one.log] if one.log and href(one.log) else one.log or units.NOT_MEASURED
    return [*map(text.isolate, shown), log, one.digest or units.NOT_MEASURED]


def _pack_piece(said: str | panel.LinkedFile, common: Callable[[str], str], href: Href) -> Part:
    """Return a text, or a file to be linked as a list of one."""
    if isinstance(said, str):
        return common(said)
    return [common(said.path)] if href(said.path) else common(said.path) + " "


def _pack_value(value: str, good: bool | None) -> Part:
    shown = str(text.isolate(value))
    return shown if good is None else [shown, int(good)]


def _share(panels: Sequence[list[Part]]) -> tuple[list[str], list[list[str]]]:
    """Return the parts that several panels have, and the panels with numbers in their place; all as JSON.

    What a panel has begins with a comma, to follow what stands before it.
    """
    keys = [[_dump(part) for part in one] for one in panels]
    often = Counter(key for one in keys for key in one)
    places = {key: place for place, key in enumerate(key for key, count in often.items() if count > 1)}
    return list(places), [[f",{places.get(key, key)}" for key in one] for one in keys]
