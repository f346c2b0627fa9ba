"""The recorder: everything is in the journal before it is told, and run.json follows."""

import threading
import time
from pathlib import Path

import pytest
from record_samples import AT, cell, record

from orchestrator.cli.log import show_log
from orchestrator.outcome import Outcome
from orchestrator.record import journal, recorder
from orchestrator.record.fold import fold
from orchestrator.record.journal import CellJudged, Event, RunFinished, RunStarted, read
from orchestrator.record.model import RunRecord
from orchestrator.record.recorder import Recorder

STARTED = RunStarted(record=record(cell("a"), cell("b")))
FINISHED = RunFinished(status="finished", finished_at=AT, duration_s=1.5, exit_code=0, message="")


class Watch:
    """Listens, and notes what the journal held at that moment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.heard: list[Event] = []
        self.written: list[int] = []
        self.ends: list[tuple[RunRecord, Path]] = []

    def listen(self, event: Event) -> None:
        self.heard.append(event)
        self.written.append(len(list(read(self.folder / "journal.jsonl"))))

    def finish(self, ended: RunRecord, folder: Path) -> None:
        assert RunRecord.model_validate_json((folder / "run.json").read_bytes()) == ended
        self.ends.append((ended, folder))

    def recorder(self) -> Recorder:
        return Recorder(self.folder, listen=self.listen, finish=self.finish)


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    return Watch(tmp_path / "run")


def test_an_event_is_in_the_journal_before_it_is_told(watch: Watch) -> None:
    with watch.recorder() as made:
        for event in (STARTED, CellJudged(cell=cell("a", Outcome.PASS)), FINISHED):
            made.emit(event)
    assert watch.written == [1, 2, 3]
    assert list(read(watch.folder / "journal.jsonl")) == watch.heard


def test_the_record_follows_the_events(watch: Watch) -> None:
    with watch.recorder() as made:
        made.emit(STARTED)
        assert (made.make_record().run.judged, made.find_cell("a")) == (0, None)
        judged = cell("a", Outcome.FAIL)
        made.emit(CellJudged(cell=judged))
        assert made.find_cell("a") == judged
        assert made.find_cell("b") is None
        assert made.make_record().run.judged == 1


def test_the_end_gets_the_whole_record_once_beside_its_run_json(watch: Watch) -> None:
    with watch.recorder() as made:
        made.emit(STARTED)
        made.emit(CellJudged(cell=cell("b", Outcome.PASS)))
        made.emit(FINISHED)
    ((ended, folder),) = watch.ends
    assert folder == watch.folder
    assert (ended.run.status, ended.run.exit_code, ended.run.judged) == ("finished", 0, 1)
    assert ended == fold(read(watch.folder / "journal.jsonl"))


def test_a_run_that_breaks_off_still_leaves_its_record(watch: Watch) -> None:
    def break_off() -> None:
        with watch.recorder() as made:
            made.emit(STARTED)
            made.emit(CellJudged(cell=cell("a", Outcome.PASS)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    ((ended, _),) = watch.ends
    assert (ended.run.status, ended.run.judged) == ("cut-off", 1)


def test_a_run_that_never_began_leaves_no_record(watch: Watch) -> None:
    with watch.recorder():
        pass
    assert watch.ends == []
    assert not (watch.folder / "run.json").exists()


def test_run_json_is_rendered_while_the_run_goes_on(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "_RENDER_EVERY", 0.02)
    path = watch.folder / "run.json"
    with watch.recorder() as made:
        made.emit(STARTED)
        made.emit(CellJudged(cell=cell("a", Outcome.PASS)))
        deadline = time.monotonic() + 10
        while not (path.exists() and RunRecord.model_validate_json(path.read_bytes()).run.judged):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert watch.ends == []


def test_events_of_many_threads_are_all_written_whole(watch: Watch) -> None:
    names = [f"{thread}-{number}" for thread in range(8) for number in range(10)]
    with watch.recorder() as made:
        made.emit(RunStarted(record=record(*(cell(name) for name in names))))

        def judge(thread: int) -> None:
            for number in range(10):
                made.emit(CellJudged(cell=cell(f"{thread}-{number}", Outcome.PASS)))
                assert made.find_cell(f"{thread}-{number}") is not None

        threads = [threading.Thread(target=judge, args=(thread,)) for thread in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert made.make_record().run.judged == 80
    with show_log(pytest.fail):
        events = list(journal.read(watch.folder / "journal.jsonl", warn=True))
    assert len(events) == 81


def test_nothing_is_written_after_the_end(watch: Watch) -> None:
    with watch.recorder() as made:
        made.emit(STARTED)
    with pytest.raises(ValueError, match="closed"):
        made.emit(FINISHED)
    assert len(watch.heard) == 1


def test_a_thread_that_nobody_waited_for_changes_nothing_that_was_counted(watch: Watch) -> None:
    with watch.recorder() as made:
        for event in (STARTED, FINISHED, CellJudged(cell=cell("a", Outcome.PASS))):
            made.emit(event)
    assert [event.kind for event in watch.heard] == ["run-started", "run-finished"]
    assert [event.kind for event in read(watch.folder / "journal.jsonl")] == ["run-started", "run-finished"]


def test_what_utf_8_cannot_say_is_replaced_and_the_run_goes_on(watch: Watch) -> None:
    with watch.recorder() as made:
        made.emit(STARTED)
        made.emit(CellJudged(cell=cell("a", Outcome.FAIL, message="half \ud83d of a pair")))
    (said,) = [one.message for one in watch.ends[0][0].cells if one.id == "a"]
    assert said == "half \N{REPLACEMENT CHARACTER} of a pair"
    assert list(read(watch.folder / "journal.jsonl")) == watch.heard, "what is told is what is written"


def test_the_thread_that_renders_outlives_a_fault(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Recorder):
        calls = 0

        def make_record(self) -> RunRecord:
            self.calls += 1
            if 1 < self.calls < 4:  # the first is the beginning's
                raise ZeroDivisionError("planted")
            return super().make_record()

    monkeypatch.setattr(recorder, "_RENDER_EVERY", 0.01)
    made = Broken(watch.folder, listen=watch.listen, finish=watch.finish, broke=lambda: None)
    with made:
        made.emit(STARTED)
        deadline = time.monotonic() + 10
        while made.calls < 5:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        made.emit(FINISHED)
    assert len(watch.ends) == 1
