"""``report --base`` and ``run --base``: the report of a run with the news since another."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from cli_samples import RUN, a_run, cells, matrixctl
from compare_samples import night, on

from orchestrator.app import output, running
from orchestrator.cli import run
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.find import read_run
from orchestrator.record.journal import JOURNAL
from orchestrator.record.model import RunRecord

LATER = "20260103-030405-abcd"
GOOD = f"new failure since BASE: pass -> fail: {Reason.HANDSHAKE_TIMEOUT} (regression)"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Two runs below reports, and two records of nights: a good one, and one with a failure."""
    a_run(tmp_path / "reports")
    a_run(tmp_path / "reports", LATER)
    record = night(tmp_path / "night", "one")
    (tmp_path / "good.json").write_text(on(20, record).model_dump_json())
    (tmp_path / "bad.json").write_text(on(21, record, Reason.HANDSHAKE_TIMEOUT).model_dump_json())
    return tmp_path


def of_series(here: Path, name: str, *ids: str) -> None:
    for run_id in ids:
        journal = here / "reports" / run_id / JOURNAL
        journal.write_text(journal.read_text().replace('"series":""', f'"series":"{name}"', 1))


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("html", '<h2 id="h-news">News since BASE</h2>'),
        ("junit", GOOD.replace(">", "&gt;")),
        ("ctrf", GOOD),
        ("markdown", "### ✕ News since BASE"),
    ],
)
def test_every_format_for_readers_has_the_news(here: Path, form: str, said: str) -> None:
    done = matrixctl("report", "bad.json", "--base", "good.json", "--format", form, cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    assert said in done.stdout
    assert said not in matrixctl("report", "bad.json", "--format", form, cwd=here).stdout


def test_the_record_itself_has_no_news(here: Path) -> None:
    done = matrixctl("report", "bad.json", "--base", "good.json", "--format", "json", cwd=here)
    assert done.returncode == 2
    assert "matrixctl compare good.json bad.json --format json" in " ".join(done.stderr.split())


def test_a_base_is_counted_in_the_series_of_the_run(here: Path) -> None:
    a_run(here / "reports", "20260104-030405-abcd")
    of_series(here, "nightly", RUN, "20260104-030405-abcd")
    of_series(here, "weekly", LATER)

    def base_of(*args: str) -> str:
        done = matrixctl("report", *args, "--format", "markdown", cwd=here)
        (line,) = (line for line in done.stdout.splitlines() if line.startswith("BASE"))
        return line.split(" · ")[1]

    assert base_of("latest", "--base", "latest~1") == RUN
    assert base_of(LATER, "--base", "latest") == LATER
    assert base_of(LATER, "--base", "latest~1", "--series", "nightly") == RUN


def test_where_the_series_has_not_come_so_far_that_is_said_and_the_report_is_there(here: Path) -> None:
    of_series(here, "nightly", RUN, LATER)
    for base, said in (
        ("last-good", f"no run of the series 'nightly' below reports before {LATER} is good"),
        ("latest~7", "no run latest~7: there are 2 runs of the series 'nightly' below reports"),
    ):
        done = matrixctl("report", LATER, "--base", base, "--format", "markdown", cwd=here)
        assert (done.returncode, "BASE" in done.stdout) == (0, False)
        assert f"nothing to compare with: {said}" in " ".join(done.stderr.split())
        assert done.stdout == matrixctl("report", LATER, "--format", "markdown", cwd=here).stdout
    assert matrixctl("report", LATER, "--base", "2020-01-01", cwd=here).returncode == 2, "a day is meant"


def test_a_run_by_hand_is_compared_with_the_only_series(here: Path) -> None:
    of_series(here, "nightly", RUN)
    done = matrixctl("report", LATER, "--base", "latest", "--format", "markdown", cwd=here)
    assert f"BASE · {RUN} · series nightly" in done.stdout
    a_run(here / "reports", "20260104-030405-abcd")
    of_series(here, "weekly", "20260104-030405-abcd")
    done = matrixctl("report", LATER, "--base", "latest", cwd=here)
    assert done.returncode == 2
    assert "2 series: nightly, weekly" in " ".join(done.stderr.split())


def test_a_cell_that_the_history_knows_as_flaky_is_no_new_failure(here: Path) -> None:
    record = RunRecord.model_validate_json((here / "good.json").read_bytes())
    for day, attempts in ((18, "p"), (19, "pf")):
        end = Reason.HANDSHAKE_TIMEOUT if "f" in attempts else "pass"
        (here / f"{day}.json").write_text(on(day, record, end, attempts).model_dump_json())
    matrixctl("history", "import", "18.json", "19.json", "good.json", cwd=here)
    done = matrixctl("report", "bad.json", "--base", "good.json", "--format", "junit", cwd=here)
    assert "[[PROPERTY|change=flaky]]" in done.stdout
    done = matrixctl("report", "bad.json", "--base", "good.json", "--history", "none.db", cwd=here)
    assert done.returncode == 2
    assert "there is no history" in done.stderr


class Ended:
    """A run whose work is done, no matter who asks for it."""

    def __init__(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.here, self.folder = here, here / "reports" / LATER
        self.begun = False
        monkeypatch.setattr(run, "connect", lambda **_: SimpleNamespace(cpus=1))
        monkeypatch.setattr(running, "run_matrix", self.run)

    def run(self, *_: object, **__: object) -> tuple[RunRecord, Path]:
        self.begun = True
        record = read_run(self.folder)
        output.write_reports(record, self.folder)
        return record, self.folder


def test_a_run_writes_its_reports_with_the_news(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Ended(here, monkeypatch)
    passed = read_run(here / "reports" / RUN)
    first = passed.cells[0].model_copy(update={"outcome": Outcome.PASS, "reason": None, "expected": None})
    first = first.model_copy(update={"verdict": Verdict.AS_EXPECTED})
    kept = passed.model_copy(update={"cells": (first, *passed.cells[1:])})
    (here / "before.json").write_text(kept.model_dump_json())
    done = matrixctl("run", "--base", "before.json", "--cell", cells()[0].id, cwd=here)
    assert done.returncode == 1
    assert f"since {RUN}: HEAD has no new failure (1 fails now as a rule expects, " in " ".join(
        done.stderr.split()
    )
    assert "News since BASE" in (ended.folder / "index.html").read_text()
    assert "[[PROPERTY|change=expected-failure]]" in (ended.folder / "junit.xml").read_text()


def test_the_first_night_has_no_base_and_goes_on(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Ended(here, monkeypatch)
    done = matrixctl("run", "--series", "nightly", "--base", "last-good", cwd=here)
    assert ended.begun
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert "nothing to compare with: no run of the series 'nightly'" in said
    assert "since" not in said


def test_a_base_that_is_none_is_said_before_the_run_begins(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = Ended(here, monkeypatch)
    done = matrixctl("run", "--base", "nothing", cwd=here)
    assert done.returncode == 2
    assert "no run 'nothing' below" in " ".join(done.stderr.split())
    assert not ended.begun


@pytest.mark.parametrize("error", [ZeroDivisionError(), OSError(28, "No space left on device")])
def test_news_that_cannot_be_written_cost_no_run(
    here: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(run, "write_reports", fail)
    record, folder = read_run(here / "reports" / LATER), here / "reports" / LATER
    found, said = run._report_news(read_run(here / "reports" / RUN), record, folder, None)
    assert found is not None
    assert said.startswith(f"the report has no news since {RUN}: ")
    assert ("No space left" in said) is isinstance(error, OSError)
