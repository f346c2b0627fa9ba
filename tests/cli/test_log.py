"""What the package logs is shown to the person who gave the command, as text and without secrets."""

import logging
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator.cli import common
from orchestrator.cli.log import show_log
from orchestrator.cli.main import main
from orchestrator.cli.progress import JsonLines, ProgressLines, Quiet
from orchestrator.execute.store.store import Store

log = logging.getLogger("orchestrator.execute.sources")
HOSTILE = "\x1b[2J[bold]http://user:secret@mirror/x%s"


def test_what_is_logged_comes_as_text_and_without_passwords(capsys: pytest.CaptureFixture[str]) -> None:
    with show_log(common.say):
        log.warning("%s: %d", HOSTILE, 7)
    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b" not in err
    assert "[bold]http://***@mirror/x%s: 7\n" in err


@pytest.mark.parametrize(("view", "shown"), [(Quiet(), False), (JsonLines(), True), (ProgressLines(), True)])
def test_a_run_s_log_is_shown_as_its_view_says(
    view: Quiet, shown: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with show_log(view.say):
        log.info("making the image %s", HOSTILE)
    err = capsys.readouterr().err
    assert ("making the image" in err) is shown
    assert "secret" not in err


def test_details_for_debugging_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with show_log(common.say):
        log.debug("no")
    assert capsys.readouterr().err == ""


def test_the_innermost_has_the_log_alone_and_the_outer_one_afterwards() -> None:
    outer: list[str] = []
    inner: list[str] = []
    with show_log(outer.append):
        with show_log(inner.append):
            log.info("1")
        log.info("2")
    log.error("3")
    assert (outer, inner) == (["2"], ["1"])


def test_after_the_command_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """Python prints a warning that no handler takes as it is: a thread may outlive its command."""
    with show_log(common.say):
        pass
    logging.getLogger("orchestrator").callHandlers(
        logging.LogRecord("orchestrator", logging.WARNING, "", 0, HOSTILE, (), None)
    )
    assert logging.getLogger("orchestrator").handlers
    assert capfd.readouterr().err == ""


def test_threads_log_one_after_another_and_a_view_that_breaks_stops_none() -> None:
    inside = threading.Lock()
    said: list[str] = []

    def say(text: str) -> None:
        assert inside.acquire(blocking=False)
        said.append(text)
        inside.release()
        raise ValueError(text)

    def work(name: int) -> None:
        for number in range(50):
            log.info("%d %d", name, number)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    with show_log(say):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(said) == sorted(f"{name} {number}" for name in range(4) for number in range(50))


def test_a_command_shows_what_it_finds_in_the_store(tmp_path: Path) -> None:
    store, digest = Store(tmp_path), "a" * 64
    store.put_artifact(digest, b"tar", {})
    (tmp_path / "artifacts" / digest / "artifact.tar").write_bytes(b"rat")

    @main.command("test-of-the-log")
    def command() -> None:
        Store(tmp_path).find_artifact(digest)

    try:
        ran = CliRunner().invoke(main, ["test-of-the-log"])
    finally:
        del main.commands["test-of-the-log"]
    assert ran.exit_code == 0
    assert ran.stderr == f"artifact {digest[:12]} in the store was corrupt and was removed\n"
