"""Does one action of a run, again where the engine was lost under it, and writes down how it went."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from orchestrator import bounds, unexpected_error
from orchestrator.app.context import Context
from orchestrator.app.ledger import Ledger
from orchestrator.errors import MatrixctlError, RecordError
from orchestrator.execute.failures import is_engine_lost, make_failure
from orchestrator.execute.schedule.pool import Failure
from orchestrator.outcome import Reason
from orchestrator.plan.action import Action
from orchestrator.plan.plan import Plan
from orchestrator.probe.judge import AGAIN
from orchestrator.probe.prober import TRIES
from orchestrator.record.model import ActionStatus, utc_now

Do = Callable[[Action, Plan], ActionStatus]
"""As ``Actions.do``."""


class _Begun(NamedTuple):
    """When an action began: the time in UTC, and a clock that no one sets."""

    at: str
    clock: float

    def measure(self) -> float:
        """Return the seconds since then."""
        return time.monotonic() - self.clock


@dataclass(frozen=True, kw_only=True)
class Executor:
    """Whatever an action raises ends that action alone; only a ``RecordError`` ends the run."""

    context: Context
    ledger: Ledger
    do: Do

    def execute(self, action: Action) -> Failure | None:
        """Do it; return what blocks the actions that need it, or ``None``."""
        begun = _Begun(at=utc_now(), clock=time.monotonic())
        try:
            self._perform(action, begun)
        except RecordError:
            raise
        except Exception as error:  # noqa: BLE001 - an unknown error ends one action, never the run
            return self._record_failure(action, error, begun)
        return None

    def _perform(self, action: Action, begun: _Begun) -> None:
        self.ledger.record_action(action, "running", started_at=begun.at)
        losses: list[str] = []
        status = self._do_again(action, begun, losses)
        took = begun.measure()
        if status == "succeeded":
            self.context.store.record_duration(action.kind, action.name, took)
        self.ledger.record_action(
            action, status, started_at=begun.at, duration_s=took, message="\n".join(losses)
        )

    def _do_again(self, action: Action, begun: _Begun, losses: list[str]) -> ActionStatus:
        """Do it, and do it again where the engine was lost under it and came back; ``losses`` says why."""

        def is_worth_it(error: BaseException) -> bool:
            return is_engine_lost(error) and not self.context.cancel() and self.context.engine.answers()

        def note(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            losses.append(f"{AGAIN}{error.brief if isinstance(error, MatrixctlError) else repr(error)}")
            self.ledger.record_action(action, "running", started_at=begun.at, message=losses[-1])

        retrying = Retrying(
            retry=retry_if_exception(is_worth_it),
            stop=stop_after_attempt(TRIES),
            before_sleep=note,
            reraise=True,
        )
        return retrying(self.do, action, self.ledger.plan)

    def _record_failure(self, action: Action, error: Exception, begun: _Begun) -> Failure:
        failure, took = make_failure(action, error), begun.measure()
        if self.context.cancel():  # its container was taken away: that says nothing of the action
            self.ledger.record_action(action, "interrupted", started_at=begun.at, duration_s=took)
            return failure
        text = bounds.cut(str(error), bounds.MESSAGE)
        if not isinstance(error, MatrixctlError) and failure.reason is Reason.INTERNAL:
            text = unexpected_error.keep_traceback(self.context.folder, error)
            failure = replace(failure, message=f"{action.kind} {action.name}: {text}")
        self.ledger.record_action(action, "failed", started_at=begun.at, duration_s=took, message=text)
        self.ledger.record_failure(action, failure, text)
        return failure
