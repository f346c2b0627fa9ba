"""``matrixctl worker``."""

import asyncio
import contextlib
import logging
from importlib.util import find_spec
from pathlib import Path

import click

from orchestrator.app.leftovers import remove_leftovers
from orchestrator.arch import find_arch
from orchestrator.atomic_files import scratch_folder
from orchestrator.cli import common
from orchestrator.cli.doctor import make_patient
from orchestrator.cli.log import show_log
from orchestrator.errors import MatrixctlError, UsageError
from orchestrator.execute.engine.engine import connect
from orchestrator.execute.images.emulation import list_registered
from orchestrator.execute.images.imageset import ImageSet
from orchestrator.execute.images.workshop import Workshop
from orchestrator.execute.setup import doctor
from orchestrator.execute.store.remote import INSTALL
from orchestrator.execute.store.shared import open_store
from orchestrator.execute.system.host import LocalHost


def refuse_without_dask(command: str) -> None:
    """:raises UsageError: where the extra is not installed."""
    if not (find_spec("distributed") and find_spec("fsspec")):
        raise UsageError(f"{command} needs distributed, which is not installed", resolution=INSTALL)


@click.command(
    "worker",
    epilog="Example: matrixctl worker --scheduler tls://lab:8786 --remote-store s3://lab",
)
@click.option("--scheduler", required=True, metavar="ADDRESS", help="tls://HOST:8786.")
@common.remote_store
@common.store_folder
@click.option("--cpus", type=click.IntRange(1), metavar="N", help="Of this machine [default: all].")
@click.option(
    "--memory",
    type=click.FloatRange(min=0, min_open=True),
    metavar="GIB",
    help="That containers may take at once [default: 7/8 of the engine's host].",
)
@common.take_access
def command(
    *,
    scheduler: str,
    remote_store: str | None,
    store: Path | None,
    cpus: int | None,
    memory: float | None,
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    insecure: bool,
) -> None:
    """Build and probe for the runs of other machines.

    It goes on until the scheduler ends, which is Dask's own: dask scheduler --no-dashboard. Runs and workers
    share one remote store, where artifacts and sources travel.
    """
    refuse_without_dask("worker")
    from orchestrator.app.cluster.perform import Machine  # noqa: PLC0415 - heavy, and an extra
    from orchestrator.app.cluster.security import Access  # noqa: PLC0415
    from orchestrator.app.cluster.worker import work  # noqa: PLC0415
    from orchestrator.app.demand import GIB, find_budget  # noqa: PLC0415

    security = Access(ca=tls_ca, cert=tls_cert, key=tls_key, insecure=insecure).make_security(scheduler)
    if not remote_store:
        raise UsageError("worker needs --remote-store: what it builds is of use to the others alone")
    patient = make_patient()
    missing = [check for check in doctor.examine(patient) if check.state is doctor.CheckState.MISSING]
    if missing:
        raise MatrixctlError(
            "this machine lacks what a run needs",
            details="\n".join(f"{check.name}: {check.found}" for check in missing),
            resolution="See: matrixctl doctor",
        )
    engine = connect()
    with show_log(common.say):
        kept = open_store(store or common.find_default_store(), remote_store, write=True)
        remove_leftovers(engine, kept, common.find_default_out())
        host = find_arch(engine.describe().arch)

        def make_images(limit: float) -> ImageSet:
            shop = Workshop(
                engine=engine, host=LocalHost(), arch=host, proxies=patient.proxies, store=kept, limit=limit
            )
            return ImageSet(shop=shop)

        machine = Machine(
            address="",
            host=host,
            engine=engine,
            keeping=connect(keep=True),
            store=kept,
            cpus=cpus or engine.cpus,
            images=make_images,
            emulates=() if common.is_engine_remote() else list_registered(),
        )
        room = int(memory * GIB) if memory else find_budget(engine.memory)
        logging.getLogger("distributed").setLevel(logging.ERROR)
        with scratch_folder() as folder, contextlib.suppress(KeyboardInterrupt):
            asyncio.run(work(scheduler, security, machine, room, folder=folder))
