"""A disk that becomes full under the journal: what stands in it stays whole, and somebody is told."""

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from record_samples import cell, record

from orchestrator.cli.log import show_log
from orchestrator.errors import RecordError
from orchestrator.outcome import Outcome
from orchestrator.record.fold import fold
from orchestrator.record.journal import CellJudged, Event, Journal, RunStarted, read
from orchestrator.record.recorder import Recorder

NAMES = [f"cell-{number}" for number in range(200)]
STARTED = RunStarted(record=record(*(cell(name) for name in NAMES)))


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """The kernel writes files up to this size, and the part of a write that fits: as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def judged(name: str) -> CellJudged:
    return CellJudged(cell=cell(name, Outcome.PASS))


def test_a_line_that_does_not_fit_leaves_nothing_of_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as made:
        made.append(STARTED)
        before = path.read_bytes()
        with room_for(len(before) + 100), pytest.raises(OSError, match="File too large"):
            made.append(judged("cell-0"))
        assert path.read_bytes() == before
        made.append(judged("cell-1"))
    with show_log(pytest.fail):
        assert len(list(read(path, warn=True))) == 2


@pytest.mark.fault(
    "the disk of the reports becomes full while eight threads write to the journal",
    "it ends with a whole line, all that was told stands in it; the run ends and says what to do",
)
def test_a_recorder_on_a_full_disk_takes_nothing_in_any_more(tmp_path: Path) -> None:
    folder = tmp_path / "run1"
    told: list[Event] = []
    broke: list[bool] = []
    errors: list[RecordError] = []
    made = Recorder(folder, listen=told.append, finish=lambda _, __: None, broke=lambda: broke.append(True))

    def judge(names: list[str]) -> None:
        for name in names:
            try:
                made.emit(judged(name))
            except RecordError as error:
                errors.append(error)

    with made:
        made.emit(STARTED)
        room = (folder / "journal.jsonl").stat().st_size + 50 * len(judged("cell-00").model_dump_json())
        threads = [threading.Thread(target=judge, args=(NAMES[start::8],)) for start in range(8)]
        with room_for(room):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        ended = made.make_record()
    with show_log(pytest.fail):
        written = list(read(folder / "journal.jsonl", warn=True))
    assert sorted(map(repr, written)) == sorted(map(repr, told))
    assert fold(written) == ended
    assert 40 < ended.run.judged < 60
    assert len(errors) == len(NAMES) - ended.run.judged
    assert len(set(map(id, errors))) == 1, "there is one error, told to each"
    assert broke == [True]
    assert errors[0].exit_code == 4
    assert f"{ended.run.judged} of 200 cells" in errors[0].details
    assert errors[0].resolution.endswith("matrixctl run --resume run1")


def test_a_file_beside_the_journal_that_does_not_fit_ends_the_run_too(tmp_path: Path) -> None:
    made = Recorder(tmp_path / "run1", listen=lambda _: None, finish=lambda _, __: None)
    with made:
        made.emit(STARTED)
        made.keep("actions/a.log", b"x" * 50)
        with room_for(100), pytest.raises(RecordError, match="File too large"):
            made.keep("actions/b.log", b"x" * 200)
        with pytest.raises(RecordError):
            made.emit(judged("cell-0"))
    assert [path.name for path in (tmp_path / "run1" / "actions").iterdir()] == ["a.log"]
    with show_log(pytest.fail):
        assert len(list(read(tmp_path / "run1" / "journal.jsonl", warn=True))) == 1
