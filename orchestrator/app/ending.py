"""The end of a run, whatever brought it about: the last words on its cells, the count, the exit code."""

import time
from collections.abc import Sequence

from orchestrator import internal
from orchestrator.app.ledger import Ledger
from orchestrator.app.work import Work
from orchestrator.errors import Exit, MatrixctlError, RecordError
from orchestrator.execute.failures import reason_of
from orchestrator.execute.schedule.scheduler import Cancel
from orchestrator.matrix.model import Cell
from orchestrator.outcome import REASONS, Outcome, Reason, exit_code
from orchestrator.probe.judge import Judged
from orchestrator.probe.prober import Told
from orchestrator.record import journal
from orchestrator.record.count import complaints
from orchestrator.record.model import RunRecord, utc_now


def finish(ledger: Ledger, cells: Sequence[Cell], started: float, error: Exception | None = None) -> None:
    """Write the run's end down; a fault in finding that out is an end as well.

    :param cells: all of the run's; what was written down is counted against them.
    :param started: of ``time.monotonic()``.
    :param error: what broke the run off, if something did.
    """
    work = ledger.work
    broke = _said(work, error) if error else ""
    try:
        if not work.cancel():
            _judge_the_rest(ledger, cells, error, broke)
        end = _end(work, cells, started, broke.splitlines()[0] if broke else "")
    except RecordError:
        raise
    except Exception as another:  # noqa: BLE001 - whatever it is, the journal gets its end
        interrupted = _interrupted(work.cancel)
        end = journal.RunFinished(
            status="interrupted" if interrupted else "finished",
            finished_at=utc_now(),
            duration_s=time.monotonic() - started,
            exit_code=Exit.INTERRUPTED if interrupted else Exit.HARNESS,
            message="; ".join(said for said in (broke, _said(work, another)) if said),
        )
    work.recorder.emit(end)


def _interrupted(cancel: Cancel) -> bool:
    return cancel() and not cancel.fail_fast


def _said(work: Work, error: Exception) -> str:
    """Tell a person what ended the run, or went wrong at its end; the line for the record."""
    if isinstance(error, MatrixctlError):
        work.say(str(error))
        return error.brief
    line = internal.kept(work.recorder.folder, error)
    work.say(line)
    return line


def _judge_the_rest(ledger: Ledger, cells: Sequence[Cell], error: Exception | None, why: str) -> None:
    """No cell is left without a word; a run that is resumed tries these again."""
    reason = reason_of(error) if error else Reason.INTERNAL
    message = why or "Nothing judged it, and nothing says why; please report it."
    for cell in cells:
        if ledger.work.recorder.judged(cell.id) is None or cell.id in ledger.cut:
            judged = Judged(outcome=REASONS[reason].outcome, reason=reason, message=message)
            told = Told(why="first", started_at=utc_now(), duration_s=0.0, final=False)
            ledger.judged(cell, judged, told=told)


def _end(work: Work, cells: Sequence[Cell], started: float, broke: str) -> journal.RunFinished:
    recorder = work.recorder
    for cell in recorder.record().cells:  # a self-test may have ended after they were judged
        judged = recorder.judged(cell.id)
        if judged and (explained := work.selftests.explained(cell)) != cell:
            recorder.emit(journal.CellJudged(cell=explained, final=judged.final))
    record, interrupted = recorder.record(), _interrupted(work.cancel)
    code = exit_code(
        ((cell.outcome, cell.verdict) for cell in record.cells),
        stale=any(rule.stale for rule in record.rules),
        allow_blocked=work.options.allow_blocked,
    )
    code = Exit.INTERRUPTED if interrupted else code or (Exit.HARNESS if broke else Exit.OK)
    if wrong := _miscounted(work, cells, record, code):
        broke, code = "; ".join(said for said in (broke, wrong) if said), code or Exit.HARNESS
    left = record.run.planned - record.run.judged
    unjudged = f"{left} of {record.run.planned} cells were not judged" if left else ""
    return journal.RunFinished(
        status="interrupted" if interrupted else "finished",
        finished_at=utc_now(),
        duration_s=time.monotonic() - started,
        exit_code=code,
        message="; ".join(said for said in (broke, unjudged) if said),
    )


def _miscounted(work: Work, cells: Sequence[Cell], record: RunRecord, code: Exit) -> str:
    """Proves that no cell was lost; where that fails, the sentence for the record."""
    record = record.model_copy(update={"run": record.run.model_copy(update={"exit_code": code})})
    wrong = complaints([cell.id for cell in cells], record)
    if not wrong:
        return ""
    said = f"{Outcome.ERROR}: {Reason.INTERNAL}: the count of the cells does not close"
    path = internal.keep(work.recorder.folder, "\n".join((said, *wrong)))
    work.say(f"{said}: {'; '.join(wrong)}; it stands in {path.name}, please report it")
    return f"{said}: {'; '.join(wrong)}"
