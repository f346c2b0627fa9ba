"""Unexpected errors: a file gets what is needed to fix them, a person gets one line."""

import secrets
import traceback
from pathlib import Path

from orchestrator import bounds
from orchestrator.atomic_files import write_atomically
from orchestrator.mask_passwords import mask_text


def keep_traceback(folder: Path, error: BaseException) -> str:
    """Write the traceback into a new file of the run's folder; return a line for a person. Never raises."""
    said = bounds.cut(mask_text(_show(error)), bounds.MESSAGE)
    try:
        path = write_report(folder, mask_text("".join(traceback.format_exception(error))))
    except Exception as another:  # noqa: BLE001 - to fail here would hide what failed before
        return f"{said}; its traceback could not be kept ({another!r}), please report it"
    return f"{said}; the traceback is in {path.name}, please report it"


def write_report(folder: Path, text: str) -> Path:
    """Write what is needed to report a fault of matrixctl.

    :raises OSError: where the folder cannot be written.
    """
    path = folder / f"internal-{secrets.token_hex(3)}.txt"
    write_atomically(path, text.encode(errors="backslashreplace"))
    return path


def _show(error: BaseException) -> str:
    try:
        return repr(error)
    except Exception:  # noqa: BLE001 - an error's own words may be broken, too
        return type(error).__name__
