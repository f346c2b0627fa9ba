"""Inputs that are nearly right: a few edits of real ones, by bytes, by words or by the tree that they spell.

A random string dies at the first check of a parser; a real one with two faults gets far.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Path = tuple[str | int, ...]

# fmt: off
WORDS = (
    *("", " ", "\n", "\t", "\r\n", "\0", "\x1b[2J", "\x9b1m", "\u202e", "\ufeff", "\ud800", "\u017f"),
    *("\u00b2", "\u0663", "\U0001d7ce", "9" * 20, "1" * 5000, "-1", "0", "-0", "1e999", "0x10", "nan", "inf"),
    *("..", "../..", "/", "/etc/passwd", "/dev/null", "~", "~nobody-here/x", "-", "--help", "%s"),
    *("{{ 7*7 }}", "{%", "{0}", "{arch}", "$(id)", "; id", "| id", "&&", "'", '"', "\\", "<!--", "]]>"),
    *("::error::x", "<script>", "a" * 300, "3.0.11", "3.0-dev13", "3.0-dev", "3.3.0-quic1", "distro"),
    *("openssl", "openssl-", "openssl-3.5.7", "libressl-3.9.2", "haproxy", "aws-lc-5.1.0", "default", "..3"),
    *("=", "!=", "<", "<=", ">", ">=", ",", "*", "?", "[", "[!", "]", "tls=openssl*", "haproxy<3.1"),
    *("arch=arm64", "cipher!=default", "tls=openssl>=3.5", "tls=libressl@3..4", "full", "3.."),
    *("2027-01-31", "2027-02-31", "0000-00-00", "haproxy 3.0.11", "openssl 3", "haproxy  ", "pass", "fail"),
    *("https://example.org/x.git master", "git://h/x y", "file:///x y", "ssh://a:b@h/x y", "http://x"),
    *("&a", "*a", "<<: *a", "!!python/name:os.system", "!!binary aGk=", "? a", "- ", ": ", "|", ">"),
    *("---", "...", "[[[[[[[[[[", "{{{{{{{{{{", "0b_", ".nan", ".inf", "~:", "1:2:3", "2026-13-45", "\\U"),
)
# fmt: on
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 139, 255, 2**31, 2**63, 2**64, -(2**63), 10**400, 0.5, -0.0, 1e308),
    *(float("nan"), float("inf"), [], {}, [[]], {"": ""}, [None], {"name": None}, [{}] * 3),
    *(json.loads("[" * 40 + "]" * 40), {"a": {"b": {"c": {"d": []}}}}),
)
_AT = st.integers(0, 1 << 16)
"""A place as a share of what there is, so that one edit fits every sample."""
_LENGTH = st.one_of(st.integers(0, 4), st.integers(0, 400))


def _pick(items: Sequence[Any], at: int) -> Any:
    return items[at * len(items) >> 16] if at < 1 << 16 else items[-1]


# Text and bytes. One edit: what is done, where, over how many characters, with which word.

_BYTE_EDITS = st.tuples(
    st.sampled_from(
        ("insert", "replace", "delete", "double", "cut", "flip", "move", "number", "number", "token", "token")
    ),
    _AT,
    _LENGTH,
    st.one_of(
        st.sampled_from(WORDS).map(lambda word: word.encode("utf-8", "surrogatepass")), st.binary(max_size=4)
    ),
)


_NUMBER, _TOKEN = re.compile(rb"[0-9]+"), re.compile(rb"[^\s\"',:=()\[\]{}]+")
_NO_NUMBERS = tuple(
    word.encode() for word in ("9" * 20, "1" * 5000, "\u00b2", "\u0663", "-1", "0", "", "0b_", "1e999", "\0")
)


def _edited(content: bytes, edit: tuple[str, int, int, bytes]) -> bytes:
    kind, where, length, word = edit
    if kind in {"number", "token"}:  # what a parser has its eye on, as a whole
        spans = [found.span() for found in (_NUMBER if kind == "number" else _TOKEN).finditer(content)]
        start, end = _pick(spans, where) if spans else (0, 0)
        other = _NO_NUMBERS[length % len(_NO_NUMBERS)] if kind == "number" else word
        return content[:start] + other + content[end:]
    at = where * len(content) >> 16
    before, span, after = content[:at], content[at : at + length], content[at + length :]
    made: dict[str, Callable[[], bytes]] = {
        "insert": lambda: before + word + span + after,
        "replace": lambda: before + word + after,
        "delete": lambda: before + after,
        "double": lambda: before + span + span + after,
        "cut": lambda: before,
        "flip": lambda: before + bytes(byte ^ (1 << length % 8) for byte in span) + after,
        "move": lambda: before + after + span,
    }
    return made[kind]()


def near_bytes(*samples: bytes, edits: int = 5) -> SearchStrategy[bytes]:
    """One of the samples after a few edits; now and then anything at all."""

    def apply(sample: bytes, changes: Iterable[tuple[str, int, int, bytes]]) -> bytes:
        for change in changes:
            sample = _edited(sample, change)
        return sample

    near = st.builds(apply, st.sampled_from(samples), st.lists(_BYTE_EDITS, max_size=edits))
    return st.one_of(near, near, near, st.binary(max_size=200))


def near_text(*samples: str, edits: int = 5) -> SearchStrategy[str]:
    """The same of text, as a reader gets it that decodes what came with ``errors="replace"``."""
    raw = [sample.encode("utf-8", "surrogatepass") for sample in samples]
    near = near_bytes(*raw, edits=edits).map(lambda made: made.decode(errors="replace"))
    return st.one_of(near, near, near, words(), st.text(max_size=60))


def words(*extra: str) -> SearchStrategy[str]:
    """A few of the words above, one after the other."""
    return st.lists(st.sampled_from((*WORDS, *extra)), max_size=6).map("".join)


# Trees of mappings, lists and scalars.

_TREE_EDITS = st.tuples(
    st.sampled_from(("value", "word", "delete", "double", "graft", "rename", "list", "map", "near", "swap")),
    _AT,
    _AT,
    st.one_of(st.sampled_from(VALUES), st.integers(), st.floats()),
    words(),
)
_TreeEdit = tuple[str, int, int, Any, str]


def near_tree(*samples: Any, edits: int = 4) -> SearchStrategy[Any]:
    """One of the samples (plain data) with a few values, keys or branches changed, moved or gone."""
    texts = [json.dumps(sample) for sample in samples]  # a fresh copy each time, soon

    def apply(text: str, changes: Iterable[_TreeEdit]) -> Any:
        tree = {"": json.loads(text)}
        for change in changes:
            _change(tree, change)
        return tree.get("")

    return st.builds(apply, st.sampled_from(texts), st.lists(_TREE_EDITS, min_size=1, max_size=edits))


def _places(tree: Any, path: Path = ()) -> list[Path]:
    """Every place below the root."""
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(tree, dict):
        items = tree.items()
    elif isinstance(tree, list):
        items = enumerate(tree)
    found: list[Path] = []
    for key, value in items:
        found.append((*path, key))
        found += _places(value, (*path, key))
    return found


def _at(tree: Any, path: Path) -> Any:
    for step in path:
        tree = tree[step]
    return tree


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _change(tree: Any, edit: _TreeEdit) -> None:  # noqa: C901 - one line per kind of edit
    kind, where, other, value, word = edit
    places = _places(tree)
    if not places:
        return
    path, second = _pick(places, where), _pick(places, other)
    around, key = _at(tree, path[:-1]), path[-1]
    old = around[key]
    match kind:
        case "value":
            around[key] = _copied(value)
        case "word":
            around[key] = word
        case "delete":
            del around[key]
        case "double" if isinstance(around, list):
            around.insert(int(key), _copied(old))
        case "graft" | "double":
            around[key] = _copied(_at(tree, second))
        case "rename" if isinstance(around, dict):
            around[word if other % 2 else str(second[-1])] = around.pop(key)
        case "list" | "rename":
            around[key] = [old]
        case "map":
            around[key] = {word: old}
        case "near":
            around[key] = f"{old}{word}" if other % 2 else f"{word}{old}"
        case "swap":
            around[key], from_second = _copied(_at(tree, second)), _copied(old)
            if second[: len(path)] != path and path[: len(second)] != second:
                _at(tree, second[:-1])[second[-1]] = from_second
