"""The words of a report: verdict line, groups, units, and text made visible."""

from pathlib import Path

import nights
import pytest
import samples
from samples import HOSTILE

from orchestrator import closecode
from orchestrator.cli.closing import write_closing
from orchestrator.outcome import Reason, Verdict
from orchestrator.record.model import RunRecord
from orchestrator.report import (
    expectations,
    grid,
    groups,
    headline,
    proofs,
    provenance,
    selftests,
    summary,
    text,
    units,
)

MIXED = (
    "10 regressions in 60 cells: no-quic, handshake-then-hang, server-crashed;"
    " 13 cells were not judged (checksum-mismatch, deadline); 30 pass; 7 unsupported"
)
BAD = (
    "20 regressions in 300 cells: no-quic, wolfssl-5.7.2 on arm64 cannot open in place what it sealed,"
    " handshake-refused;"
    " 3 changed failures, 1 cause (not-ready with tls=libressl-3.9.2 cipher=TLS_AES_128_CCM_SHA256);"
    " 1 failed self-test (wolfssl-5.7.2 on arm64);"
    " 1 stale rule (matrix.yaml:53);"
    " 30 cells were not judged (source-unreachable); 3 cells now pass; 9 known failures; 205 pass;"
    " 30 unsupported"
)
STALE = nights.calm().model_copy(update={"rules": nights.BAD_RULES})


def only(reason: Reason | None, *, judged: bool = True, **changes: object) -> RunRecord:
    cells = tuple(samples.cell(cell.axes, reason, judged=judged) for cell in samples.quick().cells)
    return samples.run(cells, **changes)


def verdicts(*changes: tuple[Verdict, Reason | None]) -> RunRecord:
    """The quick run with all its cells passing, but for the given ones at its begin."""
    cells = list(only(None).cells)
    for index, (verdict, reason) in enumerate(changes):
        cells[index] = samples.cell(cells[index].axes, reason).model_copy(update={"verdict": verdict})
    return samples.run(tuple(cells))


def now_passing() -> RunRecord:
    return verdicts((Verdict.NOW_PASSING, None))


def blocked_as_expected() -> RunRecord:
    known = [(Verdict.KNOWN_FAILURE, Reason.NOT_READY)] * 9
    return verdicts(*known, (Verdict.AS_EXPECTED, Reason.SOURCE_UNREACHABLE))


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (samples.quick(), "All 8 judged cells pass, as expected; 2 unsupported"),
        (samples.running(), "Still running: 4 of 10 cells judged; 3 pass; 1 unsupported"),
        (samples.mixed(), MIXED),
        (nights.bad(), BAD),
        (nights.calm(), "As expected, with 10 known failures; 46 pass; 4 unsupported"),
        (STALE, "1 stale rule: matrix.yaml:53; 10 known failures; 46 pass; 4 unsupported"),
        (now_passing(), "1 of 10 cells now passes; 9 pass"),
        (blocked_as_expected(), "As expected, with 9 known failures; 1 blocked as expected"),
        (only(None), "All 10 judged cells pass, as expected"),
        (only(None, judged=False), "10 of 10 cells were not judged"),
        (only(Reason.DEADLINE), "10 of 10 cells were not judged: deadline"),
        (only(Reason.LIBRARY_CANNOT), "Nothing was put to the test; 10 unsupported"),
        (only(None, status="interrupted"), "Interrupted: 10 of 10 cells judged; 10 pass"),
        (samples.run(()), "No cell: there is nothing to judge"),
    ],
)
def test_the_verdict_is_a_sentence_and_never_greener_than_the_run(record: RunRecord, words: str) -> None:
    assert "; ".join(headline.write_parts(record)) == words


@pytest.mark.parametrize(
    ("record", "level"),
    [
        (nights.calm(), "calm"),
        (samples.quick(), "calm"),
        (nights.bad(), "alarm"),
        (STALE, "alarm"),
        (now_passing(), "note"),
        (samples.running(), "unsure"),
        (only(Reason.DEADLINE), "unsure"),
        (only(Reason.LIBRARY_CANNOT), "unsure"),
        (samples.run(()), "unsure"),
    ],
)
def test_the_page_is_as_loud_as_the_night(record: RunRecord, level: str) -> None:
    assert headline.find_level(record) == level


def test_a_library_that_fails_its_self_test_where_cells_pass_is_news() -> None:
    broken = nights.selftest("openssl-distro", "arm64", broken=True)
    record = samples.quick().model_copy(update={"selftests": (broken,)})
    assert selftests.find_unsound(record) == (broken,)
    assert headline.find_level(record) == "note"
    words = "1 failed self-test: openssl-distro on arm64; 8 pass; 2 unsupported"
    assert "; ".join(headline.write_parts(record)) == words
    assert "self-test of openssl-distro on arm64 fails where cells pass: open-in-place" in "\n".join(
        line.plain for line in write_closing(record, Path("reports"))
    )


def test_a_self_test_that_fails_in_a_suite_of_no_passing_cell_is_no_news() -> None:
    broken = nights.selftest("openssl-distro", "arm64", broken=True)
    quick = samples.quick()
    cells = tuple(
        cell
        for cell in quick.cells
        if not (cell.observations and "CHACHA" in str(cell.observations.negotiated_cipher))
    )
    record = quick.model_copy(update={"selftests": (broken,), "cells": cells})
    assert selftests.find_unsound(record) == ()
    assert headline.find_level(record) == "calm"


def test_without_an_outcome_nothing_is_as_expected() -> None:
    cell = samples.cell(samples.quick().cells[0].axes, None, judged=False)
    for verdict in Verdict:
        claimed = cell.model_copy(update={"verdict": verdict})
        assert summary.find_verdict(claimed) is Verdict.NOT_JUDGED


def test_groups_stand_worst_first_and_say_what_their_cells_share() -> None:
    found = [(group.title, group.common) for group in groups.group_cells(samples.mixed())]
    assert found == [
        ("regression: handshake-then-hang", "haproxy=2.8.9, tls=libressl-3.9.2"),
        (
            "regression: server-crashed",
            "haproxy=2.8.9, tls=libressl-3.9.2, cipher=TLS_AES_128_CCM_SHA256",
        ),
        ("regression: no-quic", "arch=arm64, haproxy=3.0.11, tls=openssl-3.5.7"),
        ("not judged: deadline", "haproxy=2.8.9, tls=openssl-3.5.7, cipher=default"),
        ("not judged: checksum-mismatch", "haproxy=3.0.11, tls=libressl-3.9.2"),
        ("not judged", ""),
        ("unsupported: client-cannot-offer", "cipher=TLS_AES_128_CCM_SHA256"),
    ]


def test_a_group_leaves_to_clusters_what_they_say_better() -> None:
    record = samples.mixed()
    hang = {cell.id for cell in record.cells if cell.reason is Reason.HANDSHAKE_THEN_HANG}
    found = [group.common for group in groups.group_cells(record, hang)]
    assert found[:2] == ["", "haproxy=2.8.9, tls=libressl-3.9.2, cipher=TLS_AES_128_CCM_SHA256"]
    assert groups.group_cells(record, set(list(hang)[1:]))[0].common, "one of its cells is unexplained"


def test_groups_go_from_regressions_to_known_failures_and_share_rule_and_cause() -> None:
    found = groups.group_cells(nights.bad())
    assert [group.title for group in found] == [
        "regression: wolfssl-5.7.2 on arm64 cannot open in place what it sealed",
        "regression: handshake-refused",
        "regression: no-quic",
        "changed failure: not-ready, expected fail: server-crashed",
        "not judged: source-unreachable",
        "now passing, expected fail: handshake-then-hang",
        "known failure: handshake-then-hang",
        "known failure: server-crashed",
        "unsupported: client-cannot-offer",
    ]
    assert [group.cause for group in found if group.cause] == [nights.CAUSE]
    assert [group.expected.rule for group in found if group.expected] == [
        nights.CRASH_RULE,
        nights.HANG_RULE,
        nights.HANG_RULE,
        nights.CRASH_RULE,
    ]


def test_a_cell_without_a_cause_is_no_part_of_the_group_of_those_that_have_it() -> None:
    record = nights.bad()
    first = next(index for index, cell in enumerate(record.cells) if cell.cause)
    cells = list(record.cells)
    cells[first] = cells[first].model_copy(update={"cause": ""})
    before = [len(group.cells) for group in groups.group_cells(record) if group.cause]
    after = groups.group_cells(record.model_copy(update={"cells": tuple(cells)}))
    assert [len(group.cells) + 1 for group in after if group.cause] == before
    assert [len(group.cells) for group in after if group.title == "regression: handshake-then-hang"] == [1]


def test_rules_that_need_a_hand_come_first_with_what_became_of_their_cells() -> None:
    found = expectations.list_rules(nights.bad())
    assert [(line.rule.place, line.state) for line in found] == [
        (nights.STALE_RULE, "stale"),
        ("matrix.yaml:61", "unmet"),
        (nights.HANG_RULE, ""),
        (nights.CRASH_RULE, ""),
    ]
    assert found[2].verdicts == ((Verdict.NOW_PASSING, 3), (Verdict.KNOWN_FAILURE, 6))
    assert found[3].verdicts == ((Verdict.CHANGED_FAILURE, 3), (Verdict.KNOWN_FAILURE, 3))


@pytest.mark.parametrize(
    ("address", "leads"),
    [
        ("https://github.com/haproxy/haproxy/issues/2569", True),
        ("HTTP://example.org", True),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("//example.org/x", False),
        ("https:", False),
        ("http://[x", False),
        (" javascript:x//https://y", False),
        ("", False),
    ],
)
def test_a_link_leads_to_the_web_or_nowhere(address: str, leads: bool) -> None:
    assert expectations.check_link(address) == (address if leads else None)


def test_proofs_are_a_table_by_client_transport_and_suite() -> None:
    found = proofs.make_table(nights.PROOFS)
    assert found.transports == {"h3": 4, "h2": 4}
    assert [row.client for row in found.rows] == ["curl", "gtlsclient", "aioquic"]
    ok = [[None if slot is None else slot.ok for slot in row.slots] for row in found.rows]
    assert ok == [
        [True, True, True, False] * 2,
        [True] * 4 + [None] * 4,
        [True, True, True, False] * 2,
    ]


def test_a_selftest_is_reduced_to_its_suites_and_keeps_every_check() -> None:
    tests = nights.bad().selftests
    found = selftests.make_overview(tests)
    assert found.suites == samples.SUITES
    assert [row.good for row in found.rows] == [True, True, False, None]
    assert [slot.good for slot in found.rows[2].slots] == [True, True, False, True]
    assert {check.check for check in found.rows[2].slots[2].failed} == {"open-in-place", "open-unaligned"}
    cut = selftests.make_overview((tests[0].model_copy(update={"problem": "It died of SIGILL."}),))
    assert cut.rows[0].good is False
    detail = selftests.make_detail(tests[2])
    assert (len(detail.lines), detail.checks) == (8, nights.CHECKS)
    assert [check.ok for check in detail.lines[7][2] if check] == [None] * 8


def test_what_is_not_a_released_tarball_is_named_once() -> None:
    assert provenance.find_special(nights.calm()) == ()
    assert [made.name + ": " + made.words for made in provenance.find_special(nights.bad())] == [
        "wolfssl-5.9.2: patched with open-in-place.diff (sha256 c0ffeec0ffee)",
        f"haproxy-master: {nights.COMMIT.origin}",
    ]


def test_debian_s_own_haproxy_is_named_at_its_build_and_is_no_warning() -> None:
    calm = nights.calm()
    axes = calm.cells[0].axes
    haproxy = axes.haproxy.model_copy(update={"name": "distro", "source": "distro"})
    cell = calm.cells[0].model_copy(update={"axes": axes.model_copy(update={"haproxy": haproxy})})
    origin = f"distro: {axes.arch.name} -> haproxy_3.0.11-1+deb13u5_{axes.arch.name}.deb"
    component = nights.COMMIT.model_copy(update={"version": haproxy.version, "origin": origin})
    record = calm.model_copy(update={"cells": (cell,), "components": (component,)})
    assert provenance.find_special(record) == ()
    assert [(made.name, made.words) for made in provenance.find_made(cell, record)] == [
        ("haproxy-distro", origin)
    ]


@pytest.mark.parametrize(
    ("code", "established", "words"),
    [
        (0x128, False, "0x128 = TLS alert 40 handshake_failure"),
        (0x128, True, "0x128 = TLS alert 40 handshake_failure"),
        (0x100, True, "0x100 = H3_NO_ERROR"),
        (0x10A, False, "0x10a = TLS alert 10 unexpected_message"),
        (0x178, False, "0x178 = TLS alert 120 no_application_protocol"),
        (0x1C8, False, "0x1c8 = TLS alert 200"),
        (0x0A, True, "0xa = PROTOCOL_VIOLATION"),
        (0x2000, True, "0x2000"),
    ],
)
def test_a_close_code_in_words(code: int, established: bool, words: str) -> None:
    assert closecode.describe_code(code, established=established) == words


def test_the_grid_holds_every_cell_once() -> None:
    record = samples.mixed()
    found = grid.make_grid(record.cells)
    placed = [cell.id for row in found.rows for slot in row.slots for cell in slot.cells]
    assert sorted(placed) == sorted(cell.id for cell in record.cells)
    assert found.arches == {"amd64": 5, "arm64": 5}
    assert [(row.haproxy, row.tls) for row in found.rows][:2] == [
        ("2.8.9", "openssl-distro"),
        ("2.8.9", "openssl-3.5.7"),
    ]


def test_a_hole_in_the_matrix_is_an_empty_slot() -> None:
    cells = [
        cell for cell in samples.quick().cells if cell.id != "amd64.haproxy-3.0.11.openssl-distro.default"
    ]
    (row,) = grid.make_grid(cells).rows
    assert [len(slot.cells) for slot in row.slots] == [1, 1, 1, 1, 1, 1, 1, 1, 1]
    cells = [
        cell for cell in samples.mixed().cells if cell.id != "amd64.haproxy-2.8.9.openssl-distro.default"
    ]
    assert [len(slot.cells) for slot in grid.make_grid(cells).rows[0].slots] == [1, 1, 1, 1, 0, 1, 1, 1, 1, 1]


def test_a_field_with_several_clients_shows_the_worst_and_counts_the_rest() -> None:
    found = grid.make_grid(nights.bad().cells)
    row = next(row for row in found.rows if (row.haproxy, row.tls) == ("master", "openssl-3.5.7"))
    assert found.inside == ("client",)
    assert [cell.axes.client.name for cell in row.slots[1].cells] == ["aioquic", "curl", "gtlsclient"]
    assert [(summary.find_state(cell), count) for cell, count in row.slots[1].tally] == [
        ("fail", 1),
        ("pass", 2),
    ]
    assert [(summary.find_state(cell), count) for cell, count in row.slots[3].tally] == [
        ("pass", 1),
        ("unsupported", 2),
    ]


def test_control_and_direction_characters_become_visible() -> None:
    assert text.make_visible("a\x1b[31m\x00b\x7f") == "a<U+001B>[31m<U+0000>b<U+007F>"
    assert text.make_visible("x\u202egnp\u2066 \x9b \ud800 \ufeff") == (
        "x<U+202E>gnp<U+2066> <U+009B> <U+D800> <U+FEFF>"
    )
    assert text.make_visible("line\r\nnext\tcolumn") == "line\nnext\tcolumn"
    text.make_visible(HOSTILE).encode("utf-8")


def test_long_text_says_how_much_is_missing() -> None:
    assert text.shorten("abcdef", 6) == "abcdef"
    assert text.shorten("abcdefg", 3) == "abc… (4 more characters in run.json)"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, units.NOT_MEASURED),
        (0.0, "0.00 s"),
        (9.994, "9.99 s"),
        (41.0, "41.0 s"),
        (372.4, "6 min 12 s"),
        (7320, "2 h 02 min"),
    ],
)
def test_durations(seconds: float | None, shown: str) -> None:
    assert units.format_duration(seconds) == shown


def test_what_was_not_measured_is_no_zero() -> None:
    assert units.format_milliseconds(None) == units.NOT_MEASURED
    assert units.format_milliseconds(0.00123) == "1.2"
    assert units.format_milliseconds(8.002) == "8002"
    assert units.format_size(24 * 2**30) == "24.0 GiB"
    assert units.format_moment("2026-11-22T06:58:01Z") == "2026-11-22 06:58 UTC"
    assert units.format_moment("yesterday") == "yesterday"


@pytest.mark.parametrize("code", [-1, -18, -(2**63), 2**62])
def test_a_close_code_that_none_can_be_is_shown_as_it_came(code: int) -> None:
    assert (
        closecode.describe_code(code, established=False)
        == closecode.describe_code(code, established=True)
        == f"{code:#x}"
    )
