"""What a diff says, as ``patch`` reads it: the files that it names, and its hunks. See patch(1)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_HUNK = re.compile(rb"@@ -[0-9]+(?:,([0-9]{1,9}))? \+[0-9]+(?:,([0-9]{1,9}))? @@")
_NAMED = re.compile(rb"(?:---|\+\+\+) (?P<path>[^\t\r\n]+)")
_GIT = re.compile(rb"diff --git (?P<path>\S+) (?P=path)\s*$")
_RCS = re.compile(
    rb"\$(?:Author|Date|Header|Id|Log|Mdocdate|Name|RCSfile|Revision|Source|(?:Dragonfly|Free|Net|Open)BSD)\b"
)
"""Keywords of RCS and CVS, whose text is another one after each commit."""
_PREFIXES = (b"a/", b"b/")
_NOTHING = b"/dev/null"


@dataclass(frozen=True, kw_only=True)
class Hunk:
    """One hunk: the lines that it takes away or adds."""

    changes: tuple[bytes, ...]

    @property
    def of_rcs(self) -> bool:
        """Return whether it changes nothing but lines with a keyword of RCS."""
        return bool(self.changes) and all(_RCS.search(line) for line in self.changes)


def read_hunks(diff: bytes) -> dict[str, list[Hunk]]:
    """Return the hunks of a unified diff, by the path after ``+++`` as it stands there."""
    found: dict[str, list[Hunk]] = {}
    hunks: list[Hunk] = []
    for line, header in _read_lines(diff):
        if not header and hunks and line[:1] in (b"+", b"-"):
            hunks[-1] = Hunk(changes=(*hunks[-1].changes, line[1:]))
        elif header and _HUNK.match(line):
            hunks.append(Hunk(changes=()))
        elif header and line.startswith(b"+++ ") and (named := _NAMED.match(line)):
            hunks = found.setdefault(named["path"].decode("utf-8", "replace").strip(), [])
    return found


def fit_prefixes(diff: bytes) -> bytes:
    """Return the diff so that ``patch -p1`` also finds files whose paths lack ``a/`` and ``b/``.

    Where the two names are one path, or one is ``/dev/null``, or ``diff --git`` says that there is no prefix,
    both get one: the path is meant from the top of the tree, and patch would take a shorter one that exists.
    Otherwise the first name gets it and the second stays: patch takes the one that exists.
    """
    made: list[bytes] = []
    bare, own, old = False, False, b""
    for line, header in _read_lines(diff):
        git = _GIT.match(line) if header else None
        if header and line.startswith(b"diff "):
            bare = git is not None
            own = line.startswith(b"diff --git ") and not bare
        after_old, old = old, line if header and line.startswith(b"--- ") else b""
        if git:
            line = b"diff --git a/%b b/%b\n" % (git["path"], git["path"])  # noqa: PLW2901 - one line, read again
        elif after_old and header and line.startswith(b"+++ "):
            made.pop()
            made += _fit(after_old, line, bare=bare or (not own and _is_bare(after_old, line)))
            continue
        made.append(line)
    return b"".join(made)


def _fit(old: bytes, new: bytes, *, bare: bool) -> tuple[bytes, bytes]:
    """Return the two lines that name a file.

    :param bare: both names are paths from the top of the tree.
    """
    if bare:
        return _add_prefix(old, b"a/"), _add_prefix(new, b"b/")
    if old[4:].startswith((b"a/", _NOTHING)) or new[4:].startswith(_NOTHING):
        return old, new
    return _add_prefix(b"---" + new[3:], b"a/"), new


def _is_bare(old: bytes, new: bytes) -> bool:
    """Return whether the two lines name one path, and that without a prefix."""
    was, now = (found["path"] if (found := _NAMED.match(line)) else b"" for line in (old, new))
    if _NOTHING in (was, now):
        return not (now if was == _NOTHING else was).startswith(_PREFIXES)
    return bool(now) and was.removesuffix(b".orig") == now and not was.startswith(_PREFIXES)


def _add_prefix(line: bytes, prefix: bytes) -> bytes:
    return line if line[4:].startswith(_NOTHING) else line[:4] + prefix + line[4:]


def _read_lines(diff: bytes) -> Iterator[tuple[bytes, bool]]:
    """Return each line, and whether it is a header's: within a hunk, ``--- `` may be a line of the file."""
    old = new = 0
    for line in re.findall(rb"[^\n]*\n|[^\n]+\Z", diff):
        if old <= 0 and new <= 0:
            yield line, True
            if hunk := _HUNK.match(line):
                old, new = (1 if count is None else int(count) for count in hunk.groups())
            continue
        yield line, False
        old -= line[:1] not in (b"+", b"\\")
        new -= line[:1] not in (b"-", b"\\")
