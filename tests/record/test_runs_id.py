"""Ids of runs: unique, and in the order in which the runs began, whatever the clock does."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestrator.record import runs
from orchestrator.record.find import LATEST, find_run
from orchestrator.record.journal import JOURNAL
from orchestrator.record.runs import make_id

NOW = datetime(2026, 11, 22, 22, 0, 5, tzinfo=UTC)


def begun(out: Path, now: datetime) -> str:
    name = make_id(out, now)
    (out / name).mkdir(parents=True)
    (out / name / JOURNAL).write_text("{}\n")
    return name


def test_an_id_tells_when_the_run_began(tmp_path: Path) -> None:
    assert begun(tmp_path, NOW).startswith("20261122-220005-")


@pytest.mark.fault(
    "the wall clock jumps between runs, back and ahead, and stands still",
    "each run has an id of its own that sorts after the earlier ones; `latest` is the latest",
)
def test_the_order_stays_whatever_the_clock_does(tmp_path: Path) -> None:
    jumps = [timedelta(), timedelta(), -timedelta(days=400), timedelta(hours=1), -timedelta(seconds=1)] * 8
    names = [begun(tmp_path, NOW + jump) for jump in jumps]
    assert len(set(names)) == len(names)
    assert list(runs.list_runs(tmp_path)) == names
    assert find_run(LATEST, tmp_path).name == names[-1]


def test_the_last_id_of_a_second_is_followed_by_the_next_second(tmp_path: Path) -> None:
    (tmp_path / "20261122-220005-ffff").mkdir()
    (tmp_path / "20261122-220005-ffff" / JOURNAL).write_text("{}\n")
    assert begun(tmp_path, NOW).startswith("20261122-220006-00")


def test_names_that_are_no_dates_are_passed_over(tmp_path: Path) -> None:
    for name in ("sample", "99999999-999999-abcd"):
        (tmp_path / name).mkdir()
        (tmp_path / name / JOURNAL).write_text("{}\n")
    assert begun(tmp_path, NOW).startswith("20261122-220005-")


def test_of_two_that_begin_at_once_each_has_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = iter(["20261122-220005-0001", "20261122-220005-0001", "20261122-220005-0002"])
    monkeypatch.setattr(runs, "make_id", lambda _, __: next(ids))
    out = tmp_path / "not" / "there"
    assert [runs.begin(out, NOW).name[-4:] for _ in range(2)] == ["0001", "0002"]


def test_a_run_that_is_removed_meanwhile_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stays = begun(tmp_path, NOW)
    monkeypatch.setattr(runs, "list_runs", lambda _: ("20261122-220005-0000", stays))
    assert runs.list_begun(tmp_path) == (stays,)
