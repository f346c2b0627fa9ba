"""Which alarms are the same alarm: by outcome, reason, and where it is."""

from samples import quick

from orchestrator.analyse.alarms import find_alarms
from orchestrator.matrix.model import AXES
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.model import Alarm, RunRecord

FAILED = {"outcome": Outcome.FAIL, "reason": Reason.HANDSHAKE_TIMEOUT, "verdict": Verdict.REGRESSION}
GOOD = {"outcome": Outcome.PASS, "reason": None, "verdict": Verdict.AS_EXPECTED}


def failing(*which: int) -> RunRecord:
    """A run in which those cells fail alike, and no other."""
    record = quick()
    cells = tuple(
        cell.model_copy(update=FAILED if number in which else GOOD)
        for number, cell in enumerate(record.cells)
    )
    return record.model_copy(update={"cells": cells})


def alarm(*which: int) -> Alarm:
    (found,) = find_alarms(failing(*which))
    return found


def test_one_cell_is_where_its_axes_are() -> None:
    first, second = alarm(0), alarm(1)
    axes = quick().cells[0].axes
    assert first.conditions == tuple(sorted(f"{axis}={getattr(axes, axis).name}" for axis in AXES))
    assert first.key != second.key, "another cell is another alarm"
    assert alarm(0).key == first.key


def test_cells_that_share_nothing_are_known_by_their_ids() -> None:
    every = range(len(quick().cells))
    whole = alarm(*every)
    assert whole.conditions == ()
    record = failing(*every)
    fewer = record.model_copy(update={"cells": record.cells[:-1]})
    (other,) = find_alarms(fewer)
    assert other.conditions == ()
    assert other.key != whole.key
    turned = record.model_copy(update={"cells": record.cells[::-1]})
    assert [one.key for one in find_alarms(turned)] == [whole.key]
