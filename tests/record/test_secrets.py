"""No password is written down or told, whatever an event or an error says."""

import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from record_samples import cell, record

from orchestrator import unexpected_error
from orchestrator.cli.group import Explaining, read_command_line
from orchestrator.errors import MatrixctlError
from orchestrator.mask_passwords import mask_text
from orchestrator.record.history.place import parse_place
from orchestrator.record.journal import ComponentResolved, Event, RunStarted
from orchestrator.record.model import Component
from orchestrator.record.recorder import Recorder

CANARY = "c4n4ry-0f-4-s3cr3t"
URL = f"https://user:{CANARY}@mirror.invalid/haproxy.tar.gz"
COMPONENT = Component(kind="source", name="haproxy", version="3.0.11", digest=None, origin=URL)


def test_a_password_in_an_origin_is_in_no_file_of_a_run_and_in_no_event(tmp_path: Path) -> None:
    heard: list[Event] = []
    with Recorder(tmp_path, listen=heard.append, finish=lambda *_: None) as recorder:
        recorder.emit(RunStarted(record=record(cell("a"))))
        recorder.emit(ComponentResolved(component=COMPONENT))
    texts = {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()}
    assert {"journal.jsonl", "run.json"} <= set(texts)
    assert "https://***@mirror.invalid/haproxy.tar.gz" in texts["run.json"]
    assert [name for name, text in texts.items() if CANARY in text] == []
    assert CANARY not in "".join(event.model_dump_json() for event in heard)


def test_no_error_tells_one() -> None:
    error = MatrixctlError(f"no {URL}", details=f"tried\n{URL}", resolution=f"ask {URL}")
    assert CANARY not in str(error) + str(error.args)
    assert str(error).count("***@mirror.invalid") == 3


def test_nor_does_the_file_of_a_traceback(tmp_path: Path) -> None:
    said = unexpected_error.keep_traceback(tmp_path, ValueError(URL))
    assert CANARY not in said
    (kept,) = tmp_path.iterdir()
    assert CANARY not in kept.read_text()
    assert "***@mirror.invalid" in kept.read_text()


def test_a_text_that_is_nearly_a_password_takes_no_time() -> None:
    text = "@ ://" + ":" * 50_000
    began = time.process_time()
    assert mask_text(text) == text
    assert time.process_time() - began < 1
    assert mask_text("git://a:b:c@d:e@host/x") == "git://***@host/x"


def test_over_http_a_user_alone_is_a_token() -> None:
    assert (
        mask_text(f"fatal: 'https://{CANARY}@host/x.git/' not found")
        == "fatal: 'https://***@host/x.git/' not found"
    )
    assert mask_text(f"HTTP://{CANARY}@host") == "HTTP://***@host"
    for plain in ("ssh://git@host/x", "https://host/@scope/x@1", "https://host/x?mail=a@b"):
        assert mask_text(plain) == plain


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--history", "postgresql+psycopg://me:se/cret@db/h"], "--history postgresql+psycopg://..."),
        (["--history=postgresql://db/h?user=me&password=secret"], "--history=postgresql://..."),
        (["--mirror", "https://ci:it's-secret@mirror/"], "--mirror 'https://***@mirror/'"),
        (["--mirror", "https://u@corp.com:secret@host/"], "--mirror 'https://***@host/'"),
        (["--with", "haproxy=git:ssh://git@host/x"], "--with haproxy=git:ssh://git@host/x"),
        (["--history", "reports/history.db"], "--history reports/history.db"),
    ],
)
def test_the_command_line_that_a_run_keeps_has_none(words: list[str], shown: str) -> None:
    seen: list[str] = []

    @click.group(cls=Explaining)
    def program() -> None:
        """Do nothing."""

    @program.command(context_settings={"ignore_unknown_options": True})
    @click.argument("rest", nargs=-1)
    @click.pass_context
    def run(context: click.Context, rest: tuple[str, ...]) -> None:  # noqa: ARG001
        seen.append(read_command_line(context))

    assert CliRunner().invoke(program, ["run", *words]).exit_code == 0
    assert seen == [f"matrixctl run {shown}"]


def test_the_place_of_a_history_is_named_without_one() -> None:
    place = parse_place("postgresql://db/h?user=me&password=secret")
    assert "secret" not in str(place)
    assert "secret" not in repr(place)
