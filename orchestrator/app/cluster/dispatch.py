"""The side of the run: sends builds and probes to the workers, and writes down what comes back."""

import asyncio
import logging
import re
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any, TypeGuard, cast

from distributed import Client, Future, get_worker
from distributed.scheduler import KilledWorker
from distributed.security import Security

from orchestrator.app.actions import Actions
from orchestrator.app.cluster.images import Given, WantedImage, give_image, list_for_build, list_for_probe
from orchestrator.app.cluster.perform import Machine, perform
from orchestrator.app.cluster.task import Call, Task, TaskResult, Tool, find_tool
from orchestrator.app.demand import GIB, find_demand
from orchestrator.app.once import Once
from orchestrator.arch import ARCHES, Arch
from orchestrator.errors import EngineError, EngineLostError, MatrixctlError, UsageError
from orchestrator.execute.schedule.pool import Execute, Pool
from orchestrator.execute.schedule.slots import Demand
from orchestrator.plan.action import Action, BuildAction, ImageAction, ProbeAction, SourceAction
from orchestrator.plan.plan import Plan
from orchestrator.probe.prober import Circumstances
from orchestrator.record.model import ActionStatus

_log = logging.getLogger(__name__)

STARTED = "matrixctl-started"
"""The topic on which a worker says that it begins a task."""
PLUGIN = "matrixctl"
"""The name under which a worker has its ``Machine``."""
_TRACEBACK = re.compile(r"internal-[0-9a-f]{6}\.txt")
_LOOKS_EVERY = 0.5
_LOOKS_AT_WORKERS_EVERY = 5.0
_ALONE = 120.0
"""Seconds that a run waits for a worker where none has room: one may be about to start again."""
WORKERS = "workers"
"""The lane of what workers do."""
MOST = 256
"""Tasks that a run has under way; each is a thread here."""
_PATIENCE = 20.0
"""Seconds in which workers end what was cancelled."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """A worker, as it says itself. ``memory`` in bytes."""

    tool: Tool
    arch: str
    cpus: int
    memory: int


@dataclass(kw_only=True)
class WorkerCluster:
    """The workers of a scheduler, of which each has the engine and the store for the tasks of a run."""

    address: str
    client: Any
    """A ``distributed.Client``, which has no types."""
    workers: Mapping[str, Description]
    _started: dict[str, list[str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _present: list[Mapping[str, float]] = field(default_factory=list)
    """What each worker had when that was last asked."""
    _looked: float = 0.0
    """When that was, of ``time.monotonic()``."""
    _looking: threading.Lock = field(default_factory=threading.Lock)
    _roomy: dict[frozenset[tuple[str, float]], float] = field(default_factory=dict)
    """When a worker had room for what was wanted, likewise."""

    def find_smallest(self, arch: Arch) -> tuple[int, int]:
        """Return the CPUs and bytes that each worker of an architecture has at least; a compile takes all."""
        own = [worker for worker in self.workers.values() if worker.arch == arch.name]
        return min((one.cpus for one in own), default=1), min((one.memory for one in own), default=0)

    def find_natives(self, here: Arch) -> frozenset[str]:
        """Return the foreign architectures that workers have.

        :param here: that of the machine where the run is.
        :raises UsageError: where no worker has that one: builds need it, and the images that are made here.
        """
        found = {worker.arch for worker in self.workers.values()}
        if here.name not in found:
            raise UsageError(
                f"the workers of {self.address} are {' and '.join(sorted(found))}, and the engine of this run"
                f" is {here.name}",
                resolution=f"Start a worker on a machine of {here.name} as well: it compiles.",
            )
        return frozenset(found - {here.name})

    @property
    def room(self) -> int:
        """Return how many tasks are sent at once: enough that no worker waits for the next."""
        return min(MOST, 2 * sum(worker.cpus for worker in self.workers.values()))

    def submit(self, task: Task, resources: Mapping[str, float]) -> "Future[TaskResult]":
        """Send a task to a worker that has room for it.

        :raises EngineLostError: where the scheduler is gone: Dask itself would wait without end.
        """
        if self.client.status != "running":
            raise EngineLostError(f"the scheduler {self.address} is gone")
        self.refuse_to_wait(resources)
        name = f"{task.run_id}/{task.action.key}#{secrets.token_hex(3)}"
        made: Future[TaskResult] = self.client.submit(
            do_here, task, resources=dict(resources), pure=False, key=name
        )
        return made

    def ask(self, future: "Future[TaskResult]") -> "futures.Future[TaskResult]":
        """Return what will have the result of a task, once that has come here.

        Not by ``result(timeout=...)``: on a busy machine it raises UnboundLocalError now and then. Nor by
        ``result()`` once the task has ended: its worker may be lost before it has sent what the task told.
        """

        async def gather() -> TaskResult:
            done: TaskResult = await self.client.gather(future, asynchronous=True)
            return done

        return asyncio.run_coroutine_threadsafe(gather(), self.client.loop.asyncio_loop)

    def refuse_to_wait(self, resources: Mapping[str, float]) -> None:
        """:raises EngineLostError: where no worker had room for long: Dask would wait without end."""
        wanted = frozenset(resources.items())
        if self._looking.acquire(blocking=False):  # one of many threads asks for all
            try:
                if time.monotonic() - self._looked >= _LOOKS_AT_WORKERS_EVERY:
                    said = self.client.scheduler_info()["workers"].values()
                    self._note_present([worker["resources"] for worker in said], time.monotonic())
            finally:
                self._looking.release()
        with self._lock:
            if wanted not in self._roomy or self._has_room(wanted):
                self._roomy[wanted] = self._looked
            alone = self._looked - self._roomy[wanted]
        if alone >= _ALONE:
            if not self._present:
                raise EngineLostError(f"the scheduler {self.address} has had no worker for {alone:.0f} s")
            raise EngineLostError(
                f"the scheduler {self.address} has had no worker for {alone:.0f} s that is large enough",
                details="\n".join([f"wanted: {_tell(resources)}", *map(_tell, self._present)]),
                resolution="Start such a worker again, then: matrixctl run --resume RUN",
            )

    def _note_present(self, present: list[Mapping[str, float]], now: float) -> None:
        """Note what each worker has, also for what is wanted by none at the moment.

        What was so while nothing was sent, and so nothing asked, is not known: that is no time of waiting.
        """
        with self._lock:
            known = now - self._looked < 10 * _LOOKS_AT_WORKERS_EVERY
            self._present, self._looked = present, now
            self._roomy.update({one: now for one in self._roomy if not known or self._has_room(one)})

    def _has_room(self, wanted: frozenset[tuple[str, float]]) -> bool:
        return any(all(one.get(name, 0) >= amount for name, amount in wanted) for one in self._present)

    @property
    def asker(self) -> str:
        """Return what tells this run from all others, and from itself before it was resumed."""
        return str(self.client.id)

    def cancel(self) -> None:
        """Let every worker end what it does for this run."""
        self.client.run(cancel_here, self.asker, on_error="ignore")

    def note_start(self, event: tuple[Any, Any]) -> None:
        """Take a worker's word that it begins a task."""
        _, (key, worker) = event
        with self._lock:
            self._started.setdefault(key, []).append(worker)

    def list_lost(self, key: str) -> list[str]:
        """Return the workers that began a task and were lost."""
        with self._lock:
            return self._started.get(key, [])[:-1]


def _tell(resources: Mapping[str, float]) -> str:
    said = {"cpu": "{:.0f} CPUs", "memory": "{:.1f} GiB"}
    return ", ".join(said.get(name, name).format(amount) for name, amount in resources.items())


def find_machine() -> Machine:
    """Return the machine of the worker whose task asks."""
    found: Machine = cast("Any", get_worker().plugins[PLUGIN]).machine
    return found


def do_here(task: Task) -> TaskResult:
    """Do a task, on the worker that was chosen for it."""
    worker = get_worker()
    worker.log_event(STARTED, (worker.get_current_task(), worker.address))
    return perform(find_machine(), task)


def cancel_here(asker: str, dask_worker: Any) -> None:
    """End what a worker does for a run."""
    dask_worker.plugins[PLUGIN].machine.find_cancel(asker).ask()


def describe_here(dask_worker: Any) -> Description | None:
    """Return what a worker is; ``None`` where it was not started by matrixctl."""
    plugin = dask_worker.plugins.get(PLUGIN)
    return plugin.describe() if plugin else None


@contextmanager
def connect_cluster(
    address: str, security: Security | None, *, patience: float = 20
) -> Iterator[WorkerCluster]:
    """Connect to a scheduler, and look at each of its workers.

    :raises MatrixctlError: where it does not answer, or has no worker.
    :raises UsageError: where a worker cannot do a part of this run.
    """
    try:
        client: Any = cast("Any", Client)(
            address, security=security, timeout=patience, set_as_default=False, name="matrixctl"
        )
    except (OSError, TypeError, ValueError) as error:
        raise MatrixctlError(f"the scheduler {address} does not answer: {error}") from None
    with client:
        found = client.run(describe_here, on_error="return")
        _refuse_others(found)
        cluster = WorkerCluster(address=address, client=client, workers=found)
        client.subscribe_topic(STARTED, cluster.note_start)
        yield cluster


def _refuse_others(found: Mapping[str, Description | Exception | None]) -> None:
    if not found:
        raise MatrixctlError(
            "the scheduler has no worker",
            resolution="Start one on each machine: matrixctl worker --scheduler ADDRESS --remote-store URL",
        )
    mine = find_tool()
    for address, worker in found.items():
        if not isinstance(worker, Description):
            raise UsageError(
                f"the worker {address} was not started by `matrixctl worker`, and so has no engine",
                details=f"It said: {worker}" if worker else "",
                resolution="Give matrixctl a scheduler of its own.",
            )
        if worker.tool != mine:
            raise UsageError(
                f"the worker {address} is {worker.tool}, and the run is {mine}",
                resolution="Install the same on both.",
            )


@dataclass(frozen=True, kw_only=True)
class ClusterActions(Actions):
    """Makes images and fetches sources here, and has the rest done by workers. Safe for several threads."""

    cluster: WorkerCluster
    _given: Mapping[WantedImage, Once[Given]] = field(default_factory=lambda: defaultdict(Once))
    """The images that were made here."""
    _made: Mapping[str, Once[tuple[Given, ActionStatus]]] = field(default_factory=lambda: defaultdict(Once))
    """Those that workers made, by the keys of their actions."""

    def do(self, action: Action, plan: Plan) -> ActionStatus:
        """Do one action, or have it done.

        :raises EngineLostError: where the scheduler is gone, or each worker that tried was lost.
        :raises MatrixctlError: as the worker raised it.
        """
        if isinstance(action, ImageAction) and self._is_foreign(action):
            return self._have_made(action, plan)[1]
        if not self._is_sent(action):
            return super().do(action, plan)
        if action.digest is not None and self.context.store.find_artifact(action.digest) is not None:
            return super().do(action, plan)
        done = self._have_done(self._make_task(action, plan), action, plan)
        self._write_down(done, action)
        if done.error is not None:
            raise done.error
        return done.status

    def make_pool(self, plan: Plan, execute: Execute) -> Pool:
        """As here, with room for what workers do; they alone know what that takes of them."""
        here = super().make_pool(plan, execute)
        room = self.cluster.room
        slots = replace(here.slots, lanes={**here.slots.lanes, WORKERS: room})
        return replace(here, slots=slots, width=room, end=self.cluster.cancel)

    def _find_demand(self, action: Action, plan: Plan) -> Demand:
        if self._is_sent(action) and not self.context.has(action):
            return Demand(cpus=0, lane=WORKERS)
        return super()._find_demand(action, plan)

    def _is_sent(self, action: Action) -> TypeGuard[BuildAction | ProbeAction]:
        """Whether a worker does it, if it is not done already. Images and sources are the run's own."""
        return isinstance(action, BuildAction | ProbeAction) and not action.problem

    def _is_foreign(self, action: ImageAction) -> bool:
        """Whether it is an image of a worker's own architecture; what we make for others runs here."""
        return action.image in {"runtime", "client"} and action.arch != self.context.host.name

    def _have_made(self, action: ImageAction, plan: Plan) -> tuple[Given, ActionStatus]:
        """Have an image made by a worker of its architecture, once."""

        def have() -> tuple[Given, ActionStatus]:
            done = self._have_done(self._make_task(action, plan), action, plan)
            self._write_down(done, action)
            if done.error is not None or done.given is None:
                raise done.error or MatrixctlError(f"{action.name} was not made")
            return done.given, done.status

        return self._made[action.key].get(have)

    def _find_resources(self, action: Action, plan: Plan) -> dict[str, float]:
        """Return what a worker must have for an action: an architecture, and room."""
        host = self._find_host(action, plan)
        cpus, memory = self.cluster.find_smallest(host)
        wanted = find_demand(action, plan.cells, cpus)
        found = {
            "cpu": min(wanted.cpus, cpus),
            "memory": min(wanted.memory, memory) / GIB,
            f"arch={host.name}": 1,
        }
        if isinstance(action, BuildAction) and action.recipe and action.recipe.compiler_arch != host:
            found[f"emulate={action.recipe.compiler_arch.name}"] = 1
        return found

    def _find_host(self, action: Action, plan: Plan) -> Arch:
        """Return the architecture of the machine that does it."""
        match action:
            case ImageAction():
                return ARCHES[action.arch]
            case ProbeAction():
                return self.context.find_host(plan.cells[action.cells[0]])
            case _:
                return self.context.host

    def _make_task(self, action: ImageAction | BuildAction | ProbeAction, plan: Plan) -> Task:
        # What probes a judged cell once more needs nothing to be done, and names its build all the same.
        named = {action.build} if isinstance(action, ProbeAction) else set()
        needed = {key: plan.actions[key] for key in {*action.needs, *named} if key in plan.actions}
        cells = {key: plan.cells[key] for key in action.cells if key in plan.cells}
        if isinstance(action, ProbeAction):
            cells |= {cell.id: cell for cell in _pick_for_proofs(plan)}
        return Task(
            run_id=self.context.run_id,
            asker=self.cluster.asker,
            tool=find_tool(),
            action=action,
            needed=needed,
            cells=cells,
            source=self._find_source(action, plan),
            images=self._give_images(action, plan),
            limits=self.context.limits,
            repeat=self.context.options.repeat,
            keep=self.context.options.keep,
            certificates=self.probing.certificates,
            declared={
                key: self.probing.declared(plan.cells[key]) for key in action.cells if key in plan.cells
            },
        )

    def _give_images(self, action: Action, plan: Plan) -> Mapping[WantedImage, Given]:
        """Put the images of a task where workers take them; return them by what is wanted."""
        host, wanted = self._find_host(action, plan), tuple[WantedImage, ...]()
        if isinstance(action, ProbeAction):
            wanted = list_for_probe(plan.cells[action.cells[0]], host)
        elif isinstance(action, BuildAction) and action.recipe:
            wanted = list_for_build(action.recipe, host)
        if host != self.context.host:
            images = (one for one in plan.actions.values() if isinstance(one, ImageAction))
            return {
                WantedImage.of(one): self._have_made(one, plan)[0]
                for one in images
                if WantedImage.of(one) in wanted
            }
        return {one: self._given[one].get(partial(give_image, self.context, one)) for one in wanted}

    def _find_source(self, action: Action, plan: Plan) -> tuple[str, str] | None:
        if not isinstance(action, BuildAction) or not action.source:
            return None
        found = plan.actions[action.source]
        source = self.sources.moved.get(action.source) or (
            found.source if isinstance(found, SourceAction) else None
        )
        return (source.sha256, source.file) if source and source.sha256 else None

    def _have_done(self, task: Task, action: Action, plan: Plan) -> TaskResult:
        resources = self._find_resources(action, plan)
        with _losing(task):
            future = self.cluster.submit(task, resources)
        try:
            return self._wait(future, task, resources)
        finally:
            cast("Any", future).release()

    def _wait(self, future: "Future[TaskResult]", task: Task, resources: Mapping[str, float]) -> TaskResult:
        cancelled = self.context.cancel()
        with _losing(task):
            told = self.cluster.ask(future)
        try:
            while not futures.wait([told], timeout=_PATIENCE if cancelled else _LOOKS_EVERY).done:
                if cancelled:
                    raise MatrixctlError(f"no worker ended {task.action.name} in {_PATIENCE:g} s")
                cancelled = self.context.cancel()
                if not cancelled:
                    with _losing(task):
                        self.cluster.refuse_to_wait(resources)
        finally:
            told.cancel()
        with _losing(task):
            done = told.result()
        lost = self.cluster.list_lost(str(future.key))
        for worker in lost:
            _log.warning("%s was done again: the worker %s was lost", task.action.name, worker)
        return _note_lost(done, lost) if lost else done

    def _write_down(self, done: TaskResult, action: Action) -> None:
        """Write down what a task told, as if it had been done here: evidence first."""
        if done.log is not None and action.digest:
            self.context.store.put_log(action.digest, done.log)
        for path, content in done.files.items():
            if is_evidence(path):
                self.context.recorder.keep(path, content)
        for event in done.events:
            if isinstance(event, Call):
                getattr(self.probing, event.field)(*event.arguments)
            else:
                self.context.recorder.emit(event)


def _note_lost(done: TaskResult, lost: Sequence[str]) -> TaskResult:
    """Return what became of a task, with the reason in each attempt why it was made again."""
    again = f", after {' and '.join(lost)} {'was' if len(lost) == 1 else 'were'} lost"

    def note(argument: Any) -> Any:
        if isinstance(argument, Circumstances):
            return argument.model_copy(update={"why": f"{argument.why}{again}"})
        return argument

    events = [
        replace(one, arguments=tuple(map(note, one.arguments))) if isinstance(one, Call) else one
        for one in done.events
    ]
    return replace(done, events=tuple(events))


@contextmanager
def _losing(task: Task) -> Iterator[None]:
    """:raises EngineLostError: for whatever Dask raises where a scheduler or workers are gone."""
    try:
        yield
    except MatrixctlError:
        raise
    except KilledWorker as error:
        raise EngineError(
            f"each worker that tried {task.action.name} was lost", details=str(error)
        ) from error
    except Exception as error:  # Dask's own, its network's: FutureCancelledError, CommClosedError, OSError...
        raise EngineLostError(
            f"the cluster did not bring {task.action.name} to its end: {type(error).__name__}",
            details=str(error),
        ) from error


def _pick_for_proofs(plan: Plan) -> Iterator[Any]:
    """Yield a cell for each client, suite and the like that the clients have to prove."""
    seen = set()
    for cell in plan.cells.values():
        what = (cell.client.name, cell.cipher.name)
        if what not in seen:
            seen.add(what)
            yield cell


def is_evidence(path: str) -> bool:
    """Return whether a path is one that a task writes: in a folder of the run's, or the file of a traceback.

    A worker writes none of the other files of a run.
    """
    parts = PurePosixPath(path).parts
    is_below = len(parts) > 1 and not path.startswith("/") and ".." not in parts
    return is_below or _TRACEBACK.fullmatch(path) is not None
