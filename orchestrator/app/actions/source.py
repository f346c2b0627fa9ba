"""Fetches a source into the store."""

from orchestrator.app.context import Context
from orchestrator.app.sources import Sources
from orchestrator.plan.action import SourceAction
from orchestrator.record.model import ActionStatus


def do(_: Context, action: SourceAction, sources: Sources) -> ActionStatus:
    """Fetch it, and write down what it is; see ``Sources.fetch``."""
    return sources.fetch(action)
