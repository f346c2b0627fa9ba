"""The files that a run was begun with, kept beside its report: from there its cells are run again."""

import hashlib
import re
import shlex
from dataclasses import replace
from pathlib import Path

from orchestrator import resources
from orchestrator.atomic_files import read_limited
from orchestrator.errors import MatrixctlError
from orchestrator.matrix.load import MAX_BYTES, load
from orchestrator.matrix.model import Matrix
from orchestrator.matrix.yamlfile import MAX_BYTES as MAX_SOURCES
from orchestrator.record.recorder import Recorder
from orchestrator.record.settings import Settings

FOLDER = "inputs"
"""Of a run's folder. A patch lies in ``patches``."""


def keep_inputs(recorder: Recorder, matrix: Matrix, settings: Settings) -> tuple[str, ...]:
    """Copy matrix, sources and pins into the run's folder; return the options that run its cells again.

    All paths in them are absolute, so that the command can be typed in any folder. The matrix that comes with
    matrixctl is named by none. One with paths of trees beside it means something else in another
    folder: it is named where it lies, as is a file that has changed since it was read.

    :raises RecordError: if a copy cannot be written.
    """
    patches = recorder.folder / "patches"
    kept = {
        "matrix": _keep_matrix(recorder, matrix),
        "sources": tuple(
            _keep(recorder, f"sources-{number}.yaml", Path(path))
            for number, path in enumerate(settings.sources, 1)
        ),
        "pins_file": _keep_pins(recorder, settings),
        "patches": tuple(
            f"{component}={patches / Path(file).name}"
            for component, _, file in (text.partition("=") for text in settings.patches)
        ),
        "mirrors": tuple(
            where if "://" in where else str(Path(where).absolute()) for where in settings.mirrors
        ),
    }
    return settings.model_copy(update=kept).again


def follow(command: str, run_id: str, folder: Path) -> str:
    """Return a command of the run with its files in another folder, into which they were copied."""
    place = re.compile(rf"(?:(.*=)|)/(?:.*/)?{re.escape(run_id)}/((?:{FOLDER}|patches)/[^/]+)", re.DOTALL)
    try:
        words = shlex.split(command)
    except ValueError:  # it was not written by matrixctl
        return command
    found = [place.fullmatch(word) for word in words]
    if not any(found):
        return command
    return shlex.join(
        f"{match[1] or ''}{folder / match[2]}" if match else word
        for word, match in zip(words, found, strict=True)
    )


def _keep_matrix(recorder: Recorder, matrix: Matrix) -> str | None:
    file = Path(matrix.path).absolute()
    if _digest(resources.find_root() / "matrix.yaml") == matrix.digest:
        return None
    if _digest(file) != matrix.digest:
        return str(file)
    copy = Path(_keep(recorder, file.name, file))
    try:
        same = _find_meaning(load(copy)) == _find_meaning(load(file))
    except MatrixctlError:
        same = False
    return str(copy if same else file)


def _keep_pins(recorder: Recorder, settings: Settings) -> str:
    """Write the pins as they were read, whatever became of their file; return where, empty without any."""
    if settings.pins is None:
        return settings.pins_file
    text = f"{settings.pins.model_dump_json(indent=1)}\n"
    return str(recorder.keep(f"{FOLDER}/pins.json", text.encode()))


def _find_meaning(matrix: Matrix) -> Matrix:
    return replace(matrix, path="", expect=(), notes=())


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(read_limited(file, MAX_BYTES)).hexdigest()
    except OSError:
        return ""


def _keep(recorder: Recorder, name: str, file: Path) -> str:
    """Copy a file unless it is there: a run that goes on has the one that it was begun with."""
    copy = recorder.folder / FOLDER / name
    if not copy.exists():
        try:
            content = read_limited(file, MAX_SOURCES)
        except OSError:
            return str(file.absolute())
        recorder.keep(f"{FOLDER}/{name}", content)
    return str(copy)
