"""In which order the files of a cell's evidence are looked at."""

_ORDER = ("backtrace.", "haproxy.log", "haproxy.cfg", "h3.", "control.")
"""Beginnings of names: what says most of a failure comes first, the control last."""

_REST = ("/stats.txt", "/shell.log", ".vv.txt")


def rank(path: str) -> int:
    """Return the place of a file among the others: what is sorted by it stays by name within a place."""
    name = path.rpartition("/")[2]
    return next((place for place, start in enumerate(_ORDER) if name.startswith(start)), len(_ORDER))


def is_main(path: str) -> bool:
    """Return whether a person wants to see it first; else it is statistics, or what `haproxy -vv` said."""
    return not path.endswith(_REST)
