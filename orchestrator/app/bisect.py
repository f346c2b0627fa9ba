"""A bisection: a row of versions or commits, and the steps through it, each a run of its own."""

import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from orchestrator.analyse.bisect import choose_steps, is_no_step, is_split, judge_step, vote
from orchestrator.analyse.bisection import Bisection, Candidate, Origin, Step
from orchestrator.app import resume
from orchestrator.atomic_files import make_ignored, read_limited, write_atomically
from orchestrator.errors import EngineError, MatrixctlError, NothingSelectedError, UsageError
from orchestrator.execute.sources import git, unpinned
from orchestrator.execute.sources.download import FetchError
from orchestrator.execute.store.store import Store
from orchestrator.matrix import patches, replacement
from orchestrator.matrix.catalog import Catalog, Source, find_moving_source
from orchestrator.matrix.model import Cell, Matrix, Software
from orchestrator.matrix.pins import Pin, Pins
from orchestrator.phrases import join_names, quote, suggest
from orchestrator.record.model import CellRecord, utc_now
from orchestrator.record.settings import Settings
from orchestrator.versions import Version

BISECTION = "bisect.json"
_LOCK = "bisect.lock"
_LIMIT = 1 << 26
"""Bytes of a ``bisect.json``."""
_SECONDS = 60
"""For a question to the clone."""
_DIGITS = 12
_KEPT = ("make_flags", "configure_flags", "build_packages", "runtime_packages")
"""What a value of the matrix says beside its version, and each candidate takes over."""


@dataclass(frozen=True, kw_only=True)
class Probed:
    """What a run says of one candidate."""

    cell: CellRecord
    run: str


Probe = Callable[[Sequence[Candidate], int], Mapping[str, Probed]]
"""Runs some candidates, each with so many attempts; by their names. Raises ``KeyboardInterrupt``."""


def list_versions(
    cell: Cell, axis: str, catalog: Catalog, good: str, bad: str
) -> tuple[tuple[Candidate, ...], tuple[str, ...]]:
    """Return the versions that the catalogue has, from one end to the other, the oldest first.

    Those whose digest is unknown come apart: they cannot be downloaded.

    :param good: a version or the name of a value; empty for the oldest (the newest, if the oldest is bad).
    :param bad: the same; empty for the cell's own (the newest, if that is good or cannot be downloaded).
    :raises UsageError: for an end that is not known, and where there is nothing to choose.
    """
    value = _find_software(cell, axis)
    known = {
        version: source.blocked is None
        for (component, version), source in catalog.sources.items()
        if component == value.family
    }
    order = sorted((version for version, has in known.items() if has), key=Version.parse)
    if len(order) < 2:  # noqa: PLR2004 - two ends
        raise UsageError(
            f"the sources have {len(order)} version{'' if len(order) == 1 else 's'} of {value.family} with a"
            " digest, and a bisection takes two",
            resolution="Name more with --sources FILE, or commits with --git DIR.",
        )
    first, last = sorted(map(order.index, _find_ends(value, order, known, good, bad)))
    chosen = tuple(_make_version(axis, value, version) for version in order[first : last + 1])
    low, high = (Version.parse(order[end]) for end in (first, last))
    lacking = [one for one, has in known.items() if not has and low < Version.parse(one) < high]
    return chosen, tuple(lacking)


def _find_ends(
    value: Software, order: Sequence[str], known: Mapping[str, bool], good: str, bad: str
) -> tuple[str, str]:
    """Return the good and the bad one."""
    oldest, newest = order[0], order[-1]
    passes = _find_version(good, value, order, known) if good else None
    if bad:
        fails = _find_version(bad, value, order, known)
    else:
        own = (value.version,) if value.version in order else ()
        fails = next(end for end in (*own, newest, oldest) if end != passes)
    return passes or (newest if fails == oldest else oldest), fails


def _find_version(text: str, value: Software, order: Sequence[str], known: Mapping[str, bool]) -> str:
    version = text.removeprefix(f"{value.family}-")
    if version in order:
        return version
    if version in known:
        why = f"the digest of {value.family} {version} is unknown, so it cannot be downloaded"
        raise UsageError(why, resolution="Add it to a file of your own and pass that with --sources.")
    raise UsageError(
        f"no version {quote(text)} of {value.family} in the sources{suggest(version, order)}",
        details=f"versions: {join_names(order)}",
        resolution="Add it to a file of your own and pass that with --sources.",
    )


def _find_software(cell: Cell, axis: str) -> Software:
    return cell.haproxy if axis == "haproxy" else cell.tls


def _make_version(axis: str, value: Software, version: str) -> Candidate:
    name = version if axis == "haproxy" else f"{value.family}-{version}"
    return Candidate(name=name, value=_write(axis, value, {"name": name, "version": version}))


def _write(axis: str, value: Software, keys: Mapping[str, Any]) -> str:
    """Return a value for ``--with``, with the flags, packages and patches of the cell's own.

    It is the whole record: a name alone would mean the matrix's own value of that name, with its flags.
    """
    more = {key: list(found) for key in _KEPT if (found := getattr(value, key, ()))}
    if value.patches:
        more["patches"] = [patch.path for patch in value.patches]
    family = {"family": value.family} if axis == "tls" else {}
    made = yaml.safe_dump({**keys, **family, **more}, default_flow_style=True, sort_keys=False, width=1 << 20)
    return replacement.parse(f"{axis}={made.strip()}").text


def list_commits(cell: Cell, axis: str, clone: Path, good: str, bad: str) -> tuple[Candidate, ...]:
    """Return the commits from one end to the other along the first parents, the oldest first.

    :param good: any name that git knows; empty is an error, since a clone has no oldest commit worth a try.
    :param bad: the same; empty is ``HEAD``.
    :raises UsageError: for an end that is no commit, and for two that are not on one line.
    """
    if not good:
        raise UsageError("--git needs --good: the commit or tag at which it still passed")
    deadline = time.monotonic() + _SECONDS
    clone = clone.absolute()
    try:
        ends = [git.find_commit(clone, name, deadline=deadline) for name in (good, bad or "HEAD")]
        line = git.list_first_parents(clone, *ends, deadline=deadline)
        line = line or git.list_first_parents(clone, *reversed(ends), deadline=deadline)
    except FetchError as error:
        raise UsageError(f"{clone}: {error}") from None
    if not line:
        raise UsageError(
            f"{quote(good)} is no ancestor of {quote(bad or 'HEAD')} along the first parents, nor the other"
            " way round",
            resolution="Name two commits of one branch: `git log --first-parent` lists them.",
        )
    value = _find_software(cell, axis)
    return tuple(_make_commit(axis, value, clone, commit, subject) for commit, subject in line)


def _make_commit(axis: str, value: Software, clone: Path, commit: str, subject: str) -> Candidate:
    name = f"git-{commit[:_DIGITS]}"
    keys = {"name": name, "git": f"{clone} {commit}"}
    return Candidate(name=name, value=_write(axis, value, keys), commit=commit, subject=subject)


def fix_other(cell: Cell, axis: str, matrix: Matrix, settings: Settings, mirrors: Sequence[str]) -> Settings:
    """Return the settings with the moving source of the other axis held where it stands now.

    Of git its commit takes the place of the branch; a tree or a file gets a pin.

    :raises MatrixctlError: where it cannot be read.
    """
    other, value = ("tls", cell.tls) if axis == "haproxy" else ("haproxy", cell.haproxy)
    what = find_moving_source(value, cell.arch.name)
    if what is None or what.kind == "distro" or git.is_commit(what.ref):
        return settings
    deadline = time.monotonic() + matrix.limits.fetch
    at = unpinned.resolve(what, store=Store(Path(settings.store)), mirrors=mirrors, deadline=deadline)
    if what.kind != "git":
        pin = Pin.model_validate({**what.model_dump(exclude={"version"}), "at": at})
        return settings.model_copy(update={"pins": Pins(matrix=matrix.digest, pins=(pin,))})
    keys = {"name": value.name, "version": value.version, "git": f"{what.where} {at}"}
    kept = [one for one in settings.replacements if not one.startswith(f"{other}=")]
    return settings.model_copy(update={"replacements": (*kept, _write(other, value, keys))})


def list_sources(
    cell: Cell, axis: str, catalog: Catalog, candidates: Sequence[Candidate]
) -> tuple[Source, ...]:
    """Return the entries of the catalogue that the steps may use."""
    used = {(one.family, one.version) for one in (cell.haproxy, cell.tls)}
    family = _find_software(cell, axis).family
    used |= {(family, one.name.removeprefix(f"{family}-")) for one in candidates if not one.commit}
    return tuple(source for key, source in catalog.sources.items() if key in used)


def find_origin(cell: Cell, matrix: Matrix, settings: Settings, sources: Sequence[Source]) -> Origin:
    """Return what the steps are made of, as it is now."""
    made = {
        "axes": {axis: value.model_dump(mode="json") for axis, value in cell.axes.items()},
        "patches": [(name, patch.sha256) for name, patch in map(patches.parse, settings.patches)],
    }
    return Origin(
        matrix=matrix.digest,
        cell=hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest(),
        inputs=resume.make_inputs(sources, None),
    )


def refuse_changes(bisection: Bisection, now: Origin) -> None:
    """Let a bisection go on only with what it began with.

    :raises UsageError: with everything that differs.
    """
    was = bisection.origin
    found = list(resume.list_differences(was.inputs, now.inputs))
    if was.matrix != now.matrix:
        found.append(f"matrix: its SHA-256 is {now.matrix}, and was {was.matrix}")
    elif was.cell != now.cell:
        found.append(f"the cell {bisection.cell} is made of something else: a value, or a patch")
    if found:
        raise UsageError(
            f"the bisection {bisection.id} cannot be resumed: what it began with has changed",
            details="\n".join(found),
            resolution="Bring that back, or begin a new one: what the store holds is not built again.",
        )


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make the bisection's folder and lock it, so that no other process works on it.

    If the process dies, the kernel drops the lock.

    :raises UsageError: while another process has the lock.
    """
    make_ignored(folder.parent)
    folder.mkdir(exist_ok=True)
    with (folder / _LOCK).open("ab") as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"the bisection {folder.name} still goes on: another process works on {folder}",
                resolution="Wait for its end, or end it; then it can be resumed.",
            ) from None
        yield


def save(bisection: Bisection, folder: Path) -> None:
    """Replace ``bisect.json`` as a whole.

    :raises OSError: as the file system says.
    """
    write_atomically(folder / BISECTION, bisection.model_dump_json(indent=1).encode() + b"\n")


def load(folder: Path) -> Bisection:
    """Read ``bisect.json``.

    :raises UsageError: where there is none, or another version wrote it.
    """
    path = folder / BISECTION
    try:
        return Bisection.model_validate_json(read_limited(path, _LIMIT))
    except OSError as error:
        raise UsageError(f"there is no bisection in {folder}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{path} cannot be read: {where}: {first['msg']}") from None


def search(bisection: Bisection, probe: Probe, keep: Callable[[Bisection], None]) -> Bisection:
    """Try candidates until the border cannot be made narrower; return the bisection with what was found.

    :param keep: gets it after each step, and once it has ended or was interrupted.
    :raises EngineError: where the engine was lost, or the like: what was tried stays, and it can go on.
    :raises KeyboardInterrupt: likewise, once it was kept.
    """
    try:
        while steps := choose_steps(bisection.marks, len(bisection.candidates), width=bisection.at_once):
            chosen = [bisection.candidates[position] for position in steps]
            for step in _try(bisection, chosen, probe):
                bisection = bisection.model_copy(update={"steps": (*bisection.steps, step)})
            keep(bisection)
    except (KeyboardInterrupt, MatrixctlError):
        keep(bisection.model_copy(update={"status": "interrupted"}))
        raise
    end = {"status": "finished", "finished_at": utc_now(), "message": describe(bisection)}
    bisection = bisection.model_copy(update=end)
    keep(bisection)
    return bisection


def _try(bisection: Bisection, chosen: Sequence[Candidate], probe: Probe) -> Iterator[Step]:
    """Run the candidates; those whose attempts disagree once more, as often as it takes to decide.

    :raises EngineError: after the others, for one whose end says nothing of it.
    """
    first = probe(chosen, bisection.settings.repeat)
    flaky = [one for one in chosen if is_split(first[one.name].cell)]
    again = probe(flaky, bisection.attempts) if flaky else {}
    ends = {one: again.get(one.name, first[one.name]) for one in chosen}
    for one, last in ends.items():
        if is_no_step(last.cell):
            continue
        mark = (
            vote(last.cell, bisection.reason, bad_from=bisection.bad_from, of=bisection.attempts)
            if one.name in again
            else judge_step(last.cell, bisection.reason)
        )
        yield Step(
            candidate=one.name,
            mark=mark,
            message=describe_end(last.cell),
            runs=tuple(dict.fromkeys((first[one.name].run, last.run))),
            rerun=last.cell.reproducer,
        )
    for one, last in ends.items():
        if is_no_step(last.cell):
            why = describe_end(last.cell) if last.cell.outcome else last.cell.message
            raise EngineError(
                f"{one.title} could not be tried: {why}",
                resolution=f"Mend that, then go on with: matrixctl bisect --resume {bisection.id}",
            )


def describe_end(cell: CellRecord) -> str:
    """Return in one line how a cell ended."""
    end = f"{cell.outcome}: {cell.reason}" if cell.reason else str(cell.outcome)
    failed = sum(one.outcome != "pass" for one in cell.attempts)
    often = f" in {failed} of {len(cell.attempts)} attempts" if is_split(cell) else ""
    message = "" if cell.outcome == "pass" else f": {cell.message.splitlines()[0] if cell.message else ''}"
    return f"{end}{often}{message}"


def describe(bisection: Bisection) -> str:
    """Return in one line what was found."""
    border, last = bisection.border, len(bisection.candidates) - 1
    if border is None:
        ends = [bisection.find_step(position) for position in (0, last)]
        said = "; ".join(f"{step.candidate} is {step.mark} ({step.message})" for step in ends)
        return f"nothing to bisect between the ends: {said}"
    after = bisection.candidates[border.after].title
    mark = bisection.find_step(border.after).mark
    if not border.between:
        return f"the first {mark} one is {after}"
    before = bisection.candidates[border.before].title
    names = join_names([bisection.candidates[one].name for one in border.between])
    return f"the first {mark} one comes after {before}, at {after} at the latest; not told: {names}"


def refuse_empty(candidates: Sequence[Candidate], notes: Sequence[str]) -> None:
    """:raises NothingSelectedError: where there are no two ends."""
    if len(candidates) < 2:  # noqa: PLR2004 - two ends
        raise NothingSelectedError("fewer than two candidates are left to bisect", details="\n".join(notes))
