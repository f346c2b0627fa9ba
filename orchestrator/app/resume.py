"""What a run began with, and what of it has changed since: a resumed run mixes no two tools or matrices."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from orchestrator import __version__, resources
from orchestrator.atomic_files import hash_file
from orchestrator.errors import NothingSelectedError, UsageError
from orchestrator.matrix.catalog import Source
from orchestrator.matrix.model import AXES
from orchestrator.plan.action import SourceAction
from orchestrator.plan.plan import Plan
from orchestrator.record.interrupted_run import PastRun
from orchestrator.record.model import CellRecord, RunRecord
from orchestrator.record.settings import Inputs

_SHOWN = 16
"""Digits of a digest that are kept: enough to tell two apart, and a person can compare them."""
_NAMED = 5
"""Cells, files or sources that are named before it says "and N more"."""


def find_inputs(plan: Plan, overlay: Path | None) -> Inputs:
    """Return what decides the verdicts of the cells of this plan beside the cells themselves."""
    sources = [
        action.source
        for action in plan.actions.values()
        if isinstance(action, SourceAction) and action.source is not None
    ]
    return make_inputs(sources, overlay)


def make_inputs(sources: Iterable[Source], overlay: Path | None) -> Inputs:
    """Return what is known of matrixctl itself and of these entries of the catalogue."""
    return Inputs(
        version=__version__,
        files={name: hash_file(path)[:_SHOWN] for name, path in _list_files(overlay)},
        sources={
            f"{source.component} {source.version}": hashlib.sha256(
                source.model_dump_json().encode()
            ).hexdigest()[:_SHOWN]
            for source in sources
        },
    )


def digest_files(inputs: Inputs) -> str:
    """Return one digest of matrixctl's own files: two tools of one version may differ."""
    return hashlib.sha256(json.dumps(sorted(inputs.files.items())).encode()).hexdigest()


def digest_tool() -> str:
    """Return one digest of matrixctl's own files, as they are now."""
    found = sorted((name, hash_file(path)[:_SHOWN]) for name, path in _list_files(None))
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def refuse_changes(past: PastRun, begin: RunRecord, now: Inputs, lost: Callable[[], Sequence[str]]) -> None:
    """Go on with ``past`` only if it would be planned today as it was.

    :param begin: the same run, planned today.
    :param lost: asks for the sources that move; only where nothing else has changed.
    :raises UsageError: with everything that differs.
    """
    found = list(_list_changes(past, begin, now)) or list(lost())
    if found:
        raise UsageError(
            f"the run {past.record.run.id} cannot be resumed: what it began with has changed",
            details="\n".join(found),
            resolution="Bring that back, or begin a new run: what the store holds is not built again.",
        )


def list_differences(was: Inputs, now: Inputs) -> Iterator[str]:
    """Yield a line for each thing that is another one than it was."""
    if was.version != now.version:
        yield f"matrixctl is version {now.version}, and was {was.version}"
    yield from _compare_mappings("file of matrixctl", was.files, now.files)
    yield from _compare_mappings("entry of the sources", was.sources, now.sources)


def explain_nothing_left(past: PastRun) -> NothingSelectedError:
    """Return the error of a run that has its end, with every cell judged."""
    run = past.record.run
    return NothingSelectedError(
        f"the run {run.id} is finished: all of its {run.planned} cells are judged, with exit code"
        f" {run.exit_code}",
        resolution=f"Its report: {past.folder / 'index.html'}",
    )


def _list_files(overlay: Path | None) -> Iterator[tuple[str, Path]]:
    """Yield modules, templates and image recipes, by a name that is the same in each installation."""
    root, package = resources.find_root(), Path(__file__).parents[1]
    folders = {"orchestrator": package, "templates": root / "templates", "images": root / "images"}
    if overlay is not None:
        folders["overlay"] = overlay
    for title, folder in folders.items():
        pattern = "*.py" if title == "orchestrator" else "*"
        for path in sorted(folder.rglob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{title}/{path.relative_to(folder)}", path


def _list_changes(past: PastRun, begin: RunRecord, now: Inputs) -> Iterator[str]:
    was, first = past.start.inputs, past.start.record
    if was is None:
        yield "it was begun by a matrixctl that could not resume yet"
        return
    yield from list_differences(was, now)
    if first.run.matrix_digest != begin.run.matrix_digest:
        yield f"matrix: its SHA-256 is {begin.run.matrix_digest}, and was {first.run.matrix_digest}"
    yield from _compare_cells(past.record.cells, begin.cells)


def _compare_mappings(what: str, was: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    changed = [name for name in chain(was, now.keys() - was.keys()) if was.get(name) != now.get(name)]
    for name in changed[:_NAMED]:
        is_now, before = now.get(name, "none, it is gone"), was.get(name, "none, it is new")
        yield f"{what} {name}: its SHA-256 is {is_now}, and was {before}"
    if len(changed) > _NAMED:
        yield f"and {len(changed) - _NAMED} more like this"


def _compare_cells(was: Sequence[CellRecord], now: Sequence[CellRecord]) -> Iterator[str]:
    before, after = {cell.id: cell for cell in was}, {cell.id: cell for cell in now}
    lines = [f"cell {key}: no longer selected" for key in before if key not in after]
    lines += [f"cell {key}: was not selected" for key in after if key not in before]
    for key in (key for key in before if key in after):
        lines += [f"cell {key}: {line}" for line in _compare_cell(before[key], after[key])]
    yield from lines[:_NAMED]
    if len(lines) > _NAMED:
        yield f"and {len(lines) - _NAMED} more cells"


def _compare_cell(was: CellRecord, now: CellRecord) -> Iterator[str]:
    for axis in AXES:
        one, other = getattr(was.axes, axis), getattr(now.axes, axis)
        for name in type(one).model_fields:
            before, after = getattr(one, name), getattr(other, name)
            if before != after:
                yield f"{axis}.{name} is {_write_plain(after)}, and was {_write_plain(before)}"
    if was.execution.host_arch != now.execution.host_arch:
        yield f"the machine that probes it is {now.execution.host_arch}, and was {was.execution.host_arch}"
    if was.expected != now.expected:
        yield "something else is expected of it"


def _write_plain(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_write_plain(one) for one in value)}]"
    return str(value) or "nothing"
