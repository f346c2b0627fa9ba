"""The words of a report: verdict line, groups, units, and text made visible."""

import pytest
import samples
from samples import HOSTILE

from orchestrator.outcome import Reason
from orchestrator.record.model import RunRecord
from orchestrator.report import grid, summary, text, units

MIXED = (
    "5 of 60 cells fail: handshake-then-hang, server-crashed; 5 are misbuilt (no-quic);"
    " 2 ended in errors of the harness (deadline); 10 are blocked (checksum-mismatch);"
    " 1 was not judged; 30 pass; 7 unsupported"
)


def only(reason: Reason | None, *, judged: bool = True, **changes: object) -> RunRecord:
    cells = tuple(samples.cell(cell.axes, reason, judged=judged) for cell in samples.quick().cells)
    return samples.run(cells, **changes)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (samples.quick(), "All 8 judged cells pass; 2 unsupported"),
        (samples.running(), "Still running: 4 of 10 cells judged; 3 pass; 1 unsupported"),
        (samples.mixed(), MIXED),
        (only(None), "All 10 judged cells pass"),
        (only(None, judged=False), "10 of 10 cells were not judged"),
        (only(Reason.DEADLINE), "10 of 10 cells ended in errors of the harness: deadline"),
        (only(Reason.LIBRARY_CANNOT), "Nothing was put to the test; 10 unsupported"),
        (only(None, status="interrupted"), "Interrupted: 10 of 10 cells judged; 10 pass"),
        (samples.run(()), "No cell: there is nothing to judge"),
    ],
)
def test_the_verdict_is_a_sentence_and_never_greener_than_the_run(record: RunRecord, words: str) -> None:
    assert "; ".join(summary.verdict(record)) == words


def test_groups_stand_worst_first_and_say_what_their_cells_share() -> None:
    found = [(group.state, group.reason, group.common) for group in summary.groups(samples.mixed())]
    assert found == [
        ("fail", "handshake-then-hang", "haproxy=2.8.9, tls=libressl-3.9.2"),
        ("fail", "server-crashed", "haproxy=2.8.9, tls=libressl-3.9.2, cipher=TLS_AES_128_CCM_SHA256"),
        ("misbuilt", "no-quic", "arch=arm64, haproxy=3.0.11, tls=openssl-3.5.7"),
        ("error", "deadline", "haproxy=2.8.9, tls=openssl-3.5.7, cipher=default"),
        ("blocked", "checksum-mismatch", "haproxy=3.0.11, tls=libressl-3.9.2"),
        ("not-judged", "", ""),
        ("unsupported", "client-cannot-offer", "cipher=TLS_AES_128_CCM_SHA256"),
    ]


def test_the_grid_holds_every_cell_once() -> None:
    record = samples.mixed()
    found = grid.default(record.cells)
    placed = [cell.id for row in found.rows for slot in row.slots for cell in slot]
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
    (row,) = grid.default(cells).rows
    assert [len(slot) for slot in row.slots] == [1, 1, 1, 1, 1, 1, 1, 1, 1]
    cells = [
        cell for cell in samples.mixed().cells if cell.id != "amd64.haproxy-2.8.9.openssl-distro.default"
    ]
    assert [len(slot) for slot in grid.default(cells).rows[0].slots] == [1, 1, 1, 1, 0, 1, 1, 1, 1, 1]


def test_control_and_direction_characters_become_visible() -> None:
    assert text.visible("a\x1b[31m\x00b\x7f") == "a<U+001B>[31m<U+0000>b<U+007F>"
    assert text.visible("x\u202egnp\u2066 \x9b \ud800 \ufeff") == (
        "x<U+202E>gnp<U+2066> <U+009B> <U+D800> <U+FEFF>"
    )
    assert text.visible("line\r\nnext\tcolumn") == "line\nnext\tcolumn"
    text.visible(HOSTILE).encode("utf-8")


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
    assert units.duration(seconds) == shown


def test_what_was_not_measured_is_no_zero() -> None:
    assert units.milliseconds(None) == units.NOT_MEASURED
    assert units.milliseconds(0.00123) == "1.2"
    assert units.milliseconds(8.002) == "8002"
    assert units.size(24 * 2**30) == "24.0 GiB"
    assert units.moment("2026-11-22T06:58:01Z") == "2026-11-22 06:58 UTC"
    assert units.moment("yesterday") == "yesterday"
