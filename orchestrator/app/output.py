"""What a person sees of a run, and the files of its report: a fault in one of them costs nothing else."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from orchestrator import unexpected_error
from orchestrator.analyse.compare import Comparison
from orchestrator.atomic_files import write_atomically
from orchestrator.errors import MatrixctlError
from orchestrator.record.find import find_previous
from orchestrator.record.journal import Event
from orchestrator.record.model import RunRecord
from orchestrator.report import html, junit

_log = logging.getLogger(__name__)

REPORTS: dict[str, Callable[[RunRecord, Comparison | None, Path], str]] = {
    "junit.xml": lambda record, comparison, folder: junit.render(record, comparison, see_from_here(folder)),
    "index.html": lambda record, comparison, folder: html.render(
        record, comparison, find_previous(folder, record.run)
    ),
}
"""File -> what renders it, of the run in a folder."""


def see_from_here(folder: Path) -> str:
    """Return the path of ``folder`` from the current one, as a CI system has it; else absolute."""
    path, here = folder.absolute(), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def guard_listener(listen: Callable[[Event], None], folder: Path) -> Callable[[Event], None]:
    """Return a ``listen`` that never raises; the first error of it is logged."""
    broken = threading.Event()

    def listening(event: Event) -> None:
        try:
            listen(event)
        except Exception as error:  # noqa: BLE001 - whatever a view raises
            if broken.is_set():
                return
            broken.set()
            if isinstance(error, OSError):
                why = f"{error.strerror or error}; the run goes on"
            else:
                why = unexpected_error.keep_traceback(folder, error)
            _log.warning("progress can no longer be shown: %s", why)

    return listening


def write_reports(
    record: RunRecord, folder: Path, comparison: Comparison | None = None, *, place: Path | None = None
) -> None:
    """Write each file of the report; one that fails costs no other.

    :param comparison: of another run with this one.
    :param place: where the folder will lie, if it is to be moved.
    :raises OSError: where the disk refuses, after all were tried.
    :raises MatrixctlError: where a fault of ours cost a file.
    """
    refused: list[OSError] = []
    broken: list[str] = []
    for name, render in REPORTS.items():
        try:
            write_atomically(folder / name, render(record, comparison, place or folder).encode())
        except OSError as error:
            refused.append(error)
        except Exception as error:  # noqa: BLE001 - a fault in one renderer
            broken.append(f"{name}: {unexpected_error.keep_traceback(folder, error)}")
    if refused:
        raise refused[0]
    if broken:
        raise MatrixctlError(
            f"Of the report in {folder} {len(broken)} of {len(REPORTS)} files could not be rendered.",
            details="\n".join(broken),
            resolution="The others are there, and run.json beside them has every cell.",
        )
