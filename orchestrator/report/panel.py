"""What a cell's panel shows, as rows that the template only has to print."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from orchestrator.outcome import Outcome
from orchestrator.record.model import Attestation, CellRecord, Exchange, Request
from orchestrator.report import text, units

_LOG_LINES = 30
_LINE = 400
"""Characters of one log line. The whole log is among the evidence."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the requests table; ``good`` is ``None`` where there is nothing to judge."""

    label: str
    values: tuple[tuple[str, bool | None], ...]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What was declared against what was found; ``good`` is ``None`` where they cannot be compared."""

    what: str
    declared: str
    found: str
    good: bool | None


def exchanges(cell: CellRecord) -> tuple[tuple[str, Exchange], ...]:
    """The measured exchanges with their titles: HTTP/3 first, then the control."""
    if cell.observations is None:
        return ()
    found = (("HTTP/3, QUIC", cell.observations.h3), ("control: HTTP/2, TCP", cell.observations.control))
    return tuple((title, exchange) for title, exchange in found if exchange is not None)


def lines(cell: CellRecord) -> tuple[Line, ...]:
    """The requests of all exchanges, one column each, one line per measured quantity.

    An exchange without any request (curl never came so far) has one column of dashes.
    """
    requests = [request for _, exchange in exchanges(cell) for request in exchange.requests or (None,)]
    return tuple(
        Line(
            label=label,
            values=tuple(show(request) if request else (units.NOT_MEASURED, None) for request in requests),
        )
        for label, show in _LINES.items()
    )


def complaints(cell: CellRecord) -> Iterator[str]:
    """What curl said of the requests that did not end well."""
    for title, exchange in exchanges(cell):
        for request in exchange.requests:
            if request.exit_code or request.error:
                said = text.shorten(text.one_line(request.error), _LINE) or "no message"
                yield f"{title.split(',')[0]}, {request.name}: curl {request.exit_code}, {said}"


def log(cell: CellRecord) -> str:
    """The end of HAProxy's log.

    A cell that passes has it among its evidence only: it would be most of a large page.
    """
    if cell.observations is None or cell.observations.server is None:
        return ""
    if cell.outcome is Outcome.PASS and cell.evidence:
        return ""
    return "\n".join(text.shorten(line, _LINE) for line in cell.observations.server.log_tail[-_LOG_LINES:])


def claims(cell: CellRecord, found: Attestation) -> tuple[Claim, ...]:
    """Declared against found. Only plain equality is marked; the cell's outcome is the judgement."""
    axes = cell.axes
    library = f"{axes.tls.family} {axes.tls.version}"
    rows = [
        _claim("machine", axes.arch.arch.machine, found.machine),
        _claim("ELF machine", axes.arch.arch.elf_machine, found.elf_machine),
        _claim("HAProxy", axes.haproxy.version, found.haproxy_version),
        Claim(what="TLS built with", declared=library, found=_said(found.tls_built), good=None),
        Claim(
            what="TLS running on",
            declared=library,
            found=_said(found.tls_running),
            good=_same_library(cell, found),
        ),
        _claim("QUIC", "yes", {True: "yes", False: "no", None: None}[found.quic]),
    ]
    if axes.tls.source == "tarball":
        prefix = {True: "in the binary", False: "missing", None: None}[found.tls_prefix_found]
        rows.append(_claim("own prefix", "in the binary", prefix))
    return tuple(rows)


def _claim(what: str, declared: str, found: str | None) -> Claim:
    return Claim(
        what=what, declared=declared, found=_said(found), good=None if found is None else found == declared
    )


def _same_library(cell: CellRecord, found: Attestation) -> bool | None:
    """Built and running version agree. A distribution may replace its library under a program; we may not."""
    if cell.axes.tls.source == "distro" or found.tls_built is None or found.tls_running is None:
        return None
    return found.tls_built == found.tls_running


def _said(found: str | None) -> str:
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


_LINES: dict[str, Callable[[Request], tuple[str, bool | None]]] = {
    "HTTP version": _plain(lambda request: request.http_version),
    "status": _plain(lambda request: request.status),
    "handshake, ms": _plain(lambda request: units.milliseconds(request.handshake_s)),
    "first byte, ms": _plain(lambda request: units.milliseconds(request.first_byte_s)),
    "total, ms": _plain(lambda request: units.milliseconds(request.total_s)),
    "received, B": _plain(lambda request: f"{request.bytes_received:,}"),
    "sent, B": _plain(lambda request: f"{request.bytes_sent:,}"),
    "SHA-256": _sha,
    "curl exit": lambda request: (str(request.exit_code), False if request.exit_code else None),
}
