"""Whether a verdict stands when its cell is probed again, alone. Pure."""

from orchestrator.outcome import ALARMS, Verdict, find_verdict
from orchestrator.record.model import CellRecord, Confirmation, list_counted

_ROUND = "confirm"
"""Begins ``Attempt.why`` of an attempt that was made to confirm another one."""
_LOUD = ALARMS | {Verdict.NOW_PASSING}
"""What is confirmed: it wakes a person, or makes one remove a rule."""


def is_due(cell: CellRecord, wanted: int | None) -> bool:
    """Return whether the cell's verdict is still to be confirmed.

    :param wanted: how often such a cell is probed again; ``None``: once, if it failed under a heavy load.
    """
    probed = any(one.duration_s for one in cell.attempts)  # else a build failed, and will again
    return cell.verdict in _LOUD and not cell.confirmation and probed and _count_wanted(cell, wanted) > 0


def find_rounds(cell: CellRecord, wanted: int | None) -> tuple[str, ...]:
    """Return the attempts that are to be made for that, each with its ``why``.

    None where the attempts that were made disagree already, as those of ``--repeat`` may.
    """
    found = set(_judge_attempts(cell))
    if not is_due(cell, wanted) or (found & ALARMS and found - ALARMS):
        return ()
    made = {one.why.partition(",")[0] for one in cell.attempts}  # a reason why it was made again may follow
    names = (f"{_ROUND} {number + 1}" for number in range(_count_wanted(cell, wanted)))
    return tuple(why for why in names if why not in made)


def settle(cell: CellRecord, *, why_open: str = "") -> CellRecord:
    """Return the cell with what its confirmation has come to.

    A verdict is confirmed where all attempts agree. One failure that is an alarm and one attempt that is no
    alarm make the cell flaky: neither an alarm nor green.

    :param why_open: why it was not probed again as often as wanted.
    """
    judged = _judge_attempts(cell)
    alarms = [one in ALARMS for one in judged]
    if any(alarms) and not all(alarms):
        found, verdict = Confirmation(state="flaky"), Verdict.FLAKY
        return cell.model_copy(update={"confirmation": found, "verdict": verdict})
    why = why_open or ("" if judged[1:] else "the harness failed in each other attempt")
    agree = all(alarms) or len(set(judged)) == 1
    state = "open" if why else "confirmed" if agree else "flaky"
    return cell.model_copy(update={"confirmation": Confirmation(state=state, why=why)})


def _count_wanted(cell: CellRecord, wanted: int | None) -> int:
    if wanted is not None:
        return wanted
    return int(any(one.load and one.load.is_heavy for one in list_counted(cell.attempts)))


def _judge_attempts(cell: CellRecord) -> list[Verdict]:
    """Return the verdict on each attempt that says something of the product."""
    every = [find_verdict(one.outcome, one.reason, cell.expected) for one in list_counted(cell.attempts)]
    return [one for one in every if one is not Verdict.NOT_JUDGED]
