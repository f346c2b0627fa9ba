"""The alarms of a run: failures that no rule expects, put together, with a key that is the same tomorrow."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence

from orchestrator.analyse.explain import Cluster, explain
from orchestrator.matrix.model import AXES
from orchestrator.outcome import ALARMS, Outcome, Reason, correct_verdict
from orchestrator.record.model import Alarm, CellRecord, RunRecord

_Kind = tuple[Outcome | None, Reason | None]


def find_alarms(record: RunRecord, clusters: Sequence[Cluster] | None = None) -> tuple[Alarm, ...]:
    """Return the run's alarms: one for each cluster of ``explain``, the rest by outcome and reason.

    :param clusters: those of the run, where somebody has them already: to find them takes time.
    """
    loud = {cell.id: cell for cell in record.cells if correct_verdict(cell.outcome, cell.verdict) in ALARMS}
    found = []
    if clusters is None:
        clusters = explain([record]).clusters if loud else ()
    for cluster in clusters:
        mine = [loud.pop(name) for name in (*cluster.cells, *cluster.maybe) if name in loud]
        if mine:
            found.append(_make_alarm((cluster.outcome, cluster.reason), mine, cluster.when))
    rest: dict[_Kind, list[CellRecord]] = {}
    for cell in loud.values():
        rest.setdefault((cell.outcome, cell.reason), []).append(cell)
    for kind, cells in sorted(rest.items(), key=str):
        conditions = find_common(cells, record.cells) if len(cells) > 1 else _list_axes(cells[0])
        found.append(_make_alarm(kind, cells, conditions))
    return tuple(found)


def follow_alarms(alarms: Sequence[Alarm], before: Sequence[Alarm]) -> tuple[Alarm, ...]:
    """Return the alarms of a run, each with the key that it had before.

    Runs differ in what they say a fault has in common: other cells were selected, a version moved on. So
    an alarm whose key is new takes that of one before it with the same outcome and reason, if half of the
    cells of one of them are among the other's. No two take the same one.

    :param before: the alarms of earlier runs, the newest first.
    """
    known: dict[str, Alarm] = {}
    for one in before:
        known.setdefault(one.key, one)
    keys = {alarm.key: alarm.key for alarm in alarms if known.pop(alarm.key, None)}
    for alarm in sorted(alarms, key=lambda one: (-len(one.cells), one.key)):
        if alarm.key not in keys:
            keys[alarm.key] = next(_find_same(alarm, known), alarm.key)
            known.pop(keys[alarm.key], None)
    return tuple(alarm.model_copy(update={"key": keys[alarm.key]}) for alarm in alarms)


def _find_same(alarm: Alarm, known: Mapping[str, Alarm]) -> Iterator[str]:
    cells = set(alarm.cells)
    for key, other in known.items():
        shared = len(cells.intersection(other.cells))
        alike = (alarm.outcome, alarm.reason) == (other.outcome, other.reason)
        if alike and shared and 2 * shared >= min(len(cells), len(other.cells)):
            yield key


def find_common(cells: Sequence[CellRecord], everything: Sequence[CellRecord]) -> tuple[str, ...]:
    """Return the axis values on which all of several cells agree, and the rest of the run does not."""
    shared = []
    for axis in AXES:
        here = {getattr(cell.axes, axis).name for cell in cells}
        if len(here) == 1 and len({getattr(cell.axes, axis).name for cell in everything}) > 1:
            shared.append(f"{axis}={here.pop()}")
    return tuple(shared) if len(cells) > 1 else ()


def _make_alarm(kind: _Kind, cells: Sequence[CellRecord], conditions: Sequence[str]) -> Alarm:
    names = tuple(cell.id for cell in cells)
    outcome, reason = kind
    said = json.dumps([outcome, reason, sorted(conditions) or sorted(names)])
    return Alarm(
        key=hashlib.sha256(said.encode()).hexdigest()[:16],
        outcome=outcome,
        reason=reason,
        conditions=tuple(sorted(conditions)),
        cells=names,
    )


def _list_axes(cell: CellRecord) -> list[str]:
    return [f"{axis}={getattr(cell.axes, axis).name}" for axis in AXES]
