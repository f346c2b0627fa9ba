"""Shows the person who gave the command what the package logs."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_PACKAGE = logging.getLogger("orchestrator")
# What a thread logs after its command has ended goes nowhere: Python itself would print it as it is.
_PACKAGE.addHandler(logging.NullHandler())


class _Shown(logging.Handler):
    """Hands each message to ``say``, one at a time, from whatever thread it comes.

    An error of ``say`` could be shown to no one, and costs no run.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):
            self._say(self.format(record))


@contextmanager
def show_log(say: Callable[[str], None]) -> Iterator[None]:
    """Give ``say`` alone what is logged meanwhile at the level INFO and above."""
    handlers, level = _PACKAGE.handlers, _PACKAGE.level
    _PACKAGE.handlers = [_Shown(say)]
    _PACKAGE.setLevel(logging.INFO)
    try:
        yield
    finally:
        _PACKAGE.handlers = handlers
        _PACKAGE.setLevel(level)
