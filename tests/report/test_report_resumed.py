"""A run that was cut off, or that went on: each report says so, and how it goes on."""

import pytest
import samples

from orchestrator.record.fold import mark_cut_off
from orchestrator.record.model import Resumption, RunRecord
from orchestrator.report import headline, html, junit, markdown, step_summary

CUT = mark_cut_off(samples.running())
COMMAND = f"matrixctl run --resume {CUT.run.id}"
NIGHT = "2026-11-22T07:{:02}:00Z"


def resumed(times: int) -> RunRecord:
    went_on = tuple(Resumption(at=NIGHT.format(number), stood=number) for number in range(1, times + 1))
    record = samples.quick()
    return record.model_copy(update={"run": record.run.model_copy(update={"resumed": went_on})})


def test_a_run_with_which_no_process_goes_on_was_cut_off() -> None:
    action = samples.quick().actions[0].model_copy(update={"status": "running"})
    found = mark_cut_off(samples.running().model_copy(update={"actions": (action,)}))
    assert (found.run.status, found.actions[0].status) == ("cut-off", "interrupted")
    assert mark_cut_off(samples.quick()) == samples.quick()


def test_it_does_not_run_for_ever() -> None:
    assert headline.write_parts(CUT)[0] == "Cut off: 4 of 10 cells judged"
    assert headline.find_level(CUT) == "unsure"
    assert "<title>Cut off: 4 of 10 cells judged" in html.render(CUT)
    assert markdown.render(CUT).startswith("## ? Cut off: 4 of 10 cells judged")


@pytest.mark.parametrize("status", ["cut-off", "interrupted"])
def test_the_command_that_goes_on_is_told(status: str) -> None:
    record = CUT.model_copy(update={"run": CUT.run.model_copy(update={"status": status})})
    assert f'It goes on with <code class="copy">{COMMAND}</code>.' in html.render(record)
    assert f"It goes on with <code>{COMMAND}</code>" in markdown.render(record)


@pytest.mark.parametrize("record", [samples.running(), samples.quick()])
def test_a_run_at_work_or_at_its_end_is_not_told_to_go_on(record: RunRecord) -> None:
    assert "run --resume" not in html.render(record)
    assert "run --resume" not in markdown.render(record)


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (1, "once: 2026-11-22 07:01 UTC (1 of 10 cells stood)"),
        (
            2,
            "2 times: 2026-11-22 07:01 UTC (1 of 10 cells stood), 2026-11-22 07:02 UTC (2 of 10 cells stood)",
        ),
    ],
)
def test_every_report_says_when_it_went_on_and_what_stood(times: int, words: str) -> None:
    record = resumed(times)
    assert f"<dt>resumed</dt><dd>{words}</dd>" in html.render(record)
    assert f"resumed {step_summary.escape(words)} ·" in markdown.render(record)
    assert f'<property name="run.resumed" value="{words}" />' in junit.render(record)


def test_a_run_that_was_killed_all_night_takes_one_line() -> None:
    words = headline.describe_resumes(resumed(9).run)
    assert words.startswith("9 times, last: 2026-11-22 07:07 UTC (7 of")
    assert words.count("stood") == 3


def test_a_run_that_never_stopped_says_nothing_of_it() -> None:
    assert "resumed" not in html.render(samples.quick())
    assert "resumed" not in markdown.render(samples.quick())
