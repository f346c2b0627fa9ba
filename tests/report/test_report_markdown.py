"""The step summary: verdict, grids, failures; bounded, and with nothing in it but text."""

import re

import nights
import pytest
import samples

from orchestrator.record.model import RunRecord
from orchestrator.report import markdown, step_summary


def test_it_begins_with_the_verdict_and_ends_with_the_way_to_the_page() -> None:
    lines = markdown.render(samples.mixed()).strip().splitlines()
    assert lines[0] == "## ✕ 10 regressions in 60 cells: no-quic, handshake-then-hang, server-crashed"
    assert "[index.html](index.html)" in lines[-1]


def test_a_table_per_architecture_with_as_many_columns_in_every_line() -> None:
    lines = markdown.render(samples.hostile()).splitlines()
    tables = [line for line in lines if line.startswith("|")]
    assert len(tables) == 2 * (2 + 6)
    assert {line.count("|") for line in tables} == {7}


def test_failures_have_reason_and_reproducer_and_unsupported_ones_stay_in_the_grid() -> None:
    found = markdown.render(samples.mixed())
    assert "### ✕ regression: handshake-then-hang, 3" in found
    assert (
        "<code>matrixctl run --cell amd64.haproxy-2.8.9.libressl-3.9.2.TLS_AES_128_CCM_SHA256</code>" in found
    )
    assert "client-cannot-offer, " not in found


def test_a_calm_night_has_no_loud_word_and_a_bad_one_has_its_findings_before_the_grid() -> None:
    calm, bad = markdown.render(nights.calm()), markdown.render(nights.bad())
    assert calm.startswith("## ✓ As expected, with 10 known failures\n")
    assert "regression" not in calm
    assert "| ✕ handshake-then-hang, known (✕2) |" in calm
    assert bad.index(
        "### ✕ regression: wolfssl-5.7.2 on arm64 cannot open in place what it sealed, 3"
    ) < bad.index("### amd64")
    assert bad.index("### amd64") < bad.index("### ✕ known failure")
    assert "**✕ handshake-refused, regression** (✕1 ✓2)" in bad
    assert f"**Cause:** {step_summary.escape(nights.CAUSE)}" in bad
    assert "### Clients disagree, 2" in bad
    assert "aioquic: fail &#40;handshake-refused&#41;" in bad or "aioquic: fail (handshake-refused)" in bad
    assert f"because <{nights.THREAD}>" in bad
    assert "- **matrix.yaml:53** (" in bad
    assert "stale, 2026-11-01 is over" in bad
    assert "fits no cell of the matrix" in bad
    assert "wolfssl-5.9.2: patched with open-in-place.diff (sha256 c0ffeec0ffee)" in bad
    assert "**wolfssl-5.7.2 arm64 default**: TLS_CHACHA20_POLY1305_SHA256 open-in-place" in bad


def test_a_link_is_one_or_it_is_text() -> None:
    rules = tuple(
        nights.RULES[0].model_copy(update={"because": because, "met": 0})
        for because in ("https://x.org/a>b", "https://x.org/<b>", "javascript:x", "https://x.org/ok")
    )
    found = markdown.render(nights.calm().model_copy(update={"rules": rules}))
    assert re.findall(r"<http[^>]*>", found)[-1:] == [f"<{nights.THREAD}>"]
    assert "because <https://x.org/ok>" in found
    assert found.count("<https://x.org") == 1


@pytest.mark.parametrize("record", [samples.mixed(), nights.bad()])
def test_nothing_hostile_survives(record: RunRecord) -> None:
    found = markdown.render(samples.hostile(record))
    assert not re.search(r"^::|<(?!br>|/?code>)|@me|`|\{\{7|javascript:|(?<!&)#1|\*\*b", found, re.MULTILINE)
    assert "\x1b" not in found
    assert "&#60;/script&#62;" in found


def test_names_and_times_stay_readable_in_the_raw_text() -> None:
    assert step_summary.escape("TLS_AES_128 (a=b) 06:58, fail: x") == "TLS_AES_128 (a=b) 06:58, fail: x"
    assert step_summary.escape("_a_ :b: ✓") == "&#95;a&#95; &#58;b: ✓"


@pytest.mark.whole
def test_it_stays_below_the_limit_and_says_what_it_left_out() -> None:
    record = samples.hostile()
    cells = tuple(
        cell.model_copy(update={"id": f"{number}.{cell.id}", "message": "<" * 400})
        for number in range(20)
        for cell in record.cells
    )
    found = markdown.render(record.model_copy(update={"cells": cells}))
    assert len(found.encode()) < 2**20
    assert "**Cut here" in found
    assert found.rstrip().endswith("in the run's folder.")
