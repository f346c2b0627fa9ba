"""Probes the cells of one build."""

import logging
import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.app.actions.image import record_image
from orchestrator.app.context import Context
from orchestrator.app.once import Once
from orchestrator.errors import MatrixctlError
from orchestrator.execute.engine.archive import read_member
from orchestrator.execute.engine.engine import Engine
from orchestrator.matrix import capabilities, packages
from orchestrator.matrix.model import Cell, ClientValue, Unsupported
from orchestrator.outcome import Reason
from orchestrator.plan.action import ProbeAction
from orchestrator.plan.plan import Plan, choose_runtime_image
from orchestrator.probe import trace_attempt
from orchestrator.probe.certificates import Certificates
from orchestrator.probe.judge import Judgement, conclude
from orchestrator.probe.prober import FIRST, Circumstances, OnJudgement, Prober, SessionImages
from orchestrator.probe.proof import Bench, find_contradictions, find_unproved, prove
from orchestrator.probe.session import OnLine, Raw, Session
from orchestrator.record import journal
from orchestrator.record.model import ActionStatus, ClientProof

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Probing:
    """What the sessions of a run share, and where their results go.

    :ivar declared: what is declared impossible of a cell, to be held against what happens.
    :ivar record_attempt: takes each attempt at a cell as it is judged.
    :ivar record_selftest: takes the output of the cells' self-test.
    :ivar keep_version: takes what ``haproxy -vv`` of a cell's build says.
    :ivar is_due: whether the verdict on a cell is still to be confirmed.
    :ivar find_rounds: the attempts that are to be made for that.
    :ivar settle: takes the cell when they were made.
    :ivar record_traced: takes a judged cell that was run again to see what it does.
    :ivar proofs: what the clients of an image can do, by the matrix' own client in it, or an empty name for
        ours; the first session proves it, the others wait for that.
    :ivar capturer: the image that captures packets, or why there is none.
    """

    certificates: Certificates
    declared: Callable[[Cell], Unsupported | None]
    record_attempt: OnJudgement
    record_selftest: Callable[[Sequence[Cell], Raw], None]
    keep_version: Callable[[Cell, str], None]
    is_due: Callable[[Cell], bool]
    find_rounds: Callable[[Cell], tuple[str, ...]]
    settle: Callable[[Cell], None]
    record_traced: Callable[[Cell, Judgement, Circumstances, trace_attempt.Catch], None]
    proofs: Mapping[str, Once[tuple[ClientProof, ...]]] = field(default_factory=lambda: defaultdict(Once))
    capturer: Once[str | MatrixctlError] = field(default_factory=Once)


def do(context: Context, action: ProbeAction, plan: Plan, probing: Probing) -> ActionStatus:
    """Probe every cell of the action until it is judged.

    :raises EmulationError: where QEMU has not the CPU that the cells ask for.
    :raises MatrixctlError: where the build is gone, or the clients could not be proved.
    """
    cells = [plan.cells[key] for key in action.cells]
    first, runtime = cells[0], choose_runtime_image(cells[0], context.host)
    arch, extra = first.arch.arch, packages.list_runtime_packages(first.haproxy, first.tls)
    if first.execution.cpu:  # the image itself was proved on the default one
        context.images.prove_cpu(runtime, arch, capabilities.find_cpu_model(first, context.host), extra)
    images = SessionImages(
        server=context.images.get(runtime, arch, extra).tag,
        client=context.images.get_client(first.client).tag,
    )
    haproxy = _read_program(context, action, plan)
    proofs = _prove_clients(context, plan, probing, first.client)
    able = [cell for cell in cells if not _refuse_client(cell, proofs, probing)]
    if able and action.traced:
        _trace(context, probing, able[0], haproxy, images)
    elif able:
        prober = _make_prober(context, probing, _read_selftest(context, action, plan))
        replace(prober, rounds=action.rounds or prober.rounds).probe(able, haproxy, images)
        if context.options.fail_fast and not action.rounds:
            _confirm(prober, able, haproxy, images, probing)
    return "interrupted" if context.cancel() else "succeeded"


def _confirm(
    prober: Prober, cells: Sequence[Cell], haproxy: bytes, images: SessionImages, probing: Probing
) -> None:
    """Confirm what the run may end at, before it goes on."""
    for cell in cells:
        if probing.is_due(cell) and not prober.cancelled():
            replace(prober, rounds=probing.find_rounds(cell)).probe([cell], haproxy, images)
            if not prober.cancelled():
                probing.settle(cell)


def _trace(context: Context, probing: Probing, cell: Cell, haproxy: bytes, images: SessionImages) -> None:
    """Run a judged cell again to see what it does; keep that, and write it down."""
    ends: list[tuple[Judgement, Circumstances]] = []
    catch = trace_attempt.Catch()

    def run(engine: Engine, made: Session, on_line: OnLine) -> None:
        nonlocal catch
        catch = trace_attempt.run(engine, made, lambda: _find_capturer(context, probing), on_line)

    prober = replace(
        _make_prober(context, probing, None),
        rounds=(trace_attempt.FOLDER,),
        traced=True,
        run=run,
        judged=lambda _, judged, told: ends.append((judged, told)),
        versioned=lambda _, __: None,
    )
    prober.probe([cell], haproxy, images)
    if ends and not context.cancel():
        probing.record_traced(cell, *ends[-1], catch)


def _find_capturer(context: Context, probing: Probing) -> str:
    """Return the tag of the image that captures; where it cannot be made, that is tried once in a run."""

    def make() -> str | MatrixctlError:
        try:
            image = context.images.get("capture", context.host)
        except MatrixctlError as error:
            return error
        record_image(context, image)
        return image.tag

    made = probing.capturer.get(make)
    if isinstance(made, MatrixctlError):
        raise made
    return made


def _make_prober(context: Context, probing: Probing, selftest: bytes | None) -> Prober:
    return Prober(
        engine=context.engine,
        host=context.host,
        renderer=context.renderer,
        limits=context.limits,
        certificates=probing.certificates,
        run_id=context.run_id,
        folder=context.folder,
        cpus=context.options.jobs,
        rounds=(FIRST, *(f"repeat {number}" for number in range(2, context.options.repeat + 1))),
        keep=context.options.keep,
        declared=probing.declared,
        cancelled=context.cancel,
        judged=probing.record_attempt,
        broken=context.recorder.give_up,
        selftest=selftest,
        selftested=probing.record_selftest,
        versioned=probing.keep_version,
    )


def _refuse_client(cell: Cell, proofs: Sequence[ClientProof], probing: Probing) -> bool:
    """Judge a cell whose client cannot do what it would be asked; return whether that is so."""
    problem = find_unproved(cell, proofs)
    if problem is None:
        return False
    probing.record_attempt(cell, conclude(Reason.CLIENT_CANNOT_OFFER, problem), Circumstances())
    return True


def _prove_clients(
    context: Context, plan: Plan, probing: Probing, client: ClientValue
) -> tuple[ClientProof, ...]:
    """Return what our clients can do, who send the control, and what the matrix' own client can."""
    ours = probing.proofs[""].get(lambda: _prove_image(context, plan, None))
    if not client.is_own:
        return ours
    return ours + probing.proofs[client.name].get(lambda: _prove_image(context, plan, client))


def _prove_image(context: Context, plan: Plan, own: ClientValue | None) -> tuple[ClientProof, ...]:
    image = context.images.get_client(own) if own else context.images.get("client", context.host)
    bench = Bench(
        engine=context.engine,
        renderer=context.renderer,
        limits=context.limits,
        name=f"matrixctl-{context.run_id}-proof-{secrets.token_hex(3)}",
        run_id=context.run_id,
        image=image.tag,
        platform=context.host.platform,
        keep=context.options.keep,
        own=own,
    )
    proofs = prove(bench, plan.cells.values())
    context.recorder.emit(journal.ClientsProved(clients=proofs))
    for message in find_contradictions(proofs, own):
        _log.warning("%s", message)
    return proofs


def _read_program(context: Context, action: ProbeAction, plan: Plan) -> bytes:
    build = plan.actions[action.build]
    artifact = context.store.find_artifact(build.digest or "")
    if artifact is None:
        raise MatrixctlError(f"The artifact of {build.name} is gone from the store.")
    return read_member([artifact.path.read_bytes()], "haproxy")


def _read_selftest(context: Context, action: ProbeAction, plan: Plan) -> bytes | None:
    """Return the self-test's program, or ``None`` where it could not be compiled."""
    built = plan.actions[action.selftest].digest if action.selftest else None
    artifact = context.store.find_artifact(built) if built else None
    return read_member([artifact.path.read_bytes()], "selftest") if artifact else None
