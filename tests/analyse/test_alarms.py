"""Which alarms are the same alarm: by outcome, reason, and where it is."""

from samples import quick

from orchestrator.analyse.alarms import find_alarms, follow_alarms
from orchestrator.analyse.explain import explain
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


def test_an_alarm_is_a_cluster_of_explain() -> None:
    record = quick()
    hung = [number for number, cell in enumerate(record.cells) if "CHACHA20" in cell.id]
    (cluster,) = explain([failing(*hung)]).clusters
    found = alarm(*hung)
    assert found.conditions == tuple(sorted(cluster.when)) == ("cipher=TLS_CHACHA20_POLY1305_SHA256",)
    assert found.key == cluster.id
    assert set(found.cells) == set(cluster.cells)


def test_what_a_rule_expects_is_no_part_of_an_alarm() -> None:
    record = failing(*[number for number, cell in enumerate(quick().cells) if "CHACHA20" in cell.id])
    first = next(cell for cell in record.cells if cell.outcome is Outcome.FAIL)
    known = first.model_copy(update={"verdict": Verdict.KNOWN_FAILURE})
    cells = tuple(known if cell is first else cell for cell in record.cells)
    (found,) = find_alarms(record.model_copy(update={"cells": cells}))
    assert first.id not in found.cells
    assert found.conditions == ("cipher=TLS_CHACHA20_POLY1305_SHA256",)


def made(key: str, cells: str, reason: Reason = Reason.HANDSHAKE_TIMEOUT) -> Alarm:
    return Alarm(key=key, outcome=Outcome.FAIL, reason=reason, conditions=(), cells=tuple(cells))


def keys(alarms: list[Alarm], before: list[Alarm]) -> list[str]:
    return [one.key for one in follow_alarms(alarms, before)]


def test_an_alarm_that_is_worded_otherwise_is_known_by_half_of_its_cells() -> None:
    old = made("old", "abcd")
    assert keys([made("new", "abxy")], [old]) == ["old"]
    assert keys([made("new", "axyz")], [old]) == ["new"], "a quarter is another alarm"
    assert keys([made("new", "a")], [old]) == ["old"], "the rest of it was fixed"
    assert keys([made("new", "abcd", Reason.HANDSHAKE_BROKEN)], [old]) == ["new"]
    assert keys([made("new", "")], [made("old", "")]) == ["new"]


def test_no_two_alarms_become_one() -> None:
    old = made("old", "abcdef")
    assert keys([made("small", "ab"), made("large", "cdef")], [old]) == ["small", "old"]
    assert keys([made("new", "abcdef"), made("old", "xyz")], [old]) == ["new", "old"], "its own key first"
    assert keys([made("new", "ab")], [made("young", "ab"), made("old", "abcd")]) == ["young"], "the newest"
    assert keys([made("new", "abc")], [made("one", "x"), made("one", "abc")]) == ["new"], "as it was last"
