"""Text that may be shown: text of a server or a container is never trusted, and never hidden."""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from orchestrator.frozen_value import Value

V = TypeVar("V", bound=Value)
Style = Literal["", "bold", "alarm", "unsure", "good", "dim"]
"""How a line stands out on a terminal."""

_MARKS = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_INVISIBLE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls except tab and newline; U+009B is a one-byte ESC [
    "\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"  # invisible, or they turn the direction
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0"  # fillers, variation selectors
    "\ufff0-\ufffb\ufffe\uffff\ufdd0-\ufdef"  # interlinear marks; what XML 1.0 forbids, or HTML
    "\ud800-\udfff"  # surrogates without a partner
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"  # invisible in other planes, tags
    f"]|(?<=[{_MARKS}]{{3}})[{_MARKS}]"  # a fourth mark on one letter is there to cover the neighbours
)
_COMMAND = re.compile(
    r"^([^\S\n]*):(?=:[^\n]*::)|#(?=#\w*\[)|\[(?=\[(?:ATTACHMENT|PROPERTY)\|)", re.MULTILINE | re.IGNORECASE
)
"""``::error::``, behind white space of any kind, and ``##[error]`` anywhere: what CI systems obey in a log.
``[[ATTACHMENT|path]]``: what they read from a test's output, as a file to show with it.
https://github.com/actions/runner/blob/main/src/Runner.Common/ActionCommand.cs"""
_BREAKS = re.compile(r"(?:\r?\n|\t)+")
_RIGHT_TO_LEFT = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
)


def make_visible(text: str) -> str:
    """Return ``text`` with every control, invisible or direction-changing character made visible.

    Tabs and newlines stay. The result is legal in XML 1.0 and HTML and can be encoded as UTF-8.
    It still has to be escaped for the place where it goes.
    """
    if text.isascii() and text.isprintable():
        return text
    return _INVISIBLE.sub(lambda match: f"<U+{ord(match[0]):04X}>", text.replace("\r\n", "\n"))


def make_printable(text: str) -> str:
    """Return text as ``make_visible`` does, for a terminal or a log where CI may look for commands."""
    return _COMMAND.sub(lambda match: f"{match[1] or ''}<U+{ord(match[0][-1]):04X}>", make_visible(text))


def flatten(text: str) -> str:
    """Return text as ``make_printable`` does, on one line: foreign text cannot look like a line of ours."""
    return make_printable(_BREAKS.sub(" ", text))


def isolate(value: Any) -> Any:
    """Return right-to-left text, marked so that its neighbours stay where they are.

    FIRST STRONG ISOLATE and POP DIRECTIONAL ISOLATE (https://www.unicode.org/reports/tr9/); its own marks,
    which could end it early, are visible by then.
    """
    if isinstance(value, str) and not value.isascii() and _RIGHT_TO_LEFT.search(value):
        return type(value)(f"\u2068{value}\u2069")
    return value


def shorten(text: str, limit: int) -> str:
    """Return ``text`` with at most ``limit`` characters, and how many are missing."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit} more characters in run.json)"


def join_lines(text: str) -> str:
    """Return ``text`` with every run of white space as one blank."""
    return " ".join(text.split())


def make_safe(value: V, show: Callable[[str], str] = make_visible) -> V:
    """Return a record or a comparison with every string made visible: all renderers start from it.

    What needs no change is not copied: that is nearly all of a large record.
    """
    found: V = _walk(value, show)
    return found


def _walk(value: Any, show: Callable[[str], str]) -> Any:
    kind = type(value)
    if kind is str:
        return show(value)
    if kind in _PLAIN:
        return value
    if kind is tuple or kind is list:
        items = [_walk(item, show) for item in value]
        same = all(map(operator.is_, items, value))
        return value if same else kind(items)
    if Value in kind.__mro__:  # isinstance asks an abstract class, and there are millions of values
        fields = {}
        for name, item in value.__dict__.items():
            shown = _walk(item, show)
            if shown is not item:
                fields[name] = shown
        return value.model_copy(update=fields) if fields else value
    if isinstance(value, Mapping):
        return {key: _walk(item, show) for key, item in value.items()}
    return value


_PLAIN = frozenset({int, float, bool, type(None)})
