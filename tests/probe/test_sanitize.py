"""Reports of the compiler's sanitizers: read from a log, and the cause of whatever follows from them."""

import pytest
from builders import dead, judged, line
from fakes import cell

from orchestrator.arch import ARCHES
from orchestrator.matrix import capabilities
from orchestrator.matrix.model import Cell, ExecutionValue
from orchestrator.outcome import Outcome, Reason
from orchestrator.probe import sanitize, session

CELL = cell()
# As GCC 14 writes them.
ASAN = """\
[NOTICE]   (7) : Loading success.
=================================================================
==7==ERROR: AddressSanitizer: global-buffer-overflow on address 0x55d4 at pc 0x55d1 bp 0x7ffd sp 0x7ffc
READ of size 1 at 0x55d4 thread T0
    #0 0x55d1 in h3_resp_headers_send src/h3.c:1674
    #1 0x55d2 in h3_snd_buf src/h3.c:2261
SUMMARY: AddressSanitizer: global-buffer-overflow src/h3.c:1674 in h3_resp_headers_send
Shadow bytes around the buggy address:
==7==ABORTING
"""
UBSAN = (
    "src/h3.c:1674:9: runtime error: index 8 out of bounds for type 'char [8]'\n    #0 0x1 in h3 src/h3.c:1\n"
)

TSAN = """\
==================
WARNING: ThreadSanitizer: data race (pid=7)
  Write of size 4 at 0x55d4 by thread T1:
    #0 h3_resp_headers_send src/h3.c:1674 (haproxy+0x55d1)
SUMMARY: ThreadSanitizer: data race src/h3.c:1674 in h3_resp_headers_send
==================
"""
# As clang 19 writes it.
MSAN = """\
==7==WARNING: MemorySanitizer: use-of-uninitialized-value
    #0 0x55d1 in h3_resp_headers_send src/h3.c:1674:9
SUMMARY: MemorySanitizer: use-of-uninitialized-value src/h3.c:1674:9 in h3_resp_headers_send
"""


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (ASAN, "AddressSanitizer reports global-buffer-overflow src/h3.c:1674 in h3_resp_headers_send"),
        (UBSAN, "UndefinedBehaviorSanitizer reports at src/h3.c:1674:9: index 8 out of bounds for type"),
        (UBSAN + ASAN, "UndefinedBehaviorSanitizer reports at src/h3.c:1674:9: index 8"),
        (ASAN + UBSAN, "AddressSanitizer reports global-buffer-overflow src/h3.c:1674"),
        ("==7==ERROR: LeakSanitizer: detected memory leaks\n", "LeakSanitizer reports detected memory leaks"),
        (TSAN, "ThreadSanitizer reports data race src/h3.c:1674 in h3_resp_headers_send"),
        (MSAN, "MemorySanitizer reports use-of-uninitialized-value src/h3.c:1674:9 in h3_resp_headers_send"),
    ],
)
def test_the_first_report_is_told_with_its_place(log: str, said: str) -> None:
    found = sanitize.find_report(log)
    assert found is not None
    assert found.startswith(said)


@pytest.mark.parametrize(
    "log",
    [
        "",
        "==7==LeakSanitizer has encountered a fatal error.\n",
        "GET /?==7==ERROR: AddressSanitizer: x\n",
        "==7==WARNING: AddressSanitizer failed to allocate 0x1000 bytes\n",
        "[ALERT] (7) : parsing [cfg:1:2]: runtime error is unknown\n",
    ],
)
def test_what_is_no_report_is_none(log: str) -> None:
    assert sanitize.find_report(log) is None


def test_a_report_comes_before_the_end_that_it_causes() -> None:
    found = judged(CELL, dead(CELL, 1, ASAN, ready_s=0.1))
    assert (found.outcome, found.reason) == (Outcome.FAIL, Reason.SANITIZER)
    assert "src/h3.c:1674 in h3_resp_headers_send" in found.message
    assert "haproxy.log" in found.message
    assert found.observations is not None
    assert found.observations.server is not None
    assert found.observations.server.sanitizer is not None
    assert found.observations.server.sanitizer in found.message


def test_a_report_after_which_all_went_well_is_a_failure_too() -> None:
    found = judged(CELL, line(CELL, files={"haproxy.log": UBSAN}))
    assert (found.outcome, found.reason) == (Outcome.FAIL, Reason.SANITIZER)


def test_a_report_of_haproxy_vv_is_one() -> None:
    found = judged(CELL, dead(CELL, 1, ASAN), vv=ASAN, vv_status=1)
    assert (found.outcome, found.reason) == (Outcome.FAIL, Reason.SANITIZER)


def sanitized(arch: str, sanitizer: str, cpu: str = "") -> Cell:
    one = cell(arch)
    flags = (f"ARCH_FLAGS=-g -fsanitize={sanitizer}",)
    axes = {
        **one.axes,
        "haproxy": one.haproxy.model_copy(update={"make_flags": flags}),
        "execution": ExecutionValue(name="x", cpu=cpu),
    }
    return Cell(id="x", **axes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arch", "host", "sanitizer", "cpu", "can"),
    [
        ("amd64", "amd64", "address", "", True),
        ("arm64", "arm64", "address,undefined", "", True),
        ("arm64", "amd64", "address", "", False),
        ("arm64", "amd64", "undefined,address", "", False),
        ("amd64", "amd64", "address", "max", False),
        ("arm64", "amd64", "undefined", "", True),
    ],
)
def test_address_sanitizer_runs_natively_and_the_other_everywhere(
    arch: str, host: str, sanitizer: str, cpu: str, *, can: bool
) -> None:
    found = capabilities.find_unsupported(sanitized(arch, sanitizer, cpu), ARCHES[host])
    assert (found is None) == can
    if found is not None:
        assert found.reason == Reason.EMULATOR_CANNOT
        assert "AddressSanitizer" in found.message


def test_without_a_host_only_a_wanted_cpu_tells_that_it_is_emulated() -> None:
    assert capabilities.find_unsupported(sanitized("arm64", "address")) is None
    assert capabilities.find_unsupported(sanitized("arm64", "address", "max")) is not None


def test_address_sanitizer_raises_the_memory_of_a_session() -> None:
    assert session.count_memory(2, asan=True) - session.count_memory(2) == 2 * (448 << 20)


@pytest.mark.parametrize("filler", ["x", "1:", "==7==ERROR: ", "WARNING: ", "x:1:2"])
def test_a_long_line_of_other_words_are_searched_in_no_time(filler: str) -> None:
    assert sanitize.find_report(filler * ((1 << 17) // len(filler))) is None
