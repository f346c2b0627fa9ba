"""Before a run: what goes, and the one line that says it."""

import os
import time
from pathlib import Path

import pytest
from fakes import FakeEngine, dead_labels

from orchestrator.app.leftovers import remove_leftovers
from orchestrator.cli.log import show_log
from orchestrator.execute.store.store import Store
from orchestrator.record.journal import hold
from orchestrator.record.runs import remove_never_begun

ENDED = b'{"kind":"run-started"}\n{"at":"x","kind":"run-finished","status":"finished"}\n'


@pytest.fixture
def said() -> list[str]:
    return []


def tidied(engine: FakeEngine, folder: Path, said: list[str]) -> str:
    with show_log(said.append):
        remove_leftovers(engine, Store(folder / "store"), folder / "reports")
    return "\n".join(said)


def test_nothing_left_nothing_said(tmp_path: Path, said: list[str]) -> None:
    assert tidied(FakeEngine(), tmp_path, said) == ""


def test_one_line_names_the_first_and_counts_all(tmp_path: Path, said: list[str]) -> None:
    engine, labels = FakeEngine(), dead_labels("r")
    engine.of_others = {("volume", f"v{number}"): labels for number in range(7)}
    scratch = tmp_path / "store" / "tmp" / "matrixctl-scratch-abcdefgh"
    scratch.mkdir(parents=True)
    assert tidied(engine, tmp_path, said) == (
        "removed 8 leftovers of dead runs: volume v0, volume v1, volume v2, volume v3, volume v4 and 3 more"
    )
    assert not scratch.exists()
    assert engine.of_others == {}


def test_a_single_one_is_named_in_the_singular(tmp_path: Path, said: list[str]) -> None:
    engine = FakeEngine()
    engine.of_others["container", "c"] = dead_labels("r")
    assert tidied(engine, tmp_path, said) == "removed 1 leftover of dead runs: container c"


def test_an_engine_that_refuses_is_said_and_no_reason_to_stop(tmp_path: Path, said: list[str]) -> None:
    engine = FakeEngine(refuses=("remove_leftover:c",))
    engine.of_others = {("container", "c"): dead_labels("r"), ("container", "b"): dead_labels("r")}
    assert tidied(engine, tmp_path, said).splitlines() == [
        "the fake engine refuses to remove_leftover c",
        "removed 1 leftover of dead runs: container b",
    ]


def test_evidence_is_searched_only_where_a_run_did_not_end(tmp_path: Path, said: list[str]) -> None:
    half = {}
    for name, journal in (("ended", ENDED), ("died", ENDED[:20]), ("empty", b"")):
        folder = tmp_path / "reports" / name
        (folder / "cells").mkdir(parents=True)
        (folder / "journal.jsonl").write_bytes(journal)
        half[name] = [folder / ".run.json.1-0123abcd", folder / "cells" / ".log.1-0123abcd"]
        for path in half[name]:
            path.write_bytes(b"half")
    (tmp_path / "reports" / ".x.1-0123abcd").write_bytes(b"in no run")
    tidied(FakeEngine(), tmp_path, said)
    left = {path for paths in half.values() for path in paths if path.exists()}
    assert left == {half["ended"][1]}
    assert (tmp_path / "reports" / ".x.1-0123abcd").exists()


def test_a_run_that_was_killed_before_its_first_event_leaves_no_folder(
    tmp_path: Path, said: list[str]
) -> None:
    out = tmp_path / "reports"
    old, hour = {}, time.time() - 3600
    for name in ("20260102-030405-0001", "20260102-030405-0002", "20260102-030405-0003", "my-own"):
        old[name] = out / name
        old[name].mkdir(parents=True)
    young = out / "20260102-030405-0004"
    young.mkdir()
    (old["20260102-030405-0001"] / "journal.jsonl").touch()
    (old["20260102-030405-0003"] / "notes.txt").write_text("a person's")
    for folder in old.values():
        os.utime(folder, (hour, hour))
    line = tidied(FakeEngine(), tmp_path, said)
    assert sorted(path.name for path in out.iterdir()) == ["20260102-030405-0003", young.name, "my-own"]
    assert line.startswith("removed 2 leftovers of dead runs: ")


def test_the_folder_of_a_run_that_begins_at_this_moment_stays(tmp_path: Path) -> None:
    folder = tmp_path / "20260102-030405-0001"
    with hold(folder):
        os.utime(folder, (0, 0))
        assert list(remove_never_begun(tmp_path)) == []
        assert folder.is_dir()
