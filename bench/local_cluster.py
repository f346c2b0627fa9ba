"""Dask's ``LocalCluster`` beside our own scheduler: what either takes to order actions on one machine.

Each has a process of its own, which imports nothing of the other: nor does the one that starts them.
"""

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any, cast

ACTIONS = 1_000
_CPUS = 2
_STUCK = 20.0
"""Seconds that the action lasts during which Ctrl-C is pressed."""


@dataclass(frozen=True, kw_only=True)
class Local:
    """What orders actions on one machine.

    :ivar start: seconds from the start of the process to the end of its first action.
    :ivar memory: bytes, of all its processes.
    :ivar each: seconds for each further action.
    :ivar interrupted: seconds from Ctrl-C, while an action lasts, until the process is gone.
    """

    name: str
    start: float
    memory: int
    each: float
    interrupted: float


def compare() -> list[Local]:
    """Measure each, from a process that imports nothing else."""
    from orchestrator.execute.system import process  # noqa: PLC0415 - see the top

    done = process.run([sys.executable, "-m", "bench.local_cluster"], timeout=900)
    if done.exit_code != 0:
        raise RuntimeError(done.stderr.decode(errors="replace"))
    return [Local(**one) for one in json.loads(done.stdout)]


def measure(actions: int = ACTIONS) -> tuple[Local, ...]:
    """Measure each."""
    return (
        _measure("Our scheduler", _order_ourselves, actions),
        _measure("`LocalCluster`, threads", _order_by_threads, actions),
        _measure("`LocalCluster`, processes", _order_by_processes, actions),
    )


def _measure(name: str, order: Callable[[Connection, int], None], actions: int) -> Local:
    processes = multiprocessing.get_context("spawn")
    here, there = processes.Pipe()
    started = time.monotonic()
    process = processes.Process(target=order, args=(there, actions))
    process.start()
    there.close()
    try:
        first = here.recv() - started
        each, memory = here.recv()
        here.recv()  # the last action lasts
        pressed = time.monotonic()
        os.kill(process.pid or 0, signal.SIGINT)
        process.join(3 * _STUCK)
        gone = time.monotonic() - pressed
    finally:
        process.kill()
        process.join()
    return Local(name=name, start=first, memory=memory, each=each, interrupted=gone)


def _order_ourselves(told: Connection, number: int) -> None:
    from orchestrator.execute.schedule.order import Order  # noqa: PLC0415 - see the top
    from orchestrator.execute.schedule.pool import Pool  # noqa: PLC0415
    from orchestrator.execute.schedule.scheduler import Cancel, schedule  # noqa: PLC0415
    from orchestrator.execute.schedule.slots import Demand, Slots  # noqa: PLC0415
    from orchestrator.plan.action import SourceAction  # noqa: PLC0415

    cancel = Cancel()
    signal.signal(signal.SIGINT, lambda *_: cancel.ask())

    def order(count: int, do: Callable[[], None]) -> None:
        actions = [
            SourceAction(key=f"n{one}", name=f"n{one}", source=None, moving=None) for one in range(count)
        ]
        schedule(
            actions,
            pool=Pool(slots=Slots(cpus=_CPUS, memory=0), demand=lambda _: Demand(), execute=lambda _: do()),
            order=Order(actions, lambda _: 1),
            blocked=lambda _action, _why: None,
            failed={},
            cancel=cancel,
            grace=_STUCK,
        )

    def last() -> None:
        told.send(None)
        until = time.monotonic() + _STUCK
        while not cancel() and time.monotonic() < until:
            time.sleep(0.2)  # as a container is looked after by the reaper

    order(1, _do_nothing)
    told.send(time.monotonic())
    started = time.monotonic()
    order(number, _do_nothing)
    told.send(((time.monotonic() - started) / number, _read_memory()))
    order(1, last)


def _order_by_threads(told: Connection, number: int) -> None:
    _order_by_dask(told, number, processes=False)


def _order_by_processes(told: Connection, number: int) -> None:
    _order_by_dask(told, number, processes=True)


def _order_by_dask(told: Connection, number: int, *, processes: bool) -> None:
    from distributed import Client, LocalCluster  # noqa: PLC0415 - see the top

    made: Any = cast("Any", LocalCluster)(
        n_workers=_CPUS if processes else 1,
        threads_per_worker=1 if processes else _CPUS,
        processes=processes,
        dashboard_address=None,
    )
    with suppress(KeyboardInterrupt), made as cluster, cast("Any", Client)(cluster) as client:
        client.submit(_do_nothing, pure=False).result()
        told.send(time.monotonic())
        started = time.monotonic()
        client.gather([client.submit(_do_nothing, pure=False) for _ in range(number)])
        told.send(((time.monotonic() - started) / number, _read_memory()))
        future = client.submit(time.sleep, _STUCK)
        threading.Timer(0.5, told.send, (None,)).start()
        future.result()


def _do_nothing() -> None:
    """Do nothing."""


def _read_memory() -> int:
    psutil: Any = import_module("psutil")  # comes with distributed, and has no types
    own = psutil.Process()
    return sum(one.memory_info().rss for one in (own, *own.children(recursive=True)))


if __name__ == "__main__":
    print(json.dumps([vars(one) for one in measure()]))  # noqa: T201 - the answer to the process that asked
