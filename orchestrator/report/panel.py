"""What a cell's panel shows, as rows that the template only has to print."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator import closecode
from orchestrator.matrix import banner
from orchestrator.matrix.clients import choose_control_client
from orchestrator.matrix.model import HaproxyValue, TlsValue
from orchestrator.outcome import Outcome
from orchestrator.record.model import Attempt, Attestation, Backtrace, CellRecord, Exchange, Request, Server
from orchestrator.report import text, trace, units

_LOG_LINES = 30
_LINE = 400
"""Characters of one log line. The whole log is among the evidence."""


class ExchangeHead(NamedTuple):
    """One exchange above the requests table: its title, and the name of each of its requests."""

    title: str
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RequestLine:
    """One line of the requests table; ``good`` is ``None`` where there is nothing to judge."""

    label: str
    values: tuple[tuple[str, bool | None], ...]


class LinkedFile(NamedTuple):
    """A file of the run's folder, to be linked."""

    path: str


class PanelFact(NamedTuple):
    """What there is to say under one label."""

    label: str
    said: tuple[str | LinkedFile, ...]


@dataclass(frozen=True, kw_only=True)
class AttestationLine:
    """What was declared against what was found; ``good`` is ``None`` where they cannot be compared."""

    what: str
    declared: str
    found: str
    good: bool | None


def list_exchanges(cell: CellRecord) -> tuple[tuple[str, str, Exchange], ...]:
    """Return the measured exchanges with title and client: HTTP/3 first, then the control."""
    if cell.observations is None:
        return ()
    client = cell.axes.client
    found = (
        ("HTTP/3, QUIC", client.name, cell.observations.h3),
        ("control: HTTP/2, TCP", choose_control_client(client.family), cell.observations.control),
    )
    return tuple((title, asker, exchange) for title, asker, exchange in found if exchange is not None)


def list_heads(cell: CellRecord) -> tuple[ExchangeHead, ...]:
    """Return the heads of the requests table. An exchange without a request has one column, of a dash."""
    return tuple(
        ExchangeHead(
            title=f"{title}, {client}: exit {exchange.exit_code}" if exchange.exit_code else title,
            names=tuple(request.name for request in exchange.requests) or (units.NOT_MEASURED,),
        )
        for title, client, exchange in list_exchanges(cell)
    )


def list_lines(cell: CellRecord) -> tuple[RequestLine, ...]:
    """Return the requests of all exchanges, one column each, one line per measured quantity.

    An exchange without any request (the client never came so far) has one column of dashes.
    """
    requests = [
        request for _, _, exchange in list_exchanges(cell) for request in exchange.requests or (None,)
    ]
    found = tuple(
        RequestLine(
            label=label,
            values=tuple(show(request) if request else (units.NOT_MEASURED, None) for request in requests),
        )
        for label, show in _LINES.items()
    )
    return tuple(
        line
        for line in found
        if line.label not in _RARE or any(value != units.NOT_MEASURED for value, _ in line.values)
    )


def list_facts(cell: CellRecord) -> Iterator[PanelFact]:
    """Yield what every panel says beside the verdict. The script prints the same for what passes."""
    seen, proof = cell.observations, cell.attestation
    if seen is not None:
        negotiated = trace.describe_suite(cell) or units.NOT_MEASURED
        yield PanelFact("negotiated", (", ".join(filter(None, (negotiated, seen.negotiated_protocol))),))
    yield PanelFact("execution", (describe_execution(cell),))
    if seen is not None and seen.server is not None:
        yield PanelFact("server", (describe_server(seen.server),))
    if proof is not None and proof.needed:
        api = f"; QUIC {proof.quic_api}" if proof.quic_api else ""
        yield PanelFact("linked to", (f"{' '.join(proof.needed)}{api}",))
    if cell.evidence:
        yield PanelFact("evidence", tuple(map(LinkedFile, cell.evidence)))
    if cell.build.vv:
        yield PanelFact("haproxy -vv", (LinkedFile(cell.build.vv),))


def describe_server(found: Server) -> str:
    """Return when HAProxy was ready, and what else there is to know of its process, on one line."""
    ready = (
        "never ready"
        if found.ready_s is None
        else f"ready after {units.format_milliseconds(found.ready_s)} ms"
    )
    failed = f"{found.handshake_failures} failed handshakes" if found.handshake_failures else ""
    names = f"; bind names {found.forced_ciphersuites}" if found.forced_ciphersuites else ""
    return ", ".join(filter(None, (ready, describe_end(found), failed))) + names


def describe_execution(cell: CellRecord) -> str:
    """Return where the server ran, on one line: mode, host, QEMU, CPU, variables, what the CPU can."""
    ran = cell.execution
    parts = [f"{ran.mode} on {ran.host_arch}"]
    if ran.qemu_version:
        parts.append(f"QEMU {ran.qemu_version}")
    if ran.cpu_model:
        parts.append(f"CPU model {ran.cpu_model}")
    parts.extend(cell.axes.execution.environment)
    features = f"; CPU can {' '.join(ran.cpu_features)}" if ran.cpu_features else ""
    return ", ".join(parts) + features


def describe_attempt(made: Attempt) -> str:
    """Return how one attempt ended, on one line: outcome, reason, how long it took, and its message."""
    reason = f" {made.reason}" if made.reason else ""
    message = f"; {made.message}" if made.message else ""
    return f"{made.outcome}{reason}, {units.format_duration(made.duration_s)}{message}"


def describe_end(server: Server) -> str:
    """Return how and when the process ended by itself, as in ``ended by SIGSEGV, in the control``."""
    if server.exit_code is None:
        return ""
    how = f"ended by {server.signal}" if server.signal else f"ended with exit status {server.exit_code}"
    return ", ".join(part for part in (how, _PHASES[server.ended_in]) if part)


_PHASES = {
    "start": "before it listened",
    "h3": "while it was asked over HTTP/3",
    "control": "in the control",
    "stop": "after the last answer",
    None: "",
}


def describe_backtrace(found: Backtrace) -> str:
    """Return the result of a second run under gdb as one clause; it decides nothing."""
    if found.problem:
        return f"none: {found.problem}"
    tries = "1 try" if found.tries == 1 else f"{found.tries} tries"
    if not found.signal:
        return f"none: it did not crash again under gdb, in {tries}"
    return (
        f"of a second run under gdb, which stopped at {found.signal}, after {tries}; symbols: {found.symbols}"
    )


def list_complaints(cell: CellRecord) -> Iterator[str]:
    """Yield what the client said of the requests that did not end well."""
    for title, client, exchange in list_exchanges(cell):
        for request in exchange.requests:
            if request.exit_code or request.error:
                said = text.shorten(text.join_lines(request.error), _LINE) or "no message"
                yield f"{title.split(',')[0]}, {request.name}: {client} {request.exit_code}, {said}"


def find_log_end(cell: CellRecord) -> str:
    """Return the end of HAProxy's log.

    A cell that passes has it among its evidence only: it would be most of a large page.
    """
    if cell.observations is None or cell.observations.server is None:
        return ""
    if cell.outcome is Outcome.PASS and cell.evidence:
        return ""
    return "\n".join(text.shorten(line, _LINE) for line in cell.observations.server.log_tail[-_LOG_LINES:])


def list_claims(cell: CellRecord, found: Attestation) -> tuple[AttestationLine, ...]:
    """Return what was declared beside what was found, compared as the attestation compares."""
    axes = cell.axes
    library = f"{axes.tls.family} {axes.tls.version}"
    built, running = found.tls_built, found.tls_running
    rows = [
        _make_claim("machine", axes.arch.arch.machine, found.machine),
        _make_claim("ELF machine", axes.arch.arch.elf_machine, found.elf_machine),
        AttestationLine(
            what="HAProxy",
            declared=axes.haproxy.version,
            found=_mark_unknown(found.haproxy_version),
            good=_is_same_haproxy(axes.haproxy, found.haproxy_version),
        ),
        AttestationLine(
            what="TLS built with",
            declared=library,
            found=_mark_unknown(built),
            good=_is_declared(axes.tls, built),
        ),
        AttestationLine(
            what="TLS running on",
            declared=library,
            found=_mark_unknown(running),
            good=_runs_on_it(axes.tls, built, running),
        ),
        _make_claim("QUIC", "yes", {True: "yes", False: "no", None: None}[found.quic]),
    ]
    if found.tls_prefix_found is not None:
        rows.append(
            _make_claim(
                "own prefix", "in the binary", "in the binary" if found.tls_prefix_found else "missing"
            )
        )
    return tuple(rows)


def _make_claim(what: str, declared: str, found: str | None) -> AttestationLine:
    return AttestationLine(
        what=what,
        declared=declared,
        found=_mark_unknown(found),
        good=None if found is None else found == declared,
    )


def _is_same_haproxy(declared: HaproxyValue, said: str | None) -> bool | None:
    return None if said is None else banner.is_haproxy(declared, said)


def _is_declared(declared: TlsValue, said: str | None) -> bool | None:
    """Return whether it is; ``None`` also for a family that only the record knows."""
    if said is None or declared.family not in banner.BANNERS:
        return None
    return banner.is_declared(declared, said)


def _runs_on_it(declared: TlsValue, built: str | None, running: str | None) -> bool | None:
    """Return whether it is; ``None`` where a distribution has replaced its library, as it may."""
    same = None if built is None or running is None else banner.agree(built, running)
    if same is None or (declared.source == "distro" and not same):
        return None
    return same and _is_declared(declared, running)


def _mark_unknown(found: str | None) -> str:
    return found or units.NOT_MEASURED


def _show_plain(show: Callable[[Request], object]) -> Callable[[Request], tuple[str, bool | None]]:
    def cell_of(request: Request) -> tuple[str, bool | None]:
        value = show(request)
        return (units.NOT_MEASURED if value is None else str(value), None)

    return cell_of


def _show_sha(request: Request) -> tuple[str, bool | None]:
    if request.sha256 is None:
        return (units.NOT_MEASURED, None)
    return ("ok", True) if request.sha256 == request.expected_sha256 else ("wrong", False)


def _show_close(request: Request) -> tuple[str, bool | None]:
    if request.close_code is None:
        return (units.NOT_MEASURED, None)
    return (closecode.describe_code(request.close_code, established=request.handshake_s is not None), None)


_RARE = {"close code"}
"""Left out where no client of the cell shows it."""
_LINES: dict[str, Callable[[Request], tuple[str, bool | None]]] = {
    "HTTP version": _show_plain(lambda request: request.http_version),
    "status": _show_plain(lambda request: request.status),
    "handshake, ms": _show_plain(lambda request: units.format_milliseconds(request.handshake_s)),
    "first byte, ms": _show_plain(lambda request: units.format_milliseconds(request.first_byte_s)),
    "total, ms": _show_plain(lambda request: units.format_milliseconds(request.total_s)),
    "received, B": _show_plain(lambda request: f"{request.bytes_received:,}"),
    "sent, B": _show_plain(lambda request: f"{request.bytes_sent:,}"),
    "SHA-256": _show_sha,
    "client's exit": lambda request: (str(request.exit_code), False if request.exit_code else None),
    "close code": _show_close,
}
