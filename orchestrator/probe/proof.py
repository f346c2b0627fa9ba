"""Can each client of a run do what is asked of it? Proved against servers that are known to be good, before
any cell is judged: else a cell would fail on the server's account where the client is at fault.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator import bounds
from orchestrator.errors import EngineError
from orchestrator.execute.engine.archive import pack
from orchestrator.execute.engine.engine import WORK, ContainerSpec, Engine, container, volume
from orchestrator.execute.system.deadline import exceeded
from orchestrator.matrix import capabilities
from orchestrator.matrix.capability_table import SUITES
from orchestrator.matrix.clients import CLIENTS, control_client
from orchestrator.matrix.model import Cell, Limits
from orchestrator.plan.render import Renderer
from orchestrator.probe import certificates
from orchestrator.probe.files import CLIENT_SCRIPTS, FIRST_PORT, asked, bodies, client_files, job_values
from orchestrator.record.model import ClientProof
from orchestrator.value import whole

DEFAULT = "default"
"""``ClientProof.suite`` of a client that nothing is forced on."""
_GET = 0
"""Which of ``asked()`` is asked for: the small body, which the good servers have as a file."""
_MEMORY = 512 << 20


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where the proofs run: the client image, natively, without any network but its own loopback."""

    engine: Engine
    renderer: Renderer
    limits: Limits
    name: str
    """Of the container; the run's id is part of it."""
    run_id: str
    image: str
    platform: str
    keep: bool


def prove(bench: Bench, cells: Iterable[Cell]) -> tuple[ClientProof, ...]:
    """Every client of these cells, with every suite, over each transport that it is used for.

    :raises EngineError, DeadlineError: where a good server or the container broke down; that says nothing
        of a client.
    """
    entries = _entries(sorted({cell.client.family for cell in cells}))
    spec = ContainerSpec(
        name=f"{bench.name}-clients",
        run_id=bench.run_id,
        image=bench.image,
        platform=bench.platform,
        argv=("sleep", "infinity"),
        network="none",
        volume=f"{bench.name}-work",
        memory_bytes=_MEMORY,
        cpus=2,
    )
    seconds = 30 + len(entries) * (bench.limits.request * 4 + 2)
    with (
        volume(bench.engine, spec.volume, bench.run_id, keep=bench.keep),
        container(bench.engine, spec, files=pack(files(bench, entries)), keep=bench.keep),
    ):
        done = bench.engine.exec(
            spec.name, ("python3", f"{WORK}/prove.py", f"{WORK}/proof.json"), timeout=seconds, on_line=None
        )
    if done.timed_out:
        raise exceeded("The clients' proof", seconds, "request")
    if done.exit_code != 0:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise EngineError(f"The clients' proof broke down: {bounds.cut(last[0], bounds.WORDS)}")
    return tuple(_proof(line) for line in done.stdout.splitlines())


def _entries(clients: Sequence[str]) -> list[dict[str, Any]]:
    used = [("h3", "3", client) for client in clients]
    used += [("h2", "2", client) for client in sorted({control_client(client) for client in clients})]
    return [
        {
            "client": client,
            "transport": transport,
            "http_version": version,
            "suite": suite,
            # Over QUIC one good server for each client; over TCP one for each suite.
            "port": FIRST_PORT + (clients.index(client) if transport == "h3" else number),
            "folder": f"proofs/{client}-{transport}-{suite or DEFAULT}",
        }
        for transport, version, client in used
        for number, suite in enumerate((*SUITES, None), start=1)
    ]


def files(bench: Bench, entries: Sequence[dict[str, Any]]) -> dict[str, bytes]:
    """Path below WORK -> content."""
    requests = asked()[_GET : _GET + 1]
    proof = {
        **job_values(bench.limits, requests),
        "server_pem": f"{WORK}/server.pem",
        "proofs": entries,
    }
    own = certificates.make()  # not the run's: if those are at fault, it is no client's
    made = {
        "ca.pem": own.ca,
        "server.pem": own.server,
        **{f"bodies/{name}": body for name, body in bodies().items()},
        **{name: bench.renderer.source(f"probe/{name}").encode() for name in ("prove.py", *CLIENT_SCRIPTS)},
        "proof.json": json.dumps(proof, indent=1).encode(),
    }
    for entry in entries:
        values = {**proof, **entry, "title": entry["folder"], "requests": requests}
        made |= {f"{entry['folder']}/.keep": b"", **client_files(bench.renderer, entry["client"], values)}
    return made


def _proof(line: bytes) -> ClientProof:
    try:
        raw = whole(json.loads(line))
        short = {name: bounds.cut(raw[name], bounds.WORDS) for name in ("version", "message")}
        made = ClientProof.model_validate({**raw, **short, "suite": raw["suite"] or DEFAULT})
        contradicts = _contradicts(made)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        said = bounds.cut(repr(error), bounds.WORDS)
        raise EngineError(f"The clients' proof wrote a line of another shape: {said}") from error
    if contradicts:
        wrong = f"{made.message}; orchestrator/matrix/clients.py declares that it cannot: the table is wrong"
        return made.model_copy(update={"message": wrong})
    return made


def contradictions(proofs: Iterable[ClientProof]) -> tuple[str, ...]:
    """One sentence for each proof that the declared table does not agree with."""
    return tuple(
        f"{proof.client} can do {proof.suite} over {proof.transport}: {proof.message}"
        for proof in proofs
        if _contradicts(proof)
    )


def _contradicts(proof: ClientProof) -> bool:
    """Whether the client can do what the table declares that it cannot."""
    declared = CLIENTS[proof.client]
    lacks = declared.quic_lacks if proof.transport == "h3" else declared.tcp_lacks or frozenset()
    return proof.ok and proof.suite in lacks


def cannot(cell: Cell, proofs: Iterable[ClientProof]) -> str | None:
    """Why the client of this cell cannot do what the cell asks, which nothing declares; else ``None``."""
    if capabilities.client_cannot(cell.client, cell.cipher.suite) is not None:
        return None  # it is challenged, and has to show it in the cell
    wanted = (cell.client.family, "h3", cell.cipher.suite or DEFAULT)
    for proof in proofs:
        if (proof.client, proof.transport, proof.suite) == wanted and not proof.ok:
            asked_for = f"do {cell.cipher.suite}" if cell.cipher.suite else "speak HTTP/3"
            return (
                f"{cell.client.name} could not {asked_for} even with a server that is known to be good, and "
                f"nothing declares that: {proof.message}"
            )
    return None
