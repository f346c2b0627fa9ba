"""The folder of one cell as a run has found it: sources, patches, packages, flags, and what it showed."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from orchestrator import bounds
from orchestrator.arch import ARCHES, Arch
from orchestrator.atomic_files import read_beneath, read_limited
from orchestrator.errors import SourceUnreachableError, UsageError
from orchestrator.execute.store.store import Store
from orchestrator.matrix.catalog import Catalog, Source
from orchestrator.matrix.model import Cell, Limits, Software
from orchestrator.outcome import Reason
from orchestrator.plan.action import Action, SourceAction
from orchestrator.plan.plan import Plan
from orchestrator.plan.planner import Planner
from orchestrator.plan.render import Renderer
from orchestrator.probe import trace_attempt
from orchestrator.record.interrupted_run import PastRun
from orchestrator.record.journal import SourcePinned
from orchestrator.record.model import CellRecord, RunRecord
from orchestrator.report import issue
from orchestrator.reproduce import foreign
from orchestrator.reproduce.folder import (
    SCRIPT,
    Folder,
    RunFindings,
    find_needed,
    find_problem,
    make_folder,
    name_script,
)

S = TypeVar("S", bound=Software)

_IMAGES = {"toolchain image": "toolchain", "runtime image": "runtime", "emulated-runtime image": "runtime"}
_IMAGES |= {"client image": "client"}
"""Where a package comes from, as the record says it, and what packages.txt calls that."""


@dataclass(frozen=True, kw_only=True)
class Replanned:
    """One cell of a run that is over, planned as that run did.

    :ivar action: probes it.
    :ivar host: the architecture of the engine's machine.
    :ivar sources: files of those sources that move, by their name.
    """

    cell: Cell
    plan: Plan
    action: Action
    host: Arch
    limits: Limits
    sources: Mapping[str, Path]


def replan(past: PastRun, record: CellRecord, catalog: Catalog, store: Store) -> Replanned:
    """Plan a cell of a run as the run did.

    :param catalog: has the run's pinned sources, with the digests that they had.
    :raises SourceUnreachableError: where a source that moves is no longer in the store.
    :raises UsageError: where the record has what no matrix can say, or the catalogue another source now.
    """
    foreign.refuse_cell(record)
    cell = _make_cell(record, past.folder)
    host = ARCHES[record.execution.host_arch]
    planner = Planner(host=host, catalog=catalog, renderer=Renderer(), packages={})
    first = planner.plan([cell])
    pinned, sources = _find_pinned(first, past, store)
    plan = replace(planner, moved=pinned).plan([cell])
    _refuse_other_sources(plan, past.record)
    (action,) = (one for one in plan.actions.values() if one.kind == "probe")
    return Replanned(
        cell=cell,
        plan=plan,
        action=action,
        host=host,
        limits=past.record.run.limits or Limits(),
        sources=sources,
    )


def reproduce(past: PastRun, record: CellRecord, catalog: Catalog, store: Store) -> Folder:
    """Return the folder with which any person sees again what a run saw of a cell.

    :raises UsageError: for a cell that was not judged.
    :raises SourceUnreachableError: where something cannot be taken along.
    :raises ChecksumMismatchError: where a patch beside the run's report has changed.
    """
    if record.outcome is None:
        raise UsageError(f"{record.id} was not judged: there is nothing to reproduce yet")
    again = replan(past, record, catalog, store)
    if problem := find_problem(again.plan, again.action):
        raise SourceUnreachableError(f"{record.id} cannot be reproduced elsewhere: {problem}")
    evidence = read_evidence(record, past.folder)
    text = issue.render(
        past.record,
        record,
        {path: content.decode(errors="replace") for path, content in evidence.items()},
        steps=_list_steps(again.cell),
    )
    made = make_folder(
        again.plan,
        again.action,
        renderer=Renderer(),
        limits=again.limits,
        host=again.host,
        sources={**_find_unpublished(again, store), **again.sources},
        findings=RunFindings(
            expected=_expect(record),
            packages=_find_packages(past.record, again),
            broken=_find_broken(past.record, record, again),
            unlike=find_unlike(past, record),
            report=f"# {issue.write_title(record)}\n\n{text}",
        ),
    )
    kept = {f"evidence/{Path(path).name}": content for path, content in evidence.items()}
    return replace(made, files={**made.files, **kept, **_read_traced(record, past.folder)})


def find_unlike(past: PastRun, record: CellRecord) -> str:
    """Return in which way the folder does not build as the run did, one sentence, or nothing."""
    settings = past.start.settings
    emulated = settings is not None and settings.build == "emulated" and record.execution.mode == "emulated"
    if not emulated or not record.axes.haproxy.is_compiled:
        return ""
    return "The run compiled under QEMU (--build emulated); this folder cross-compiles, with the same flags."


def _list_steps(cell: Cell) -> Sequence[str]:
    """Return the commands of a report, each with what it is for."""
    bisect = f"`HAPROXY_TREE=$PWD git bisect run sh /path/to/{SCRIPT}` in a clone finds the commit."
    return (
        f"`sh {SCRIPT}` in this folder compiles, serves, asks, and says what it saw; exit code 1: it fails.",
        f"`KEEP=1 sh {SCRIPT}` leaves server and client running, and prints the command that asks once more.",
        *([bisect] if cell.haproxy.is_compiled else []),
    )


def _make_cell(record: CellRecord, folder: Path) -> Cell:
    """Return the cell of a record, whose patches lie beside the run's report."""
    axes = record.axes
    return Cell(
        id=record.id,
        arch=axes.arch,
        haproxy=_place_patches(axes.haproxy, folder),
        tls=_place_patches(axes.tls, folder),
        cipher=axes.cipher,
        client=axes.client,
        execution=axes.execution,
    )


def _place_patches(software: S, folder: Path) -> S:
    patches = tuple(
        patch.model_copy(update={"path": str(folder / "patches" / Path(patch.name).name)})
        for patch in software.patches
    )
    return software.model_copy(update={"patches": patches})


def _find_pinned(plan: Plan, past: PastRun, store: Store) -> tuple[dict[str, Source], dict[str, Path]]:
    """Return what the sources that move were in the run, by their action's key, and their files by name."""
    pins = {str(event.moving): event.source for event in past.events if isinstance(event, SourcePinned)}
    pinned: dict[str, Source] = {}
    files: dict[str, Path] = {}
    for action in plan.actions.values():
        if not isinstance(action, SourceAction) or action.moving is None:
            continue
        source = pins.get(str(action.moving))
        if source is None or source.sha256 is None:
            raise SourceUnreachableError(
                f"the run's journal does not say what {action.moving} was",
                resolution="Of a merged run, name the folder of the shard that probed the cell.",
            )
        foreign.refuse_source(source)
        held = store.find_source(source.sha256, source.file)
        if held is None:
            raise SourceUnreachableError(
                f"{action.moving} was {source.file} (SHA-256 {source.sha256[:12]}) in the run, and the store "
                f"{store.root} no longer has that",
                resolution="Name the store that the run used with --store, or run the cell again.",
            )
        pinned[action.key] = source.model_copy(update={"version": action.moving.version})
        files[source.file] = held.path
    return pinned, files


def _find_unpublished(again: Replanned, store: Store) -> dict[str, Path]:
    """Return the files of those sources that have no address, by name, as far as the store has them."""
    found = {}
    for action in find_needed(again.plan, again.action):
        source = action.source if isinstance(action, SourceAction) else None
        if source and source.sha256 and not source.origins:
            held = store.find_source(source.sha256, source.file)
            if held is not None:
                found[source.file] = held.path
    return found


def _refuse_other_sources(plan: Plan, record: RunRecord) -> None:
    """:raises UsageError: where the run had other bytes than the catalogue names now."""
    had = {one.key: one.digest for one in record.actions if one.kind == "source"}
    for action in plan.actions.values():
        if isinstance(action, SourceAction) and action.source and had.get(action.key):
            was, now = had[action.key] or "", action.source.sha256 or "none"
            if was != now:
                raise UsageError(
                    f"{action.name} was another file in the run: SHA-256 {was[:12]}, and the sources name "
                    f"{now[:12]} now",
                    resolution="Name the sources file of the run with --sources.",
                )


def _find_packages(record: RunRecord, again: Replanned) -> list[tuple[str, str, str]]:
    """Return image, name and version of each package that the record names for the cell's own actions."""
    used = {action.key for action in find_needed(again.plan, again.action)}
    return [
        (_IMAGES[one.origin], one.name.partition(" in ")[0], one.version)
        for one in record.components
        if one.kind == "package" and one.origin in _IMAGES and used & {*(one.used_by or ())}
    ]


def _find_broken(record: RunRecord, cell: CellRecord, again: Replanned) -> str:
    """Return the script that did not compile in the run, where that is how the cell ended."""
    if cell.reason is not Reason.BUILD_FAILED:
        return ""
    failed = {one.key for one in record.actions if one.status == "failed"}
    needed = find_needed(again.plan, again.action)
    return next((name_script(action) for action in needed if action.key in failed), "")


def _expect(record: CellRecord) -> dict[str, object]:
    """Return what the cell's build said of itself, and what the run saw of the cell."""
    proof, axes = record.attestation, record.axes
    reason = f": {record.reason}" if record.reason else ""
    wanted = record.expected.cipher if record.expected and axes.cipher.suite is None else None
    said = f"{record.outcome}{reason}: {' '.join(record.message.split())}"
    declared = record.expected and not record.expected.rule and record.expected.reason
    return {
        "haproxy_version": proof and proof.haproxy_version,
        # Debian replaces its library under a program; what is compiled here stays.
        "tls_running": proof and proof.tls_running if axes.tls.source != "distro" else None,
        "cells": {
            record.id: {"declared": declared or None, "default_cipher": wanted, "said": said},
        },
    }


def read_evidence(record: CellRecord, folder: Path) -> dict[str, bytes]:
    """Return path and content of each file of a cell's evidence, and its build's, that is there."""
    found: dict[str, bytes] = {}
    for path in (*((record.build.vv,) if record.build.vv else ()), *record.evidence):
        file = folder / path
        with suppress(OSError, ValueError):  # a report without it is better than none
            if file.resolve().is_relative_to(folder.resolve()):
                found[path] = read_limited(file, bounds.EVIDENCE)
    return found


def _read_traced(record: CellRecord, folder: Path) -> dict[str, bytes]:
    """Return what is there of the cell's second run, in a folder of its own: the first has the same names."""
    found: dict[str, bytes] = {}
    left = bounds.TRACED + bounds.EVIDENCE
    for path in record.traced.evidence if record.traced else ():
        with suppress(OSError):
            content = read_beneath(folder, path, left)
            if len(content) <= left:
                found[f"evidence/{trace_attempt.FOLDER}/{Path(path).name}"] = content
                left -= len(content)
    return found
