"""The place of the files that a run renders: in the repository, or in the installed wheel."""

from functools import cache
from pathlib import Path


@cache
def find_root() -> Path:
    """Return the folder that has ``images/``, ``templates/``, ``matrix.yaml`` and ``sources.yaml``."""
    package = Path(__file__).resolve().parent
    packaged = package / "_resources"
    return packaged if packaged.is_dir() else package.parent
