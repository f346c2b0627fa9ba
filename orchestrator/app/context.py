"""What the actions of one run share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import docker

from orchestrator.app.options import Options
from orchestrator.arch import Arch
from orchestrator.execute.engine.engine import Engine
from orchestrator.execute.images.imageset import ImageSet
from orchestrator.execute.images.workshop import ImageRef, Workshop
from orchestrator.execute.schedule.scheduler import Cancel
from orchestrator.execute.store.store import Store
from orchestrator.execute.system.host import LocalHost
from orchestrator.matrix.model import Limits
from orchestrator.plan.render import Renderer
from orchestrator.record.recorder import Recorder

Say = Callable[[str], None]
"""Shows a line to the person who started the run."""


class RunEngine(Engine, Protocol):
    """What a run asks of an engine beside its containers."""

    @property
    def client(self) -> docker.DockerClient: ...

    @property
    def memory(self) -> int:
        """Bytes of the engine's host."""
        ...

    def sweep_own(self) -> tuple[str, ...]:
        """Remove every container and volume that this process made."""
        ...


class Images(Protocol):
    """As ``ImageSet``."""

    def get(self, name: str, arch: Arch) -> ImageRef: ...

    def packages(self, name: str, arch: Arch) -> dict[str, str]: ...

    def prove_cpu(self, name: str, arch: Arch, cpu: str) -> None: ...

    def debian_pools(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, kw_only=True)
class Context:
    """The means of a run. ``host`` is the architecture of the engine's machine. Safe for several threads."""

    run_id: str
    host: Arch
    engine: RunEngine
    store: Store
    images: Images
    renderer: Renderer
    limits: Limits
    options: Options
    recorder: Recorder
    say: Say
    cancel: Cancel

    @property
    def folder(self) -> Path:
        """Where the run's journal, evidence and reports lie."""
        return self.recorder.folder


def make_images(
    engine: RunEngine, store: Store, host: Arch, *, limits: Limits, options: Options, say: Say
) -> Images:
    """Return the images of a run, none of them made yet."""
    shop = Workshop(
        client=engine.client,
        host=LocalHost(),
        arch=host,
        say=say,
        proxies=options.proxies,
        wheels=store.images / "wheels",
        lock=store.lock,
        limit=limits.image,
    )
    return ImageSet(shop=shop)
