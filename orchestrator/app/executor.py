"""One action of a run: do it, again where the engine was lost under it, and write down how it went."""

import time
from contextlib import suppress
from dataclasses import dataclass, replace

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from orchestrator import bounds, internal
from orchestrator.app.ledger import Ledger
from orchestrator.app.work import Work
from orchestrator.errors import MatrixctlError, RecordError
from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.execute.failures import engine_lost, failure_of
from orchestrator.execute.schedule.scheduler import Failure
from orchestrator.outcome import Reason
from orchestrator.plan.action import Action
from orchestrator.probe.judge import AGAIN
from orchestrator.probe.prober import TRIES
from orchestrator.record.model import ActionStatus


@dataclass(frozen=True, kw_only=True)
class Executor:
    """Whatever an action raises ends that action alone; only a ``RecordError`` gets through."""

    engine: DockerEngine
    work: Work
    ledger: Ledger

    def execute(self, action: Action) -> Failure | None:
        """Do it; the answer is what blocks the actions that need it."""
        try:
            return self._executed(action)
        except RecordError:
            raise
        except Exception as error:  # noqa: BLE001 - it went wrong where the end of the action is written down
            line = internal.kept(self.work.recorder.folder, error)
            self.work.say(f"{action.kind} {action.name}: {line}")
            failure = replace(failure_of(action, error), message=f"{action.kind} {action.name}: {line}")
            with suppress(Exception):  # else the run's end judges them
                self.ledger.fail_cells(action, failure)
            return failure

    def _executed(self, action: Action) -> Failure | None:
        started = time.monotonic()
        self.ledger.action(action, "running")
        losses: list[str] = []
        try:
            status = self._do(action, losses)
        except RecordError:
            raise
        except Exception as error:  # noqa: BLE001 - an unknown error ends one action, never the run
            return self._failed(action, error, time.monotonic() - started)
        took = time.monotonic() - started
        if status == "succeeded":
            self.work.store.record_duration(action.kind, action.name, took)
        self.ledger.action(action, status, duration_s=took, message="\n".join(losses))
        return None

    def _do(self, action: Action, losses: list[str]) -> ActionStatus:
        """Do it, and do it again where the engine was lost under it and came back; ``losses`` says why."""

        def worth_it(error: BaseException) -> bool:
            return engine_lost(error) and not self.work.cancel() and self.engine.answers()

        def note(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            losses.append(f"{AGAIN}{error.brief if isinstance(error, MatrixctlError) else repr(error)}")
            self.ledger.action(action, "running", message=losses[-1])

        retrying = Retrying(
            retry=retry_if_exception(worth_it),
            stop=stop_after_attempt(TRIES),
            before_sleep=note,
            reraise=True,
        )
        return retrying(self.work.do, action, self.ledger.plan, self.ledger.told)

    def _failed(self, action: Action, error: Exception, took: float) -> Failure:
        failure = failure_of(action, error)
        if self.work.cancel():  # its container was taken away: that says nothing of the action
            self.ledger.action(action, "interrupted", duration_s=took)
            return failure
        text = bounds.cut(str(error), bounds.MESSAGE)
        if not isinstance(error, MatrixctlError) and failure.reason is Reason.INTERNAL:
            text = internal.kept(self.work.recorder.folder, error)
            failure = replace(failure, message=f"{action.kind} {action.name}: {text}")
        self.ledger.action(action, "failed", duration_s=took, message=text)
        self.ledger.lack_selftest(action, text)
        self.ledger.fail_cells(action, failure)
        return failure
