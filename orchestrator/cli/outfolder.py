"""A folder that a command writes: what it wrote before may be replaced, and nothing else."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.phrases import join_names, quote
from orchestrator.reproduce.folder import SCRIPT, Folder

_MARK = ".matrixctl-render"
"""Lists what was written into a folder: that, and nothing else, may be replaced."""


def find_old(out: Path) -> frozenset[str]:
    """Return what was written into a folder before.

    :raises UsageError: for a folder in which somebody else's files lie.
    """
    if not out.exists() or not any(out.iterdir()):
        return frozenset()
    mark = out / _MARK
    if not mark.is_file():
        raise UsageError(
            f"{out} is not empty, and matrixctl did not make it",
            resolution="Name a new folder: nothing of yours is overwritten.",
        )
    names = mark.read_text("utf-8", "replace").splitlines()
    return frozenset(name for name in names if _is_below(name))


def _is_below(name: str) -> bool:
    return not Path(name).is_absolute() and ".." not in Path(name).parts


def replace_files(out: Path, old: frozenset[str], folder: Folder) -> None:
    """Write the files of a folder, and remove those of ``old`` that are not among them.

    :raises UsageError: where a file that no command wrote is in the way, or one would lie elsewhere.
    """
    files: Mapping[str, bytes | Path] = {**folder.files, **folder.copies}
    if outside := [path for path in files if not _is_below(path)]:
        raise UsageError(
            f"these files would not lie in {out}: {join_names([quote(path) for path in outside])}"
        )
    foreign = [path for path in files if path not in old and (out / path).exists()]
    if foreign:
        raise UsageError(
            f"in {out}, these files are not matrixctl's: {join_names(foreign)}",
            resolution="Move them away first.",
        )
    out.mkdir(parents=True, exist_ok=True)
    # Both, for as long as either may be there: what is cut off can be done again.
    (out / _MARK).write_text("\n".join(sorted({*old, *files})) + "\n")
    for path in old - files.keys():
        (out / path).unlink(missing_ok=True)
    for path, content in files.items():
        _write(out / path, content)
    (out / _MARK).write_text("\n".join(sorted(files)) + "\n")


def _write(path: Path, content: bytes | Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        shutil.copyfile(content, path)
    else:
        path.write_bytes(content)
    if path.name == SCRIPT:
        path.chmod(path.stat().st_mode | 0o111)
