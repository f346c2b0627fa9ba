"""The files of the site: their names are ours, whatever a record calls things. Pure."""

import hashlib
import re
from functools import cache

_PLAIN = re.compile(r"[a-z0-9][a-z0-9.-]{0,59}", re.ASCII)
_OTHER = re.compile(r"[^a-z0-9]+", re.ASCII)


@cache
def make_slug(text: str) -> str:
    """Return a name for a file: the text itself where it is plain, else what is plain of it and a digest.

    Two texts never have one name, also where a file system does not tell capitals from small letters.
    """
    if _PLAIN.fullmatch(text) and "~" not in text and not text.endswith("."):
        return text
    plain = _OTHER.sub("-", text.lower()).strip("-")[:60] or "other"
    return f"{plain}~{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:10]}"


def name_cell_page(cell: str) -> str:
    """Return the page of a cell."""
    return f"cells/{make_slug(cell)}.html"


def name_run_page(run: str) -> str:
    """Return the page of a run."""
    return f"runs/{make_slug(run)}.html"


def name_alarm_page(key: str) -> str:
    """Return the page of an alarm."""
    return f"alarms/{make_slug(key)}.html"


def name_library_page(family: str) -> str:
    """Return the page of a TLS library."""
    return f"libraries/{make_slug(family)}.html"


def name_arch_page(arch: str) -> str:
    """Return the page of an architecture."""
    return f"architectures/{make_slug(arch)}.html"
