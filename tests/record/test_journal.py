"""The journal: folding it, cutting it, and writing run.json from it."""

import json
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_samples import AT, action, cell, record

from orchestrator.cli.log import show_log
from orchestrator.errors import MatrixctlError
from orchestrator.outcome import Outcome
from orchestrator.record.find import read_run
from orchestrator.record.fold import fold, write_run_json
from orchestrator.record.journal import (
    ActionChanged,
    CellJudged,
    ClientsProved,
    ComponentResolved,
    Event,
    Journal,
    RunFinished,
    RunStarted,
    read,
)
from orchestrator.record.model import ClientProof, Component, RunRecord

NAMES = ("a", "b", "c", "d")
START = RunStarted(at=AT, record=record(*(cell(name) for name in NAMES)))
END = RunFinished(at=AT, status="finished", finished_at=AT, duration_s=3.5, exit_code=1, message="")

judged_cells = st.builds(
    lambda name, outcome, message: CellJudged(at=AT, cell=cell(name, outcome, message=message)),
    st.sampled_from(NAMES),
    st.sampled_from([None, *Outcome]),
    st.text(max_size=20),
)
changes = st.one_of(
    judged_cells,
    st.sampled_from(["running", "succeeded", "failed"]).map(
        lambda status: ActionChanged(at=AT, action=action(status))
    ),
    st.text(max_size=5).map(
        lambda version: ComponentResolved(
            at=AT,
            component=Component(kind="source", name="haproxy", version=version, digest=None, origin="store"),
        )
    ),
    st.just(END),
)
journals = st.lists(changes, max_size=8).map(lambda rest: [START, *rest])


def lines(events: list[Event]) -> bytes:
    return b"".join(event.model_dump_json().encode() + b"\n" for event in events)


def read_bytes(content: bytes, said: list[str]) -> list[Event]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        path.write_bytes(content)
        with show_log(said.append):
            return list(read(path, warn=True))


@given(journals, st.data())
def test_every_prefix_folds_to_a_valid_record(events: list[Event], data: st.DataObject) -> None:
    prefix = events[: data.draw(st.integers(1, len(events)))]
    folded = fold(prefix)
    assert RunRecord.model_validate_json(folded.model_dump_json()) == folded
    assert folded.run.judged == sum(item.outcome is not None for item in folded.cells)
    assert folded.run.planned == len(NAMES)
    assert [item.id for item in folded.cells] == list(NAMES)


@given(journals)
def test_the_last_word_on_a_cell_counts(events: list[Event]) -> None:
    last = {event.cell.id: event.cell for event in events if isinstance(event, CellJudged)}
    for found in fold(events).cells:
        assert found == last.get(found.id, cell(found.id))


@given(journals, st.data())
def test_a_cut_loses_no_event_before_it(events: list[Event], data: st.DataObject) -> None:
    content = lines(events)
    cut = data.draw(st.integers(0, len(content)))
    said: list[str] = []
    got = read_bytes(content[:cut], said)
    whole = content[:cut].count(b"\n")
    # A line that lacks nothing but its newline is whole as well.
    at_the_end = cut < len(content) and content[cut : cut + 1] == b"\n"
    assert got == events[: whole + at_the_end]
    inside_a_line = cut > 0 and content[cut - 1 : cut] != b"\n" and not at_the_end
    assert len(said) == inside_a_line


@given(st.lists(changes, max_size=4), st.lists(changes, max_size=4), st.integers(1, 40))
def test_going_on_after_a_cut_line_harms_neither_side(
    before: list[Event], after: list[Event], cut: int
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        path.write_bytes(lines([START, *before]) + END.model_dump_json().encode()[:cut])
        with Journal(path) as journal:
            for event in after:
                journal.append(event)
        said: list[str] = []
        with show_log(said.append):
            assert list(read(path, warn=True)) == [START, *before, *after]
        assert said == [f"{path}:{len(before) + 2} is incomplete and was passed over"]


def test_who_looks_through_many_runs_hears_nothing_of_a_cut_line(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_bytes(lines([START]) + b'{"kind":"ce')
    with show_log(pytest.fail):
        assert list(read(tmp_path / "journal.jsonl")) == [START]
        assert read_run(tmp_path).run.planned == len(NAMES)


def test_append_and_read_give_the_same_events(tmp_path: Path) -> None:
    events: list[Event] = [START, CellJudged(cell=cell("a", Outcome.FAIL, message="ü\n\u2028")), END]
    with Journal(tmp_path / "run" / "journal.jsonl") as journal:
        for event in events:
            journal.append(event)
            assert list(read(tmp_path / "run" / "journal.jsonl"))[-1] == event  # flushed at once
    folded = fold(read(tmp_path / "run" / "journal.jsonl"))
    assert folded.run.status == "finished"
    assert (folded.run.exit_code, folded.run.duration_s, folded.run.judged) == (1, 3.5, 1)


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    message = "x" * 100_000

    def work(name: str) -> None:
        for _ in range(10):
            journal.append(CellJudged(cell=cell(name, Outcome.PASS, message=message)))

    with Journal(path) as journal:
        threads = [threading.Thread(target=work, args=(name,)) for name in NAMES]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    said: list[str] = []
    with show_log(said.append):
        assert len(list(read(path, warn=True))) == 40
    assert said == []


@pytest.mark.parametrize("events", [[], [END], [START, START], [END, START]])
def test_a_journal_has_one_start_and_begins_with_it(events: list[Event]) -> None:
    with pytest.raises(MatrixctlError, match="begins with run-started"):
        fold(events)


def test_an_event_of_another_version_is_refused_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(lines([START]) + b'{"kind": "cell-expected", "at": "x"}\n')
    with pytest.raises(MatrixctlError, match=r"journal\.jsonl:2 is an event that this version"):
        list(read(path))


def test_a_missing_journal_is_said(tmp_path: Path) -> None:
    with pytest.raises(MatrixctlError, match="cannot be read: No such file"):
        list(read(tmp_path / "journal.jsonl"))


def test_run_json_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_run_json(START.record, path)
    with path.open("rb") as reader:
        write_run_json(fold([START, END]), path)
        assert json.loads(reader.read())["run"]["status"] == "running"  # the old file, still whole
    assert RunRecord.model_validate_json(path.read_bytes()) == fold([START, END])
    assert [item.name for item in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize("at", ["", "yesterday", "2026-01-02T03:04:05", f" {AT}", "9" * 5000])
def test_an_event_of_no_moment_is_refused(tmp_path: Path, at: str) -> None:
    """A run that goes on reckons with it."""
    path = tmp_path / "journal.jsonl"
    event = json.loads(START.model_dump_json())
    path.write_text(json.dumps({**event, "at": at}) + "\n")
    with pytest.raises(MatrixctlError, match="is an event that this version does not know"):
        list(read(path))


def test_an_event_that_does_not_say_when_is_none_of_ours(tmp_path: Path) -> None:
    """Else each reader would give it the moment of reading."""
    (tmp_path / "journal.jsonl").write_text('{"kind":"run-resumed","stood":1,"actions":[]}\n')
    with pytest.raises(MatrixctlError, match=r"journal\.jsonl:1 is an event that does not say when"):
        list(read(tmp_path / "journal.jsonl"))


def test_proofs_of_two_images_are_both_there_and_a_newer_one_replaces_its_like() -> None:
    def proof(client: str, transport: str, *, ok: bool = True) -> ClientProof:
        told = {"client": client, "version": "1", "transport": transport, "suite": "default", "message": ""}
        return ClientProof.model_validate({**told, "ok": ok})

    ours = ClientsProved(at=AT, clients=(proof("curl", "h3"), proof("curl", "h2")))
    mine = ClientsProved(at=AT, clients=(proof("curl-8.16", "h3"),))
    again = ClientsProved(at=AT, clients=(proof("curl", "h2", ok=False),))
    found = {(one.client, one.transport): one.ok for one in fold([START, ours, mine, again, END]).clients}
    assert found == {("curl", "h3"): True, ("curl", "h2"): False, ("curl-8.16", "h3"): True}
