"""Every file that a probe session needs, rendered: the same ones that ``matrixctl render`` writes."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from orchestrator.execute.engine.engine import WORK
from orchestrator.matrix import capabilities
from orchestrator.matrix.clients import choose_control_client
from orchestrator.matrix.model import Cell, Limits
from orchestrator.plan.render import Renderer
from orchestrator.probe.certificates import SERVER_NAME, Certificates

ORIGIN_PORT = 19000
FIRST_PORT = 20000
"""Each cell's process has its own port, the same number for UDP and TCP."""
TRACING_SCRIPTS = ("tracing.py", "capture.sh", "read_capture.sh")
CLIENT_SCRIPTS = ("clients.py", "gtlsclient.py", "own_client.py", "aioquic_client.py")
_SCRIPTS = ("supervise.sh", "origin.py", "driver.py")
_MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request: its name, path, the body expected back or sent, and that body's SHA-256."""

    name: str
    path: str
    upload: str | None
    sha256: str
    length: int


@cache  # 40 ms, and asked for with every cell
def make_bodies() -> Mapping[str, bytes]:
    """Return the origin's files: 1 KiB and 1 MiB that no compression or repetition could fake."""
    stream = b"".join(hashlib.sha256(number.to_bytes(8, "big")).digest() for number in range(_MIB // 32))
    return {"1k": stream[:1024], "1m": stream}


@cache
def list_requests() -> tuple[Asked, ...]:
    """Return the requests of one exchange, in order: first small, then large, then the upload."""
    content = make_bodies()
    digests = {name: hashlib.sha256(body).hexdigest() for name, body in content.items()}
    return tuple(
        Asked(name=name, path=path, upload=upload, sha256=digests[body], length=len(content[body]))
        for name, path, upload, body in (
            ("get-1k", "/1k", None, "1k"),
            ("get-1m", "/1m", None, "1m"),
            ("post-1m", "/upload", "1m", "1m"),
        )
    )


def scale_limits(limits: Limits, *, emulated: bool) -> Limits:
    """Return the limits that hold for a server, which is slower under emulation."""
    factor = limits.emulated if emulated else 1
    return limits.model_copy(update={"ready": limits.ready * factor, "request": limits.request * factor})


def make_session_files(
    renderer: Renderer,
    cells: Sequence[Cell],
    limits: Limits,
    certificates: Certificates | None,
    *,
    traced: bool = False,
) -> dict[str, bytes]:
    """Return path below WORK -> content, for all cells of one build. The HAProxy binary is not among them.

    :param certificates: ``None``: they are made later, where the files are used.
    :param traced: the one cell is run to see what it does, not to judge it; see templates/probe/tracing.py.
    """
    requests = list_requests()
    files: dict[str, bytes] = {
        **({"ca.pem": certificates.ca, "server.pem": certificates.server} if certificates else {}),
        **{f"bodies/{name}": body for name, body in make_bodies().items()},
        **{
            name: renderer.read_source(f"probe/{name}").encode()
            for name in (*_SCRIPTS, *CLIENT_SCRIPTS, *(TRACING_SCRIPTS if traced else ()))
        },
        "session.json": json.dumps(_make_session(cells, limits, requests, traced=traced), indent=1).encode(),
    }
    for number, cell in enumerate(cells):
        values = {**_list_values(cell, number, limits, requests), "traced": traced}
        folder = values["folder"]
        files[f"{folder}/haproxy.cfg"] = renderer.render("probe/haproxy.cfg.j2", values).encode()
        for transport, client in (
            ("h3", cell.client.family),
            ("control", choose_control_client(cell.client.family)),
        ):
            files |= make_client_files(renderer, client, {**values, "transport": transport})
    return files


def make_client_files(renderer: Renderer, client: str, values: Mapping[str, object]) -> dict[str, bytes]:
    """Return the file of a client that needs one of its own; for the others ``session.json`` has it all."""
    if client != "curl":
        return {}
    text = renderer.render("probe/curlrc.j2", values)
    return {f"{values['folder']}/{values['transport']}.curlrc": text.encode()}


def _make_session(
    cells: Sequence[Cell], limits: Limits, requests: Sequence[Asked], *, traced: bool
) -> dict[str, object]:
    return {
        **({"traced": True} if traced else {}),
        **list_job_values(limits, requests),
        "origin_port": ORIGIN_PORT,
        "ready_s": limits.ready,
        "cells": [
            {
                "id": cell.id,
                "folder": _name_folder(number),
                "port": FIRST_PORT + number,
                "client": cell.client.family,
                "own": cell.client.is_own,
                "control_client": choose_control_client(cell.client.family),
                "suite": cell.cipher.suite,
            }
            for number, cell in enumerate(cells)
        ],
    }


def list_job_values(limits: Limits, requests: Sequence[Asked]) -> dict[str, object]:
    """Return what every client gets: see templates/probe/clients.py."""
    return {
        "work": WORK,
        "server_name": SERVER_NAME,
        "ca": f"{WORK}/ca.pem",
        "bodies": f"{WORK}/bodies",
        "request_s": limits.request,
        "requests": [
            {"name": one.name, "path": one.path, "upload": one.upload, "sha256": one.sha256}
            for one in requests
        ],
    }


def _name_folder(number: int) -> str:
    # A number, since the path of a Unix socket may have 107 bytes at most.
    return f"cells/{number:03d}"


def _list_values(cell: Cell, number: int, limits: Limits, requests: Sequence[Asked]) -> Mapping[str, object]:
    return {
        "cell": cell,
        "title": cell.id,
        "suite": cell.cipher.suite,
        "work": WORK,
        "folder": _name_folder(number),
        "port": FIRST_PORT + number,
        "origin_port": ORIGIN_PORT,
        "server_name": SERVER_NAME,
        "requests": requests,
        "request_s": f"{limits.request:g}",
        # Longer than the client waits, so that a hang shows as the client's time-out and nothing else.
        "client_timeout_s": int(limits.request) + 5,
        "limited_quic": capabilities.needs_limited_quic(cell.haproxy, cell.tls),
        "ciphersuites": capabilities.find_bind_suite(cell),
    }
