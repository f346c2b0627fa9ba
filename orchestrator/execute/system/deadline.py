"""Time limits that hold for every kind of waiting, and the error that names the limit."""

import threading
from collections.abc import Callable
from typing import TypeVar

from orchestrator.errors import DeadlineError

_T = TypeVar("_T")


def explain_deadline(what: str, seconds: float, limit: str, *, details: str = "") -> DeadlineError:
    """Return the error of an action that was stopped.

    :param seconds: that it had.
    :param limit: the field of the matrix's ``limits`` from which they come.
    """
    return DeadlineError(
        f"{what} did not end within {seconds:g} s, which come from `limits: {limit}`, and was stopped.",
        details=details,
        resolution=f"If it only needs more time, raise `{limit}` below `limits:` in matrix.yaml.",
    )


def run_within(seconds: float, work: Callable[[threading.Event], _T], late: Callable[[], Exception]) -> _T:
    """Run ``work`` in a thread that is abandoned at the deadline; return or raise what it does.

    A socket's time-out starts again with each byte that arrives, and a name look-up has none at all; only
    somebody who waits outside can end them.
    ``work`` gets an event that is set when the caller stops waiting: it should end then.
    """
    results: list[_T] = []
    errors: list[BaseException] = []
    given_up = threading.Event()

    def run() -> None:
        try:
            results.append(work(given_up))
        except BaseException as error:  # noqa: BLE001 - it is raised again in the waiting thread
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True, name="within")
    thread.start()
    try:
        thread.join(seconds)
    finally:
        given_up.set()
    if errors:
        raise errors[0]
    if not results:
        raise late()
    return results[0]
