"""What runs beside a run, so that no container or volume outlives it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator import internal
from orchestrator.app.work import Work
from orchestrator.errors import MatrixctlError
from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.execute.system import process

_LOOKS_EVERY = 0.2
"""Seconds until a cancelled run's containers begin to go."""


@contextmanager
def reaped(engine: DockerEngine, work: Work) -> Iterator[None]:
    """Nothing that bears the run's label outlives it; what a cancelled run has started ends at once."""
    over = threading.Event()

    def reap() -> None:
        while not over.wait(_LOOKS_EVERY):
            if work.cancel():
                process.end_all()
                sweep(engine, work)

    # Between two containers, too, `matrixctl clean` has to see that somebody is at work.
    engine.create_volume(f"matrixctl-{work.run_id}", work.run_id)
    thread = threading.Thread(target=reap, name="reap", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        sweep(engine, work)


def sweep(engine: DockerEngine, work: Work) -> None:
    """Remove what the run has made, unless it is to be kept; what cannot be removed is said, and no error."""
    if work.options.keep:
        return
    try:
        engine.sweep(work.run_id)
        if work.cancel():  # an image that is being made, too, and nobody waits for its thread
            engine.sweep_own()
    except Exception as error:  # noqa: BLE001 - the reaper's thread must go on
        why = error.brief if isinstance(error, MatrixctlError) else internal.kept(work.recorder.folder, error)
        work.say(f"could not remove what is left of {work.run_id}: {why}")
