"""When actions were worked on: as the journal tells it, also of a run that was cut off, resumed or merged."""

from record_samples import AT, action, record

from orchestrator.record.fold import fold, mark_cut_off
from orchestrator.record.journal import ActionChanged, Event, RunFinished, RunResumed, RunStarted
from orchestrator.record.model import ActionRecord, Span

FIRST, LATER = "2026-01-02T03:04:05.000+00:00", "2026-01-02T04:04:05.000+00:00"
START = RunStarted(at=AT, record=record().model_copy(update={"actions": (action("waiting"),)}))


def worked(status: str, at: str, took: float | None = None) -> ActionChanged:
    made = action(status)
    span = Span(started_at=at, duration_s=took, status=made.status)
    return ActionChanged(at=AT, action=made.model_copy(update={"spans": (span,), "duration_s": took}))


def test_an_action_that_ended_was_worked_on_once() -> None:
    (found,) = fold([START, worked("running", FIRST), worked("succeeded", FIRST, 7.5)]).actions
    assert found.spans == (Span(started_at=FIRST, duration_s=7.5, status="succeeded"),)


def test_a_resumed_run_keeps_the_work_of_the_first_part() -> None:
    resumed = RunResumed(at=AT, stood=0, actions=(action("waiting"),))
    before: list[Event] = [START, worked("running", FIRST), worked("succeeded", FIRST, 7.5)]
    (found,) = fold([*before, resumed, worked("running", LATER), worked("cached", LATER, 0.1)]).actions
    assert [(one.started_at, one.duration_s, one.status) for one in found.spans] == [
        (FIRST, 7.5, "succeeded"),
        (LATER, 0.1, "cached"),
    ]
    assert found.status == "cached"


def test_work_that_was_cut_off_has_no_end() -> None:
    cut: list[Event] = [START, worked("running", FIRST)]
    resumed = RunResumed(at=AT, stood=0, actions=())
    for made in (fold([*cut, resumed]), mark_cut_off(fold(cut))):
        (found,) = made.actions
        assert found.spans == (Span(started_at=FIRST, duration_s=None, status="interrupted"),)


def test_work_for_whose_end_the_run_did_not_wait_runs_no_longer() -> None:
    """No cancel ends a download, or the making of an image."""
    end = RunFinished(at=AT, status="interrupted", finished_at=AT, duration_s=9, exit_code=130, message="")
    (found,) = fold([START, worked("running", FIRST), end]).actions
    assert found.status == "interrupted"
    assert found.spans == (Span(started_at=FIRST, duration_s=None, status="interrupted"),)
    (done,) = fold([START, worked("running", FIRST), worked("succeeded", FIRST, 7.5), end]).actions
    assert done.status == "succeeded"


def test_records_from_before_are_read() -> None:
    old = action("succeeded").model_dump(mode="json")
    del old["spans"]
    assert ActionRecord.model_validate(old).spans == ()
