"""The stage of a run that runs cells whose server crashed once more, under gdb, for a backtrace."""

import hashlib
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from orchestrator import unexpected_error
from orchestrator.app.actions.build import find_library, make_task
from orchestrator.app.actions.image import record_image
from orchestrator.app.confirm import spread
from orchestrator.app.stages import Run, lift_fail_fast
from orchestrator.errors import DeadlineError, MatrixctlError, RecordError
from orchestrator.execute.compile import compile_once
from orchestrator.execute.engine.archive import read_member
from orchestrator.execute.engine.engine import WORK
from orchestrator.execute.images import emulation
from orchestrator.matrix import capabilities, packages
from orchestrator.matrix.model import Cell
from orchestrator.plan.action import BuildAction
from orchestrator.plan.plan import Plan
from orchestrator.probe import backtrace
from orchestrator.probe.session import Session
from orchestrator.probe.session_files import scale_limits
from orchestrator.record.model import Backtrace

_log = logging.getLogger(__name__)

_CELLS, _MINUTES = 12, 10.0
"""Of one run: how many cells are run under gdb, and in how many minutes, with what is built for that."""
_SHORTEST = 5.0
"""Seconds below which nothing is begun."""
_BOUNDS = f"a run gets backtraces of {_CELLS} cells, in {_MINUTES:g} minutes"
_SYMBOLS = "build/symbols.sh.j2"


def take_backtraces(run: Run) -> Run:
    """Run each cell whose server crashed once more under gdb, and keep what it says.

    Nothing that goes wrong here changes what a cell was judged; it says so in the backtrace's place.
    Each build's first cell comes before any build's second. What still goes on when the time is over is cut
    off, but for an image that is being made.
    """
    clock = _Clock(ends=time.monotonic() + _MINUTES * 60)
    with lift_fail_fast(run):
        for number, cell in enumerate(spread(run.crashed)):
            if run.context.cancel():
                return run
            if number >= _CELLS or clock.measure_left() < _SHORTEST:
                run.ledger.keep_backtrace(cell, _explain(_BOUNDS), "")
                continue
            made, text = _run_or_explain(run, cell, clock)
            if not run.context.cancel():
                run.ledger.keep_backtrace(cell, made, text)
    return run


@dataclass(frozen=True, kw_only=True)
class _Clock:
    """The time for all backtraces of a run. ``ends`` is of ``time.monotonic()``."""

    ends: float

    def measure_left(self) -> float:
        """Return the seconds that are left."""
        return self.ends - time.monotonic()

    def allow(self) -> float:
        """Return the seconds that what begins now may take.

        :raises MatrixctlError: where there are too few to begin.
        """
        left = self.measure_left()
        if left < _SHORTEST:
            raise MatrixctlError(_BOUNDS)
        return left


def _explain(problem: str, *, tries: int = 0) -> Backtrace:
    return Backtrace(tries=tries, signal="", frames=(), symbols="", problem=problem, evidence=None)


def _run_or_explain(run: Run, cell: Cell, clock: _Clock) -> tuple[Backtrace, str]:
    try:
        return _run_under_gdb(run, cell, clock)
    except RecordError:
        raise
    except DeadlineError as error:
        return _explain(_BOUNDS if clock.measure_left() < _SHORTEST else error.brief), ""
    except MatrixctlError as error:
        return _explain(error.brief), ""
    except Exception as error:  # noqa: BLE001 - a backtrace is no reason to lose a run
        return _explain(unexpected_error.keep_traceback(run.context.folder, error)), ""


@dataclass(frozen=True, kw_only=True)
class _Program:
    """What is run under gdb, and where its names come from."""

    content: bytes
    symbols: str


def _run_under_gdb(run: Run, cell: Cell, clock: _Clock) -> tuple[Backtrace, str]:
    program = _find_program(run, run.ledger.plan, cell, clock)
    made = _make_session(run, cell, program.content)
    tries: list[backtrace.GdbOutput] = []
    while len(tries) < backtrace.TRIES and not (tries and tries[-1].signal) and not run.context.cancel():
        name = f"matrixctl-{run.context.run_id}-debug-{secrets.token_hex(3)}"
        try:
            once = replace(made, name=name, longest=clock.allow())
            tries.append(backtrace.run_under_gdb(run.context.engine, once))
        except MatrixctlError:
            if not tries:
                raise
            break  # what the tries before said is worth more than why there are no more
    if not tries:
        raise MatrixctlError("the run was interrupted before it was run under gdb")
    last = tries[-1]
    found = Backtrace(
        tries=len(tries),
        signal=last.signal,
        frames=last.frames,
        symbols=program.symbols,
        problem="" if last.text.strip() else "gdb said nothing",
        evidence=None,
    )
    return found, backtrace.write_head(cell, tries, program.symbols) + last.text


def _make_session(run: Run, cell: Cell, program: bytes) -> Session:
    context, arch = run.context, cell.arch.arch
    if context.find_host(cell) != context.host:
        raise MatrixctlError(f"it crashed on a worker of {arch.name}, and gdb runs here: {context.host.name}")
    model = capabilities.find_cpu_model(cell, context.host)
    limits = scale_limits(context.limits, emulated=bool(model))
    limits = limits.model_copy(update={"ready": 2 * limits.ready})  # gdb reads the symbols first
    name = "emulated-debugger" if cell.is_emulated_on(context.host) else "debugger"
    image = context.images.get(name, arch, packages.list_runtime_packages(cell.haproxy, cell.tls))
    record_image(context, image)
    return Session(
        name="",
        run_id=context.run_id,
        server_image=image.tag,
        client_image=context.images.get_client(cell.client).tag,
        platform=context.host.platform,
        haproxy=program,
        selftest=None,
        files=backtrace.make_debug_files(context.renderer, cell, limits, context.options.certificates()),
        cells=1,
        asan=capabilities.has_asan(cell.haproxy, cell.tls),
        limits=limits,
        cpus=context.options.jobs,
        keep=context.options.keep,
        before=emulation.make_prefix(arch, model, cell.execution.environment),
        loader=emulation.find_loader(arch, model),
    )


def _find_program(run: Run, plan: Plan, cell: Cell, clock: _Clock) -> _Program:
    """Return the build with -g where its code is that of the cell's, else the cell's own.

    :raises MatrixctlError: where the store has not the cell's build.
    """
    build = plan.find_build(cell)
    artifact = run.context.store.find_artifact(build.digest) if build and build.digest else None
    if artifact is None or not isinstance(build, BuildAction):
        raise MatrixctlError(f"the HAProxy of {cell.id} is gone from the store")
    own = read_member([artifact.path.read_bytes()], "haproxy")
    if build.recipe is None or not build.recipe.compiles:
        source = "Debian's" if cell.haproxy.source == "distro" else "a prebuilt HAProxy's"
        return _Program(content=own, symbols=f"{source} own, as it was not compiled here: mostly none")
    try:
        other = _build_with_symbols(run, plan, build, clock)
    except RecordError:
        raise
    except (MatrixctlError, OSError, KeyError) as error:
        why = error.brief if isinstance(error, MatrixctlError) else repr(error)
        return _Program(content=own, symbols=f"names alone, as it could not be built with -g: {why}")
    code = backtrace.hash_code(own)
    if not backtrace.has_lines(other):
        return _Program(content=own, symbols="names alone, as its compiler takes no -g from us")
    if not code or code != backtrace.hash_code(other):
        return _Program(content=own, symbols="names alone, as its .text differs from that of a build with -g")
    same = f"HAProxy built once more with -g; its .text is the probed one's, SHA-256 {code}"
    return _Program(content=other, symbols=f"{same}. A library of our own has its names alone")


def _build_with_symbols(run: Run, plan: Plan, build: BuildAction, clock: _Clock) -> bytes:
    """Build HAProxy as the cell's was, with -g; it lies in the store under a digest of its own."""
    context, recipe = run.context, build.recipe
    if recipe is None or build.digest is None:
        raise MatrixctlError(f"{build.name} has no recipe")
    values: Mapping[str, object] = recipe.list_values(WORK)
    script = context.renderer.render(_SYMBOLS, values)
    digest = hashlib.sha256(f"{build.digest}\n{script}".encode()).hexdigest()
    parents = (find_library(context.store, plan.actions[build.library]),) if build.library else ()
    task = make_task(
        context,
        "haproxy",
        recipe,
        digest=digest,
        source=run.sources.find_path(build.source) if build.source else None,
        parents=parents,
    )
    if not context.store.has(digest):
        _log.info("building %s with -g, for a backtrace", build.name)
    # The compiler's cache knows nothing of our -g.
    task = replace(task, script=script, caches=(), kept_cache=None, timeout=min(task.timeout, clock.allow()))
    return read_member([compile_once(context.engine, context.store, task).path.read_bytes()], "haproxy")
