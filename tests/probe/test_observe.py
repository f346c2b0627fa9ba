"""Reading the driver's lines: the numbers of a good one, and any garbage at all."""

import json
from typing import Any

import pytest
from builders import BINARY, Raw, broken, dead, exchange, line, request, server_line
from fakes import cell
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.outcome import Outcome, Reason
from orchestrator.probe.judge import judge
from orchestrator.probe.observe import MALFORMED, name_signal, observe
from orchestrator.probe.session_files import list_requests
from orchestrator.record.model import Observations

CELL = cell()


def test_a_good_line() -> None:
    seen = observe(CELL, json.loads(json.dumps(line(CELL))))
    assert seen.h3 is not None
    assert [one.name for one in seen.h3.requests] == ["get-1k", "get-1m", "post-1m"]
    first, upload = seen.h3.requests[0], seen.h3.requests[2]
    assert (first.http_version, first.status, first.cipher, first.protocol) == (
        "3",
        200,
        "TLS_AES_128_GCM_SHA256",
        "TLSv1.3",
    )
    assert (first.bytes_received, first.bytes_sent, upload.bytes_sent) == (1024, 0, 1 << 20)
    assert (first.handshake_s, first.first_byte_s, first.total_s) == (0.007, 0.009, 0.012)
    assert upload.sha256 == upload.expected_sha256 == list_requests()[2].sha256
    assert seen.control is not None
    assert {one.http_version for one in seen.control.requests} == {"2"}
    assert (seen.negotiated_cipher, seen.negotiated_protocol) == ("TLS_AES_128_GCM_SHA256", "TLSv1.3")
    assert seen.server is not None
    assert (seen.server.ready_s, seen.server.exit_code, seen.server.signal) == (0.05, None, None)
    assert seen.server.log_tail == ("[NOTICE]   (7) : Loading success.",)
    assert seen.server.forced_ciphersuites is None
    assert seen.origin_ok is True


def test_what_never_happened_is_null_and_never_zero() -> None:
    raw = line(CELL, h3=exchange([broken(list_requests()[0], 28, "timed out")]), control=None, ready_s=None)
    seen = observe(CELL, raw)
    assert seen.h3 is not None
    (first,) = seen.h3.requests
    assert {first.http_version, first.status, first.cipher, first.handshake_s, first.first_byte_s} == {None}
    assert first.sha256 is None
    assert seen.control is None
    assert seen.negotiated_cipher is None
    assert seen.server is not None
    assert seen.server.ready_s is None


def test_the_suite_that_the_bind_line_names_is_recorded() -> None:
    one = cell(cipher="TLS_AES_128_CCM_SHA256")
    server = observe(one, line(one)).server
    assert server is not None
    assert server.forced_ciphersuites == "TLS_AES_128_CCM_SHA256"


def test_the_end_of_a_long_log_is_kept_with_lines_of_a_bearable_length() -> None:
    log = "".join(f"line {number}\n" for number in range(100)) + "x" * 5000
    server = observe(CELL, line(CELL, files={"haproxy.log": log})).server
    assert server is not None
    assert len(server.log_tail) == 20
    assert server.log_tail[-2] == "line 99"
    assert server.log_tail[-1] == "x" * 400 + "… (cut after 400; 4600 more characters)"


@pytest.mark.parametrize(
    ("code", "name"),
    [(None, None), (0, None), (1, None), (128, None), (139, "SIGSEGV"), (137, "SIGKILL"), (250, "SIG122")],
)
def test_signal_names(code: int | None, name: str | None) -> None:
    assert name_signal(code) == name
    server = observe(CELL, line(CELL, exit_code=code)).server
    assert server is not None
    assert (server.exit_code, server.signal) == (code, name)


# Garbage. Everything comes from a container.

NUMBERS = st.integers() | st.just(10**400) | st.floats()
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a line."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, below in inside for found in paths(below, (*path, key)))]


def planted(raw: Raw, path: tuple[Any, ...], value: Any) -> Any:
    """The line with another value at one place."""
    if not path:
        return value
    copy: Any = json.loads(json.dumps(raw))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return copy


WHOLE = line(CELL, h3=exchange([request(list_requests()[0])]), control=None)
PLACES = paths(WHOLE)


def survives(raw: Any) -> None:
    """Observed and fit for the journal, or refused with an error that ``judge`` knows."""
    try:
        seen = observe(CELL, raw)
    except MALFORMED:
        assert judge(CELL, BINARY, server_line(), raw, None).reason is Reason.INTERNAL
    else:
        assert Observations.model_validate_json(seen.model_dump_json()) == seen
        assert judge(CELL, BINARY, server_line(), raw, None).outcome in Outcome


@given(raw=JSON)
def test_any_json_is_read_or_refused(raw: Any) -> None:
    survives(raw)


@settings(max_examples=4 * settings().max_examples)
@given(path=st.sampled_from(PLACES), value=JSON)
@example(path=("h3", "exit_code"), value=float("inf"))
@example(path=("h3", "duration_s"), value=float("nan"))
@example(path=("h3", "duration_s"), value=10**400)
@example(path=("h3", "requests", 0, "sha256"), value="\ud800")
@example(path=("files", "haproxy.log"), value="\ud800")
def test_a_line_with_garbage_in_one_place_is_read_or_refused(path: tuple[Any, ...], value: Any) -> None:
    survives(planted(WHOLE, path, value))


@pytest.mark.parametrize("path", [path for path in PLACES if path], ids=str)
def test_a_line_that_lacks_something_is_read_or_refused(path: tuple[Any, ...]) -> None:
    copy = json.loads(json.dumps(WHOLE))
    place = copy
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    survives(copy)


@given(server=JSON, status=JSON)
def test_a_garbled_first_line_is_the_harnesss_fault(server: Any, status: Any) -> None:
    assert judge(CELL, BINARY, server, line(CELL), None).outcome is Outcome.ERROR
    found = judge(CELL, BINARY, server_line(vv=server, vv_status=status), line(CELL), None)
    assert found.reason in {Reason.INTERNAL, Reason.SERVER_CRASHED, Reason.KILLED}


def test_a_request_that_nobody_asked_for_is_refused() -> None:
    odd = {**request(list_requests()[0]), "name": "get-1g"}
    assert judge(CELL, BINARY, server_line(), line(CELL, h3=exchange([odd])), None).reason is Reason.INTERNAL


def test_a_dead_server_is_no_garbage() -> None:
    assert observe(CELL, dead(CELL, 139)).h3 is None
