"""Text that may be shown: what a server or a container said is never trusted, and never hidden either."""

import re
from enum import Enum
from typing import Any

from orchestrator.record.model import RunRecord

_INVISIBLE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls except tab and newline; U+009B is a one-byte ESC [
    "\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"  # invisible, or turning the direction
    "\ufff9-\ufffb\ufffe\uffff"  # interlinear marks, and what XML 1.0 forbids
    "\ud800-\udfff"  # surrogates without a partner
    "\U000e0000-\U000e007f"  # tags
    "]"
)


def visible(text: str) -> str:
    """``text`` with every control, invisible or direction-changing character made visible.

    Tabs and newlines stay. The result is legal in XML 1.0 and HTML and can be encoded as UTF-8.
    It still has to be escaped for the place where it goes.
    """
    return _INVISIBLE.sub(lambda match: f"<U+{ord(match[0]):04X}>", text.replace("\r\n", "\n"))


def shorten(text: str, limit: int) -> str:
    """``text`` with at most ``limit`` characters, and how many are missing."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit} more characters in run.json)"


def one_line(text: str) -> str:
    """``text`` with every run of white space as one blank."""
    return " ".join(text.split())


def safe(record: RunRecord) -> RunRecord:
    """The same record with every string made visible: what all renderers start from."""
    return RunRecord.model_validate(_walk(record.model_dump()))


def _walk(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, Enum):
        return value if value.isascii() and value.isprintable() else visible(value)
    if isinstance(value, dict):
        return {key: _walk(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_walk(item) for item in value]
    return value
