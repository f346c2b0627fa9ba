"""What the command line tells of expectations: in `cells`, in warnings, in the last lines of a run."""

import json
from pathlib import Path

import pytest
from cli_samples import AT, a_run, matrixctl

from orchestrator.cli.closing import write_closing
from orchestrator.cli.progress import describe
from orchestrator.outcome import REASONS, Outcome, Reason, Verdict, find_verdict
from orchestrator.record.journal import CellJudged
from orchestrator.record.model import Attempt, CellRecord, Expected, Rule, RunRecord

MATRIX = """\
version: 1
axes:
  arch: [amd64]
  haproxy: ["3.0.11"]
  tls: [openssl-distro, libressl-3.9.2]
  cipher: [TLS_CHACHA20_POLY1305_SHA256, TLS_AES_128_CCM_SHA256, default]
expect:
  - when: [tls=libressl<4.0, cipher=*CHACHA*]
    outcome: fail
    reason: handshake-refused
    because: https://a.example/1
    until: haproxy 3.0.10
  - {when: [tls=quictls], outcome: blocked, reason: source-unreachable, because: "https://a.example/2"}
"""


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    path = tmp_path / "m.yaml"
    path.write_text(MATRIX)
    return path


def test_cells_tell_what_a_rule_expects(matrix: Path) -> None:
    found = matrixctl("cells", "--matrix", str(matrix), "--format", "json", cwd=matrix.parent)
    entries = {entry["id"]: entry for entry in json.loads(found.stdout)}
    key = "amd64--haproxy-3.0.11--libressl-3.9.2--TLS_CHACHA20_POLY1305_SHA256"
    assert entries.pop(key)["expected"] == {
        "outcome": "fail",
        "reason": "handshake-refused",
        "cipher": None,
        "because": "https://a.example/1",
        "rule": "m.yaml:8",
        "stale": "it was to hold until haproxy 3.0.10, and this is 3.0.11",
    }
    assert not any("expected" in entry for entry in entries.values())
    assert found.stderr.splitlines() == [
        "warning: m.yaml:13: this rule fits no cell of the matrix: tls=quictls",
        (
            "warning: m.yaml:8 is stale: it was to hold until haproxy 3.0.10, and this is 3.0.11;"
            " a run of these cells ends with exit code 1"
        ),
    ]


def test_the_table_names_the_rule_and_its_link(matrix: Path) -> None:
    found = matrixctl("cells", "--matrix", str(matrix), cwd=matrix.parent, env={"COLUMNS": "200"})
    (row,) = [line for line in found.stdout.splitlines() if "libressl-3.9.2--TLS_CHACHA20" in line]
    assert row.endswith("fail: handshake-refused [m.yaml:8]")
    assert "m.yaml:8: fail: handshake-refused, because of https://a.example/1" in found.stdout


def test_a_rule_is_stale_only_for_the_cells_that_it_decides(matrix: Path) -> None:
    found = matrixctl(
        "cells", "--matrix", str(matrix), "--filter", "cipher=default", "--format", "ids", cwd=matrix.parent
    )
    assert "stale" not in found.stderr


def test_rules_that_contradict_end_every_command(matrix: Path) -> None:
    more = "  - {when: [arch=amd64, haproxy=3.0.11], outcome: pass, because: 'https://a.example/3'}\n"
    more += "  - {when: [haproxy=3.0.11, tls=libressl-3.9.2], outcome: fail, reason: not-http3,"
    more += " because: 'https://a.example/4'}\n"
    matrix.write_text(MATRIX + more)
    found = matrixctl("plan", "--matrix", str(matrix), cwd=matrix.parent)
    assert found.returncode == 2
    assert found.stderr.splitlines()[:2] == [
        f"matrixctl: {matrix}: two rules contradict each other",
        (
            "m.yaml:14 says pass, m.yaml:15 says fail: not-http3;"
            " both meet amd64--haproxy-3.0.11--libressl-3.9.2--TLS_CHACHA20_POLY1305_SHA256"
        ),
    ]


def cell(
    name: str, verdict: Verdict, reason: Reason | None, *, record: RunRecord, rule: Expected | None = None
) -> CellRecord:
    changes: dict[str, object] = {
        "id": name,
        "outcome": REASONS[reason].outcome if reason else Outcome.PASS,
        "reason": reason,
        "message": f"what {name} showed",
        "verdict": verdict,
        "expected": rule,
    }
    return record.cells[0].model_copy(update=changes)


HANG = Expected(
    outcome=Outcome.FAIL,
    reason=Reason.HANDSHAKE_THEN_HANG,
    cipher=None,
    because="https://a.example/1",
    rule="m.yaml:8",
    stale="",
)


@pytest.mark.parametrize(
    ("rule", "reason", "line"),
    [
        (None, Reason.WRONG_BODY, "✕ fail  x  wrong-body: what x showed"),
        (HANG, HANG.reason, "✕ fail (known-failure)  x  handshake-then-hang: what x showed"),
        (HANG, None, "✓ pass (now-passing)  x"),
        (None, None, "✓ pass  x"),
    ],
)
def test_a_line_of_the_run_tells_the_verdict_that_its_outcome_does_not(
    rule: Expected | None, reason: Reason | None, line: str, tmp_path: Path
) -> None:
    outcome = REASONS[reason].outcome if reason else Outcome.PASS
    found = find_verdict(outcome, reason, rule)
    made = cell("x", found, reason, record=a_run(tmp_path / "reports"), rule=rule)
    attempt = Attempt(
        number=1,
        why="first",
        outcome=outcome,
        reason=reason,
        message=made.message,
        started_at=AT,
        duration_s=1.0,
    )
    made = made.model_copy(update={"attempts": (attempt,)})
    shown = describe(CellJudged(cell=made))
    assert shown is not None
    assert shown.plain == line


def test_the_last_lines_begin_with_what_needs_a_hand(tmp_path: Path) -> None:
    record = a_run(tmp_path / "reports")
    hang = Reason.HANDSHAKE_THEN_HANG
    rule = Rule(
        place="m.yaml:8",
        when=("tls=libressl",),
        outcome=Outcome.FAIL,
        reason=hang,
        cipher=None,
        because="https://a.example/1",
        until="2026-01-01",
        stale="it was to hold until 2026-01-01, and today is 2026-11-22",
        met=12,
    )
    record = record.model_copy(
        update={
            "cells": (
                cell("known-1", Verdict.KNOWN_FAILURE, hang, record=record, rule=HANG),
                cell("known-2", Verdict.KNOWN_FAILURE, hang, record=record, rule=HANG),
                cell("now", Verdict.NOW_PASSING, None, record=record, rule=HANG),
                cell("fine", Verdict.AS_EXPECTED, None, record=record),
                cell("changed", Verdict.CHANGED_FAILURE, Reason.SERVER_CRASHED, record=record, rule=HANG),
                *(
                    cell(f"worse-{number}", Verdict.REGRESSION, Reason.WRONG_BODY, record=record)
                    for number in range(12)
                ),
            ),
            "rules": (
                rule,
                rule.model_copy(update={"place": "m.yaml:13", "stale": "", "met": 0, "when": ("tls=x",)}),
            ),
            "run": record.run.model_copy(update={"planned": 17, "judged": 17}),
        }
    )
    lines = [line.plain for line in write_closing(record, tmp_path)]
    assert lines[:3] == [
        "17 of 17 cells judged: 2 pass, 15 fail",
        "regression: wrong-body (12 cells)",
        "  worse-0  what worse-0 showed",
    ]
    assert lines[11:] == [
        "  worse-9  what worse-9 showed",
        "  and 2 more",
        "changed failure: server-crashed, expected fail: handshake-then-hang (1 cell)",
        "  changed  what changed showed  [m.yaml:8]",
        "now passing, expected fail: handshake-then-hang (1 cell)",
        "  now  what now showed  [m.yaml:8]",
        "stale rule m.yaml:8: it was to hold until 2026-01-01, and today is 2026-11-22",
        "  it expects fail: handshake-then-hang for tls=libressl, because of https://a.example/1",
        "known failure: handshake-then-hang (2 cells)  m.yaml:8 https://a.example/1",
        "m.yaml:13: this rule fits no cell of the matrix: tls=x",
        f"Report: {tmp_path / 'index.html'}",
    ]
