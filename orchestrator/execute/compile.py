"""Compiles one component in a container without network and keeps what comes out in the store."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import BuildError, DeadlineError, EngineError
from orchestrator.execute.archive import member, pack
from orchestrator.execute.engine import WORK, ContainerSpec, Engine, container, volume
from orchestrator.execute.store import Artifact, Store
from orchestrator.files import write_atomically

_TAIL = 25
"""Lines of a failed build's log that a message carries; the whole log lies in the store."""
_KILLED = 137
_SHORT = re.compile(
    rb"Killed signal terminated program \w+|No space left on device|Cannot allocate memory|"
    rb"Resource temporarily unavailable|virtual memory exhausted"
)
"""What compilers say where the machine, not the code, is at fault; the shell's exit code hides it."""


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
    source: Path
    parents: tuple[Path, ...]
    output: str
    ccache: str
    jobs: int
    memory_bytes: int
    timeout: float
    keep: bool


def compile_once(engine: Engine, store: Store, task: Compile, say: Callable[[str], None]) -> Artifact:
    """The artifact of ``task``, from the store or made now; two runs never make the same one twice.

    :raises BuildError: if it does not compile; details hold the log's last lines.
    :raises DeadlineError, EngineError: where the harness failed.
    """
    with store.lock(task.digest, deadline=time.monotonic() + task.timeout):
        return store.artifact(task.digest) or _compile(engine, store, task, say)


def _compile(engine: Engine, store: Store, task: Compile, say: Callable[[str], None]) -> Artifact:
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
    files = pack({"build.sh": task.script.encode(), f"src/{task.source_file}": task.source.read_bytes()})
    with (
        volume(engine, spec.volume, task.run_id, keep=task.keep),
        container(engine, spec, files=files, keep=task.keep),
    ):
        for archive in (*task.parents, store.ccache(task.ccache)):
            if archive.exists():
                engine.put(spec.name, archive.read_bytes())
        command = f"JOBS={task.jobs} sh build.sh > build.log 2>&1"
        done = engine.exec(spec.name, ("sh", "-c", command), timeout=task.timeout, on_line=None)
        log = member(engine.get(spec.name, f"{WORK}/build.log"), "build.log")
        write_atomically(store.log(task.digest), log)
        if done.exit_code != 0:
            raise _failure(task, done.exit_code, log, timed_out=done.timed_out)
        output = b"".join(engine.get(spec.name, f"{WORK}/out/{task.output}"))
        _keep_ccache(engine, store, task, spec.name, say)
    return store.put_artifact(task.digest, output, {"name": task.name})


def _failure(task: Compile, code: int, log: bytes, *, timed_out: bool) -> Exception:
    tail = "\n".join(log.decode(errors="replace").splitlines()[-_TAIL:])
    if timed_out:
        return DeadlineError(f"The build did not end within {task.timeout:.0f} s.", details=tail)
    short = _SHORT.search(log)
    if code == _KILLED or short:
        return EngineError(
            "The build was killed, most likely for lack of memory."
            if short is None
            else f"The engine's host ran short while building: {short[0].decode()}.",
            details=tail,
            resolution="Use fewer jobs (--jobs), or give the engine more memory and disk.",
        )
    return BuildError(f"The build ended with exit code {code}.", details=tail)


def _keep_ccache(engine: Engine, store: Store, task: Compile, name: str, say: Callable[[str], None]) -> None:
    # A cache: without it the next build is slower, nothing else.
    try:
        write_atomically(store.ccache(task.ccache), b"".join(engine.get(name, f"{WORK}/ccache")))
    except EngineError as error:
        say(f"the compiler cache of {task.name} could not be kept: {error.brief}")
