"""What a source that moves was in the first part of a run, it is in the second, or the run is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
from engine_run import GCM, EngineRun, chosen
from git_samples import Repository
from record_samples import record

from orchestrator.app.sources import Sources
from orchestrator.execute.schedule.scheduler import Cancel
from orchestrator.execute.sources.unpinned import fetch
from orchestrator.execute.store.store import Store
from orchestrator.matrix.catalog import Moving
from orchestrator.matrix.pins import Pin, Pins, find_moving
from orchestrator.outcome import Outcome
from orchestrator.plan.action import SourceAction
from orchestrator.record.journal import Event, RunStarted, SourcePinned, read
from orchestrator.record.recorder import Recorder


class Bed:
    """A working tree, and a run that was to test it. Nothing of it needs an engine."""

    def __init__(self, folder: Path) -> None:
        self.tree, self.store = folder / "haproxy", Store(folder / "store")
        self.tree.mkdir()
        (self.tree / "Makefile").write_text("first")
        self.moving = Moving(component="haproxy", version="mine", kind="path", where=str(self.tree), ref="")
        got = fetch(
            self.moving,
            store=self.store,
            mirrors=(),
            deadline=float("inf"),
            package=pytest.fail,
        )
        self.pin = SourcePinned(moving=self.moving, source=got.source, origin=got.origin)
        self.first = got.source.sha256
        self.heard: list[Event] = []
        self.folder = folder

    def sources(self) -> Sources:
        return Sources(
            store=self.store,
            recorder=Recorder(self.folder / "run", listen=self.heard.append, finish=lambda *_: None),
            mirrors=(),
            limit=60,
            pools=tuple,
            package=pytest.fail,
        )

    def tested(self, sources: Sources) -> str | None:
        """The digest of what the run would compile now."""
        action = SourceAction(key="source:x", name="x", moving=self.moving)
        with sources.recorder:
            sources.recorder.emit(RunStarted(record=record()))
            sources.fetch(action)
        return sources.moved["source:x"].sha256

    def pins(self) -> list[SourcePinned]:
        return [one for one in self.heard if isinstance(one, SourcePinned)]


@pytest.fixture
def bed(tmp_path: Path) -> Bed:
    return Bed(tmp_path)


def test_a_run_pins_what_it_found(bed: Bed) -> None:
    assert bed.tested(bed.sources()) == bed.first
    assert [pin.source.sha256 for pin in bed.pins()] == [bed.first]


def test_a_pinned_source_stays_what_it_was_though_it_moved_on(bed: Bed) -> None:
    (bed.tree / "Makefile").write_text("second")
    sources = bed.sources()
    assert sources.pin([bed.pin], cancel=Cancel()) == ()
    assert bed.tested(sources) == bed.first
    assert bed.pins() == []  # the journal has it already
    assert bed.tested(bed.sources()) != bed.first


def test_where_the_store_lost_it_the_same_bytes_do(bed: Bed) -> None:
    bed.store.empty()
    sources = bed.sources()
    assert sources.pin([bed.pin], cancel=Cancel()) == ()
    assert bed.tested(sources) == bed.first


def test_where_the_store_lost_it_and_it_moved_on_both_are_named(bed: Bed) -> None:
    bed.store.empty()
    (bed.tree / "Makefile").write_text("second")
    (said,) = bed.sources().pin([bed.pin], cancel=Cancel())
    assert f"(SHA-256 {bed.first[:12] if bed.first else ''}) is no longer in the store" in said
    assert f"what path: {bed.tree} has now is " in said


def test_where_it_cannot_be_had_at_all_that_is_said(bed: Bed) -> None:
    bed.store.empty()
    (bed.tree / "Makefile").unlink()
    bed.tree.rmdir()
    (said,) = bed.sources().pin([bed.pin], cancel=Cancel())
    assert "is no longer in the store, and cannot be obtained again: " in said


def test_an_interrupted_question_is_no_answer(bed: Bed) -> None:
    """It was cut off: that the source cannot be obtained is not said, and the run is not refused for it."""
    bed.store.empty()
    (bed.tree / "Makefile").unlink()
    cancel = Cancel()
    cancel.ask()
    with pytest.raises(KeyboardInterrupt):
        bed.sources().pin([bed.pin], cancel=cancel)


def test_a_run_with_pins_builds_the_pinned_commit(tmp_path: Path) -> None:
    upstream = Repository(tmp_path / "haproxy")
    first = upstream.commit(Makefile="all:\n")
    (cell,) = chosen("arch=amd64", "tls=openssl-3.5.7", f"cipher={GCM}")
    haproxy = cell.haproxy.model_copy(
        update={"name": "master", "source": "git", "where": str(upstream.folder), "ref": "master"}
    )
    moving = replace(cell, haproxy=haproxy)
    (place,) = find_moving([moving])
    pin = Pin.model_validate({**place.model_dump(exclude={"version"}), "at": first})
    second = upstream.commit(Makefile="all: more\n")

    def find_built(name: str, pins: Pins | None) -> str:
        run = EngineRun(tmp_path, cells=[moving], name=name, choices={"pins": pins})
        assert [one.outcome for one in run.go().cells] == [Outcome.PASS]
        events = read(tmp_path / name / "journal.jsonl")
        (origin,) = {one.origin for one in events if isinstance(one, SourcePinned)}
        return origin

    assert find_built("with", Pins(matrix="0" * 64, pins=(pin,))) == f"{place} -> {first}"
    assert find_built("without", None) == f"{place} -> {second}"
