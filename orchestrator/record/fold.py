"""From the events of a run to its record, and to ``run.json``."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from orchestrator.atomic_files import write_atomically
from orchestrator.errors import MatrixctlError
from orchestrator.record.journal import (
    ActionChanged,
    CellJudged,
    CellsAsked,
    CellTraced,
    CellUntraced,
    ClientsProved,
    ComponentResolved,
    Event,
    ExplorationEnded,
    RunFinished,
    RunResumed,
    RunStarted,
    SelfTested,
)
from orchestrator.record.model import (
    ActionRecord,
    CellRecord,
    ClientProof,
    Component,
    Exploration,
    Resumption,
    Rule,
    RunInfo,
    RunRecord,
)

_Actions = dict[tuple[str, str], ActionRecord]
"""By kind and name."""


def fold(events: Iterable[Event]) -> RunRecord:
    """Return the record after the events, with counts. Pure: same events, same record.

    :raises MatrixctlError: if the first event is not the start, there is another start, or a cell is traced
        that the run has not.
    """
    stream = iter(events)
    start, rest = next(stream, None), list(stream)
    if not isinstance(start, RunStarted) or any(isinstance(event, RunStarted) for event in rest):
        raise MatrixctlError("a journal begins with run-started, and has it once")
    run = start.record.run
    # As a whole: two versions of a library are two components, and so are two origins of one version.
    components = {_place_component(component): component for component in start.record.components}
    actions = {(item.kind, item.name): item for item in start.record.actions}
    cells = {item.id: item for item in start.record.cells}
    planned = set(cells)
    selftests = {(item.tls, item.arch, item.execution): item for item in start.record.selftests}
    clients = {_name_proof(one): one for one in start.record.clients}
    rules = start.record.rules
    for event in rest:
        run = _change_run(run, event)
        actions |= _change_actions(actions, event)
        match event:
            case ComponentResolved(component=component):
                before = components.get(_place_component(component))
                components[_place_component(component)] = (
                    _join_uses(before, component) if before else component
                )
            case SelfTested(selftest=test):
                selftests[test.tls, test.arch, test.execution] = test
            case CellJudged() | CellTraced() | CellUntraced():
                cell = _change_cell(cells, event)
                cells[cell.id] = cell
            case ClientsProved(clients=proofs):
                clients |= {_name_proof(one): one for one in proofs}
            case CellsAsked(cells=asked):
                planned |= {item.id for item in asked}
                cells |= {item.id: item for item in asked if item.id not in cells}
                rules = tuple(_hold(rule, asked) for rule in rules)
    judged = sum(cell.outcome is not None for cell in cells.values())
    return start.record.model_copy(
        update={
            "run": run.model_copy(update={"planned": len(planned), "judged": judged}),
            "components": tuple(component for _, component in sorted(components.items())),
            "actions": tuple(actions.values()),
            "cells": tuple(cells.values()),
            "selftests": tuple(test for _, test in sorted(selftests.items())),
            "clients": tuple(clients.values()),
            "rules": rules,
        }
    )


def _change_actions(actions: _Actions, event: Event) -> _Actions:
    """Return the actions that an event changes."""
    match event:
        case ActionChanged(action=action):
            return {(action.kind, action.name): _keep_spans(actions, action)}
        case RunResumed(actions=more):
            cut = {key: _cut_off_action(action) for key, action in actions.items()}
            return cut | {(item.kind, item.name): _keep_spans(cut, item) for item in more}
        case RunFinished():  # of what had not ended by then, the run did not wait for the end
            return {key: _cut_off_action(action) for key, action in actions.items()}
        case CellsAsked(actions=more):
            new = {(item.kind, item.name): item for item in more}
            return {key: item for key, item in new.items() if key not in actions}
        case _:
            return {}


def _change_cell(
    cells: Mapping[str, CellRecord], event: CellJudged | CellTraced | CellUntraced
) -> CellRecord:
    """Return the cell as it was judged or traced again; one says nothing of the other.

    :raises MatrixctlError: where a cell was traced that the run has not.
    """
    if isinstance(event, CellJudged):
        before = cells.get(event.cell.id)
        traced = event.cell.traced or (before.traced if before else None)
        untraced = event.cell.untraced or (before.untraced if before else "")
        return event.cell.model_copy(update={"traced": traced, "untraced": untraced if not traced else ""})
    if event.cell not in cells:
        said = f"the journal has a second run of {event.cell!r}, which is no cell of the run"
        raise MatrixctlError(said)
    if isinstance(event, CellUntraced):
        return cells[event.cell].model_copy(update={"untraced": event.why})
    return cells[event.cell].model_copy(update={"traced": event.traced, "untraced": ""})


def _change_run(run: RunInfo, event: Event) -> RunInfo:
    """Return what is said of the run as a whole, after an event."""
    match event:
        case RunResumed(at=at, stood=stood):
            resumed = (*run.resumed, Resumption(at=at, stood=stood))
            return run.model_copy(update={**_UNFINISHED, "resumed": resumed})
        case CellsAsked(cells=asked) if run.exploration:
            rounds = (*run.exploration.rounds, tuple(cell.id for cell in asked))
            return _explore(run, run.exploration, rounds=rounds)
        case ExplorationEnded(end=end, left=left) if run.exploration:
            return _explore(run, run.exploration, end=end, left=left)
        case RunFinished():
            return run.model_copy(update=event.model_dump(exclude={"kind", "at"}))
        case _:
            return run


def _hold(rule: Rule, asked: Iterable[CellRecord]) -> Rule:
    """Return the rule as it stands with the cells that were asked for as well."""
    expected = (cell.expected for cell in asked)
    stale = next((one.stale for one in expected if one and one.rule == rule.place and one.stale), "")
    return rule.model_copy(update={"stale": stale}) if stale and not rule.stale else rule


def _explore(run: RunInfo, before: Exploration, **update: object) -> RunInfo:
    return run.model_copy(update={"exploration": before.model_copy(update=update)})


def mark_cut_off(record: RunRecord) -> RunRecord:
    """Return the record of a run that no process holds: without an end it was cut off."""
    if record.run.status != "running":
        return record
    return record.model_copy(
        update={
            "run": record.run.model_copy(update={"status": "cut-off"}),
            "actions": tuple(_cut_off_action(action) for action in record.actions),
        }
    )


_UNFINISHED = {"status": "running", "finished_at": None, "duration_s": None, "exit_code": None, "message": ""}


def _cut_off_action(action: ActionRecord) -> ActionRecord:
    if action.status != "running":
        return action
    spans = tuple(
        span.model_copy(update={"status": "interrupted"}) if span.status == "running" else span
        for span in action.spans
    )
    return action.model_copy(update={"status": "interrupted", "spans": spans})


def _keep_spans(actions: Mapping[tuple[str, str], ActionRecord], now: ActionRecord) -> ActionRecord:
    """Return the action as it is now, and all times that it was worked on: each as the last event has it."""
    before = actions.get((now.kind, now.name))
    if before is None or not before.spans:
        return now
    spans = {(span.shard, span.started_at): span for span in (*before.spans, *now.spans)}
    return now.model_copy(update={"spans": tuple(spans.values())})


def _name_proof(one: ClientProof) -> tuple[str, str, str]:
    """Return what is proved: a newer proof of the same replaces it."""
    return one.client, one.transport, one.suite


_KINDS = ("image", "emulator", "source", "patch", "package")


def _place_component(one: Component) -> tuple[int, str, str, str, str]:
    """Return what a component is, and its place among others, independent of which was ready first."""
    return _KINDS.index(one.kind), one.name, one.version, one.digest or "", one.origin


def _join_uses(one: Component, other: Component) -> Component:
    """Return the component, used by the actions that used it before and by those that use it now."""
    used = None if one.used_by is other.used_by is None else (*(one.used_by or ()), *(other.used_by or ()))
    return other.model_copy(
        update={"used_by": used and tuple(sorted(set(used))), "rest": other.rest or one.rest}
    )


def write_run_json(record: RunRecord, path: Path) -> None:
    """Replace ``run.json`` as a whole: a reader never sees half of it."""
    write_atomically(path, record.model_dump_json(indent=1).encode() + b"\n")
