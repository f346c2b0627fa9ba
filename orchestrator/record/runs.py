"""Runs on disk: which there are, and which one is meant."""

import re
from difflib import get_close_matches
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.matrix.names import listed, quoted

JOURNAL = "journal.jsonl"
LATEST = "latest"
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")


def runs(out: Path) -> tuple[str, ...]:
    """The folders below ``out`` that hold a journal, the oldest run first."""
    return tuple(sorted(path.parent.name for path in out.glob(f"*/{JOURNAL}")))


def find(name: str, out: Path) -> Path:
    """The folder of a run, by its id, its path or ``latest``.

    :raises UsageError: where there is none, with the nearest ids.
    """
    known = runs(out)
    if name in known:
        return out / name
    mine = [one for one in known if _ID.fullmatch(one)]  # a sample, or a renamed run, is never the latest
    if name == LATEST and mine:
        return out / mine[-1]
    if name != LATEST and _is_run(Path(name)):
        return Path(name)
    raise UsageError(
        f"no run {quoted(name)} below {out}, and no folder of that name with a {JOURNAL}"
        if name != LATEST
        else f"no run below {out} yet",
        details=f"nearest: {listed(get_close_matches(name, known, n=3, cutoff=0.3) or known[-3:])}"
        if known
        else "",
        resolution="Name an id, a run's folder or `latest`; --out says where runs are looked for.",
    )


def _is_run(folder: Path) -> bool:
    try:
        return (folder / JOURNAL).is_file()
    except (OSError, ValueError):  # too long for a name, or a NUL in it
        return False
