"""What is written down of the cells and actions of a run, each as its end comes to be known."""

from dataclasses import dataclass, field

from orchestrator import internal
from orchestrator.app.planned import action_record, planned_cell
from orchestrator.app.work import Work
from orchestrator.errors import Exit, RecordError
from orchestrator.execute.schedule.scheduler import Failure
from orchestrator.matrix.model import Cell
from orchestrator.outcome import Outcome, Reason, Verdict, severity, verdict_exit
from orchestrator.plan.action import Action
from orchestrator.plan.plan import Plan, build_name
from orchestrator.probe.judge import AGAIN, Judged, with_attempt
from orchestrator.probe.prober import Told
from orchestrator.record import journal
from orchestrator.record.model import ActionStatus, Attempt, Build, CellRecord, utc_now


@dataclass(kw_only=True)
class Ledger:
    """The plan, and what became of it. Safe for several threads.

    What the harness misjudges is written down as its own fault; only a folder that cannot be written to
    (``RecordError``) gets through, since it is the end of the run.
    """

    work: Work
    plan: Plan = field(default_factory=lambda: Plan(actions={}, cells={}))
    """As it stands: it is made again once the builds' digests are known."""
    cut: set[str] = field(default_factory=set)
    """The cells that were not judged to the end before the run was cut off, until they are tried again."""

    # Cells.

    def planned(self, cell: Cell) -> CellRecord:
        """The cell before it is judged."""
        work = self.work
        return planned_cell(cell, work.host, work.options, work.expectations, work.emulator(cell))

    def told(self, cell: Cell, judged: Judged, told: Told) -> None:
        """What a probe found; see ``JudgedCell``."""
        self.judged(cell, judged, told=told, evidence=told.evidence)

    def judged(
        self, cell: Cell, judged: Judged, *, told: Told | None = None, evidence: tuple[str, ...] = ()
    ) -> None:
        """One attempt at a cell; with ``--fail-fast`` a failure ends the run.

        :param told: how it was probed; without it, no probe was to come and this is the last word.
        """
        try:
            record = self._record(cell, judged, told, evidence)
        except RecordError:
            raise
        except Exception as error:  # noqa: BLE001 - a fault in judging one cell is no other cell's
            record = self._misjudged(cell, told, internal.kept(self.work.recorder.folder, error))
        self.work.recorder.emit(journal.CellJudged(cell=record, final=told.final if told else True))
        if self.work.options.fail_fast and verdict_exit(record.verdict) is Exit.FAILED:
            self.work.cancel.ask(fail_fast=True)

    def _record(self, cell: Cell, judged: Judged, told: Told | None, evidence: tuple[str, ...]) -> CellRecord:
        build = self.plan.actions.get(f"haproxy:{build_name(cell)}")
        before = self.work.recorder.cell(cell.id)
        record = with_attempt(
            before or self.planned(cell),
            judged,
            why=self._why(before, told),
            started_at=told.started_at if told else utc_now(),
            duration_s=told.duration_s if told else 0.0,
            evidence=evidence,
            features=told.features if told else None,
        ).model_copy(update={"build": Build(name=build_name(cell), digest=build.digest if build else None)})
        return self.work.selftests.explained(record)

    def _why(self, before: CellRecord | None, told: Told | None) -> str:
        """Why there is this attempt; what did not judge the cell before the run was resumed is replaced."""
        if before is not None and before.id in self.cut:
            self.cut.discard(before.id)
            if before.attempts and not before.attempts[-1].outcome.judged_product:
                return f"{AGAIN}{before.attempts[-1].message.splitlines()[0]}"
        return told.why if told else "first"

    def _misjudged(self, cell: Cell, told: Told | None, message: str) -> CellRecord:
        """The record of a cell that could not be judged, made with as little as can go wrong."""
        before = self.work.recorder.cell(cell.id) or self.planned(cell)
        attempt = Attempt(
            number=len(before.attempts) + 1,
            why=told.why if told else "first",
            outcome=Outcome.ERROR,
            reason=Reason.INTERNAL,
            message=message,
            started_at=told.started_at if told else utc_now(),
            duration_s=told.duration_s if told else 0.0,
        )
        record = before.model_copy(update={"attempts": (*before.attempts, attempt)})
        now = Outcome.ERROR, Verdict.NOT_JUDGED
        if before.outcome is not None and severity(before.outcome, before.verdict) >= severity(*now):
            return record  # what it failed at before is not hidden by it
        update = {"outcome": now[0], "reason": Reason.INTERNAL, "message": message, "verdict": now[1]}
        return record.model_copy(update=update)

    # Actions, and what their failure means for the cells.

    def action(
        self, action: Action, status: ActionStatus, *, duration_s: float | None = None, message: str = ""
    ) -> None:
        """The action as it is now, with its log where there is one."""
        record = action_record(action, status, duration_s=duration_s, message=message)
        self.work.recorder.emit(
            journal.ActionChanged(action=record.model_copy(update={"log": self._log_of(action)}))
        )

    def blocked(self, action: Action, cause: Failure) -> None:
        """It was not done, since something that it needs has failed."""
        self.action(action, "blocked", message=cause.message)
        self.lack_selftest(action, cause.message)
        self.fail_cells(action, cause)

    def lack_selftest(self, action: Action, why: str) -> None:
        """The cells are probed all the same; the record says why they have no self-test."""
        if action.kind == "selftest" and not self.work.cancel():
            log = self._log_of(action)
            cells = [self.plan.cells[key] for key in action.cells]
            try:
                self.work.selftests.lacks(cells, why, (log,) if log else ())
            except RecordError:
                raise
            except Exception as error:  # noqa: BLE001 - a self-test is no reason to lose a cell
                self.work.say(internal.kept(self.work.recorder.folder, error))

    def fail_cells(self, action: Action, failure: Failure) -> None:
        """Judge the cells of a probe that came to nothing, but for those whose last attempt was made.

        What an earlier part of the run said of a cell that is tried again is no such attempt.
        """
        if action.kind != "probe" or self.work.cancel():
            return
        log = self._log_of(self.plan.actions.get(failure.action))
        judged = Judged(outcome=failure.outcome, reason=failure.reason, message=failure.message)
        for key in action.cells:
            last = self.work.recorder.judged(key)
            if last is not None and last.final and key not in self.cut:
                continue  # judged before the session broke: that stands
            self.judged(self.plan.cells[key], judged, evidence=(log,) if log else ())

    def _log_of(self, action: Action | None) -> str | None:
        """The action's log, copied beside the report, where there is one."""
        if action is None or action.kind not in {"tls", "haproxy", "selftest"} or action.digest is None:
            return None
        log = self.work.store.log(action.digest)
        if not log.exists():
            return None
        recorder = self.work.recorder
        path = recorder.keep(f"actions/{action.name}.log", log.read_bytes())
        return str(path.relative_to(recorder.folder))
