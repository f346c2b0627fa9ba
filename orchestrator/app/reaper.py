"""What runs beside a run, so that no container or volume outlives it."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator import unexpected_error
from orchestrator.app.context import Context
from orchestrator.errors import MatrixctlError
from orchestrator.execute.system import process

_log = logging.getLogger(__name__)

_LOOKS_EVERY = 0.2
"""Seconds until a cancelled run's containers begin to go."""


@contextmanager
def reap(context: Context, *, alone: bool = True) -> Iterator[None]:
    """Remove at the end whatever has the run's label; once the run is cancelled, end what it started.

    :param alone: this process does nothing else, so that whatever it started goes: an image that is being
        made, too, whose thread is not waited for.
    """
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOKS_EVERY):
            with context.cancel.held() as stopping:
                if stopping and alone:
                    process.end_all()
                if stopping:
                    sweep(context, alone=alone)

    # Between two containers, too, `matrixctl clean` has to see that a run is going on.
    context.engine.create_volume(f"matrixctl-{context.run_id}", context.run_id)
    thread = threading.Thread(target=watch, name="reap", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        sweep(context, alone=alone)


def sweep(context: Context, *, alone: bool = True) -> None:
    """Remove what the run has made, unless it is to be kept; an error is logged and not raised."""
    if context.options.keep:
        return
    try:
        context.engine.sweep(context.run_id)
        if alone and context.cancel():
            context.engine.sweep()
    except Exception as error:  # noqa: BLE001 - the reaper's thread must go on
        why = (
            error.brief
            if isinstance(error, MatrixctlError)
            else unexpected_error.keep_traceback(context.folder, error)
        )
        _log.warning("could not remove what is left of %s: %s", context.run_id, why)
