"""Diffs without ``a/`` and ``b/``, held against the real ``patch -p1``; and what their hunks change."""

import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.matrix.diffs import Hunk, fit_prefixes, read_hunks

HUNK = b"@@ -1,2 +1,2 @@\n a\n-b\n+c\n"
TREE = {"ssl/x.c": "a\nb\n", "top.c": "a\nb\n"}
NEW = b"--- /dev/null\n+++ %bssl/new.c\n@@ -0,0 +1 @@\n+n\n"
GONE = b"--- %btop.c\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\n-b\n"


def diff(old: bytes, new: bytes) -> bytes:
    return b"--- " + old + b"\n+++ " + new + b"\n" + HUNK


def no_prefix(path: bytes, mode: bytes, rest: bytes) -> bytes:
    return b"diff --git %b %b\n%b\nindex 1234567..89abcde\n%b" % (path, path, mode, rest)


CHANGED = {**TREE, "ssl/x.c": "a\nc\n"}
TOP = {**TREE, "top.c": "a\nc\n"}


needs_patch = pytest.mark.skipif(shutil.which("patch") is None, reason="patch is not installed")


def apply(folder: Path, text: bytes, tree: dict[str, str]) -> dict[str, str]:
    """Return what ``patch`` makes of a tree."""
    for name, content in tree.items():
        (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tree" / name).write_text(content)
    (folder / "fix.diff").write_bytes(fit_prefixes(text))
    given = ["patch", "-d", "tree", "-p1", "--batch", "--forward", "--no-backup-if-mismatch", "-i"]
    done = subprocess.run([*given, "../fix.diff"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    files = (path for path in (folder / "tree").rglob("*") if path.is_file())
    return {str(path.relative_to(folder / "tree")): path.read_text() for path in files}


@needs_patch
@pytest.mark.parametrize(
    ("text", "left"),
    [
        (diff(b"a/ssl/x.c", b"b/ssl/x.c"), CHANGED),
        (diff(b"ssl/x.c", b"ssl/x.c"), CHANGED),
        (
            diff(b"ssl/x.c\t1 Nov 2026 00:00:00 -0000\t1.2", b"ssl/x.c\t2 Nov 2026 00:00:00 -0000\t1.3"),
            CHANGED,
        ),
        (b"Index: ssl/x.c\n=====\n" + diff(b"ssl/x.c\t(revision 1)", b"ssl/x.c\t(working copy)"), CHANGED),
        (diff(b"ssl/x.c.orig", b"ssl/x.c"), CHANGED),
        (diff(b"openssl.orig/ssl/x.c", b"openssl/ssl/x.c"), CHANGED),
        (diff(b"top.c", b"top.c"), TOP),
        (diff(b"top.c", b"top.c") + diff(b"ssl/x.c", b"ssl/x.c"), {**CHANGED, **TOP, "ssl/x.c": "a\nc\n"}),
        (
            no_prefix(b"ssl/new.c", b"new file mode 100644", NEW % b"")
            + no_prefix(b"top.c", b"deleted file mode 100644", GONE % b""),
            {"ssl/x.c": "a\nb\n", "ssl/new.c": "n\n"},
        ),
        (NEW % b"b/" + GONE % b"a/", {"ssl/x.c": "a\nb\n", "ssl/new.c": "n\n"}),
    ],
)
def test_patch_finds_the_files_with_and_without_prefixes(
    tmp_path: Path, text: bytes, left: dict[str, str]
) -> None:
    assert apply(tmp_path, text, TREE) == left


@needs_patch
@pytest.mark.parametrize(
    ("text", "left"),
    [
        (diff(b"ssl/x.c", b"ssl/x.c"), {"ssl/x.c": "a\nc\n"}),
        (diff(b"ssl/x.c\t(revision 1)", b"ssl/x.c\t(working copy)"), {"ssl/x.c": "a\nc\n"}),
        (diff(b"ssl/x.c.orig", b"ssl/x.c"), {"ssl/x.c": "a\nc\n"}),
        (diff(b"x.c", b"x.c"), {"x.c": "a\nc\n"}),
        (NEW % b"", {"ssl/new.c": "n\n"}),
        (NEW % b"" + diff(b"ssl/x.c", b"ssl/x.c"), {"ssl/new.c": "n\n", "ssl/x.c": "a\nc\n"}),
        (GONE % b"ssl/", {"ssl/top.c": ""}),
        (
            b"diff --git c/ssl/new.c w/ssl/new.c\nnew file mode 100644\nindex 0000000..89abcde\n"
            + NEW % b"w/",
            {"ssl/new.c": "n\n"},
        ),
    ],
)
def test_the_file_of_that_very_path_is_meant_where_others_have_its_name(
    tmp_path: Path, text: bytes, left: dict[str, str]
) -> None:
    """As ``Makefile`` and ``src/Makefile``: patch would take the shorter path that exists."""
    tree = {"x.c": "a\nb\n", "ssl/x.c": "a\nb\n", "top.c": "a\nb\n", "ssl/top.c": "a\nb\n"}
    changed = {**tree, **left}
    assert apply(tmp_path, text, tree) == {name: content for name, content in changed.items() if content}


def test_a_diff_with_prefixes_stays_as_it_is_whatever_its_lines_look_like() -> None:
    inside = b"@@ -1,2 +1,2 @@\n--- ssl/x.c\n-diff --git x x\n+++ ssl/x.c\n+y\n\\ No newline at end of file\n"
    text = b"From 1234\n\n---\n 1 file\n\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n" + inside + b"-- \n2.39\n"
    assert fit_prefixes(text) == text
    assert read_hunks(text) == {
        "b/x": [Hunk(changes=(b"-- ssl/x.c\n", b"diff --git x x\n", b"++ ssl/x.c\n", b"y\n"))]
    }


def test_a_hunk_of_rcs_lines_alone() -> None:
    rcs = b"@@ -1,2 +1,2 @@\n-/* $OpenBSD: x.c,v 1.5 $ */\n+/* $OpenBSD: x.c,v 1.6 $ */\n /*\n"
    first, second = read_hunks(b"--- x.c\n+++ x.c\n" + rcs + HUNK)["x.c"]
    assert (first.of_rcs, second.of_rcs) == (True, False)
    assert not Hunk(changes=(b"$Id$", b"int x;")).of_rcs
