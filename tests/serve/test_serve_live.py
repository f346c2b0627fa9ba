"""The run that goes on: its journal is read as it grows, streamed, and shown as text."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import hostile_records
import pytest
from asking import Answer, last_event, served
from hostile import CORPUS, executed
from samples import hostile, running
from site_samples import Series

from orchestrator.record.find import read_run
from orchestrator.record.follow import Follower, find_newest
from orchestrator.record.journal import JOURNAL, CellJudged, Journal, RunFinished, RunStarted, hold
from orchestrator.record.model import RunRecord
from orchestrator.site.live import SHOWN, render_live, tell_run

BAD = "20261123-020000-0007"
"""The night with two failures that are probed again."""
NEW = "20261201-020000-0001"


@contextmanager
def going_on(folder: Path) -> Iterator[Path]:
    """The journal of a run that a process holds."""
    with hold(folder):
        yield folder / JOURNAL


def test_what_a_follower_reads_is_what_the_journal_says_at_each_line(nights: Series, tmp_path: Path) -> None:
    lines = (nights.reports / BAD / JOURNAL).read_bytes().splitlines(keepends=True)
    with going_on(tmp_path / NEW) as journal, journal.open("ab", buffering=0) as file:
        follower = Follower(tmp_path / NEW)
        follower.read()
        assert follower.record is None
        for line in lines:
            file.write(line[:40])
            before = follower.record
            follower.read()
            assert follower.record == before, "half a line is none"
            file.write(line[40:])
            follower.read()
            assert follower.record == read_run(tmp_path / NEW)
    record = follower.record
    assert record is not None
    assert record.run.status == "finished"
    assert sorted(follower.judged) == sorted(cell.id for cell in record.cells)
    assert follower.judged[-1].startswith("arm64--haproxy-3.0.11--wolfssl-5.7.2--TLS_CHACHA20"), (
        "the last event"
    )


def test_a_run_that_died_is_cut_off(tmp_path: Path) -> None:
    folder = tmp_path / NEW
    with going_on(folder) as path:
        with Journal(path) as journal:
            journal.append(RunStarted(record=running()))
        follower = Follower(folder)
        follower.read()
        assert follower.record == read_run(folder)
        assert read_run(folder).run.status == "running"
    follower.read()
    assert follower.record == read_run(folder)
    assert read_run(folder).run.status == "cut-off"


def test_a_journal_that_was_replaced_is_read_from_its_beginning(tmp_path: Path) -> None:
    folder = tmp_path / NEW
    with going_on(folder) as path:
        with Journal(path) as journal:
            journal.append(RunStarted(record=hostile()))
            journal.append(CellJudged(cell=hostile().cells[0]))
        follower = Follower(folder)
        follower.read()
        path.write_bytes(b"")
        with Journal(path) as journal:
            journal.append(RunStarted(record=running()))
        follower.read()
        assert follower.record == read_run(folder)
        assert follower.judged == ()


def test_the_newest_run_that_goes_on_is_the_one(nights: Series, tmp_path: Path) -> None:
    assert find_newest(tmp_path / "nowhere") is None
    last = "20261127-020000-000b"
    assert find_newest(nights.reports) == nights.reports / last
    for name in (BAD, last):
        (tmp_path / name).mkdir()
        (tmp_path / name / JOURNAL).write_bytes((nights.reports / name / JOURNAL).read_bytes())
    with going_on(tmp_path / BAD):
        assert find_newest(tmp_path) == tmp_path / BAD
    assert find_newest(tmp_path) == tmp_path / last


def test_the_stream_tells_each_change_and_ends_with_the_server(
    nights: Series, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.serve.application._LOOK_S", 0.001)
    lines = (nights.reports / BAD / JOURNAL).read_bytes().splitlines(keepends=True)
    ours = served(tmp_path, tmp_path / "site")
    steps = iter(lines)
    told: list[dict[str, Any]] = []
    with going_on(tmp_path / NEW) as path, path.open("ab", buffering=0) as file:

        def go_on(answer: Answer) -> bool:
            """After each event the run goes on until there is another."""
            if answer.body:
                told.append(json.loads(last_event(answer)[1].removeprefix("data: ")))
            before = ours.run.told
            for line in steps:
                file.write(line)
                ours.run.look()
                if ours.run.told is not before:
                    return False
            ours.stopping = True
            return False

        answer = ours.ask("/events", until=go_on)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert last_event(answer)[0] == "event: run"
    judged = [one["judged"] for one in told]
    assert judged == sorted(judged)
    assert {*range(1, 13)} <= {*judged}
    worst = next(one for one in told if one["judged"] == 12)
    assert (worst["status"], worst["level"]) == ("running", "alarm")
    assert [(a["kind"], a["name"].partition("-")[0]) for a in worst["running"]] != []
    first = next(one for one in worst["last"] if one["outcome"] == "fail")
    assert first["reason"] == "handshake-then-hang"
    assert first["verdict"] == "regression"
    assert first["link"].startswith(f"reports/{NEW}/index.html#c-arm64")


def test_a_client_that_leaves_ends_its_stream(tmp_path: Path) -> None:
    ours = served(tmp_path, tmp_path / "site")
    answer = ours.ask("/events", until=lambda answer: bool(answer.body))
    assert b"No run yet" in answer.body
    assert ours.ask("/events", method="HEAD").body == b""


def test_a_stream_without_news_shows_that_it_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.serve.application._BEAT_S", 0.3)
    ours = served(tmp_path, tmp_path / "site")
    answer = ours.ask("/events", until=lambda answer: answer.text.endswith(": alive\n\n"))
    assert answer.text.count("event: run") == 1


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.words: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]
        self.handlers += [name for name, _ in attrs if name.startswith("on") or name == "style"]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def _hostile() -> list[RunRecord]:
    texts = [CORPUS[number % len(CORPUS)].text for number in range(len(hostile_records.FIELDS))]
    return [hostile(), hostile_records.poisoned(texts)]


@pytest.mark.parametrize("record", _hostile(), ids=["one text", "each text"])
def test_hostile_texts_are_shown_and_do_nothing(record: RunRecord, tmp_path: Path) -> None:
    busy = record.actions[0].model_copy(update={"status": "running"})
    record = record.model_copy(update={"actions": (busy, *record.actions[1:])})
    ids = [cell.id for cell in record.cells if cell.outcome is not None]
    assert ids
    told = tell_run(record, ids, report=f"reports/{NEW}/index.html")
    page = render_live(told, pages=True).decode()
    seen = _Tags()
    seen.feed(page)
    assert not {"img", "iframe", "object", "embed", "base", "style", "b<"} & seen.tags
    assert not seen.handlers
    links = [link for link in seen.links if not link.startswith((f"reports/{NEW}/index.html", "#"))]
    assert all(link.replace(".", "").replace("-", "").isalnum() for link in links), links
    assert executed(tmp_path, page) == []
    assert "\x1b" not in page
    assert told["running"][0]["name"] in "".join(seen.words)
    for text in _texts(told):
        assert "\x00" not in text
        assert "\u202e" not in text


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for one in value.values() for text in _texts(one))
    elif isinstance(value, list | tuple):
        yield from (text for one in value for text in _texts(one))


def test_a_hostile_run_is_one_event_of_two_lines(tmp_path: Path) -> None:
    with going_on(tmp_path / NEW) as path:
        with Journal(path) as journal:
            journal.append(RunStarted(record=hostile()))
            for cell in hostile().cells:
                journal.append(CellJudged(cell=cell))
        ours = served(tmp_path, tmp_path / "site")
        ours.run.look()
        answer = ours.ask("/events", until=lambda answer: bool(answer.body))
    assert answer.text.isascii()
    assert "<" not in answer.text
    kind, data = last_event(answer)
    assert kind == "event: run"
    assert json.loads(data.removeprefix("data: ")) == json.loads(ours.ask("/live.json").body)


def test_a_long_list_shows_its_newest() -> None:
    record = running()
    ids = [cell.id for cell in record.cells] * 3
    told = tell_run(record, ids, report="")
    assert [one["cell"] for one in told["last"]] == ids[-SHOWN:][::-1]


def test_the_page_refreshes_itself_without_javascript(tmp_path: Path) -> None:
    page = served(tmp_path, tmp_path / "site").ask("/live.html")
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in page.text
    assert "connect-src 'self'" in page.headers["content-security-policy"]
    assert "connect-src &#39;self&#39;" in page.text


def test_the_end_of_a_run_is_told(tmp_path: Path) -> None:
    with going_on(tmp_path / NEW) as path, Journal(path) as journal:
        ours = served(tmp_path, tmp_path / "site")
        journal.append(RunStarted(record=running()))
        ours.run.look()
        assert ours.run.told["status"] == "running"
        same = ours.run.told
        ours.run.look()
        assert ours.run.told is same, "no change, no event"
        journal.append(
            RunFinished(
                status="interrupted",
                finished_at="2026-12-01T03:00:00Z",
                duration_s=1,
                exit_code=130,
                message="",
            )
        )
        ours.run.look()
        assert ours.run.told["sentence"].startswith("Interrupted")
