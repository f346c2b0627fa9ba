"""Cells put together: by cause where one is known, else by verdict, outcome and reason; most urgent first."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from orchestrator.analyse.alarms import find_common
from orchestrator.outcome import ALARMS, REASONS, Outcome, Verdict
from orchestrator.record.model import CellRecord, Expected, RunRecord
from orchestrator.report import attempts, expectations, summary
from orchestrator.report.causes import name_cause

_REASONS = {str(reason): info.meaning for reason, info in REASONS.items()}


@dataclass(frozen=True, kw_only=True)
class Group:
    """Cells that share a verdict, a state, and a cause; or a reason, and what was expected in place of it."""

    verdict: Verdict
    state: str
    reason: str
    title: str
    meaning: str
    common: str
    """The axis values on which all agree, and the rest of the run does not; empty where clusters say it."""
    cause: str
    """Of the self-test: that of the first cell, where the others have it with other details."""
    expected: Expected | None
    """The rule, where all cells have the same one; a declaration is none."""
    tally: str
    """How the attempts at its cells ended, where a cell had several."""
    cells: tuple[CellRecord, ...]
    waits: bool
    """The run goes on, and has yet to come to them."""

    @property
    def quiet(self) -> bool:
        """Return true if nothing has to be done."""
        return self.waits or self.verdict in {Verdict.KNOWN_FAILURE, Verdict.AS_EXPECTED}


_Key = tuple[Verdict, str, str, str, str]


def group_cells(record: RunRecord, explained: Collection[str] = ()) -> tuple[Group, ...]:
    """Return all cells but those that pass as expected, in groups: worst first, then the largest.

    :param explained: the cells that clusters explain.
    """
    found: dict[_Key, list[CellRecord]] = {}
    for cell in record.cells:
        if cell.outcome is not Outcome.PASS or summary.find_verdict(cell) is not Verdict.AS_EXPECTED:
            found.setdefault(_make_key(cell), []).append(cell)
    order = sorted(found, key=lambda key: (summary.rank(found[key][0]), -len(found[key]), key))
    return tuple(_make_group(key, found[key], record, explained) for key in order)


def _make_key(cell: CellRecord) -> _Key:
    verdict = summary.find_verdict(cell)
    cause = name_cause(cell.cause) if verdict in ALARMS else ""
    if cause:
        return verdict, summary.find_state(cell), "", "", cause
    differs = verdict in ALARMS | {Verdict.NOW_PASSING}
    was = expectations.describe_expected(cell.expected) if cell.expected and differs else ""
    return verdict, summary.find_state(cell), cell.reason or "", was, ""


def _make_group(key: _Key, cells: list[CellRecord], record: RunRecord, explained: Collection[str]) -> Group:
    verdict, state, reason, _, cause = key
    words = summary.choose_words(record)
    waits = all(summary.is_waiting(cell, record.run) for cell in cells)
    causes = {cell.cause for cell in cells}
    rules = {cell.expected if cell.expected and cell.expected.rule else None for cell in cells}
    return Group(
        verdict=verdict,
        state=state,
        reason=reason,
        title=words.titles[state] if waits else _write_title(key),
        meaning=_tell_reasons(cells)
        if cause
        else _REASONS.get(reason) or (words.meanings[state] if state != Outcome.PASS else verdict.meaning),
        common=""
        if waits or all(cell.id in explained for cell in cells)
        else ", ".join(find_common(cells, record.cells)),
        cause=cells[0].cause if cause or len(causes) == 1 else "",
        expected=rules.pop() if len(rules) == 1 else None,
        tally=attempts.tally(*cells),
        cells=tuple(cells),
        waits=waits,
    )


def _tell_reasons(cells: list[CellRecord]) -> str:
    found = Counter(str(cell.reason or summary.TITLES[summary.find_state(cell)]) for cell in cells)
    if len(found) == 1:
        (reason,) = found
        return ": ".join(part for part in (reason, _REASONS.get(reason, "")) if part)
    return ", ".join(f"{count} {reason}" for reason, count in found.most_common())


def _write_title(key: _Key) -> str:
    verdict, state, reason, was, cause = key
    if cause:
        return f"{summary.VERDICT_TITLES[verdict]}: {cause}"
    found = reason or ("" if state == summary.NOT_JUDGED else summary.TITLES[state])
    name = summary.TITLES[state] if verdict is Verdict.AS_EXPECTED else summary.VERDICT_TITLES[verdict]
    if verdict is Verdict.NOW_PASSING:
        return f"{name}, expected {was}" if was else name
    said = f"{name}: {found}" if found and found != name else name
    return f"{said}, expected {was}" if was else said
