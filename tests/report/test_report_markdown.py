"""The step summary: verdict, grids, failures; bounded, and with nothing in it but text."""

import re

import samples

from orchestrator.report import markdown


def test_it_begins_with_the_verdict_and_ends_with_the_way_to_the_page() -> None:
    lines = markdown.render(samples.mixed()).strip().splitlines()
    assert lines[0] == "## 5 of 60 cells fail: handshake-then-hang, server-crashed"
    assert "[index.html](index.html)" in lines[-1]


def test_a_table_per_architecture_with_as_many_columns_in_every_line() -> None:
    lines = markdown.render(samples.hostile()).splitlines()
    tables = [line for line in lines if line.startswith("|")]
    assert len(tables) == 2 * (2 + 6)
    assert {line.count("|") for line in tables} == {7}


def test_failures_have_reason_and_reproducer_and_unsupported_ones_stay_in_the_grid() -> None:
    found = markdown.render(samples.mixed())
    assert "### ✕ fail: handshake-then-hang, 3" in found
    assert (
        "<code>matrixctl run --cell amd64.haproxy-2.8.9.libressl-3.9.2.TLS_AES_128_CCM_SHA256</code>" in found
    )
    assert "client-cannot-offer, " not in found


def test_nothing_hostile_survives() -> None:
    found = markdown.render(samples.hostile())
    assert not re.search(r"^::|<(?!br>|/?code>)|@me|`|\{\{7|javascript:|(?<!&)#1|\*\*b", found, re.MULTILINE)
    assert "\x1b" not in found
    assert "&#60;/script&#62;" in found


def test_names_and_times_stay_readable_in_the_raw_text() -> None:
    assert markdown.escape("TLS_AES_128 (a=b) 06:58, fail: x") == "TLS_AES_128 (a=b) 06:58, fail: x"
    assert markdown.escape("_a_ :b: ✓") == "&#95;a&#95; &#58;b: ✓"


def test_it_stays_below_the_limit_and_says_what_it_left_out() -> None:
    record = samples.hostile()
    cells = tuple(
        cell.model_copy(update={"id": f"{number}.{cell.id}", "message": "x" * 300})
        for number in range(60)
        for cell in record.cells
    )
    found = markdown.render(record.model_copy(update={"cells": cells}))
    assert len(found.encode()) < 2**20
    assert "**Cut here" in found
    assert found.rstrip().endswith("in the run's folder.")
