"""Two machines with one remote store: what the first has built, the second takes."""

from pathlib import Path

import pytest
from engine_run import EngineRun, Programs

from orchestrator.errors import MatrixctlError, UsageError
from orchestrator.execute.store.remote import connect_remote
from orchestrator.outcome import Verdict


def machine(folder: Path, url: str, *, resume: bool = False) -> EngineRun:
    folder.mkdir(exist_ok=True)
    return EngineRun(folder, programs=Programs(), fetches=True, choices={"remote_store": url}, resume=resume)


def url(folder: Path) -> str:
    return f"file://{folder}/there"


def test_the_second_machine_builds_and_downloads_nothing(tmp_path: Path) -> None:
    first, second = machine(tmp_path / "first", url(tmp_path)), machine(tmp_path / "second", url(tmp_path))
    record = first.go()
    assert first.programs.ran.count("build") > 1
    for tarball in second.mirror.iterdir():
        tarball.unlink()
    again = second.go()
    assert [cell.verdict for cell in (*record.cells, *again.cells)] == [Verdict.AS_EXPECTED] * 2
    assert "build" not in second.programs.ran
    kinds = {"tls", "haproxy", "selftest"}
    assert {action.status for action in again.actions if action.kind in kinds} == {"cached"}
    count = len(list(connect_remote(url(tmp_path)).find_all()))
    assert f"{url(tmp_path)}: 0 taken from there, {count} put there" in first.said
    assert f"{url(tmp_path)}: {count} taken from there, 0 put there" in second.said


def test_a_place_that_is_gone_in_the_middle_costs_no_verdict(tmp_path: Path) -> None:
    run = machine(tmp_path / "first", url(tmp_path))

    def lose(kind: str) -> None:
        there = tmp_path / "there"
        if kind == "build" and there.is_dir():
            there.rename(tmp_path / "gone")
            there.write_bytes(b"no folder")

    run.programs.before = lose
    record = run.go()
    assert [cell.verdict for cell in record.cells] == [Verdict.AS_EXPECTED]
    assert any("goes on without it" in line or "nothing more is put there" in line for line in run.said)
    assert run.tracebacks == []


def test_where_it_does_not_answer_no_run_is_begun(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"no folder")
    run = machine(tmp_path / "first", url(tmp_path))
    with pytest.raises(MatrixctlError, match="cannot be used"):
        run.go()
    assert not (run.folder / "run").exists()
    run = machine(tmp_path / "second", "there")
    with pytest.raises(UsageError, match="no URL of a store"):
        run.go()


def test_a_run_that_was_cut_off_goes_on_with_what_another_built_meanwhile(tmp_path: Path) -> None:
    first, second = machine(tmp_path / "first", url(tmp_path)), machine(tmp_path / "second", url(tmp_path))

    def stop(kind: str) -> None:
        if kind == "build":
            first.cancel.ask()

    first.programs.before = stop
    assert first.go().run.status != "finished"
    second.go()
    resumed = machine(tmp_path / "first", url(tmp_path), resume=True)
    assert [cell.verdict for cell in resumed.go().cells] == [Verdict.AS_EXPECTED]
    assert resumed.programs.ran.count("build") == 0
