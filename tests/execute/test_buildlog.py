"""Logs of failed builds, as make, ccache, gcc, ld and Configure write them, and what is told of each."""

import pytest

from orchestrator.errors import BuildError, PackageMissingError
from orchestrator.execute import buildlog

TOLD = (
    b"matrixctl: failed while compiling, exit code 2; errors found in build.log:\n"
    b"2:make: *** [Makefile:1020: src/quic_sock.o] Error 1\n"
)
CLANG = b"make: clang: No such file or directory\nmake: *** [Makefile:1020: src/ev_poll.o] Error 127\n"
CCACHE = b'ccache: error: Could not find compiler "clang" in PATH\nmake: *** [Makefile:9: a.o] Error 1\n'
DASH = b"/bin/sh: 1: clang: not found\nmake: *** [Makefile:1020: src/ev_poll.o] Error 127\n"
SCRIPT = b"./configure: 11: gtags: not found\nsh: 1: ctags: not found\n" + DASH + b"sh: 1: later: not found\n"
ENV = b"/usr/bin/env: \xe2\x80\x98python3\xe2\x80\x99: No such file or directory\nmake: *** [gen] Error 127\n"
PLAIN_ENV = b"env: 'perl': No such file or directory\nmake: *** [Makefile:5: x.s] Error 127\n"
LUA = (
    b"Makefile:676: *** unable to automatically detect the Lua library name, you can enforce its name"
    b" with LUA_LIB_NAME=<name> (where <name> can be lua5.4, lua54, lua, ...).  Stop.\n"
)
PCRE2 = (
    b"In file included from src/regex.c:14:\ninclude/haproxy/regex-t.h:37:10: fatal error: pcre2.h:"
    b" No such file or directory\n   37 | #include <pcre2.h>\ncompilation terminated.\n"
)
ZLIB = b"include/haproxy/compression-t.h:30:10: fatal error: zlib.h: No such file or directory\n"
LINKER = b"/usr/bin/x86_64-linux-gnu-ld.bfd: cannot find -lpcre2-posix: No such file or directory\n"
OPTIONS = b"Configuring OpenSSL version 1.1.1w\n***** Unsupported options: no-module no-foo\n"


@pytest.mark.parametrize(
    ("log", "lacks", "package"),
    [
        pytest.param(CLANG, "clang", "clang", id="make"),
        pytest.param(CCACHE, "clang", "clang", id="ccache"),
        pytest.param(DASH, "clang", "clang", id="dash"),
        pytest.param(SCRIPT, "clang", "clang", id="the one that make ended by"),
        pytest.param(ENV, "python3", "python3", id="env, in UTF-8"),
        pytest.param(PLAIN_ENV, "perl", "perl", id="env"),
        pytest.param(LUA, "Lua library", "liblua5.4-dev", id="Lua"),
        pytest.param(PCRE2, "pcre2.h", "libpcre2-dev", id="PCRE2"),
        pytest.param(ZLIB, "zlib.h", "zlib1g-dev", id="zlib"),
        pytest.param(LINKER, "library pcre2-posix", "libpcre2-dev", id="linker"),
    ],
)
def test_what_the_toolchain_lacks_is_named_with_its_package(log: bytes, lacks: str, package: str) -> None:
    found = buildlog.explain(log + TOLD, 2, (), "tail")
    assert isinstance(found, PackageMissingError)
    assert found.brief == f"The toolchain has no {lacks}."
    assert f"build_packages: [{package}]" in found.resolution
    assert found.details == "tail"


@pytest.mark.parametrize("log", [CLANG, LUA, PCRE2, LINKER])
def test_what_was_installed_is_not_what_is_missing(log: bytes) -> None:
    installed = ("clang", "liblua5.4-dev", "libpcre2-dev")
    assert isinstance(buildlog.explain(log + TOLD, 2, installed, ""), BuildError)


@pytest.mark.parametrize(
    "log",
    [
        b"src/h3.c:1:10: fatal error: haproxy/gone.h: No such file or directory\n",
        b"make: ./scripts/gone.sh: No such file or directory\nmake: *** [x] Error 127\n",
        b"./configure: 12: gtags: not found\nx.c:1:1: error: no\n",
        b"/usr/bin/ld: cannot find -lmine: No such file or directory\n",
        b"/bin/sh: 1: -DFOO: not found\nmake: *** [x] Error 127\n",
        b"make: *** [x] Error 127\n/bin/sh: 1: later: not found\n",
    ],
    ids=[
        "its own header",
        "its own script",
        "a program that nobody misses",
        "its own library",
        "a flag where a program should be",
        "a program of a later line",
    ],
)
def test_what_the_source_itself_lacks_is_the_products_failure(log: bytes) -> None:
    found = buildlog.explain(log + TOLD, 2, (), "")
    assert isinstance(found, BuildError)


def test_options_that_configure_does_not_know_are_named() -> None:
    found = buildlog.explain(
        OPTIONS + b"matrixctl: failed while configuring, exit code 255; x:\n", 255, (), ""
    )
    assert found.brief == "Configure of this version does not know: no-module no-foo."
    assert isinstance(found, BuildError)


def test_a_log_of_megabytes_is_read_in_no_time() -> None:
    buildlog.explain(b"x: " * (1 << 20) + b"x" * (1 << 20), 2, (), "")


def test_objects_for_another_architecture_are_named_as_such() -> None:
    """``CC=gcc`` where HAProxy is crossed to arm64: the last error, collect2's, tells nothing."""
    log = (
        b"  LD      haproxy\n"
        b"/usr/aarch64-linux-gnu/bin/ld: src/slz.o: Relocations in generic ELF (EM: 62)\n"
        b"/usr/aarch64-linux-gnu/bin/ld: src/slz.o: error adding symbols: file in wrong format\n"
        b"collect2: error: ld returned 1 exit status\n"
        b"make: *** [Makefile:1036: haproxy] Error 1\n"
        b"matrixctl: failed while compiling, exit code 2; errors found in build.log:\n"
        b"206:collect2: error: ld returned 1 exit status\n"
    )
    error = buildlog.explain(log, 2, (), "")
    assert isinstance(error, BuildError)
    assert error.brief.startswith("The compiler made objects for another architecture than the linker's")
