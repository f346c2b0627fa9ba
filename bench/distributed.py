"""What a cluster costs and gains: trivial actions, some that wait, a simulated night, Dask's own cluster."""

import asyncio
import logging
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from math import fsum
from multiprocessing.queues import Queue
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Any, cast

from bench import simulation
from bench.figures import Section, check_target
from bench.local_cluster import Local, compare
from orchestrator.app.actions import Actions
from orchestrator.app.cluster.dispatch import MOST, ClusterActions, connect_cluster
from orchestrator.app.cluster.images import Given, WantedImage
from orchestrator.app.cluster.perform import Listener, Machine
from orchestrator.app.cluster.worker import work
from orchestrator.app.context import Context
from orchestrator.app.executor import Executor
from orchestrator.app.ledger import Ledger
from orchestrator.app.options import Options
from orchestrator.app.selftests import SelfTests
from orchestrator.arch import ARCHES
from orchestrator.execute.schedule.order import Order
from orchestrator.execute.schedule.scheduler import Cancel, schedule
from orchestrator.execute.store.store import Artifact, Store
from orchestrator.matrix.model import Limits
from orchestrator.plan.action import Action, BuildAction
from orchestrator.plan.plan import Plan
from orchestrator.plan.render import Renderer
from orchestrator.probe.certificates import Certificates

ACTIONS = 10_000
WORKERS = 4
WAIT = 0.5
WAITING = 160
"""Actions that wait."""
TARGET_BOUND = 0.9
MANY = 64
"""Workers at which the simulation is held against its target."""
_SHOWN = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 128, 256, 1000)
_DIGEST = "d" * 64
_LEFT_OUT: Any = None
"""What these actions never ask for."""


class WaitingStore(Store):
    """A store that has every artifact, after some seconds."""

    def __init__(self, root: Path, seconds: float) -> None:
        super().__init__(root)
        self.seconds = seconds

    def has(self, _: str) -> bool:
        """Return that it has."""
        return True

    def find_artifact(self, digest: str) -> Artifact:
        """Return what is no file, since no one opens it."""
        if self.seconds:
            time.sleep(self.seconds)
        return Artifact(digest=digest, path=self.root, sha256=digest, meta={})


def measure(actions: int = ACTIONS, waiting: int = WAITING, wait: float = WAIT) -> Section:
    """Measure all four."""
    cost = Cost(
        actions=actions,
        here=time_here(make_actions(actions)),
        there=time_there(make_actions(actions), seconds=0.0),
        waiting=waiting,
        wait=wait,
        waited=time_there(make_actions(waiting), seconds=wait).wall,
    )
    return make_section(cost, [simulate_night(workers) for workers in _SHOWN], compare())


@dataclass(frozen=True, kw_only=True)
class Took:
    """Seconds by the clock, and of CPU in all processes together: on a busy machine these say more."""

    wall: float
    cpu: float

    def tell(self, actions: int) -> str:
        """Return what each action took."""
        return f"{1000 * self.wall / actions:.2f} ms ({1000 * self.cpu / actions:.2f} ms of CPU)"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What tasks cost.

    :ivar here: for all trivial actions, by threads of this process; ``there``: by workers.
    :ivar waited: for those that wait for ``wait``, by workers.
    """

    actions: int
    here: Took
    there: Took
    waiting: int
    wait: float
    waited: float

    @property
    def efficiency(self) -> float:
        """Return the part of the workers' time in which actions waited."""
        return self.waiting * self.wait / WORKERS / self.waited


@dataclass(frozen=True, kw_only=True)
class Night:
    """A simulated night. All in seconds; ``known`` is when a failure is known, on average."""

    workers: int
    bound: float
    makespan: float
    unknowing: float
    known: float


def make_section(cost: Cost, nights: Sequence[Night], locals_: Sequence[Local]) -> Section:
    """Return the table of the simulation, and a sentence for each other figure."""
    rows = tuple(
        (
            f"{one.workers:,}",
            f"{one.bound / 60:.1f}",
            f"{one.makespan / 60:.1f}",
            f"{one.bound / one.makespan:.2f}",
            f"{one.bound / one.unknowing:.2f}",
            f"{one.known / 60:.1f}",
        )
        for one in nights
    )
    aim = next(one for one in nights if one.workers == MANY)
    worst = min(nights, key=lambda one: one.bound / one.makespan)
    return Section(
        key="distributed",
        title="Several machines",
        header=(
            "workers",
            "bound (min)",
            "simulated (min)",
            "bound / simulated",
            "without known durations",
            "a failure is known (min)",
        ),
        rows=rows,
        notes=(
            check_target(
                f"Bound / simulated at {MANY} workers",
                aim.bound / aim.makespan,
                TARGET_BOUND,
                "times",
                at_least=True,
            ),
            f"The worst of these: {worst.bound / worst.makespan:.2f} at {worst.workers} workers.",
            (
                f"{cost.actions:,} trivial actions, by threads here: {cost.here.tell(cost.actions)} each. By"
                f" {WORKERS} workers that are processes here: {cost.there.tell(cost.actions)},"
                f" {cost.there.wall / cost.here.wall:.1f} times as long,"
                f" {cost.there.cpu / cost.here.cpu:.1f} times the CPU."
            ),
            (
                f"{cost.waiting} actions that wait {cost.wait:g} s, {WORKERS} workers:"
                f" {100 * cost.efficiency:.0f} % of the workers' time is theirs."
            ),
            *(
                f"{one.name}: first action after {one.start:.2f} s, {one.memory >> 20} MiB,"
                f" {1000 * one.each:.2f} ms for each further one, gone {one.interrupted:.1f} s after Ctrl-C"
                " while an action waits."
                for one in locals_
            ),
        ),
    )


# Simulation.


def simulate_night(workers: int, profile: str = "nightly") -> Night:
    """Simulate the builds and probes of a profile, with as many sent ahead as a run sends."""
    actions, seconds = simulation.list_actions(profile), simulation.read_recorded()
    room = min(MOST, 2 * workers)
    run = simulation.simulate(actions, seconds, workers, room=room)
    unknowing = simulation.simulate(actions, seconds, workers, room=room, estimate=simulation.guess)
    return Night(
        workers=workers,
        bound=simulation.find_bound(actions, seconds, workers),
        makespan=run.makespan,
        unknowing=unknowing.makespan,
        known=fmean(run.ended[one.key] for one in actions if one.kind == "probe"),
    )


# Trivial actions, and some that wait.


def make_actions(number: int) -> list[Action]:
    """Return builds without needs, which the workers' store has."""
    build = next(
        one
        for one in simulation.list_actions("quick")
        if isinstance(one, BuildAction) and one.recipe is not None
    )
    plain = {"digest": _DIGEST, "needs": (), "optional": (), "cells": (), "source": "", "library": ""}
    recipe = cast("Any", build.recipe).model_copy(update={"packages": ()})
    return [
        build.model_copy(update={**plain, "recipe": recipe, "key": f"n{one}", "name": f"n{one}"})
        for one in range(number)
    ]


def time_here(actions: Sequence[Action]) -> Took:
    """Return the seconds that threads of this process take, with the same store as workers have."""
    with tempfile.TemporaryDirectory() as folder:
        store = WaitingStore(Path(folder) / "store", 0)
        return _time(actions, Actions, store, Path(folder))


def time_there(actions: Sequence[Action], *, seconds: float) -> Took:
    """Return the seconds that workers take, from the first action to the last."""
    with (
        tempfile.TemporaryDirectory() as folder,
        start_cluster(Path(folder), seconds) as address,
        connect_cluster(address, None) as cluster,
    ):
        make = partial(_WithoutImages, cluster=cluster)
        return _time(actions, make, Store(Path(folder) / "store"), Path(folder))


def _time(actions: Sequence[Action], make: Callable[..., Actions], store: Store, folder: Path) -> Took:
    context = _make_context(store, folder)
    plan = Plan(actions={one.key: one for one in actions}, cells={})
    ledger = Ledger(
        recorder=context.recorder,
        selftests=SelfTests(recorder=context.recorder),
        store=store,
        cancel=context.cancel,
        fail_fast=False,
        confirm=0,
        new_cell=_LEFT_OUT,
        plan=plan,
        load=None,
    )
    doer = make(
        context=context,
        sources=cast("Any", SimpleNamespace(moved={}, find_path=None)),
        emulators=_LEFT_OUT,
        probing=cast("Any", SimpleNamespace(certificates=_LEFT_OUT)),
    )
    executor = Executor(context=context, ledger=ledger, do=doer.do)
    started, busy = time.perf_counter(), _read_cpu()
    pool = doer.make_pool(plan, executor.execute)
    failures = schedule(
        actions,
        pool=pool,
        order=Order(actions, lambda _: 1, width=pool.width),
        blocked=lambda _action, _why: None,
        failed={},
        cancel=context.cancel,
        grace=0,
    )
    took = Took(wall=time.perf_counter() - started, cpu=_read_cpu() - busy)
    if failures:
        raise RuntimeError(next(iter(failures.values())).message)
    return took


def _read_cpu() -> float:
    """Return the seconds of CPU that this process and its children have taken."""
    psutil: Any = import_module("psutil")  # comes with distributed, and has no types
    own = psutil.Process()
    return fsum(one.cpu_times().user + one.cpu_times().system for one in (own, *own.children()))


def _make_context(store: Store, folder: Path) -> Context:
    options = Options(
        profile="",
        filters=(),
        out=folder,
        store=store.root,
        jobs=WORKERS,
        certificates=lambda: Certificates(ca=b"", server=b""),
    )
    return Context(
        run_id="bench",
        host=ARCHES["amd64"],
        engine=cast("Any", _Engine()),
        store=store,
        images=_LEFT_OUT,
        renderer=Renderer(None),
        limits=Limits(),
        options=options,
        recorder=Listener(folder),
        cancel=Cancel(),
    )


class _WithoutImages(ClusterActions):
    """Sends tasks that are done in no image."""

    def _give_images(self, *_: object) -> Mapping[WantedImage, Given]:
        return {}


class _Engine:
    """Answers at once, and has nothing."""

    memory = 1 << 40

    def answers(self) -> bool:
        return True

    def create_volume(self, *_: str) -> None:
        """Make none."""

    def sweep(self, *_: str) -> None:
        """Find nothing."""


@contextmanager
def start_cluster(folder: Path, seconds: float) -> Iterator[str]:
    """Start a scheduler and workers of one CPU, each a process; yield the scheduler's address."""
    processes = multiprocessing.get_context("spawn")
    said: Queue[str] = processes.Queue()
    with ExitStack() as stack:

        def start(target: Callable[..., None], *arguments: Any) -> None:
            process = processes.Process(target=target, args=arguments)
            process.start()
            stack.callback(process.join, 10)
            stack.callback(process.terminate)

        start(serve_scheduler, said)
        address = said.get(timeout=120)
        for number in range(WORKERS):
            start(serve_worker, address, folder / f"worker-{number}", seconds)
        _wait_for_workers(address)
        yield address


def _wait_for_workers(address: str) -> None:
    from distributed import Client  # noqa: PLC0415 - an extra

    with cast("Any", Client)(address, timeout=60, set_as_default=False) as client:
        client.wait_for_workers(WORKERS, timeout=120)


def serve_scheduler(said: "Queue[str]") -> None:
    """Be a scheduler until the process is ended; say the address."""
    from distributed import Scheduler  # noqa: PLC0415 - an extra

    logging.disable(logging.INFO)

    async def serve() -> None:
        scheduler: Any = await cast("Any", Scheduler)(
            host="127.0.0.1", port=0, dashboard=False, dashboard_address="127.0.0.1:0"
        )
        said.put(str(scheduler.address))
        await scheduler.finished()

    asyncio.run(serve())


def serve_worker(address: str, folder: Path, seconds: float) -> None:
    """Be a worker until the process is ended."""
    logging.disable(logging.INFO)
    folder.mkdir()
    made = Machine(
        address="",
        host=ARCHES["amd64"],
        engine=cast("Any", _Engine()),
        keeping=cast("Any", _Engine()),
        store=WaitingStore(folder / "store", seconds),
        cpus=1,
        images=lambda _: cast("Any", SimpleNamespace(shop=_LEFT_OUT)),
    )
    asyncio.run(work(address, None, made, 1 << 33, folder=folder))
