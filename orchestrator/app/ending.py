"""The end of a run: a word on each cell that is left, the count of cells, the exit code."""

import logging
import time
from collections.abc import Sequence

from orchestrator import unexpected_error
from orchestrator.app.context import Context
from orchestrator.app.ledger import Ledger
from orchestrator.errors import Exit, MatrixctlError, RecordError
from orchestrator.execute.failures import find_reason
from orchestrator.execute.schedule.scheduler import Cancel
from orchestrator.matrix.model import Cell
from orchestrator.outcome import Outcome, Reason, find_exit_code
from orchestrator.probe.judge import conclude
from orchestrator.probe.prober import Circumstances
from orchestrator.record import journal
from orchestrator.record.check_count import find_complaints
from orchestrator.record.model import RunRecord, utc_now

_log = logging.getLogger(__name__)


def close_run(context: Context, ledger: Ledger, started: float, error: Exception | None = None) -> None:
    """Write down the end of the run; a fault in that is written down as its end, too.

    What was written down is counted against the cells of the ledger.

    :param started: of ``time.monotonic()``.
    :param error: what broke the run off, if something did.
    """
    broke, cells = _log_error(context, error) if error else "", ledger.cells
    try:
        if not context.cancel():
            _judge_the_rest(ledger, cells, error, broke)
        end = _make_end(context, ledger, cells, started, broke.splitlines()[0] if broke else "")
    except RecordError:
        raise
    except Exception as another:  # noqa: BLE001 - whatever it is, the journal gets its end
        interrupted = _is_interrupted(context.cancel)
        end = journal.RunFinished(
            status="interrupted" if interrupted else "finished",
            finished_at=utc_now(),
            duration_s=time.monotonic() - started,
            exit_code=Exit.INTERRUPTED if interrupted else Exit.HARNESS,
            message="; ".join(said for said in (broke, _log_error(context, another)) if said),
        )
    context.recorder.emit(end)


def _is_interrupted(cancel: Cancel) -> bool:
    return cancel() and not cancel.fail_fast


def _log_error(context: Context, error: Exception) -> str:
    """Log what ended the run, or went wrong at its end; return the line for the record."""
    if isinstance(error, MatrixctlError):
        _log.error("%s", error)
        return error.brief
    line = unexpected_error.keep_traceback(context.folder, error)
    _log.error("%s", line)
    return line


def _judge_the_rest(ledger: Ledger, cells: Sequence[Cell], error: Exception | None, why: str) -> None:
    """Judge each cell that is not judged, as an error; a run that is resumed tries these again."""
    reason = find_reason(error) if error else Reason.INTERNAL
    message = why or "Nothing judged it, and nothing says why; please report it."
    for cell in cells:
        if not ledger.is_judged(cell.id):
            ledger.record_attempt(cell, conclude(reason, message), Circumstances(final=False))


def _make_end(
    context: Context, ledger: Ledger, cells: Sequence[Cell], started: float, broke: str
) -> journal.RunFinished:
    recorder = context.recorder
    for cell in recorder.make_record().cells:  # a self-test may have ended after they were judged
        judged = recorder.find_judgement(cell.id)
        if judged and (explained := ledger.selftests.explain(cell)) != cell:
            recorder.emit(journal.CellJudged(cell=explained, final=judged.final))
    record, interrupted = recorder.make_record(), _is_interrupted(context.cancel)
    code = find_exit_code(
        ((cell.outcome, cell.verdict) for cell in record.cells),
        stale=any(rule.stale for rule in record.rules),
        allow_blocked=context.options.allow_blocked,
        fail_on_flaky=context.options.fail_on_flaky,
    )
    code = Exit.INTERRUPTED if interrupted else code or (Exit.HARNESS if broke else Exit.OK)
    if wrong := _find_miscount(context, cells, record, code):
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


def _find_miscount(context: Context, cells: Sequence[Cell], record: RunRecord, code: Exit) -> str:
    """Prove that no cell was lost; where that fails, return the sentence for the record."""
    record = record.model_copy(update={"run": record.run.model_copy(update={"exit_code": code})})
    wrong = find_complaints([cell.id for cell in cells], record)
    if not wrong:
        return ""
    said = f"{Outcome.ERROR}: {Reason.INTERNAL}: the count of the cells does not close"
    path = unexpected_error.write_report(context.folder, "\n".join((said, *wrong)))
    _log.error("%s: %s; it stands in %s, please report it", said, "; ".join(wrong), path.name)
    return f"{said}: {'; '.join(wrong)}"
