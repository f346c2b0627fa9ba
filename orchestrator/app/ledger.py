"""What is written down of the cells and actions of a run, each as it ends."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator import bounds, unexpected_error
from orchestrator.app.first_record import make_action
from orchestrator.app.selftests import SelfTests
from orchestrator.errors import Exit, RecordError
from orchestrator.execute.schedule.pool import Failure
from orchestrator.execute.schedule.scheduler import Cancel
from orchestrator.execute.store.store import Store
from orchestrator.execute.system.load import LoadMeter
from orchestrator.matrix.model import Cell
from orchestrator.outcome import Outcome, Reason, Verdict, find_verdict_exit, rank_severity
from orchestrator.plan.action import Action, BuildAction, ProbeAction
from orchestrator.plan.plan import Plan, name_build
from orchestrator.probe import confirm
from orchestrator.probe.judge import AGAIN, Judgement, add_attempt
from orchestrator.probe.prober import Circumstances
from orchestrator.probe.trace_attempt import FOLDER, Catch
from orchestrator.record import journal
from orchestrator.record.model import ActionStatus, Attempt, Backtrace, Build, CellRecord, Traced
from orchestrator.record.recorder import Recorder


@dataclass(kw_only=True)
class Ledger:
    """The plan, and how its cells and actions ended. Safe for several threads.

    :ivar cells: all of the run's, those that it asked for as well.
    :ivar plan: as it stands: it is made again once the builds' digests are known.
    :ivar new_cell: makes the record of a cell that is not judged.
    :ivar fail_fast: the first failure that no rule expects ends the run, once it is confirmed.
    :ivar confirm: as ``Options.confirm``.
    :ivar cut: cells that were not judged to the end before the run was cut off, until they are tried again.
    """

    recorder: Recorder
    selftests: SelfTests
    store: Store
    cancel: Cancel
    fail_fast: bool
    confirm: int | None
    new_cell: Callable[[Cell], CellRecord]
    cells: list[Cell] = field(default_factory=list)
    plan: Plan = field(default_factory=lambda: Plan(actions={}, cells={}))
    cut: set[str] = field(default_factory=set)
    load: LoadMeter | None = field(default_factory=LoadMeter)

    # Cells.

    def record_attempt(self, cell: Cell, judged: Judgement, told: Circumstances | None = None) -> None:
        """Write down one attempt at a cell; a fault in that is the cell's own result.

        :param told: how it was probed; without it, it was not probed and this is the last word.
        :raises RecordError: where the folder cannot be written; this ends the run.
        """
        told = told or Circumstances()
        final = told.final or self._is_final(cell.id)  # what confirms a judged cell leaves it judged
        try:
            record = self._add_attempt(cell, judged, told)
        except RecordError:
            raise
        except Exception as error:  # noqa: BLE001 - a fault in judging one cell is no other cell's
            record = self._add_fault(cell, told, unexpected_error.keep_traceback(self.recorder.folder, error))
        self.recorder.emit(journal.CellJudged(cell=record, final=final))
        if not confirm.is_due(record, self.confirm):
            self._end_at_failure(record)

    def keep_version(self, cell: Cell, text: str) -> None:
        """Keep what ``haproxy -vv`` of the cell's build says, once per build.

        :raises RecordError: where the folder cannot be written.
        """
        path = _name_version(cell)
        if text and not (self.recorder.folder / path).exists():
            self.recorder.keep(path, bounds.cut(text, bounds.EVIDENCE).encode(errors="replace"))

    def keep_backtrace(self, cell: Cell, backtrace: Backtrace, text: str) -> None:
        """Write down what gdb said of the crash of a judged cell; its judgement stays.

        :raises RecordError: where the folder cannot be written.
        """
        record = self.recorder.find_cell(cell.id)
        if record is None:
            return
        if text:
            path = f"cells/{cell.id}/backtrace.txt"
            self.recorder.keep(path, text.encode(errors="replace"))
            backtrace = backtrace.model_copy(update={"evidence": path})
            record = record.model_copy(update={"evidence": (path, *record.evidence)})
        record = record.model_copy(update={"backtrace": backtrace})
        self.recorder.emit(journal.CellJudged(cell=record, final=True))

    def is_due(self, cell: Cell) -> bool:
        """Return whether the cell is judged, and its verdict still to be confirmed."""
        record = self.recorder.find_cell(cell.id)
        return record is not None and self._is_final(cell.id) and confirm.is_due(record, self.confirm)

    def find_rounds(self, cell: Cell) -> tuple[str, ...]:
        """Return the attempts that are to be made at the cell for that, each with its ``why``."""
        record = self.recorder.find_cell(cell.id)
        return confirm.find_rounds(record, self.confirm) if record else ()

    def settle(self, cell: Cell, *, why_open: str = "") -> None:
        """Write down whether the attempts at a cell confirm its verdict.

        :param why_open: why not all of them were made.
        """
        record = self.recorder.find_cell(cell.id)
        if record is not None:
            record = confirm.settle(record, why_open=why_open)
            self.recorder.emit(journal.CellJudged(cell=record, final=True))
            self._end_at_failure(record)

    def record_traced(self, cell: Cell, judged: Judgement, told: Circumstances, catch: Catch) -> None:
        """Write down how a judged cell ended when it was run again to see what it does; keep the catch.

        :raises RecordError: where the folder cannot be written.
        """
        place = str(Path(told.evidence[0]).parent) if told.evidence else f"cells/{cell.id}/{FOLDER}"
        caught = {f"{place}/{name}": content for name, content in catch.files.items()}
        for path, content in caught.items():
            self.recorder.keep(path, content)
        # As an ordinary attempt is judged, but of a cell that knows of no other.
        (made,) = add_attempt(
            self.new_cell(cell),
            judged,
            why=told.why,
            started_at=told.started_at,
            duration_s=told.duration_s,
            evidence=told.evidence,
            features=None,
        ).attempts
        traced = Traced(
            outcome=made.outcome,
            reason=made.reason,
            message=made.message,
            started_at=made.started_at,
            duration_s=made.duration_s,
            negotiated_cipher=catch.negotiated_cipher,
            evidence=tuple(dict.fromkeys((*told.evidence, *caught))),
            missing=tuple(catch.missing),
        )
        self.recorder.emit(journal.CellTraced(cell=cell.id, traced=traced))

    def record_untraced(self, cell: Cell, why: str) -> None:
        """Write down why a judged cell was not run again, though it was to be."""
        self.recorder.emit(journal.CellUntraced(cell=cell.id, why=why))

    def _end_at_failure(self, record: CellRecord) -> None:
        if self.fail_fast and find_verdict_exit(record.verdict) is Exit.FAILED:
            self.cancel.ask(fail_fast=True)

    def is_judged(self, cell: str) -> bool:
        """Whether this run has a word on the cell; what it said before it was resumed may not count."""
        return self.recorder.find_judgement(cell) is not None and cell not in self.cut

    def _is_final(self, cell: str) -> bool:
        judged = self.recorder.find_judgement(cell)
        return judged is not None and judged.final and cell not in self.cut

    def _add_attempt(self, cell: Cell, judged: Judgement, told: Circumstances) -> CellRecord:
        before = self.recorder.find_cell(cell.id)
        why, again = self._explain_attempt(before, told)
        record = add_attempt(
            before or self.new_cell(cell),
            judged,
            why=why,
            again=again,
            started_at=told.started_at,
            duration_s=told.duration_s,
            evidence=told.evidence,
            features=told.features,
            load=self.load.measure(told.late_s)
            if self.load and told.duration_s
            else None,  # else not probed here
        ).model_copy(update={"build": self._find_build(cell)})
        return self.selftests.explain(record)

    def _find_build(self, cell: Cell) -> Build:
        build, vv = self.plan.find_build(cell), _name_version(cell)
        return Build(
            name=name_build(cell),
            digest=build.digest if build else None,
            vv=vv if (self.recorder.folder / vv).exists() else None,
        )

    def _explain_attempt(self, before: CellRecord | None, told: Circumstances) -> tuple[str, bool]:
        """Return why there is this attempt, and whether it replaces one, maybe from before a resumption."""
        if before is not None and before.id in self.cut:
            self.cut.discard(before.id)
            if before.attempts and not before.attempts[-1].outcome.judged_product:
                return f"{AGAIN}{before.attempts[-1].message.splitlines()[0]}", True
        return told.why, told.again

    def _add_fault(self, cell: Cell, told: Circumstances, message: str) -> CellRecord:
        """Return the record of a cell that could not be judged, made with as little as can go wrong."""
        before = self.recorder.find_cell(cell.id) or self.new_cell(cell)
        attempt = Attempt(
            number=len(before.attempts) + 1,
            why=told.why,
            outcome=Outcome.ERROR,
            reason=Reason.INTERNAL,
            message=message,
            started_at=told.started_at,
            duration_s=told.duration_s,
            again=told.again,
            evidence=told.evidence,
        )
        record = before.model_copy(update={"attempts": (*before.attempts, attempt)})
        now = Outcome.ERROR, Verdict.NOT_JUDGED
        if before.outcome is not None and rank_severity(before.outcome, before.verdict) >= rank_severity(
            *now
        ):
            return record  # what it failed at before is not hidden by it
        update = {"outcome": now[0], "reason": Reason.INTERNAL, "message": message, "verdict": now[1]}
        return record.model_copy(update=update)

    # Actions, and what their failure means for the cells.

    def record_action(
        self,
        action: Action,
        status: ActionStatus,
        *,
        started_at: str | None = None,
        duration_s: float | None = None,
        message: str = "",
    ) -> None:
        """Write down the action as it is now, with its log where there is one.

        :param started_at: when it began, in UTC; ``None`` where it did not.
        """
        record = make_action(action, status, started_at=started_at, duration_s=duration_s, message=message)
        event = journal.ActionChanged(action=record.model_copy(update={"log": self._keep_log(action)}))
        self.recorder.emit(event)

    def record_blocked(self, action: Action, cause: Failure) -> None:
        """Write down that it was not done, since something that it needs has failed."""
        self.record_action(action, "blocked", message=cause.message)
        self.record_failure(action, cause, cause.message)

    def record_failure(self, action: Action, failure: Failure, message: str) -> None:
        """Write down what the failure of an action means for the cells that it serves.

        Without a self-test the cells are probed all the same, and the record says why they have none.
        The cells of a probe are judged, but for those whose last attempt was made: what an earlier part of
        the run said of a cell that is tried again is no such attempt.
        """
        if self.cancel():
            return
        if action.kind == "selftest":
            cells = [self.plan.cells[key] for key in action.cells]
            self.selftests.record_missing(cells, message, self._find_evidence(action))
        if isinstance(action, ProbeAction):
            judged = Judgement(outcome=failure.outcome, reason=failure.reason, message=failure.message)
            evidence = self._find_evidence(self.plan.actions.get(failure.action))
            for key in action.cells:
                if not self._is_final(key):
                    told = Circumstances(evidence=evidence)
                    self.record_attempt(self.plan.cells[key], judged, told)

    def _find_evidence(self, action: Action | None) -> tuple[str, ...]:
        log = self._keep_log(action) if action else None
        return (log,) if log else ()

    def _keep_log(self, action: Action) -> str | None:
        """Copy the action's log beside the report, where there is one; return its path there."""
        if not isinstance(action, BuildAction) or action.digest is None:
            return None
        try:
            log = self.store.locate_log(action.digest).read_bytes()
        except OSError:
            return None
        path = self.recorder.keep(f"actions/{action.name}.log", log)
        return str(path.relative_to(self.recorder.folder))


def _name_version(cell: Cell) -> str:
    """Return where what the cell's build says of itself lies in the run's folder."""
    return f"builds/{name_build(cell)}.vv.txt"
