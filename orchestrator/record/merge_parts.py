"""Runs that are to become one, as they are read, and what must be the same in all of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from orchestrator import bounds
from orchestrator.errors import Exit, UsageError
from orchestrator.matrix.pins import Pins
from orchestrator.outcome import find_exit_code
from orchestrator.plan.shards import parse
from orchestrator.record import journal
from orchestrator.record.fold import mark_cut_off
from orchestrator.record.interrupted_run import PastRun, read_past
from orchestrator.record.model import CellRecord, RunRecord


@dataclass(frozen=True, kw_only=True)
class Part:
    """One of the runs. ``record`` is as its journal has it, maybe with other paths of its files."""

    past: PastRun
    record: RunRecord

    @property
    def shard(self) -> str:
        """Return ``K/N``; empty for a run of the whole selection."""
        return self.record.run.selection.shard if self.record.run.selection else ""

    @property
    def place(self) -> tuple[int, int, str]:
        """Return its place among the others."""
        number, of = parse(self.shard) if self.shard else (0, 0)
        return of, number, self.record.run.id

    @property
    def title(self) -> str:
        """Return what it is for a person."""
        return f"shard {self.shard} ({self.record.run.id})" if self.shard else f"run {self.record.run.id}"

    @property
    def allows_blocked(self) -> bool:
        """Return whether ``--allow-blocked`` was given."""
        return self.past.start.settings is not None and self.past.start.settings.allow_blocked

    @property
    def pins(self) -> Pins | None:
        """Return what ``--pins`` said; ``None`` where it was not given."""
        return self.past.start.settings.pins if self.past.start.settings else None

    @cached_property
    def end(self) -> str:
        """Return when it ended, or the time of its last event."""
        return self.record.run.finished_at or self.past.events[-1].at

    @property
    def ends_in_itself(self) -> str:
        """Return why it is not whole, whatever else is given; empty if it is."""
        run = self.record.run
        if run.status != "finished":
            return "was interrupted" if run.status == "interrupted" else "was cut off"
        if run.exit_code == Exit.HARNESS and find_exit([self], self.record.cells) is Exit.OK:
            return f"ended with exit code 4: {run.message}"
        return ""

    def move(self, move: Callable[[str], str | None], follow: Callable[[str], str]) -> "Part":
        """Return it with other paths of its files; of ``None`` nothing is left.

        :param follow: makes a rerun command of one, with the new paths of the files that it names.
        """

        return replace(self, record=move_files(self.record, move, follow))


def move_files(
    record: RunRecord, move: Callable[[str], str | None], follow: Callable[[str], str] = lambda text: text
) -> RunRecord:
    """Return a record with other paths of its files, as ``Part.moved``."""

    def every(paths: Sequence[str]) -> tuple[str, ...]:
        return tuple(path for path in map(move, paths) if path is not None)

    def cell(one: CellRecord) -> CellRecord:
        tries = tuple(t.model_copy(update={"evidence": every(t.evidence)}) for t in one.attempts)
        build = one.build.model_copy(update={"vv": one.build.vv and move(one.build.vv)})
        traced = one.traced and one.traced.model_copy(update={"evidence": every(one.traced.evidence)})
        kept = {"evidence": every(one.evidence), "attempts": tries, "build": build, "traced": traced}
        if (seen := one.backtrace) and seen.evidence:
            kept["backtrace"] = seen.model_copy(update={"evidence": move(seen.evidence)})
        return one.model_copy(update=kept | {"reproducer": follow(one.reproducer)})

    update = {
        "cells": tuple(map(cell, record.cells)),
        "actions": tuple(
            one.model_copy(update={"log": move(one.log)}) if one.log else one for one in record.actions
        ),
        "selftests": tuple(
            one.model_copy(update={"evidence": every(one.evidence)}) for one in record.selftests
        ),
    }
    return record.model_copy(update=update)


def read_part(folder: Path) -> Part:
    """Read a run that is to become a part of another.

    :raises UnplannedError: where it died before it had planned anything.
    :raises UsageError: where it still goes on, was merged itself, or chose its cells itself.
    :raises MatrixctlError: as ``read_past`` does.
    """
    if journal.goes_on(folder):
        raise UsageError(f"the run {folder} still goes on", resolution="It can be merged once it has ended.")
    past = read_past(folder)
    if past.record.shards:
        raise UsageError(f"the run {folder} was merged itself", resolution="Name the runs of its shards.")
    if past.record.run.exploration:
        raise UsageError(
            f"the run {folder} chose its cells itself (--explain), and is no part of another",
            resolution="`matrixctl compare` sets two runs side by side; `matrixctl explain` takes several.",
        )
    part = Part(past=past, record=mark_cut_off(past.record))
    if part.shard:
        parse(part.shard)
    return part


def refuse_strangers(parts: Sequence[Part]) -> None:
    """Let only parts of one selection become one run.

    :raises UsageError: naming two that are not of one.
    """
    first = parts[0]
    for other in parts[1:]:
        for what, read in _SAME.items():
            one, two = read(first.record), read(other.record)
            if one != two:
                raise _make_refusal(first, other, what, one, two)
        if first.pins != other.pins:
            raise _make_refusal(first, other, "their pins (--pins)", _show_pins(first), _show_pins(other))
    found: dict[str, tuple[Part, str]] = {}
    for part in parts:
        for what, digest in _list_inputs(part):
            was, known = found.setdefault(what, (part, digest))
            if known != digest:
                raise _make_refusal(was, part, f"what {what} was", known, digest)


def _list_inputs(part: Part) -> Iterator[tuple[str, str]]:
    """Yield what no option shows: what each source that moves was, and the content of each patch."""
    for pin in part.past.pins:
        yield f"{pin.moving.component} {pin.moving}", pin.source.model_dump_json(exclude={"origins"})
    for cell in part.record.cells:
        for patch in (*cell.axes.haproxy.patches, *cell.axes.tls.patches):
            yield f"the patch {patch.name}", patch.sha256


def _list_options(record: RunRecord) -> tuple[str, ...]:
    """Return the options without where the file of --pins lies: what it had in it is compared by itself."""
    options = record.run.selection.options if record.run.selection else ()
    places = {number + 1 for number, word in enumerate(options) if word == "--pins"}
    return tuple(word for number, word in enumerate(options) if number not in places)


_SAME: Mapping[str, Callable[[RunRecord], Any]] = {
    "their matrices": lambda record: record.run.matrix_digest,
    "their matrixctl": lambda record: f"{record.run.tool_version} {record.run.tool_digest or ''}".rstrip(),
    "their series": lambda record: record.run.series,
    "their time limits": lambda record: record.run.limits,
    "their --fail-on-flaky": lambda record: record.run.fail_on_flaky,
    "their profiles": lambda record: record.run.profile,
    "their filters": lambda record: record.run.filters,
    "their cells (--cell)": lambda record: record.run.selection and record.run.selection.cells,
    "their options": _list_options,
}


def _make_refusal(one: Part, other: Part, what: str, was: object, now: object) -> UsageError:
    return UsageError(
        f"{one.past.folder} and {other.past.folder} cannot be merged: {what} differ",
        details=f"{one.past.folder}: {_show(was)}\n{other.past.folder}: {_show(now)}",
        resolution="Merge the shards of one selection alone, each run with the same options but --shard.",
    )


def _show_pins(part: Part) -> tuple[str, ...]:
    pins = part.pins.pins if part.pins else ()
    return tuple(f"{one.kind}: {one.where} {one.ref}".rstrip() + f" -> {one.at};" for one in pins)


def _show(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return bounds.cut(str(value), bounds.WORDS) or "none"


def find_missing(parts: Sequence[Part]) -> tuple[str, ...]:
    """Return the shards, each as ``K/N``, that were not given; none where some N has all of its own."""
    given: dict[int, set[int]] = {}
    for part in parts:
        of, number, _ = part.place
        given.setdefault(of, set()).add(number)
    if 0 in given or any(len(numbers) == of for of, numbers in given.items()):
        return ()
    return tuple(
        f"{number}/{of}"
        for of, numbers in sorted(given.items())
        for number in range(1, of + 1)
        if number not in numbers
    )


def find_exit(parts: Sequence[Part], cells: Sequence[CellRecord]) -> Exit:
    """Return the exit code that cells of the parts cause, and the rules of all of them."""
    return find_exit_code(
        ((cell.outcome, cell.verdict) for cell in cells),
        stale=any(rule.stale for part in parts for rule in part.record.rules),
        allow_blocked=all(part.allows_blocked for part in parts),
        fail_on_flaky=parts[0].record.run.fail_on_flaky,
    )
