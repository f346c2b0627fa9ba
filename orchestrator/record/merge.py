"""The runs of a selection's shards, made into one run. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator import bounds
from orchestrator.errors import Exit
from orchestrator.outcome import Verdict, rank_severity
from orchestrator.record import journal
from orchestrator.record.journal import CellJudged, Event, RunFinished, RunStarted
from orchestrator.record.merge_parts import Part, find_exit
from orchestrator.record.model import (
    ActionRecord,
    ActionStatus,
    CellRecord,
    ClientProof,
    SelfTest,
    ShardRecord,
    Span,
)

_NAMED = 5
"""Cells or shards that a sentence names."""
_FROM_BEST: tuple[ActionStatus, ...] = (
    "cached",
    "succeeded",
    "waiting",
    "running",
    "interrupted",
    "blocked",
    "failed",
)


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A shard that was not given. ``cells`` is ``None`` where they are not known, for that ``why``."""

    shard: str
    cells: tuple[CellRecord, ...] | None
    why: str = ""


def merge(
    run_id: str, parts: Sequence[Part], missing: Sequence[Missing]
) -> tuple[tuple[Event, ...], tuple[str, ...]]:
    """Return the events of the run that the parts make up, and what is not as it should be, a sentence each.

    What a part that was cut off has judged to the end stays. Of a shard that was given twice it is not known
    which one counts, so its cells are not judged.

    :param parts: as ``Part.place`` sorts them, and moved.
    """
    problems = _find_problems(parts)
    words: dict[str, list[tuple[int, CellRecord]]] = {}
    for number, (part, problem) in enumerate(zip(parts, problems, strict=True)):
        for cell in _say(part, problem):
            words.setdefault(cell.id, []).append((number, cell))
    chosen = {key: max(said, key=lambda one: _weigh(one[1])) for key, said in words.items()}
    lost = {
        cell.id: cell.model_copy(update={"message": f"not judged: shard {one.shard} is missing"})
        for one in missing
        for cell in one.cells or ()
        if cell.id not in chosen
    }
    cells = [cell for _, cell in chosen.values()] + list(lost.values())
    shards = tuple(
        _make_shard(part, problem, [key for key, (whose, _) in chosen.items() if whose == number])
        for number, (part, problem) in enumerate(zip(parts, problems, strict=True))
    )
    notes = (
        *(_tell(part, problem) for part, problem in zip(parts, problems, strict=True) if problem),
        *_tell_missing(missing, lost),
    )
    code = find_exit(parts, cells) or (Exit.HARNESS if notes else Exit.OK)
    notes += tuple(_tell_differing(parts, words))
    start = _make_start(run_id, parts, cells, shards)
    judged = (
        CellJudged(at=parts[number].past.last[key].at, cell=cell)
        for key, (number, cell) in chosen.items()
        if cell.outcome is not None
    )
    finish = max((part.end for part in parts), key=datetime.fromisoformat)
    took = datetime.fromisoformat(finish) - datetime.fromisoformat(start.at)
    end = RunFinished(
        at=finish,
        status="finished",
        finished_at=finish,
        duration_s=max(0.0, took.total_seconds()),
        exit_code=code,
        message=bounds.cut("; ".join(notes), bounds.MESSAGE),
    )
    return (start, *_list_rest(parts), *judged, end), notes


def _find_problems(parts: Sequence[Part]) -> list[str]:
    ids = Counter(part.record.run.id for part in parts)
    shards = Counter(part.shard for part in parts if part.shard)
    return [
        _TWICE if ids[part.record.run.id] > 1 or shards[part.shard] > 1 else part.ends_in_itself
        for part in parts
    ]


_TWICE = "was given twice"


def _say(part: Part, problem: str) -> Iterator[CellRecord]:
    """Yield what a part says of each of its cells."""
    for cell in part.record.cells:
        last = part.past.last.get(cell.id)
        if last is None or problem == _TWICE or not (last.final or not problem):
            yield _make_unjudged(cell, part, problem)
        else:
            yield cell


def _make_unjudged(cell: CellRecord, part: Part, problem: str) -> CellRecord:
    said = f"not judged: {part.title} {problem}" if problem else "not judged"
    unknown = ("outcome", "reason", "confirmation", "observations", "attestation", "duration_s")
    empty = dict.fromkeys((*unknown, "backtrace", "traced"))
    return cell.model_copy(
        update={
            **empty,
            "message": said,
            "verdict": Verdict.NOT_JUDGED,
            "attempts": (),
            "evidence": (),
            "cause": "",
            "untraced": "",
        }
    )


def _weigh(cell: CellRecord) -> tuple[int, ...]:
    """Return a key that sorts a cell that was not judged first, and the worst last."""
    return () if cell.outcome is None else rank_severity(cell.outcome, cell.verdict)


def _make_start(
    run_id: str, parts: Sequence[Part], cells: Sequence[CellRecord], shards: tuple[ShardRecord, ...]
) -> RunStarted:
    first = parts[0].record
    began = min((part.record.run.started_at for part in parts), key=datetime.fromisoformat)
    run = first.run.model_copy(
        update={
            "id": run_id,
            "status": "running",
            "started_at": began,
            **dict.fromkeys(("finished_at", "duration_s", "exit_code")),
            "planned": len(cells),
            "judged": 0,
            "message": "",
            "resumed": (),
            "selection": first.run.selection
            and first.run.selection.model_copy(update={"shard": "", "command": ""}),
        }
    )
    rules = tuple(
        max(same, key=lambda rule: bool(rule.stale))
        for same in zip(*(part.record.rules for part in parts), strict=False)
    )
    record = first.model_copy(
        update={
            "run": run,
            "cells": tuple(
                cell if cell.outcome is None else _make_unjudged(cell, parts[0], "") for cell in cells
            ),
            "actions": tuple(
                action.model_copy(
                    update={
                        "status": "waiting",
                        "duration_s": None,
                        "log": None,
                        "message": "",
                        "spans": (),
                    }
                )
                for action in _merge_actions(parts)
            ),
            "rules": rules,
            "shards": shards,
            **dict.fromkeys(("components", "clients", "selftests"), ()),
        }
    )
    return RunStarted(at=began, record=record)


def _make_shard(part: Part, problem: str, cells: Sequence[str]) -> ShardRecord:
    run = part.record.run
    same = ("id", "host", "engine", "status", "duration_s", "planned", "judged")
    return ShardRecord(
        **{name: getattr(run, name) for name in same},
        shard=part.shard,
        problem=problem,
        components=part.record.components,
        cells=tuple(cells),
    )


def _list_rest(parts: Sequence[Part]) -> Iterator[Event]:
    """Yield what is known beside the cells: of each thing the worst that a part says."""
    for part in parts:
        for component in part.record.components:
            yield journal.ComponentResolved(at=part.end, component=component)
    end = parts[-1].end
    for action in _merge_actions(parts):
        yield journal.ActionChanged(at=end, action=action)
    clients: dict[tuple[str, ...], ClientProof] = {}
    tests: dict[tuple[str, ...], SelfTest] = {}
    for part in parts:
        for one in part.record.clients:
            what = one.client, one.transport, one.suite
            clients[what] = min(clients.get(what, one), one, key=lambda proof: proof.ok)
        for test in part.record.selftests:
            key = test.tls, test.arch, test.execution
            tests[key] = max(tests.get(key, test), test, key=_count_faults)
    yield journal.ClientsProved(at=end, clients=tuple(clients.values()))
    for test in tests.values():
        yield journal.SelfTested(at=end, selftest=test)


def _count_faults(test: SelfTest) -> tuple[int, bool]:
    return sum(check.ok is False for check in test.checks), bool(test.problem)


def _merge_actions(parts: Sequence[Part]) -> tuple[ActionRecord, ...]:
    """Return each action once, with the worst of its ends, all that it waited for, and all times of work."""
    found: dict[tuple[str, str], ActionRecord] = {}
    spans: dict[tuple[str, str], list[Span]] = {}
    for place, action in ((place, one) for place, part in enumerate(parts) for one in part.record.actions):
        spans.setdefault((action.kind, action.name), []).extend(
            span.model_copy(update={"shard": place}) for span in action.spans
        )
        before = found.setdefault((action.kind, action.name), action)
        worst = max(before, action, key=lambda one: _FROM_BEST.index(one.status))
        needs = None
        if before.needs is not None and action.needs is not None:
            needs = tuple(dict.fromkeys((*before.needs, *action.needs)))
        found[action.kind, action.name] = worst.model_copy(update={"needs": needs})
    return tuple(one.model_copy(update={"spans": tuple(spans[key])}) for key, one in found.items())


# What was not as it should be, a sentence each.


def _tell(part: Part, problem: str) -> str:
    cells = [cell for cell in _say(part, problem) if cell.outcome is None]
    return f"{part.title} {problem}: {_list([c.id for c in cells])}" if cells else f"{part.title} {problem}"


def _tell_missing(missing: Sequence[Missing], lost: Mapping[str, CellRecord]) -> Iterator[str]:
    unknown = [one for one in missing if one.cells is None]
    for one in missing:
        if one.cells is not None:
            left = [cell.id for cell in one.cells if cell.id in lost]
            if left:
                yield f"shard {one.shard} is missing: {_list(left)}"
    if unknown:
        names = _shorten([one.shard for one in unknown])
        what = f"shard {names} is" if len(unknown) == 1 else f"shards {names} are"
        yield f"{what} missing, with cells that are not known: {unknown[0].why}"


def _tell_differing(
    parts: Sequence[Part], words: Mapping[str, Sequence[tuple[int, CellRecord]]]
) -> Iterator[str]:
    for key, said in words.items():
        judged = [(number, cell) for number, cell in said if cell.outcome is not None]
        if len({(cell.outcome, cell.reason, cell.verdict) for _, cell in judged}) > 1:
            told = (
                f"{': '.join(filter(None, (cell.outcome, cell.reason)))} in {parts[number].title}"
                for number, cell in judged
            )
            yield f"{key} ended differently, and the worse counts: {', '.join(told)}"


def _list(cells: Sequence[str]) -> str:
    count = "1 cell is" if len(cells) == 1 else f"{len(cells)} cells are"
    return f"{count} not judged, {_shorten(cells)}"


def _shorten(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
