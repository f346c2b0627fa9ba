"""How the attempts at a cell ended, in words: one result must not stand for all of them."""

from collections import Counter

from orchestrator.outcome import FAILURES, Outcome
from orchestrator.record.model import Attempt, CellRecord, list_counted

_ENDED = {
    **dict.fromkeys(FAILURES, "failed"),
    Outcome.ERROR: "ended in error",
    Outcome.BLOCKED: "were blocked",
    Outcome.UNSUPPORTED: "were unsupported",
    Outcome.PASS: "passed",
}


def tally(*cells: CellRecord) -> str:
    """Return how many attempts at the cells failed, as in ``4 of 6 attempts failed``; worse ends come first.

    Reasons are named where there are several. What is not counted has passed. Empty where no cell was
    attempted more than once; an attempt that another one replaced is none.
    """
    made = [list_counted(cell.attempts) for cell in cells]
    if all(len(attempts) <= 1 for attempts in made):
        return ""
    every = [attempt for attempts in made for attempt in attempts]
    found = Counter(_ENDED[attempt.outcome] for attempt in every)
    first, *others = [ended for ended in dict.fromkeys(_ENDED.values()) if found[ended]]
    words = [f"{found[first]} of {len(every)} attempts {first}{_list_reasons(every, first)}"]
    words += [
        f"{found[ended]} {ended}{_list_reasons(every, ended)}"
        for ended in others
        if ended != _ENDED[Outcome.PASS]
    ]
    return ", ".join(words)


def describe(cell: CellRecord) -> str:
    """Return the cell's message, behind what has to be known of its attempts."""
    return ": ".join(part for part in (write_preface(cell), cell.message) if part)


def write_preface(cell: CellRecord) -> str:
    """Return the tally of the cell's attempts, and what kept its verdict from being confirmed; or nothing."""
    is_open = cell.confirmation is not None and cell.confirmation.state == "open"
    return "; ".join(part for part in (tally(cell), describe_confirmation(cell) if is_open else "") if part)


def describe_confirmation(cell: CellRecord) -> str:
    """Return what became of the cell when it was probed again to confirm its verdict; else nothing."""
    found = cell.confirmation
    if found is None:
        return ""
    if found.state == "open":
        return f"not confirmed, since {found.why}" if found.why else "not confirmed"
    return "confirmed, alone" if found.state == "confirmed" else "flaky: its attempts disagree"


def describe_share(cell: CellRecord) -> str:
    """Return ``4 of 6`` for a cell that failed in four attempts of six; empty if all ended alike."""
    attempts = list_counted(cell.attempts)
    ends = Counter(_ENDED[attempt.outcome] for attempt in attempts)
    worst = next((ended for ended in dict.fromkeys(_ENDED.values()) if ends[ended]), "")
    return f"{ends[worst]} of {len(attempts)}" if len(ends) > 1 else ""


def _list_reasons(attempts: list[Attempt], ended: str) -> str:
    found = Counter(str(one.reason) for one in attempts if _ENDED[one.outcome] == ended and one.reason)
    listed = ", ".join(f"{count} {reason}" for reason, count in found.most_common())
    return f" ({listed})" if len(found) > 1 else ""
