"""What a worker does: one task at a time per thread, with an engine and a store of its own."""

import contextlib
import secrets
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from orchestrator import bounds
from orchestrator.app.actions import build, image, probe
from orchestrator.app.actions.probe import Probing
from orchestrator.app.cluster.images import Given, Taker, TaskImages, WantedImage, give_image
from orchestrator.app.cluster.task import Call, Task, TaskResult, find_tool
from orchestrator.app.context import Context
from orchestrator.app.emulators import Emulators
from orchestrator.app.once import Once
from orchestrator.app.options import Options
from orchestrator.app.reaper import reap
from orchestrator.arch import Arch
from orchestrator.atomic_files import scratch_folder
from orchestrator.errors import ExhaustedError, MatrixctlError, RecordError
from orchestrator.execute.engine.engine import Engine
from orchestrator.execute.images.imageset import ImageSet
from orchestrator.execute.schedule.scheduler import Cancel
from orchestrator.execute.store.store import Store
from orchestrator.matrix.model import Limits
from orchestrator.plan.action import Action, BuildAction, ImageAction, ProbeAction
from orchestrator.plan.plan import Plan
from orchestrator.plan.render import Renderer
from orchestrator.record.journal import Event
from orchestrator.record.model import ActionStatus, ClientProof
from orchestrator.record.recorder import Recorder
from orchestrator.unexpected_error import keep_traceback

_Proofs = defaultdict[str, Once[tuple[ClientProof, ...]]]


class Listener(Recorder):
    """Takes what a session writes down, in place of a journal; its folder has the evidence."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, listen=lambda _: None, finish=lambda _, __: None)
        self.events: list[Call | Event] = []
        self._keeping = threading.Lock()

    def emit(self, event: Event) -> None:
        """Keep the event."""
        self._keep(event)

    def keep_calls(self, name: str) -> Callable[..., None]:
        """Return a function that keeps each call of it, as of that field of ``Probing``."""
        return lambda *arguments: self._keep(Call(field=name, arguments=arguments))

    def _keep(self, event: Call | Event) -> None:
        with self._keeping:
            self.events.append(event)


@dataclass(kw_only=True)
class Machine:
    """What the tasks of one worker share. Safe for several threads.

    :ivar keeping: the same engine; what it makes is marked, so that it stays when the worker starts again.
    :ivar images: makes images here, each within so many seconds.
    :ivar emulates: the names of the architectures whose programs its kernel hands to a QEMU.
    :ivar taker: takes those that others have made.
    """

    address: str
    host: Arch
    engine: Engine
    keeping: Engine
    store: Store
    cpus: int
    images: Callable[[float], ImageSet]
    emulates: tuple[str, ...] = ()
    taker: Taker = field(init=False)
    _images: dict[float, ImageSet] = field(default_factory=dict)
    _proofs: dict[str, _Proofs] = field(default_factory=dict)
    _cancels: dict[str, Cancel] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.taker = Taker(engine=self.engine, store=self.store)

    def find_images(self, limits: Limits) -> ImageSet:
        """Return the images that runs with the same limit for one share."""
        with self._lock:
            if limits.image not in self._images:
                self._images[limits.image] = self.images(limits.image)
            return self._images[limits.image]

    def find_proofs(self, asker: str) -> _Proofs:
        """Return what the clients here proved in a run; of one that is over nothing is kept."""
        with self._lock:
            if asker not in self._proofs:
                self._proofs = {asker: defaultdict(Once)}
            return self._proofs[asker]

    def find_cancel(self, asker: str) -> Cancel:
        """Return what ends the tasks of a run here."""
        with self._lock:
            return self._cancels.setdefault(asker, Cancel())


def perform(machine: Machine, task: Task) -> TaskResult:
    """Do the action of a task; an error of it is part of what comes back."""
    if task.tool != find_tool():
        raise MatrixctlError(f"this worker is {find_tool()}, and the run is {task.tool}")
    with scratch_folder(Path(tempfile.gettempdir())) as folder:
        listener, error = Listener(folder), cast("Exception | None", None)
        status: ActionStatus = "failed"
        given: Given | None = None
        try:
            context = _make_context(machine, task, listener)
            with machine.store.in_use(), reap(context, alone=False):
                status = _do(context, task, machine)
                if isinstance(task.action, ImageAction):
                    given = give_image(context, WantedImage.of(task.action))
        except Exception as caught:  # noqa: BLE001 - it ends one action, there as here
            error = _make_plain(caught, machine.address, folder)
        return TaskResult(
            status=status,
            events=tuple(listener.events),
            files=dict(read_evidence(folder)),
            log=_read_log(machine.store, task.action),
            error=error,
            given=given,
            worker=machine.address,
        )


def _make_context(machine: Machine, task: Task, listener: Listener) -> Context:
    options = Options(
        profile="",
        filters=(),
        out=listener.folder,
        store=machine.store.root,
        jobs=machine.cpus,
        repeat=task.repeat,
        keep=task.keep,
        certificates=lambda: task.certificates,
    )
    return Context(
        run_id=f"{task.run_id}-{secrets.token_hex(3)}",  # what is left of one task is swept beside others
        host=machine.host,
        engine=machine.keeping if task.keep else machine.engine,
        store=machine.store,
        images=_find_images(machine, task),
        renderer=Renderer(None),
        limits=task.limits,
        options=options,
        recorder=listener,
        cancel=machine.find_cancel(task.asker),
    )


def _find_images(machine: Machine, task: Task) -> TaskImages:
    own = machine.find_images(task.limits)
    return TaskImages(shop=own.shop, given=task.images, take=machine.taker.take, own=own)


def _do(context: Context, task: Task, machine: Machine) -> ActionStatus:
    plan = Plan(actions={**task.needed, task.action.key: task.action}, cells=task.cells)
    if isinstance(task.action, ImageAction):
        emulators = Emulators(host=context.host, natives=frozenset(), remote=True)
        return image.do(context, task.action, emulators)
    if isinstance(task.action, BuildAction):
        return build.do(context, task.action, plan, lambda _: _find_source(context.store, task))
    if isinstance(task.action, ProbeAction):
        return probe.do(context, task.action, plan, _make_probing(task, context, machine))
    raise MatrixctlError(f"{task.action.kind} is no kind that a worker does; this is a fault of matrixctl.")


def _make_probing(task: Task, context: Context, machine: Machine) -> Probing:
    keep = cast("Listener", context.recorder).keep_calls
    return Probing(
        certificates=task.certificates,
        declared=lambda cell: task.declared.get(cell.id),
        record_attempt=keep("record_attempt"),
        record_selftest=keep("record_selftest"),
        keep_version=keep("keep_version"),
        is_due=lambda _: False,
        find_rounds=lambda _: (),
        settle=lambda _: None,
        record_traced=keep("record_traced"),
        proofs=machine.find_proofs(task.asker),
    )


def _find_source(store: Store, task: Task) -> Path:
    held = store.find_source(*task.source) if task.source else None
    if held is None:
        raise MatrixctlError(
            f"the source of {task.action.name} is not in the remote store",
            resolution="Run and worker need the same --remote-store.",
        )
    return held.path


def _read_log(store: Store, action: Action) -> bytes | None:
    if action.digest is None:
        return None
    with contextlib.suppress(OSError):
        return store.locate_log(action.digest).read_bytes()
    return None


def read_evidence(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the files below a folder, for which there has to be memory here and where they are sent to.

    In place of a file that does not fit into ``bounds.SENT`` any more comes a sentence that says so.
    """
    left = bounds.SENT
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        size = path.stat().st_size
        if size <= left:
            left -= size
            content = path.read_bytes()
        else:
            limit = bounds.format_size(bounds.SENT)
            content = f"(not sent: {size} bytes; a task sends at most {limit} of evidence)\n".encode()
        yield str(path.relative_to(folder)), content


def _make_plain(error: Exception, worker: str, folder: Path) -> Exception:
    """Return an error that can be pickled and that ends no whole run.

    Of an unexpected one the traceback goes into a file that is sent with the evidence.
    """
    if isinstance(error, RecordError):  # our folder for a task is not the run's
        return ExhaustedError(f"on the worker {worker}: {error.brief}")
    if isinstance(error, MatrixctlError):
        return error
    return RuntimeError(f"on the worker {worker}: {keep_traceback(folder, error)}")
