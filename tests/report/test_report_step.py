"""``matrixctl github summary``: what a step summary says, in which order, and what is left out of it."""

import re
from collections.abc import Sequence
from functools import cache

import nights
import pytest
import samples

from orchestrator.analyse import alarms as analyse_alarms
from orchestrator.analyse.alarms import find_alarms
from orchestrator.analyse.compare import compare
from orchestrator.analyse.explain import Explanation, explain
from orchestrator.outcome import Verdict
from orchestrator.record.model import Confirmation, RunRecord
from orchestrator.report import alarms, explanation, github_summary, step_summary
from orchestrator.report.step_summary import Section, fence, fit_sections, write_code

MIB = 2**20


def test_state_news_clusters_and_alarms_stand_before_the_grid() -> None:
    found = github_summary.render(nights.bad(), compare(nights.calm(), nights.bad()))
    parts = (
        "## ✕ 20 regressions in 300 cells",
        "### ✕ News since BASE",
        "### What failures have in common",
        "### ✕ regression: misbuilt: no-quic, 15 cells",
        "### ✕ changed failure: fail: not-ready, 3 cells",
        "### Rules of the matrix that need a hand",
        "### amd64",
        "### ⊘ not judged: source-unreachable, 30",
        "### ✕ known failure: server-crashed, 3",
    )
    places = [found.index(part) for part in parts]
    assert places == sorted(places)
    assert found.startswith(parts[0])


def test_an_alarm_has_its_conditions_its_cluster_its_cause_and_both_commands() -> None:
    found = github_summary.render(nights.bad())
    section = found[found.index("### ✕ regression: fail: handshake-then-hang") :].split("\n### ")[0]
    cell = "arm64.haproxy-2.8.9.wolfssl-5.7.2.TLS_CHACHA20_POLY1305_SHA256"
    assert "handshake-then-hang when arch=arm64 haproxy=2.8.9 tls=wolfssl-5.7.2" in section
    assert write_code(nights.CAUSE) in section
    assert f"```sh\nmatrixctl run --cell {cell}\n```" in section
    assert (
        f"```sh\nmatrixctl run --cell {cell} --cell {cell}.gtlsclient --cell {cell}.aioquic\n```" in section
    )
    assert section.count(f"<code>{cell}") == 3


def test_an_alarm_that_no_cluster_explains_has_what_its_cells_share() -> None:
    found = github_summary.render(nights.bad())
    section = found[found.index("### ✕ regression: fail: handshake-refused") :].split("\n### ")[0]
    assert "**What these cells have in common**" in section
    assert "- <code>client=aioquic</code>" in section


def test_an_alarm_says_what_base_shows_and_what_was_confirmed() -> None:
    head = nights.bad()
    cells = tuple(
        cell.model_copy(update={"confirmation": Confirmation(state="confirmed")})
        if cell.verdict is Verdict.REGRESSION and cell.axes.client.name == "curl"
        else cell
        for cell in head.cells
    )
    head = head.model_copy(update={"cells": cells})
    good = tuple(samples.cell(cell.axes, None) for cell in cells)
    base = head.model_copy(update={"cells": good, "run": head.run.model_copy(update={"id": "base"})})
    story, *_ = alarms.tell_alarms(head, compare(base, head))
    assert story.is_confirmed
    assert story.confirmation == "5 of 15 confirmed, alone"
    assert story.since[0] == "new failure: pass -> misbuilt: no-quic (regression)"
    assert not any(one.is_confirmed for one in alarms.tell_alarms(nights.bad()))
    assert alarms.tell_alarms(nights.bad())[0].since == ()
    same = alarms.tell_alarms(head, compare(head, head))[0].since
    assert same[0].startswith("still failing: misbuilt: no-quic")


@pytest.mark.whole
def test_many_cells_are_counted_and_the_command_names_the_first() -> None:
    record = samples.large()
    story = max(alarms.tell_alarms(record), key=lambda one: len(one.cells))
    count = len(story.cells)
    assert count > alarms.RERUN
    found = github_summary.render(record)
    assert f"- and {count - 10} more" in found
    assert "**Run 20 of them again**" in found
    assert story.rerun.count("--cell") == alarms.RERUN
    assert len(found.encode()) < MIB


def test_a_calm_night_has_no_alarm() -> None:
    found = github_summary.render(nights.calm())
    assert found.startswith("## ✓ As expected, with 10 known failures\n")
    assert "Run one cell again" not in found


def test_a_run_that_died_says_so_first_and_how_it_goes_on() -> None:
    died = nights.bad()
    cells = tuple(samples.cell(cell.axes, None, judged=False) for cell in died.cells)
    info = died.run.model_copy(update={"status": "cut-off", "exit_code": None})
    found = github_summary.render(died.model_copy(update={"cells": cells, "run": info}))
    assert found.startswith("## ✕ Cut off: 0 of 300 cells judged\n")
    assert "matrixctl run --resume" in found


@cache
def render_bad_night() -> str:
    return github_summary.render(nights.bad())


@pytest.mark.parametrize("limit", [600, 5_000, 12_000, 17_000])
def test_what_does_not_fit_is_left_out_whole_and_named(limit: int) -> None:
    whole = render_bad_night()
    found = github_summary.render(nights.bad(), limit=limit)
    assert len(found.encode()) <= limit < len(whole.encode())
    kept, _, last = found.rpartition("**Left out, since it does not fit in a step summary:** ")
    for section in kept.strip().split("\n### "):
        assert section.strip() in whole
    assert last.strip()


def test_the_first_sections_are_the_last_to_go() -> None:
    sections = [Section(f"s{number}", (f"<{number}>" + "x" * 300,)) for number in range(40)]
    *kept, last = fit_sections(sections, 2000)
    assert [line[:3] for line in kept] == ["<0>", "<1>", "<2>", "<3>"]
    assert last.strip().endswith("s4, s5, s6, s7, s8, s9, s10, s11, s12, s13 and 26 more")
    assert list(fit_sections(sections)) == [line for section in sections for line in section.lines]


@pytest.mark.parametrize("text", ["a", "``` x", "`````\nx", "x\n```\n# owned", "::error::x", "##[error]x"])
def test_no_line_ends_a_fence_or_is_a_command(text: str) -> None:
    *_, mark = fence(text).strip().splitlines()
    first, *inside, last = fence(text).strip().splitlines()
    assert (first, last) == (f"{mark}sh", mark)
    assert len(inside) == 1
    assert len(mark) >= 3
    assert mark not in inside[0]
    assert not re.match(r"\s*::|.*##\[", inside[0])


@pytest.mark.whole
def test_nothing_of_a_hostile_record_is_markup_and_it_stays_small() -> None:
    record: RunRecord = samples.hostile(nights.bad())
    found = github_summary.render(record)
    outside = re.sub(r"^(`{3,})sh\n.*?\n\1$", "", found, flags=re.MULTILINE | re.DOTALL)
    assert not re.search(
        r"^::|<(?!br>|/?code>|https?://)|@me|\{\{7|javascript:|(?<!&)#1|\*\*b", outside, re.MULTILINE
    )
    assert "\x1b" not in found
    assert len(found.encode()) < MIB
    assert step_summary.LIMIT < MIB


def test_a_run_is_explained_once_for_its_alarms_and_their_words(monkeypatch: pytest.MonkeyPatch) -> None:
    record, asked = nights.bad(), []

    def count(records: Sequence[RunRecord]) -> Explanation:
        asked.append(records)
        return explain(records)

    kept = {alarm.key for alarm in find_alarms(record)}
    for module in (analyse_alarms, explanation):
        monkeypatch.setattr(module, "explain", count)
    assert {one.alarm.key for one in alarms.tell_alarms(record)} == kept, "as the history has them"
    assert len(asked) == 1
