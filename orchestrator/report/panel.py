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


def exchanges(cell: CellRecord) -> tuple[tuple[str, str, Exchange], ...]:
    """The measured exchanges with their titles and who asked: HTTP/3 first, then the control."""
    if cell.observations is None:
        return ()
    client = cell.axes.client
    found = (
        ("HTTP/3, QUIC", client.name, cell.observations.h3),
        ("control: HTTP/2, TCP", choose_control_client(client.family), cell.observations.control),
    )
    return tuple((title, asker, exchange) for title, asker, exchange in found if exchange is not None)


def heads(cell: CellRecord) -> tuple[ExchangeHead, ...]:
    """Return the heads of the requests table. An exchange without a request has one column, of a dash."""
    return tuple(
        ExchangeHead(
            title=f"{title}, {client}: exit {exchange.exit_code}" if exchange.exit_code else title,
            names=tuple(request.name for request in exchange.requests) or (units.NOT_MEASURED,),
        )
        for title, client, exchange in exchanges(cell)
    )


def lines(cell: CellRecord) -> tuple[RequestLine, ...]:
    """The requests of all exchanges, one column each, one line per measured quantity.

    An exchange without any request (the client never came so far) has one column of dashes.
    """
    requests = [request for _, _, exchange in exchanges(cell) for request in exchange.requests or (None,)]
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


def facts(cell: CellRecord) -> Iterator[PanelFact]:
    """Yield what every panel says beside the verdict. The script prints the same for what passes."""
    seen, proof = cell.observations, cell.attestation
    if seen is not None:
        negotiated = trace.negotiated(cell) or units.NOT_MEASURED
        yield PanelFact("negotiated", (", ".join(filter(None, (negotiated, seen.negotiated_protocol))),))
    yield PanelFact("execution", (execution(cell),))
    if seen is not None and seen.server is not None:
        yield PanelFact("server", (server(seen.server),))
    if proof is not None and proof.needed:
        api = f"; QUIC {proof.quic_api}" if proof.quic_api else ""
        yield PanelFact("linked to", (f"{' '.join(proof.needed)}{api}",))
    if cell.evidence:
        yield PanelFact("evidence", tuple(map(LinkedFile, cell.evidence)))
    if cell.build.vv:
        yield PanelFact("haproxy -vv", (LinkedFile(cell.build.vv),))


def server(found: Server) -> str:
    """Return when HAProxy was ready, and what else there is to know of its process, on one line."""
    ready = "never ready" if found.ready_s is None else f"ready after {units.milliseconds(found.ready_s)} ms"
    failed = f"{found.handshake_failures} failed handshakes" if found.handshake_failures else ""
    names = f"; bind names {found.forced_ciphersuites}" if found.forced_ciphersuites else ""
    return ", ".join(filter(None, (ready, ended(found), failed))) + names


def execution(cell: CellRecord) -> str:
    """Where the server ran, on one line: mode, host, QEMU, CPU and variables asked for, what the CPU can."""
    ran = cell.execution
    parts = [f"{ran.mode} on {ran.host_arch}"]
    if ran.qemu_version:
        parts.append(f"QEMU {ran.qemu_version}")
    if ran.cpu_model:
        parts.append(f"CPU model {ran.cpu_model}")
    parts.extend(cell.axes.execution.environment)
    features = f"; CPU can {' '.join(ran.cpu_features)}" if ran.cpu_features else ""
    return ", ".join(parts) + features


def attempt(made: Attempt) -> str:
    """How one attempt ended, on one line: outcome, reason, how long it took, and its message."""
    reason = f" {made.reason}" if made.reason else ""
    message = f"; {made.message}" if made.message else ""
    return f"{made.outcome}{reason}, {units.duration(made.duration_s)}{message}"


def ended(server: Server) -> str:
    """How and when the process ended by itself, as in ``ended by SIGSEGV, in the control``, or nothing."""
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


def backtrace(found: Backtrace) -> str:
    """What came of a second run under gdb, which decides nothing, as one clause."""
    if found.problem:
        return f"none: {found.problem}"
    tries = "1 try" if found.tries == 1 else f"{found.tries} tries"
    if not found.signal:
        return f"none: it did not crash again under gdb, in {tries}"
    return (
        f"of a second run under gdb, which stopped at {found.signal}, after {tries}; symbols: {found.symbols}"
    )


def complaints(cell: CellRecord) -> Iterator[str]:
    """What the client said of the requests that did not end well."""
    for title, client, exchange in exchanges(cell):
        for request in exchange.requests:
            if request.exit_code or request.error:
                said = text.shorten(text.one_line(request.error), _LINE) or "no message"
                yield f"{title.split(',')[0]}, {request.name}: {client} {request.exit_code}, {said}"


def log(cell: CellRecord) -> str:
    """The end of HAProxy's log.

    A cell that passes has it among its evidence only: it would be most of a large page.
    """
    if cell.observations is None or cell.observations.server is None:
        return ""
    if cell.outcome is Outcome.PASS and cell.evidence:
        return ""
    return "\n".join(text.shorten(line, _LINE) for line in cell.observations.server.log_tail[-_LOG_LINES:])


def claims(cell: CellRecord, found: Attestation) -> tuple[AttestationLine, ...]:
    """Declared against found, compared as the attestation compares; the cell's outcome is the judgement."""
    axes = cell.axes
    library = f"{axes.tls.family} {axes.tls.version}"
    built, running = found.tls_built, found.tls_running
    rows = [
        _claim("machine", axes.arch.arch.machine, found.machine),
        _claim("ELF machine", axes.arch.arch.elf_machine, found.elf_machine),
        AttestationLine(
            what="HAProxy",
            declared=axes.haproxy.version,
            found=_or_unknown(found.haproxy_version),
            good=_same_haproxy(axes.haproxy, found.haproxy_version),
        ),
        AttestationLine(
            what="TLS built with",
            declared=library,
            found=_or_unknown(built),
            good=_is_declared(axes.tls, built),
        ),
        AttestationLine(
            what="TLS running on",
            declared=library,
            found=_or_unknown(running),
            good=_runs_on_it(axes.tls, built, running),
        ),
        _claim("QUIC", "yes", {True: "yes", False: "no", None: None}[found.quic]),
    ]
    if found.tls_prefix_found is not None:
        rows.append(
            _claim("own prefix", "in the binary", "in the binary" if found.tls_prefix_found else "missing")
        )
    return tuple(rows)


def _claim(what: str, declared: str, found: str | None) -> AttestationLine:
    return AttestationLine(
        what=what,
        declared=declared,
        found=_or_unknown(found),
        good=None if found is None else found == declared,
    )


def _same_haproxy(declared: HaproxyValue, said: str | None) -> bool | None:
    return None if said is None else banner.is_haproxy(declared, said)


def _is_declared(declared: TlsValue, said: str | None) -> bool | None:
    """``None`` too for a family that only the record knows: a report is written of any record."""
    if said is None or declared.family not in banner.BANNERS:
        return None
    return banner.is_declared(declared, said)


def _runs_on_it(declared: TlsValue, built: str | None, running: str | None) -> bool | None:
    """A distribution may replace its library under a program; we may not."""
    same = None if built is None or running is None else banner.agree(built, running)
    if same is None or (declared.source == "distro" and not same):
        return None
    return same and _is_declared(declared, running)


def _or_unknown(found: str | None) -> str:
    return found or units.NOT_MEASURED


def _plain(show: Callable[[Request], object]) -> Callable[[Request], tuple[str, bool | None]]:
    def cell_of(request: Request) -> tuple[str, bool | None]:
        value = show(request)
        return (units.NOT_MEASURED if value is None else str(value), None)

    return cell_of


def _sha(request: Request) -> tuple[str, bool | None]:
    if request.sha256 is None:
        return (units.NOT_MEASURED, None)
    return ("ok", True) if request.sha256 == request.expected_sha256 else ("wrong", False)


def _close(request: Request) -> tuple[str, bool | None]:
    if request.close_code is None:
        return (units.NOT_MEASURED, None)
    return (closecode.words(request.close_code, established=request.handshake_s is not None), None)


_RARE = {"close code"}
"""Left out where no client of the cell shows it."""
_LINES: dict[str, Callable[[Request], tuple[str, bool | None]]] = {
    "HTTP version": _plain(lambda request: request.http_version),
    "status": _plain(lambda request: request.status),
    "handshake, ms": _plain(lambda request: units.milliseconds(request.handshake_s)),
    "first byte, ms": _plain(lambda request: units.milliseconds(request.first_byte_s)),
    "total, ms": _plain(lambda request: units.milliseconds(request.total_s)),
    "received, B": _plain(lambda request: f"{request.bytes_received:,}"),
    "sent, B": _plain(lambda request: f"{request.bytes_sent:,}"),
    "SHA-256": _sha,
    "client's exit": lambda request: (str(request.exit_code), False if request.exit_code else None),
    "close code": _close,
}
