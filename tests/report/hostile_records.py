"""Records that have a hostile value in every text, each text with a mark that tells whose it is.

The texts are found by introspection of the model, so that a new field is covered by itself.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import nights
from pydantic import BaseModel

from orchestrator.matrix.model import CipherValue
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.model import (
    Backtrace,
    CellRecord,
    Confirmation,
    Exploration,
    Resumption,
    RunRecord,
    Selection,
    ShardRecord,
    Span,
    Traced,
)

Path = tuple[str, ...]
MARK = re.compile(r"F(\d+)E")


def fields(model: Any = RunRecord, path: Path = ()) -> Iterator[Path]:
    """Every field of the model that holds free text, by its path; a sequence is a step called ``[]``."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        for name, field in model.model_fields.items():
            yield from fields(field.annotation, (*path, name))
    elif get_origin(model) in {Union, UnionType}:
        for part in get_args(model):
            yield from fields(part, path)
    elif get_origin(model) is tuple:
        yield from fields(get_args(model)[0], (*path, "[]"))
    elif get_origin(model) is Mapping:  # no output shows the keys
        yield from fields(get_args(model)[1], (*path, "{}"))
    elif model is str:
        yield path
    else:
        closed = get_origin(model) is Literal or model in {int, float, bool, NoneType, Any}
        closed |= isinstance(model, type) and issubclass(model, Enum)
        assert closed, f"{'.'.join(path)} has a type that nobody thought of: {model}"


FIELDS = tuple(dict.fromkeys(fields()))
_NUMBERS = {path: number for number, path in enumerate(FIELDS)}


def name(number: int) -> str:
    """The field that a mark stands for."""
    return ".".join(FIELDS[number])


def _texts(model: Any, change: Callable[[str, Path], str], path: Path = ()) -> Any:
    """The value as Python's own types, every text of it changed."""
    if isinstance(model, BaseModel):
        return {key: _texts(getattr(model, key), change, (*path, key)) for key in type(model).model_fields}
    if isinstance(model, tuple):
        return [_texts(item, change, (*path, "[]")) for item in model]
    if isinstance(model, str) and not isinstance(model, Enum) and path in _NUMBERS:
        return change(model, path)
    return model


@cache
def plain() -> RunRecord:
    """A few cells of a bad night, in which every text of the model stands somewhere."""
    night = nights.bad()
    chosen: dict[object, CellRecord] = {}
    for cell in night.cells:  # one of each kind
        made = bool(cell.axes.tls.patches or cell.axes.haproxy.source == "git")
        key = (cell.outcome, cell.verdict, bool(cell.cause), made)
        chosen.setdefault(key, cell)
    cells = [_full(cell) for cell in chosen.values()]
    unjudged = cells[0].model_copy(update={"outcome": None, "verdict": Verdict.NOT_JUDGED})
    broken = {"outcome": Outcome.ERROR, "reason": Reason.DEADLINE, "verdict": Verdict.NOT_JUDGED}
    cells += [unjudged, cells[0].model_copy(update=broken), cells[0].model_copy(update={"traced": None})]
    cells = [cell.model_copy(update={"id": f"{cell.id}-{number}"}) for number, cell in enumerate(cells)]
    span = Span(started_at="2026-11-22T07:00:00Z", duration_s=1.5, status="failed", shard=0)
    log = {"log": "actions/x.log", "status": "failed", "needs": ("source:x",), "spans": (span,)}
    action = night.actions[1].model_copy(update=log)
    parts = [
        component.model_copy(update={"used_by": ("haproxy:x",), "rest": "x"})
        for component in night.components
    ]
    shard = ShardRecord(
        id="x",
        shard="1/2",
        host=night.run.host,
        engine=night.run.engine,
        status="cut-off",
        duration_s=1.5,
        planned=1,
        judged=0,
        problem="was cut off",
        components=tuple(parts),
        cells=tuple(cell.id for cell in cells),
    )
    return night.model_copy(
        update={
            "shards": (shard,),
            "cells": tuple(cells),
            "actions": (action,),
            "components": tuple(parts),
            "clients": night.clients[:4],
            "rules": tuple(
                rule.model_copy(update={"stale": "over", "until": "x", "cipher": "x", "seen": "x"})
                for rule in night.rules
            ),
            "run": night.run.model_copy(
                update={
                    "status": "cut-off",
                    "message": "ended early",
                    "filters": ("arch=arm64",),
                    "selection": Selection(cells=("x",), options=("x",), of=1, shard="x", command="x"),
                    "tool_digest": "0" * 64,
                    "exploration": Exploration(
                        start="pairwise",
                        budget_minutes=1.0,
                        selected=1,
                        rounds=(("x",),),
                        end="over",
                        left=("x",),
                    ),
                    "resumed": (Resumption(at="2026-11-22T07:00:00Z", stood=1),),
                }
            ),
        }
    )


_BUILT = dict.fromkeys(("make_flags", "build_packages", "runtime_packages"), ("x",))


def _full(cell: Any) -> Any:
    """The cell with nothing left out."""
    told = {"signal": "SIGSEGV", "forced_ciphersuites": "x", "sanitizer": "x"}
    server = cell.observations and cell.observations.server and told
    seen = cell.observations and cell.observations.model_copy(
        update={"server": cell.observations.server.model_copy(update=server)} if server else {}
    )
    axes = cell.axes.model_copy(
        update={
            "cipher": CipherValue(name=cell.axes.cipher.name, suite="x"),
            "haproxy": cell.axes.haproxy.model_copy(update={"patches": (nights.FIX,), **_BUILT}),
            "tls": cell.axes.tls.model_copy(update={"configure_flags": ("x",), **_BUILT}),
            "client": cell.axes.client.model_copy(update={"where": ("x",), "lacks": ("x",)}),
            "execution": cell.axes.execution.model_copy(update={"environment": ("x",)}),
        }
    )
    expected = cell.expected and cell.expected.model_copy(update={"cipher": "x"})
    run = cell.execution.model_copy(update={"qemu_version": "7.2", "cpu_model": "max"})
    tried = tuple(one.model_copy(update={"evidence": ("cells/a/haproxy.log",)}) for one in cell.attempts[:1])
    return cell.model_copy(
        update={
            "observations": seen,
            "axes": axes,
            "execution": run,
            "expected": expected,
            "attempts": tried * 2,
            "cause": "x",
            "backtrace": Backtrace(
                tries=1, signal="x", frames=("x",), symbols="x", problem="", evidence="cells/a/backtrace.txt"
            ),
            "build": cell.build.model_copy(update={"vv": "builds/x.vv.txt"}),
            "confirmation": Confirmation(state="open", why="x"),
            "traced": Traced(
                outcome=Outcome.ERROR,
                reason=Reason.DEADLINE,
                message="x",
                started_at="2026-11-22T07:00:00Z",
                duration_s=1.5,
                negotiated_cipher="x",
                evidence=("cells/a/traced/capture.pcapng",),
                missing=("x",),
            ),
            "untraced": "x",
        }
    )


def poisoned(texts: Sequence[str]) -> RunRecord:
    """The plain record with these texts, in the order of FIELDS, each behind its field's mark."""

    def change(_: str, path: Path) -> str:
        number = _NUMBERS[path]
        return f"F{number}E{texts[number]}"

    return RunRecord.model_validate(_texts(plain(), change))


def day_before(record: RunRecord) -> RunRecord:
    """A run in which most cells ended otherwise, one was not there yet, and one is gone since.

    It ran on another kernel: what changed has a suspect, and the suspect has a text of the record.
    """
    passed: dict[str, Any] = {"outcome": Outcome.PASS, "reason": None, "verdict": Verdict.AS_EXPECTED}
    broken = {"outcome": Outcome.FAIL, "reason": Reason.WRONG_BODY, "verdict": Verdict.REGRESSION}
    first, *others = record.cells
    changes: dict[int, dict[str, Any]] = {0: passed, 1: broken}
    cells = [
        cell.model_copy(update=broken if cell.outcome is Outcome.PASS else changes.get(number % 3, {}))
        for number, cell in enumerate(others)
    ]
    gone = first.model_copy(update={"id": f"{first.id} gone"})
    host = record.run.host.model_copy(update={"kernel": f"{record.run.host.kernel}, older"})
    run = record.run.model_copy(update={"host": host})
    return record.model_copy(update={"cells": (*cells, gone), "run": run})


def missing() -> list[str]:
    """Fields of the model that the plain record has nowhere: they would go untested."""
    found = _filled(plain(), ())
    return [".".join(path) for path in FIELDS if path not in found]


def _filled(model: Any, at: Path) -> set[Path]:
    """The fields in which it has a text."""
    found: set[Path] = set()

    def note(text: str, path: Path) -> str:
        found.add(path)
        return text

    _texts(model, note, at)
    return found


def gathered(texts: Sequence[str]) -> RunRecord:
    """One record with all of ``texts`` in it, each in every field that a run has more than once.

    A field that a run has once has all the short ones, one after another. No mark stands before a text: what
    it begins with decides what a link is. The one behind it tells those apart that a page may take for one.
    """
    parts = [_with(text, f" F{number}E") for number, text in enumerate(texts)]
    many: dict[str, tuple[Any, ...]] = {
        name: sum((getattr(part, name) for part in parts), ()) for name in _COLLECTIONS
    }
    many["cells"] = tuple(
        cell.model_copy(update={"id": f"{cell.id}-{number}"}) for number, cell in enumerate(many["cells"])
    )
    run = _with(" ".join(text for text in texts if len(text) <= _SHORT), "").run
    often = {name: sum((getattr(part.run, name) for part in parts), ()) for name in ("filters", "resumed")}
    return plain().model_copy(update={**many, "run": run.model_copy(update=often)})


def gathered_count(texts: Sequence[str]) -> int:
    """How many pairs of a field and a text ``gathered`` has: no long text in a field that a run has once."""
    once = [path for path in FIELDS if path[0] == "run" and "[]" not in path]
    return len(FIELDS) * len(texts) - len(once) * sum(len(text) > _SHORT for text in texts)


_COLLECTIONS = ("cells", "components", "actions", "rules", "clients", "selftests")
_SHORT = 300
"""Characters of a text that is put beside others."""


def _with(text: str, mark: str) -> RunRecord:
    return RunRecord.model_validate(_texts(_small(), lambda _, __: f"{text}{mark}"))


@cache
def _small() -> RunRecord:
    """As little of the plain record as has every text; a failure first, since it shows the most."""
    record = plain()
    small = {name: _covering(getattr(record, name), (name, "[]")) for name in _COLLECTIONS}
    failing = {"outcome": Outcome.FAIL, "reason": Reason.WRONG_BODY, "verdict": Verdict.REGRESSION}
    first, *others = small["cells"]
    small["cells"] = (first.model_copy(update=failing), *others)
    return record.model_copy(update=small)


def _covering(items: Sequence[Any], path: Path) -> tuple[Any, ...]:
    """As few of the items as have all the fields that any of them has."""
    has = [_filled(item, path) for item in items]
    left: set[Path] = set().union(*has)
    chosen: list[Any] = []
    while left:
        best = max(range(len(items)), key=lambda number: len(has[number] & left))
        chosen.append(items[best])
        left -= has[best]
    return tuple(chosen)
