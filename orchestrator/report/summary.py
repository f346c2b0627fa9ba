"""What a run comes to, in words: counts, the verdict line, and failures grouped by what they are."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.matrix.model import AXES
from orchestrator.outcome import REASONS, Outcome
from orchestrator.record.model import CellRecord, RunRecord

NOT_JUDGED = "not-judged"
STATES = (
    Outcome.FAIL.value,
    Outcome.MISBUILT.value,
    Outcome.ERROR.value,
    Outcome.BLOCKED.value,
    NOT_JUDGED,
    Outcome.UNSUPPORTED.value,
    Outcome.PASS.value,
)
"""What a cell may show, worst first: the outcomes, and "not judged" for a cell that has none."""
_QUIET = {Outcome.UNSUPPORTED.value, Outcome.PASS.value}
TITLES = {
    "fail": "fail",
    "misbuilt": "misbuilt",
    "error": "error",
    "blocked": "blocked",
    "not-judged": "not judged",
    "unsupported": "unsupported",
    "pass": "pass",
}
MEANINGS = {
    "fail": "HAProxy or its TLS library did wrong",
    "misbuilt": "what ran is not what was declared",
    "error": "the harness failed; says nothing about HAProxy",
    "blocked": "not run, since something it needs did not succeed",
    "not-judged": "planned, but no result was recorded",
    "unsupported": "declared impossible, not tried",
    "pass": "HTTP/3 works, with the wanted cipher and whole bodies",
}
_VERBS = {
    "fail": ("fails", "fail"),
    "misbuilt": ("is misbuilt", "are misbuilt"),
    "error": ("ended in an error of the harness", "ended in errors of the harness"),
    "blocked": ("is blocked", "are blocked"),
    "not-judged": ("was not judged", "were not judged"),
}
_REASONS_IN_VERDICT = 3


@dataclass(frozen=True, kw_only=True)
class Group:
    """Cells that share a state and a reason. ``common`` says on which axes they all agree."""

    state: str
    reason: str
    meaning: str
    common: str
    cells: tuple[CellRecord, ...]


def state(cell: CellRecord) -> str:
    """The cell's entry of STATES."""
    return cell.outcome.value if cell.outcome else NOT_JUDGED


def counts(cells: Iterable[CellRecord]) -> dict[str, int]:
    """How many cells there are of every state, zeros included, worst first."""
    found = Counter(state(cell) for cell in cells)
    return {name: found[name] for name in STATES}


def groups(record: RunRecord) -> tuple[Group, ...]:
    """All cells that do not pass, by state and reason: worst first, then the largest group."""
    found: dict[tuple[str, str], list[CellRecord]] = {}
    for cell in record.cells:
        if cell.outcome is not Outcome.PASS:
            found.setdefault((state(cell), cell.reason or ""), []).append(cell)
    order = sorted(found, key=lambda key: (STATES.index(key[0]), -len(found[key]), key[1]))
    return tuple(_group(key, found[key], record.cells) for key in order)


def _group(key: tuple[str, str], cells: list[CellRecord], everything: Sequence[CellRecord]) -> Group:
    name, reason = key
    meaning = next((info.meaning for info in REASONS.values() if info.reason == reason), MEANINGS[name])
    return Group(
        state=name, reason=reason, meaning=meaning, common=_common(cells, everything), cells=tuple(cells)
    )


def _common(cells: Sequence[CellRecord], everything: Sequence[CellRecord]) -> str:
    """The axis values that all of ``cells`` share and that others in the run do not: where to look first."""
    shared = []
    for axis in AXES:
        here = {getattr(cell.axes, axis).name for cell in cells}
        if len(here) == 1 and len({getattr(cell.axes, axis).name for cell in everything}) > 1:
            shared.append(f"{axis}={here.pop()}")
    return ", ".join(shared) if len(cells) > 1 else ""


def verdict(record: RunRecord) -> tuple[str, ...]:
    """The run in words, fit for the first line of a page: the main finding, then what else there is.

    A cell that was not judged is counted as such; nothing but a finished run of passes says "all pass".
    """
    if not record.cells:
        return ("No cell: there is nothing to judge",)
    found = counts(record.cells)
    if record.run.status == "finished":
        return _finished(record, found)
    judged = f"{len(record.cells) - found[NOT_JUDGED]} of {len(record.cells)} cells judged"
    ended = "Still running" if record.run.status == "running" else "Interrupted"
    loud = [_part(name, record, found[name]) for name in STATES[: STATES.index(NOT_JUDGED)] if found[name]]
    return (f"{ended}: {judged}", *loud, *_quiet(found))


def _finished(record: RunRecord, found: dict[str, int]) -> tuple[str, ...]:
    total = len(record.cells)
    loud = [name for name in STATES if found[name] and name not in _QUIET]
    if loud:
        first, *rest = loud
        parts = (_part(first, record, found[first], total), *(_part(n, record, found[n]) for n in rest))
        return (*parts, *_quiet(found))
    if not found["pass"]:
        return ("Nothing was put to the test", *_quiet(found))
    passes = "The one judged cell passes" if found["pass"] == 1 else f"All {found['pass']} judged cells pass"
    return (passes, *_quiet(found | {"pass": 0}))


def _quiet(found: dict[str, int]) -> tuple[str, ...]:
    passing = "1 passes" if found["pass"] == 1 else f"{found['pass']} pass"
    return tuple(
        words
        for words, count in (
            (passing, found["pass"]),
            (f"{found['unsupported']} unsupported", found["unsupported"]),
        )
        if count
    )


def _part(name: str, record: RunRecord, count: int, total: int | None = None) -> str:
    of = f"{count} of {total} {'cell' if total == 1 else 'cells'} " if total else f"{count} "
    sentence = of + _VERBS[name][0 if count == 1 else 1]
    reasons = [group.reason for group in groups(record) if group.state == name and group.reason]
    if not reasons:
        return sentence
    listed = ", ".join(reasons[:_REASONS_IN_VERDICT])
    more = f" and {len(reasons) - _REASONS_IN_VERDICT} more" if len(reasons) > _REASONS_IN_VERDICT else ""
    return f"{sentence}: {listed}{more}" if total else f"{sentence} ({listed}{more})"
