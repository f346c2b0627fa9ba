"""A HAProxy that cannot be started: what the loader said, and whose fault that is."""

import pytest
from builders import BINARY, dead, judged, server_line
from fakes import cell

from orchestrator.matrix.model import Cell
from orchestrator.outcome import LASTING, Outcome, Reason
from orchestrator.probe.attest import Binary
from orchestrator.probe.judge import judge
from orchestrator.probe.load_failure import find_refusal

CELL = cell()
PREBUILT = Cell(
    id=CELL.id,
    **{  # type: ignore[arg-type]
        **CELL.axes,
        "haproxy": CELL.haproxy.model_copy(update={"source": "prebuilt", "where": "/dist/haproxy"}),
    },
)
NO_LIBRARY = (
    "./haproxy: error while loading shared libraries: libasan.so.8: cannot open shared object file:"
    " No such file or directory\n"
)
MUSL = Binary(elf_machine="EM_X86_64", needed=(), prefixes=(), interpreter="/lib/ld-musl-x86_64.so.1")


def test_a_library_that_our_image_lacks_is_named_with_what_to_do() -> None:
    found = judged(CELL, dead(CELL, 127, NO_LIBRARY), vv=NO_LIBRARY, vv_status=127)
    assert (found.outcome, found.reason) == (Outcome.ERROR, Reason.PACKAGE_MISSING)
    assert "libasan.so.8" in found.message
    assert "runtime_packages of 3.0.11" in found.message
    assert found.reason in LASTING


def test_of_a_binary_from_elsewhere_that_is_its_own_fault() -> None:
    found = judge(
        PREBUILT, BINARY, server_line(vv=NO_LIBRARY, vv_status=127), dead(PREBUILT, 127, NO_LIBRARY), None
    )
    assert (found.outcome, found.reason) == (Outcome.MISBUILT, Reason.NOT_LOADABLE)
    assert "libasan.so.8" in found.message


@pytest.mark.parametrize(
    ("binary", "said", "status", "names"),
    [
        pytest.param(
            MUSL, "supervise.sh: 29: ./haproxy: not found\n", 127, "/lib/ld-musl-x86_64.so.1", id="musl"
        ),
        pytest.param(
            MUSL,
            "/usr/bin/env: \u2018./haproxy\u2019: No such file or directory\n",
            127,
            "/lib/ld-musl-x86_64.so.1",
            id="musl by env, in UTF-8",
        ),
        pytest.param(
            MUSL,
            "env: './haproxy': No such file or directory\n",
            127,
            "/lib/ld-musl-x86_64.so.1",
            id="musl by env",
        ),
        pytest.param(
            BINARY,
            "qemu-x86_64: Could not open '/lib/ld-musl-x86_64.so.1': No such file or directory\n",
            255,
            "/lib/ld-musl-x86_64.so.1",
            id="musl under QEMU",
        ),
        pytest.param(
            BINARY,
            "./haproxy: /lib/x/libc.so.6: version `GLIBC_2.42' not found (required by ./haproxy)\n",
            1,
            "libc.so.6 of the server's image has no GLIBC_2.42",
            id="newer libc",
        ),
        pytest.param(
            BINARY,
            "./haproxy: symbol lookup error: ./haproxy: undefined symbol: SSL_quic_read_level, version X\n",
            127,
            "undefined symbol: SSL_quic_read_level",
            id="symbol",
        ),
        pytest.param(
            BINARY,
            "./haproxy: error while loading shared libraries: libssl.so.3: wrong ELF class: ELFCLASS32\n",
            127,
            "libssl.so.3: wrong ELF class",
            id="class",
        ),
    ],
)
def test_what_was_built_for_another_system_is_not_loadable(
    binary: Binary, said: str, status: int, names: str
) -> None:
    found = judge(CELL, binary, server_line(vv=said, vv_status=status), dead(CELL, status, said), None)
    assert (found.outcome, found.reason) == (Outcome.MISBUILT, Reason.NOT_LOADABLE)
    assert names in found.message


def test_other_words_stay_unexplained() -> None:
    said = "supervise.sh: 29: ./haproxy: Permission denied\n"
    assert judged(CELL, dead(CELL, 126, said), vv=said, vv_status=126).reason is Reason.INTERNAL
    said = "supervise.sh: 29: ./haproxy: not found\n"  # of a file that names no interpreter
    assert judged(CELL, dead(CELL, 127, said), vv=said, vv_status=127).reason is Reason.INTERNAL


@pytest.mark.parametrize("filler", ["x", ":", "'", "error while loading shared libraries: ", "x: version `"])
def test_a_long_line_of_other_words_are_read_in_no_time(filler: str) -> None:
    assert find_refusal(CELL, BINARY, filler * ((1 << 17) // len(filler))) is None or filler.startswith(
        "error"
    )
