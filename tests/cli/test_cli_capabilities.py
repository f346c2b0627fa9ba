"""The printed table of capabilities, and what it means for a selection."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.main import main
from orchestrator.matrix.capability_table import TABLE

CCM = "TLS_AES_128_CCM_SHA256"
MATRIX = f"""\
version: 1
axes:
  arch: [amd64, arm64]
  haproxy: ["2.6.12", "3.0.11", {{name: 3.2.0-debug, version: "3.2.0", make_flags: ["DEBUG=-g -O1"]}}]
  tls: [openssl-3.5.7, libressl-3.9.2]
  cipher: [TLS_AES_128_GCM_SHA256, {CCM}]
"""


@pytest.fixture
def matrix(tmp_path: Path) -> str:
    path = tmp_path / "matrix.yaml"
    path.write_text(MATRIX)
    return str(path)


def invoke(*args: str, columns: int = 80) -> Result:
    result = CliRunner(env={"COLUMNS": str(columns)}).invoke(main, ["capabilities", *args])
    assert result.exit_code == 0, result.output
    return result


def as_json(*args: str) -> Any:
    return json.loads(invoke("--format", "json", *args).stdout)


def test_the_declared_table_has_a_line_per_row_with_flags_and_sources() -> None:
    lines = invoke().stdout.splitlines()
    rows = [line.split() for line in lines[1 : len(TABLE) + 1]]
    assert [row[0] for row in rows] == [str(number) for number in range(1, len(TABLE) + 1)]
    (native,) = [row for row in rows if row[1] == "openssl-3.5.2"]
    assert native[2:] == ["3.2", "native", "allowed", "yes", "always", "-"]
    (libressl,) = [row for row in rows if row[2] == "2.8-dev13"]
    assert libressl[1:] == [
        "libressl-3.6",
        "2.8-dev13",
        "native",
        "fatal",
        "error",
        "no",
        "by",
        "hardware",
        "CCM",
    ]
    assert "2 USE_OPENSSL=1 USE_QUIC=1 USE_QUIC_OPENSSL_COMPAT=1" in lines
    assert all(any(source in line for line in lines) for row in TABLE for source in row.source)


def test_no_line_is_broken_at_eighty_columns() -> None:
    lines = invoke().stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines == invoke(columns=200).stdout.splitlines()


def test_a_selection_shows_its_pairs_flags_and_limits(matrix: str) -> None:
    lines = invoke("--matrix", matrix).stdout.splitlines()
    table = [line.split() for line in lines[1 : lines.index("")]]
    assert table[0] == ["2.6.12", "openssl-3.5.7", "none", "-", "-", "-", "all", "1"]
    assert table[2] == ["3.0.11", "openssl-3.5.7", "compat", "allowed", "no", "always", "CCM", "2"]
    assert table[4] == ["3.2.0-debug", "openssl-3.5.7", "native", "allowed", "yes", "always", "-", "4"]
    assert "make 4: USE_OPENSSL=1 USE_QUIC=1 'DEBUG=-g -O1'" in lines
    assert f"library-cannot: libressl-3.9.2 has no {CCM} over QUIC" in lines
    assert f"client-cannot-offer: curl cannot offer {CCM} over QUIC" in lines
    assert sum(line.startswith("haproxy-cannot: HAProxy 2.6.12 has no QUIC") for line in lines) == 2
    assert lines[-1] == "6 pairs of HAProxy and library in 24 cells, 16 of them unsupported"
    assert max(map(len, lines)) <= 80


def test_a_filter_alone_is_a_selection(matrix: str) -> None:
    lines = invoke("--matrix", matrix, "--filter", "haproxy=3.0.11", "--filter", "tls=libressl").stdout
    assert "2 cells" not in lines
    assert lines.splitlines()[-1] == "1 pair of HAProxy and library in 4 cells, 2 of them unsupported"


def test_json_has_the_table_the_clients_and_the_pairs(matrix: str) -> None:
    found = as_json("--matrix", matrix)
    assert len(found["table"]) == len(TABLE)
    assert found["table"][0]["suites"][-1] == CCM
    assert all(row["source"] for row in found["table"])
    assert found["clients"]["curl"] == [CCM]
    pairs = {(pair["haproxy"], pair["tls"]): pair for pair in found["pairs"]}
    compat = pairs["3.0.11", "openssl-3.5.7"]
    assert found["table"][compat["row"] - 1]["api"] == compat["api"] == "compat"
    assert [(one["suite"], one["reason"]) for one in compat["cannot"]] == [(CCM, "haproxy-cannot")]
    assert pairs["3.2.0-debug", "openssl-3.5.7"]["make_flags"][-1] == "DEBUG=-g -O1"
    assert [one["reason"] for one in pairs["2.6.12", "libressl-3.9.2"]["cannot"]] == ["haproxy-cannot"] * 4
    assert not pairs["3.0.11", "libressl-3.9.2"]["ciphersuites"]
