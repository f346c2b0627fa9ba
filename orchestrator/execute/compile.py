"""Compiles one component in a container without network and keeps what comes out in the store."""

import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator import bounds
from orchestrator.errors import BuildError, EngineError, ExhaustedError, MatrixctlError
from orchestrator.execute import buildlog
from orchestrator.execute.engine.archive import pack, read_member
from orchestrator.execute.engine.engine import WORK, ContainerSpec, Engine, ExecResult, container, volume
from orchestrator.execute.store.store import Artifact, Store
from orchestrator.execute.system.deadline import explain_deadline
from orchestrator.matrix.diffs import read_hunks
from orchestrator.matrix.model import Patch
from orchestrator.matrix.patches import read_fitted

_log = logging.getLogger(__name__)

_TAIL = 25
"""Lines of a failed build's log that a message carries; the whole log lies in the store."""
_BUILD = f"""\
trap : TERM
shorten() {{
  [ "$(stat -c %s build.log)" -gt {bounds.LOG} ] || return 0
  tail -c {bounds.LOG_END} build.log > build.end
  echo '(cut: the log was longer than {bounds.format_size(bounds.LOG)}; this is its end)' > build.log
  cat build.end >> build.log
}}
: > build.log
until [ -e build.over ]; do sleep 0.2; shorten; done &
watch=$!
sh build.sh >> build.log 2>&1
code=$?
true > build.over || kill "$watch"
wait
shorten
[ "$code" = 0 ] || df -k --output=avail . | tail -n 1
exit "$code"
"""
"""On a full disk the log cannot say so; what df says comes by another way. A build that prints
without end fills neither a disk nor our memory. It appends, so that what it says after a cut comes after it;
and this script outlives the TERM of a build that takes too long, to tidy up."""
_KILLED = 137
SHORT = re.compile(
    rb"Killed signal terminated program \w+|No space left on device|Cannot allocate memory|"
    rb"Resource temporarily unavailable|virtual memory exhausted"
)
"""What compilers say where the machine, not the code, is at fault; the shell's exit code hides it."""
_ROOM_KIB = 1024
_WORDS = 160
"""Characters of a file's name that a message carries."""
_HUNK_FAILED = re.compile(
    r"^(?:patching|checking) file (.+)\n(?:Hunk .*\n){0,999}?Hunk #([0-9]{1,9}) FAILED", re.MULTILINE
)
_NO_FILE = re.compile(r"^can't find file to patch .*\n(?:.*\n){0,99}?\|\+\+\+ (?:b/)?(\S+)", re.MULTILINE)
"""What ``patch`` says, in the C locale."""
_REFUSED = re.compile(rb"^matrixctl: the patch ([\w.+~-]+) does not apply$", re.MULTILINE)
"""What templates/build/unpack.sh.j2 says last."""


@dataclass(frozen=True, kw_only=True)
class Compile:
    """One compile. ``output`` is the path below ``out/`` that is kept; ``parents`` are unpacked at WORK."""

    name: str
    """Of the container; the run's id is part of it."""
    run_id: str
    digest: str
    image: str
    platform: str
    script: str
    source_file: str
    source: Path | None
    """``None``: the script brings along what it compiles."""
    patches: tuple[Patch, ...]
    packages: tuple[str, ...]
    """What the image has beside the toolchain's own, since a value has named it."""
    parents: tuple[Path, ...]
    output: str
    caches: tuple[str, ...]
    """The first of these compiler caches that is in the store is brought along."""
    kept_cache: str | None
    """The one that takes what this build leaves in it."""
    jobs: int
    memory_bytes: int
    timeout: float
    keep: bool


def compile_once(engine: Engine, store: Store, task: Compile) -> Artifact:
    """Return the artifact of ``task``, from the store or made now; two runs never make it twice.

    :raises BuildError: if it does not compile, or a patch does not apply; details hold the log's last lines.
    :raises PackageMissingError: if the toolchain lacks what it is compiled with.
    :raises ChecksumMismatchError: if a patch has changed since its digest was taken.
    :raises ExhaustedError: if memory or disk ran out.
    :raises DeadlineError, EngineError: where the harness failed.
    """
    with store.lock(task.digest, deadline=time.monotonic() + task.timeout):
        return store.find_artifact(task.digest) or _compile(engine, store, task)


def _compile(engine: Engine, store: Store, task: Compile) -> Artifact:
    spec = ContainerSpec(
        name=f"{task.name}-build",
        run_id=task.run_id,
        image=task.image,
        platform=task.platform,
        argv=("sleep", "infinity"),
        network="none",
        volume=f"{task.name}-work",
        memory_bytes=task.memory_bytes,
        cpus=task.jobs,
        pids=1024,
    )
    patches = {patch.name: read_fitted(patch) for patch in task.patches}
    files = {
        "build.sh": task.script.encode(),
        **({f"src/{task.source_file}": task.source.read_bytes()} if task.source else {}),
        **{f"patches/{name}": text for name, text in patches.items()},
    }
    with (
        volume(engine, spec.volume, task.run_id, keep=task.keep),
        container(engine, spec, files=pack(files), keep=task.keep),
    ):
        for archive in task.parents:
            engine.put(spec.name, archive.read_bytes())
        _bring_ccache(engine, store, task, spec.name)
        argv = ("env", f"JOBS={task.jobs}", "sh", "-c", _BUILD)
        done = engine.exec(spec.name, argv, timeout=task.timeout, on_line=None)
        # The build may have put another file there, behind the back of what keeps it short.
        log = read_member(engine.get(spec.name, f"{WORK}/build.log", limit=4 * bounds.LOG), "build.log")
        store.put_log(task.digest, log)
        # Also of a build that failed: the next try goes on where a deadline or a mistake has stopped it.
        _keep_ccache(engine, store, task, spec.name, failed=done.exit_code != 0)
        if done.exit_code != 0:
            raise _explain_failure(task, done, log, patches)
        output = b"".join(engine.get(spec.name, f"{WORK}/out/{task.output}"))
    return store.put_artifact(task.digest, output, {"name": task.name})


def _find_refusal(log: bytes, diff: bytes) -> str:
    """Return the hunk or the file that ``patch`` stumbled over first; empty if it does not say."""
    said = log[log.rfind(b"matrixctl: applying the patch ") :].decode(errors="replace")
    if gone := _NO_FILE.search(said):
        return f"there is no file {bounds.cut(gone[1], _WORDS)}"
    failed = _HUNK_FAILED.search(said)
    if failed is None:
        return ""
    file, number = failed[1], int(failed[2])
    hunks = next((found for path, found in read_hunks(diff).items() if f"/{path}".endswith(f"/{file}")), [])
    of_rcs = 0 < number <= len(hunks) and hunks[number - 1].of_rcs
    rcs = (
        "; it changes nothing but what RCS or CVS put there ($Id$ and the like): leave it out"
        if of_rcs
        else ""
    )
    return f"hunk {number} of {bounds.cut(file, _WORDS)} finds its lines nowhere{rcs}"


def _explain_failure(task: Compile, done: ExecResult, log: bytes, patches: Mapping[str, bytes]) -> Exception:
    code = done.exit_code
    lines = log.decode(errors="replace").splitlines()[-_TAIL:]
    tail = "\n".join(bounds.cut(line, bounds.WORDS) for line in lines)
    if done.timed_out:
        return explain_deadline("The build", task.timeout, "build", details=tail)
    short = SHORT.search(log)
    if code == _KILLED or short or _is_full(done.stdout):
        said = short[0].decode() if short else "there is no space left on its disk"
        return ExhaustedError(
            "The build was killed, most likely for lack of memory."
            if code == _KILLED and short is None
            else f"The engine's host ran short while building: {said}.",
            details=tail,
            resolution="Use fewer jobs (--jobs), or give the engine more memory and disk.",
        )
    refused = _REFUSED.search(log)
    if refused:
        name = refused[1].decode()
        why = _find_refusal(log, patches.get(name, b""))
        return BuildError(f"The patch {name} does not apply{why and ': '}{why}.", details=tail)
    return buildlog.explain(log, code, task.packages, tail)


def _is_full(df: bytes) -> bool:
    """Whether there is no room for a compiler's next file; it deletes the one that it could not end."""
    free = df.strip()
    return free.isdigit() and int(free) < _ROOM_KIB


def _bring_ccache(engine: Engine, store: Store, task: Compile, name: str) -> None:
    for cache in task.caches:
        try:
            archive = store.locate_ccache(cache).read_bytes()
        except FileNotFoundError:  # the first build has none, and another process may prune it
            continue
        try:
            engine.put(name, archive)
        except EngineError as error:
            if type(error) is not EngineError:  # lost, or its disk is full: that says nothing of the archive
                raise
            store.discard([store.locate_ccache(cache)])
            _log.warning(
                "the compiler cache of %s could not be read and was removed: %s", task.name, error.brief
            )
        return


def _keep_ccache(engine: Engine, store: Store, task: Compile, name: str, *, failed: bool) -> None:
    if task.kept_cache is None:
        return
    # A cache: without it the next build is slower, nothing else.
    try:
        store.put_ccache(task.kept_cache, b"".join(engine.get(name, f"{WORK}/ccache")))
    except MatrixctlError as error:
        if failed:  # maybe before it compiled anything, and what went wrong is told anyway
            return
        _log.warning("the compiler cache of %s could not be kept: %s", task.name, error.brief)
