"""A container of one cell of a run that is over, with everything in place, for a person to look around."""

import logging
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.app.demand import find_build_demand
from orchestrator.errors import UsageError
from orchestrator.execute.engine.archive import pack, read_member
from orchestrator.execute.engine.engine import WORK, ContainerSpec, Engine, container, volume
from orchestrator.execute.images import emulation
from orchestrator.execute.images.imageset import ImageSet
from orchestrator.execute.sources import release
from orchestrator.execute.store.store import Store
from orchestrator.matrix import capabilities, packages
from orchestrator.matrix.catalog import Source
from orchestrator.matrix.patches import read_fitted
from orchestrator.plan.action import BuildAction
from orchestrator.plan.plan import choose_runtime_image
from orchestrator.plan.render import Renderer
from orchestrator.probe import certificates, session
from orchestrator.probe.session_files import make_session_files, scale_limits
from orchestrator.record.model import CellRecord, RunRecord
from orchestrator.reproduce.finished import Replanned
from orchestrator.reproduce.folder import make_client_command
from orchestrator.reproduce.foreign import refuse_action

_log = logging.getLogger(__name__)

Role = Literal["server", "client", "build"]
ROLES: tuple[Role, ...] = ("server", "client", "build")
_FIRST = "cells/000"
"""The folder of the one cell of a session."""


@dataclass(frozen=True, kw_only=True)
class Means:
    """What a shell is opened with."""

    engine: Engine
    images: ImageSet
    store: Store
    mirrors: Sequence[str]


def open_shell(means: Means, role: Role, again: Replanned, cell: CellRecord, run: RunRecord) -> int:
    """Open a shell in a container of the cell; return its exit code once it has ended.

    Whatever ends it, the containers and their volume are removed.

    :raises UsageError: where what the run built is no longer in the store.
    :raises MatrixctlError: where an image, a source or the engine cannot be obtained.
    """
    name = f"matrixctl-shell-{secrets.token_hex(3)}"
    if role == "build":
        with _build(means, name, again, run) as (container_name, hint):
            _log.info(hint)
            return means.engine.interact(container_name, ("sh",))
    with _session(means, name, again, cell, run) as found:
        server, client = found
        _log.info(_make_hint(role, again))
        return means.engine.interact(server if role == "server" else client, ("sh",))


def _make_hint(role: Role, again: Replanned) -> str:
    cell, config = again.cell, f"{_FIRST}/haproxy.cfg"
    if role == "client":
        return f"The server runs. To ask it: {make_client_command(cell, _FIRST)}"
    before = emulation.make_prefix(
        cell.arch.arch, capabilities.find_cpu_model(cell, again.host), cell.execution.environment
    )
    program = " ".join((*before, "./haproxy"))
    return f"HAProxy runs, and logs to {_FIRST}/haproxy.log. Once more: {program} -db -f {config}"


@contextmanager
def _session(
    means: Means, name: str, again: Replanned, cell: CellRecord, run: RunRecord
) -> Iterator[tuple[str, str]]:
    """Yield the names of the server's container, with HAProxy running, and of the client's beside it."""
    first, host = again.cell, again.host
    runtime, arch = choose_runtime_image(first, host), first.arch.arch
    model = capabilities.find_cpu_model(first, host)
    programs = {"haproxy": _read(means.store, cell.build.digest, "haproxy", cell)}
    tested = _find_digest(again, run, "selftest")
    if tested and means.store.find_artifact(tested):
        programs["selftest"] = _read(means.store, tested, "selftest", cell)
    limits = scale_limits(again.limits, emulated=bool(model))
    made = session.Session(
        name=name,
        run_id=name,
        server_image=means.images.get(
            runtime, arch, packages.list_runtime_packages(first.haproxy, first.tls)
        ).tag,
        client_image=means.images.get_client(first.client).tag,
        platform=host.platform,
        haproxy=b"",
        selftest=None,
        files={},
        cells=1,
        asan=capabilities.has_asan(first.haproxy, first.tls),
        limits=limits,
        cpus=means.engine.cpus,
        keep=False,
        before=emulation.make_prefix(arch, model, first.execution.environment),
        loader=emulation.find_loader(arch, model),
    )
    server, client = session.make_specs(made)
    files = make_session_files(Renderer(), [first], limits, certificates.make())
    with (
        volume(means.engine, server.volume, name, keep=False),
        container(
            means.engine, server, files=pack({**programs, **files}, executable=tuple(programs)), keep=False
        ),
        container(means.engine, client, keep=False),
    ):
        yield server.name, client.name


@contextmanager
def _build(means: Means, name: str, again: Replanned, run: RunRecord) -> Iterator[tuple[str, str]]:
    """Yield the name of a container in which HAProxy can be built as the run did, and how."""
    action = again.plan.find_build(again.cell)
    if not isinstance(action, BuildAction) or action.recipe is None or action.recipe.source is None:
        raise UsageError(f"{again.cell.id} has no build of its own to look at")
    recipe, source = action.recipe, action.recipe.source
    path = again.sources.get(source.file) or _fetch(means, again, source)
    extra = packages.list_build_packages(recipe.haproxy, recipe.tls)
    target = recipe.target if recipe.compiles else again.host
    allowed = find_build_demand("haproxy", compiles=recipe.compiles, jobs=means.engine.cpus)
    spec = ContainerSpec(
        name=f"{name}-build",
        run_id=name,
        image=means.images.get("toolchain", target, extra).tag,
        platform=again.host.platform,
        argv=("sleep", "infinity"),
        network="none",
        volume=f"{name}-work",
        memory_bytes=allowed.memory,
        cpus=allowed.cpus,
        pids=1024,
    )
    files = {
        "build.sh": Renderer().render(recipe.template, recipe.list_values(WORK)).encode(),
        f"src/{source.file}": path.read_bytes(),
        **{f"patches/{patch.name}": read_fitted(patch) for patch in recipe.patches},
    }
    with (
        volume(means.engine, spec.volume, name, keep=False),
        container(means.engine, spec, files=pack(files), keep=False),
    ):
        if action.library:
            library = _find_digest(again, run, "tls")
            artifact = means.store.find_artifact(library) if library else None
            if artifact is None:
                raise UsageError(
                    f"the TLS library of {again.cell.id} is no longer in the store {means.store.root}",
                    resolution="Run the cell again; then it is there.",
                )
            means.engine.put(spec.name, artifact.path.read_bytes())
        yield spec.name, f"To build: JOBS={int(allowed.cpus)} sh build.sh; what comes out lies in out/."


def _fetch(means: Means, again: Replanned, source: Source) -> Path:
    """Return the file of a release tarball, from the store or where it comes from."""
    return release.fetch(
        source,
        store=means.store,
        mirrors=means.mirrors,
        deadline=time.monotonic() + again.limits.fetch,
        apt_bases=means.images.list_debian_pools(),
    ).path


def _find_digest(again: Replanned, run: RunRecord, kind: str) -> str | None:
    """Return the digest that a build of the cell had in the run.

    :raises UsageError: where the record has no digest there.
    """
    keys = {action.key for action in again.plan.actions.values() if action.kind == kind}
    found = next((one for one in run.actions if one.kind == kind and one.key in keys), None)
    if found is None:
        return None
    refuse_action(found)
    return found.digest


def _read(store: Store, digest: str | None, what: str, cell: CellRecord) -> bytes:
    artifact = store.find_artifact(digest) if digest else None
    if artifact is None:
        raise UsageError(
            f"the {what} of {cell.id} is not in the store {store.root}",
            resolution=f"Name the run's store with --store, or run the cell again: {cell.reproducer}",
        )
    return read_member([artifact.path.read_bytes()], what)
