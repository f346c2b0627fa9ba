"""What is on the disk before anything counts on it: the calls of fsync(2), traced, and in their order."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from record_samples import cell, record

from orchestrator.execute.store.store import Store
from orchestrator.record.journal import JOURNAL, CellJudged, Journal, RunFinished, RunStarted

DIGEST = "ab" * 32


class Disk:
    """Writes down each file that is synced, with its size then, and what ``look`` sees at that moment."""

    def __init__(self, look: Callable[[], object]) -> None:
        self.synced: list[tuple[Path, int, object]] = []
        self._look, self._fsync = look, os.fsync

    def fsync(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        self.synced.append((path, os.fstat(descriptor).st_size, self._look()))
        self._fsync(descriptor)

    def of(self, name: str) -> list[tuple[int, object]]:
        return [(size, seen) for path, size, seen in self.synced if path.name == name]

    def forget(self) -> None:
        self.synced.clear()


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], Disk]:
    def trace(look: Callable[[], object]) -> Disk:
        disk = Disk(look)
        monkeypatch.setattr(os, "fsync", disk.fsync)
        return disk

    return trace


@pytest.mark.parametrize("as_file", [False, True])
def test_an_artifact_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, traced: Callable[[Callable[[], object]], Disk], *, as_file: bool
) -> None:
    store = Store(tmp_path / "store")
    tar = tmp_path / "made.tar"
    tar.write_bytes(b"x" * 1000)
    final = store.root / "artifacts" / DIGEST
    disk = traced(final.exists)
    store.put_artifact(DIGEST, tar if as_file else tar.read_bytes(), {})
    assert disk.of("artifact.tar") == [(1000, False)], "whole, and nobody could find it yet"
    (meta,) = [(size, there) for path, size, there in disk.synced if path.name.startswith(".meta.json.")]
    assert meta == ((final / "meta.json").stat().st_size, False)
    assert [there for _, there in disk.of("artifacts")] == [True], "the name itself, last"


def test_a_source_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, traced: Callable[[Callable[[], object]], Disk]
) -> None:
    store = Store(tmp_path / "store")
    final = store.root / "sources" / DIGEST / "x.tar"
    disk = traced(final.exists)
    with store.scratch() as scratch:
        (scratch / "fetched").write_bytes(b"x" * 1000)
        store.put_source(scratch / "fetched", sha256=DIGEST, file="x.tar", origin="here")
    assert disk.of("fetched") == [(1000, False)]
    assert [there for _, there in disk.of(DIGEST)][-1] is True, "the folder, once the name is in it"


def test_what_would_be_lost_work_is_on_the_disk_when_the_journal_returns(
    tmp_path: Path, traced: Callable[[Callable[[], object]], Disk]
) -> None:
    made, path = record(cell("a")), tmp_path / JOURNAL
    disk = traced(lambda: None)
    end = RunFinished(
        status="finished", finished_at="2026-11-28T05:00:00Z", duration_s=1.0, exit_code=0, message=""
    )
    with Journal(path) as journal:
        for event in (RunStarted(record=made), CellJudged(cell=made.cells[0]), end):
            disk.forget()
            journal.append(event)
            assert disk.of(JOURNAL) == [(path.stat().st_size, None)], f"{event.kind}: all of it, once"
            assert path.read_bytes().endswith(b"\n")
