"""Does the actions of a plan: one module per kind, each with ``do``."""

from dataclasses import dataclass

from orchestrator.app.actions import build, image, probe, source
from orchestrator.app.context import Context
from orchestrator.app.demand import find_budget, find_demand
from orchestrator.app.emulators import Emulators
from orchestrator.app.sources import Sources
from orchestrator.execute.schedule.pool import Execute, Pool
from orchestrator.execute.schedule.slots import Demand, Slots
from orchestrator.plan.action import Action, BuildAction, ImageAction, ProbeAction, SourceAction
from orchestrator.plan.plan import Plan
from orchestrator.record.model import ActionStatus


@dataclass(frozen=True, kw_only=True)
class Actions:
    """Hands each action to its module, with what that module needs beside the context.

    This is where a run on this machine and one on a cluster differ; nothing else of a run knows which it is.
    """

    context: Context
    sources: Sources
    emulators: Emulators
    probing: probe.Probing

    def make_pool(self, plan: Plan, execute: Execute) -> Pool:
        """Return what has room for the actions of a plan and does them by ``execute``."""
        context = self.context
        memory = context.options.memory or find_budget(context.engine.memory)
        return Pool(
            slots=Slots(cpus=context.options.jobs, memory=memory, lanes=context.limits.sessions),
            demand=lambda action: self._find_demand(action, plan),
            execute=execute,
        )

    def _find_demand(self, action: Action, plan: Plan) -> Demand:
        if self.context.has(action):
            return Demand()
        return find_demand(action, plan.cells, self.context.options.jobs)

    def do(self, action: Action, plan: Plan) -> ActionStatus:
        """Do one action, or find it done.

        :raises MatrixctlError: as ``execute.failures`` translates it into an outcome.
        """
        match action:
            case ImageAction():
                return image.do(self.context, action, self.emulators)
            case SourceAction():
                return source.do(self.context, action, self.sources)
            case BuildAction():
                return build.do(self.context, action, plan, self.sources.find_path)
            case ProbeAction():
                return probe.do(self.context, action, plan, self.probing)
