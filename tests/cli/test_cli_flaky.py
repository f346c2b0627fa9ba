"""What the history remembers of a cell: `compare` and `history show` say it."""

import json
from pathlib import Path

import pytest
from cli_samples import matrixctl
from compare_samples import night, on, with_rule

from orchestrator.outcome import Reason
from orchestrator.record.model import RunRecord

TIMEOUT = Reason.HANDSHAKE_TIMEOUT


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return night(tmp_path_factory.mktemp("night"), "one")


@pytest.fixture
def here(tmp_path: Path, record: RunRecord) -> Path:
    """Three nights in a history, on one of which the cell was flaky, and a fourth on which it fails."""
    for day, end, attempts in ((1, "pass", ""), (2, TIMEOUT, "ffp"), (3, "pass", ""), (4, TIMEOUT, "ffff")):
        (tmp_path / f"{day}.json").write_text(on(day, record, end, attempts).model_dump_json())
    done = matrixctl("history", "import", "1.json", "2.json", "3.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path


def test_what_was_flaky_is_no_new_failure(here: Path) -> None:
    done = matrixctl("compare", "3.json", "4.json", cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("HEAD has no new failure.\n1 flaky\n")
    said = "flaky since 2026-11-02 on the same ingredients: 6 of 9 attempts in 4 nights failed"
    assert f"  {said} (95 % interval 35% to 88%)\n" in done.stdout
    assert said in matrixctl("compare", "3.json", "4.json", "--format", "markdown", cwd=here).stdout
    (here / "reports" / "history.db").unlink()
    assert matrixctl("compare", "3.json", "4.json", cwd=here).returncode == 1


def test_a_history_that_is_broken_is_said(here: Path) -> None:
    (here / "reports" / "history.db").write_text("no database at all")
    done = matrixctl("compare", "3.json", "4.json", cwd=here)
    assert done.returncode == 1
    assert "compared without the history: " in done.stderr
    named = matrixctl("compare", "3.json", "4.json", "--history", "reports/history.db", cwd=here)
    assert (named.returncode, named.stdout) == (4, "")
    missing = matrixctl("compare", "3.json", "4.json", "--history", "none.db", cwd=here)
    assert missing.returncode == 2
    assert "there is no history" in missing.stderr


def test_show_says_since_when_a_cell_is_flaky(here: Path) -> None:
    matrixctl("history", "import", "4.json", cwd=here)
    said = matrixctl("history", "show", "latest", cwd=here).stdout
    assert "last pass 2026-11-03; flaky since 2026-11-02 on the same ingredients: 6 of 9 attempts" in said


def test_show_says_how_old_a_rule_is(here: Path, record: RunRecord) -> None:
    (here / "5.json").write_text(with_rule(on(5, record, TIMEOUT)).model_dump_json())
    (here / "6.json").write_text(with_rule(on(6, record, TIMEOUT)).model_dump_json())
    matrixctl("history", "import", "5.json", "6.json", cwd=here)
    said = matrixctl("history", "show", "latest", cwd=here).stdout
    link = "https://github.com/haproxy/haproxy/issues/2569"
    assert f"(known-failure; last pass 2026-11-03; known since 2026-11-05; {link})" in said
    assert "Rules that no cell" not in said
    passed = with_rule(on(7, record))
    cells = on(7, record).cells
    (here / "7.json").write_text(passed.model_copy(update={"cells": cells}).model_dump_json())
    matrixctl("history", "import", "7.json", cwd=here)
    said = matrixctl("history", "show", "latest", cwd=here).stdout
    assert (
        "Rules that no cell of this run has met:\n"
        "- matrix.yaml:41: tls=openssl-3.5.7 (last met 2026-11-06; it decided no cells of this run)\n"
    ) in said
    told = json.loads(matrixctl("history", "show", "latest", "--format", "json", cwd=here).stdout)
    assert [one["last_held"] for one in told["rules"]] == ["2026-11-06"]
    assert not {"session_set", "own_set", "rule"} & set(told["results"][0])
