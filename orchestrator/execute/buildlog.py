"""Why a build failed, read from its log: what the toolchain lacks, or what the compiler says. Pure."""

import re
from collections.abc import Collection

from orchestrator.errors import BuildError, MatrixctlError, PackageMissingError

_ERROR = 160
"""Characters of a compiler's words that a message carries."""
_TOLD = re.compile(rb"^matrixctl: failed while ([^,\n]+), .*\n((?:[0-9]+:.+\n?)+)", re.MULTILINE)
"""What templates/build/explain.sh.j2 ends a log with: the step, and lines with errors by their numbers."""

_HEADER = re.compile(rb"fatal error: ([\w./+-]{1,200}): No such file or directory")
_LIBRARY = re.compile(rb"cannot find -l([\w.+-]{1,100})")
_NO_LUA = b"unable to automatically detect the Lua library name"
_QUOTE = rb"(?:'|\xe2\x80[\x98\x99])?"
"""GNU's programs quote with the curly signs of UTF-8, where the locale has them."""
_NAME = rb"([A-Za-z][\w.+-]{0,99})"
"""Of a program that is called without a path. What begins with a dash is a flag that lacks one before it."""
_PROGRAM = re.compile(
    rb"^(?:make(?:\[\d+\])?|/bin/sh|sh|(?:/usr/bin/)?env|build\.sh): (?:\d+: )?"
    + _QUOTE
    + _NAME
    + _QUOTE
    + rb": (?:No such file or directory|not found)$"
    rb'|Could not find compiler "' + _NAME + rb'" in PATH',
    re.MULTILINE,
)
"""Of make, of dash, of env and of ccache. A program that is called by a path is the source's own."""
_ENDED_BY_IT = re.compile(rb"Error 127|exit code 127|Could not find compiler")
"""127 is the shell's and make's word for it; configure scripts try programs that are not needed."""
_OPTIONS = re.compile(rb"^\*\*\*\*\* Unsupported options: (.{1,200})$", re.MULTILINE)
"""OpenSSL's Configure, and QuicTLS'."""

_FOREIGN = re.compile(rb": (?:error adding symbols: )?file in wrong format$", re.MULTILINE)
"""The linker's words for objects of another architecture."""

_PACKAGES = {
    # What HAProxy's Makefile, INSTALL and addons ask for; as in trixie.
    "liblua5.4-dev": ({"lua.h", "lauxlib.h", "lualib.h"}, {"lua5.4", "lua"}),
    "libopentracing-c-wrapper-dev": ({"opentracing-c-wrapper/include.h"}, {"opentracing-c-wrapper"}),
    "libpcre2-dev": ({"pcre2.h", "pcre2posix.h"}, {"pcre2-8", "pcre2-16", "pcre2-32", "pcre2-posix"}),
    "libsystemd-dev": ({"systemd/sd-daemon.h"}, {"systemd"}),
    "zlib1g-dev": ({"zlib.h"}, {"z"}),
    "libjemalloc-dev": ({"jemalloc/jemalloc.h"}, {"jemalloc"}),
    "libzstd-dev": ({"zstd.h"}, {"zstd"}),
    "libbrotli-dev": ({"brotli/decode.h", "brotli/encode.h"}, {"brotlidec", "brotlienc", "brotlicommon"}),
}
"""Debian's packages, with the headers and the libraries for which HAProxy and its libraries may ask."""


def explain(log: bytes, code: int, installed: Collection[str], tail: str) -> MatrixctlError:
    """Return the error of a build that failed.

    What a known package would bring, or a program that is not there, is our toolchain's lack: a
    ``PackageMissingError``, unless the package was installed. Everything else is a ``BuildError``.

    :param installed: the packages that the value has named for its build.
    :param tail: the log's last lines, which go into the details.
    """
    missing = _find_missing(log)
    if missing is not None and missing[1] not in installed:
        what, package = missing
        return PackageMissingError(
            f"The toolchain has no {what}.",
            details=tail,
            resolution=f"Name the Debian package that has it in the value, build_packages: [{package}]"
            " (docs/builds.md).",
        )
    return BuildError(_find_words(log, code), details=tail)


def _find_missing(log: bytes) -> tuple[str, str] | None:
    """Return what the toolchain lacks, and the package that has it."""
    for found in _HEADER.finditer(log):
        if package := _find_package(_decode(found[1]), kind=0):
            return _decode(found[1]), package
    for found in _LIBRARY.finditer(log):
        if package := _find_package(_decode(found[1]), kind=1):
            return f"library {_decode(found[1])}", package
    if _NO_LUA in log:
        return "Lua library", "liblua5.4-dev"
    name = _find_missing_program(log)
    return (name, name) if name else None


def _find_missing_program(log: bytes) -> str | None:
    """Return the program for want of which the build ended: the last one that was missed until then."""
    ended = _ENDED_BY_IT.search(log)
    if ended is None:
        return None
    programs = [found for found in _PROGRAM.finditer(log) if found.start() <= ended.start()]
    return _decode(programs[-1][1] or programs[-1][2]) if programs else None


def _find_package(wanted: str, *, kind: int) -> str | None:
    return next((package for package, has in _PACKAGES.items() if wanted in has[kind]), None)


def _find_words(log: bytes, code: int) -> str:
    """Return the first thing that a person would look for in the log."""
    if unknown := _OPTIONS.search(log):
        return f"Configure of this version does not know: {_decode(unknown[1]).strip()}."
    if _FOREIGN.search(log):
        return (
            "The compiler made objects for another architecture than the linker's: a CC in the flags has to"
            " compile for the cell's (docs/builds.md)."
        )
    told = _TOLD.search(log)
    if told is None:
        return f"The build ended with exit code {code}."
    errors = _decode(told[2]).splitlines()
    first = next((line for line in errors if "error:" in line.lower()), errors[-1]).partition(":")[2]
    return f"The build failed while {_decode(told[1])[:_ERROR]}: {first.strip()[:_ERROR]}"


def _decode(said: bytes) -> str:
    return said.decode(errors="replace")
