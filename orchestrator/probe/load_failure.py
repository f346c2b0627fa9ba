"""Why a program could not be started: what the loader, QEMU or the shell said of it. Pure.

The words are those of glibc's elf/dl-load.c, dl-version.c and dl-lookup.c, of QEMU's linux-user/elfload.c,
of dash, and of env, which starts a program with an environment of its own.
"""

import re
from typing import NamedTuple

from orchestrator import bounds
from orchestrator.matrix.model import Cell
from orchestrator.outcome import Reason
from orchestrator.probe.attest import Binary

_WORD = r"[^\s:']{1,200}"
"""Bounded, since a text of megabytes without a space would be searched for minutes. A pattern that begins
with it looks behind itself, so that not each letter is tried as its beginning."""
_LOADING = "error while loading shared libraries: "
_LIBRARY = re.compile(rf"{_LOADING}({_WORD}): cannot open shared object file: No such file")
_OTHER = re.compile(rf"{_LOADING}(.+)")
_VERSION = re.compile(rf"(?<![^\s:'])({_WORD}): version [`']({_WORD})' not found \(required by {_WORD}\)")
_SYMBOL = re.compile(rf"symbol lookup error: {_WORD}: (undefined symbol: .+)")
_NO_INTERPRETER = re.compile(rf"Could not open '({_WORD})': No such file or directory")
_NOT_FOUND = re.compile(
    r"haproxy: not found$|env: ['\u2018]\./haproxy['\u2019]: No such file or directory$", re.MULTILINE
)


class Refusal(NamedTuple):
    """A reason and a sentence."""

    reason: Reason
    message: str


def find_refusal(cell: Cell, binary: Binary, said: str) -> Refusal | None:
    """Return why the loader refuses the cell's HAProxy, or ``None`` where it says nothing of the kind.

    A library that is not there is our image's lack where HAProxy was compiled here, for the toolchain had it.
    A binary from elsewhere, or one with another interpreter or C library, was built for another system.

    :param said: what starting the program wrote.
    """
    if found := _LIBRARY.search(said):
        return _explain_library(cell, bounds.cut(found[1], bounds.WORDS))
    words = _explain(binary, said)
    return Refusal(Reason.NOT_LOADABLE, bounds.cut(words, bounds.MESSAGE)) if words else None


def _explain_library(cell: Cell, library: str) -> Refusal:
    remedy = f"Name its Debian package in runtime_packages of {cell.haproxy.name} (docs/builds.md)."
    message = f"The loader refuses HAProxy: {library} is not in the server's image. {remedy}"
    foreign = cell.haproxy.source == "prebuilt"
    return Refusal(Reason.NOT_LOADABLE if foreign else Reason.PACKAGE_MISSING, message)


def _explain(binary: Binary, said: str) -> str:
    if found := _NO_INTERPRETER.search(said):
        return _explain_interpreter(found[1])
    if _NOT_FOUND.search(said) and binary.interpreter:  # the file is there: the shell means its interpreter
        return _explain_interpreter(binary.interpreter)
    if found := _VERSION.search(said):
        library = found[1].rpartition("/")[2]
        return f"The loader refuses HAProxy: {library} of the server's image has no {found[2]}."
    found = _SYMBOL.search(said) or _OTHER.search(said)
    return f"The loader refuses HAProxy: {found[1]}." if found else ""


def _explain_interpreter(interpreter: str) -> str:
    return (
        f"HAProxy cannot be started: its interpreter {interpreter} is not in the server's image,"
        " so it was built for another C library."
    )
