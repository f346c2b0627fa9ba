"""Can each client of a run do what is asked of it? Proved against servers that are known to be good, before
any cell is judged: else a fault of the client would count as one of the server.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator import bounds
from orchestrator.errors import EngineError
from orchestrator.execute.engine.archive import pack
from orchestrator.execute.engine.engine import WORK, ContainerSpec, Engine, container, volume
from orchestrator.execute.system.deadline import explain_deadline
from orchestrator.frozen_value import replace_surrogates
from orchestrator.matrix import capabilities
from orchestrator.matrix.capability_table import SUITES
from orchestrator.matrix.clients import CLIENTS, choose_control_client, list_quic_lacks
from orchestrator.matrix.model import Cell, ClientValue, Limits
from orchestrator.plan.render import Renderer
from orchestrator.probe import certificates
from orchestrator.probe.session_files import (
    CLIENT_SCRIPTS,
    FIRST_PORT,
    list_job_values,
    list_requests,
    make_bodies,
    make_client_files,
)
from orchestrator.record.model import ClientProof

DEFAULT = "default"
"""``ClientProof.suite`` of a client that nothing is forced on."""
_GET = 0
"""The request of ``list_requests()`` that is sent: the small body, which the good servers have as a file."""
_MEMORY = 512 << 20


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where the proofs run: a client image, natively, without any network but its own loopback."""

    engine: Engine
    renderer: Renderer
    limits: Limits
    name: str
    """Of the container; the run's id is part of it."""
    run_id: str
    image: str
    platform: str
    keep: bool
    own: ClientValue | None = None
    """The client of the matrix that the image has beside ours; ``None``: ours alone."""


def prove(bench: Bench, cells: Iterable[Cell]) -> tuple[ClientProof, ...]:
    """Prove every client of these cells that is in the image, with every suite, over each transport it uses.

    :raises EngineError, DeadlineError: where a good server or the container broke down; that says nothing
        of a client.
    """
    entries = _list_entries(bench, cells)
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
        container(bench.engine, spec, files=pack(make_files(bench, entries)), keep=bench.keep),
    ):
        done = bench.engine.exec(
            spec.name, ("python3", f"{WORK}/prove.py", f"{WORK}/proof.json"), timeout=seconds, on_line=None
        )
    if done.timed_out:
        raise explain_deadline("The clients' proof", seconds, "request")
    if done.exit_code != 0:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise EngineError(f"The clients' proof broke down: {bounds.cut(last[0], bounds.WORDS)}")
    return tuple(_read_proof(line, bench.own) for line in done.stdout.splitlines())


def _list_entries(bench: Bench, cells: Iterable[Cell]) -> list[dict[str, Any]]:
    """Return what is to be proved: of the matrix' own client in the image, or else of ours, and over TCP."""
    asking = [cell.client for cell in cells]
    ours = sorted({client.family for client in asking if not client.is_own})
    families = ours if bench.own is None else [bench.own.family]
    used = [("h3", "3", family) for family in families]
    if bench.own is None:
        used += [
            ("h2", "2", one) for one in sorted({choose_control_client(client.family) for client in asking})
        ]
    return [
        {
            "client": family,
            "name": bench.own.name if bench.own else family,
            "own": bench.own is not None,
            "declared_version": bench.own.declared_version if bench.own else "",
            "transport": transport,
            "http_version": version,
            "suite": suite,
            # Over QUIC one good server for each client; over TCP one for each suite.
            "port": FIRST_PORT + (families.index(family) if transport == "h3" else number),
            "folder": f"proofs/{family}-{transport}-{suite or DEFAULT}",
        }
        for transport, version, family in used
        for number, suite in enumerate((*SUITES, None), start=1)
    ]


def make_files(bench: Bench, entries: Sequence[dict[str, Any]]) -> dict[str, bytes]:
    """Return path below WORK -> content."""
    requests = list_requests()[_GET : _GET + 1]
    proof = {
        **list_job_values(bench.limits, requests),
        "server_pem": f"{WORK}/server.pem",
        "proofs": entries,
    }
    own = certificates.make()  # not the run's: if those are at fault, it is no client's
    made = {
        "ca.pem": own.ca,
        "server.pem": own.server,
        **{f"bodies/{name}": body for name, body in make_bodies().items()},
        **{
            name: bench.renderer.read_source(f"probe/{name}").encode()
            for name in ("prove.py", *CLIENT_SCRIPTS)
        },
        "proof.json": json.dumps(proof, indent=1).encode(),
    }
    for entry in entries:
        values = {**proof, **entry, "title": entry["folder"], "requests": requests}
        made |= {
            f"{entry['folder']}/.keep": b"",
            **make_client_files(bench.renderer, entry["client"], values),
        }
    return made


def _read_proof(line: bytes, own: ClientValue | None) -> ClientProof:
    try:
        raw = replace_surrogates(json.loads(line))
        short = {name: bounds.cut(raw[name], bounds.WORDS) for name in ("version", "message")}
        made = ClientProof.model_validate({**raw, **short, "suite": raw["suite"] or DEFAULT})
        contradicts = _contradicts(made, own)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        said = bounds.cut(repr(error), bounds.WORDS)
        raise EngineError(f"The clients' proof wrote a line of another shape: {said}") from error
    if not contradicts:
        return made
    declared = (
        "orchestrator/matrix/clients.py declares that it cannot: the table is wrong"
        if own is None
        else f"it is declared that it cannot: correct `lacks` of {own.name} in the matrix"
    )
    return made.model_copy(update={"message": f"{made.message}; {declared}"})


def find_contradictions(proofs: Iterable[ClientProof], own: ClientValue | None = None) -> tuple[str, ...]:
    """Return one sentence for each proof that the declared table, or the client's value, does not agree with.

    :param own: as in the ``Bench`` of these proofs.
    """
    return tuple(
        f"{proof.client} can do {proof.suite} over {proof.transport}: {proof.message}"
        for proof in proofs
        if _contradicts(proof, own)
    )


def _contradicts(proof: ClientProof, own: ClientValue | None) -> bool:
    """Return whether the client can do what is declared that it cannot."""
    if own is not None:
        return proof.ok and proof.suite in list_quic_lacks(own)
    declared = CLIENTS[proof.client]
    lacks = declared.quic_lacks if proof.transport == "h3" else declared.tcp_lacks or frozenset()
    return proof.ok and proof.suite in lacks


def find_unproved(cell: Cell, proofs: Iterable[ClientProof]) -> str | None:
    """Return why the client cannot do what the cell asks, where nothing declares that; else ``None``."""
    if capabilities.find_client_lack(cell.client, cell.cipher.suite) is not None:
        return None  # it is challenged, and has to show it in the cell
    wanted = (cell.client.name, "h3", cell.cipher.suite or DEFAULT)
    for proof in proofs:
        if (proof.client, proof.transport, proof.suite) == wanted and not proof.ok:
            asked_for = f"do {cell.cipher.suite}" if cell.cipher.suite else "speak HTTP/3"
            return (
                f"{cell.client.name} could not {asked_for} even with a server that is known to be good, and "
                f"nothing declares that: {proof.message}"
            )
    return None
