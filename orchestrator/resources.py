"""Where the files lie that a run renders: in the repository, or inside the installed wheel."""

from functools import cache
from pathlib import Path


@cache
def root() -> Path:
    """The folder that holds ``images/``, ``templates/``, ``matrix.yaml`` and ``sources.yaml``."""
    package = Path(__file__).resolve().parent
    packaged = package / "_resources"
    return packaged if packaged.is_dir() else package.parent
