"""What the actions of one run share."""

from dataclasses import dataclass
from pathlib import Path

from orchestrator.app.options import Options
from orchestrator.arch import Arch
from orchestrator.execute.engine.engine import Engine
from orchestrator.execute.images.imageset import ImageSet
from orchestrator.execute.schedule.scheduler import Cancel
from orchestrator.execute.store.store import Store
from orchestrator.matrix.model import Cell, Limits
from orchestrator.plan.action import Action
from orchestrator.plan.render import Renderer
from orchestrator.record.recorder import Recorder


@dataclass(frozen=True, kw_only=True)
class Context:
    """The means of a run. ``host`` is the architecture of the engine's machine. Safe for several threads."""

    run_id: str
    host: Arch
    engine: Engine
    store: Store
    images: ImageSet
    renderer: Renderer
    limits: Limits
    options: Options
    recorder: Recorder
    cancel: Cancel

    def has(self, action: Action) -> bool:
        """Whether the store has what the action would compile, so that it takes nothing."""
        return action.kind != "source" and action.digest is not None and self.store.has(action.digest)

    def find_host(self, cell: Cell) -> Arch:
        """Return the architecture of the machine that a cell is probed on: of this one, or a worker's."""
        return cell.find_host(self.host, self.options.natives)

    @property
    def folder(self) -> Path:
        """Where the run's journal, evidence and reports lie."""
        return self.recorder.folder
