"""Does the actions of a plan: one module per kind, each with ``do``."""

from dataclasses import dataclass

from orchestrator.app.actions import build, image, probe, source
from orchestrator.app.context import Context
from orchestrator.app.emulators import Emulators
from orchestrator.app.sources import Sources
from orchestrator.plan.action import Action, BuildAction, ImageAction, ProbeAction, SourceAction
from orchestrator.plan.plan import Plan
from orchestrator.record.model import ActionStatus


@dataclass(frozen=True, kw_only=True)
class Actions:
    """Hands each action to its module, with what that module needs beside the context."""

    context: Context
    sources: Sources
    emulators: Emulators
    probing: probe.Probing

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
                return build.do(self.context, action, plan, self.sources.path)
            case ProbeAction():
                return probe.do(self.context, action, plan, self.probing)
