"""``matrixctl capabilities``."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import click
from click.core import ParameterSource
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table

from orchestrator.cli import common
from orchestrator.cli.table import add_row, make_table, make_text, show
from orchestrator.matrix import capabilities as known
from orchestrator.matrix.capability_table import CCM, CHACHA20, SUITES, TABLE, Capability
from orchestrator.matrix.clients import CLIENTS
from orchestrator.matrix.model import Cell, HaproxyValue, TlsValue, Unsupported
from orchestrator.report import units

_SHORT = {CHACHA20: "CHACHA20", CCM: "CCM"}
_SELECTING = ("matrix_file", "profile", "filters", "ids", "replacements")
_FACTS = ("quic", "ciphersuites", "0-RTT", "prefers AES", "lacks")

Pair = tuple[HaproxyValue, TlsValue]


@click.command(epilog="Example: matrixctl capabilities --filter tls=libressl")
@common.take_selection
@common.take_format("table", "json")
def capabilities(selection: common.SelectedCells, *, form: str, **_: object) -> None:
    """Show what each TLS library can do in HAProxy, with sources.

    With any of the options that select cells: what it means for them, by HAProxy and library.
    """
    context = click.get_current_context()
    chosen = any(context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in _SELECTING)
    if form == "json":
        click.echo(common.as_json(_make_json(selection.cells)))
    elif chosen:
        show(*_draw_selected(selection.cells))
    else:
        show(*_draw_declared())


def _make_json(cells: Sequence[Cell]) -> dict[str, Any]:
    return {
        "table": [_describe_row(row) for row in TABLE],
        "clients": {name: sorted(client.quic_lacks) for name, client in CLIENTS.items()},
        "pairs": [_describe_pair(*pair) for pair in _list_pairs(cells)],
    }


def _describe_row(row: Capability) -> dict[str, Any]:
    plain = {name: sorted(v) if isinstance(v, frozenset) else v for name, v in asdict(row).items()}
    return {**plain, "suites": row.suites}


def _describe_pair(haproxy: HaproxyValue, tls: TlsValue) -> dict[str, Any]:
    row = known.find_row(haproxy, tls)
    cannot = ((suite, known.find_server_lack(haproxy, tls, suite)) for suite in SUITES)
    return {
        "haproxy": haproxy.name,
        "tls": tls.name,
        "row": TABLE.index(row) + 1,
        "api": row.api,
        "make_flags": known.list_make_flags(haproxy, tls),
        "ciphersuites": row.ciphersuites,
        "zero_rtt": row.zero_rtt,
        "aes_by_hardware": row.aes_by_hardware,
        "suites": row.suites,
        "cannot": [
            {"suite": suite, "reason": one.reason, "message": one.message} for suite, one in cannot if one
        ],
    }


def _list_pairs(cells: Sequence[Cell]) -> list[Pair]:
    """Return each HAProxy with each library, once, in the order of the cells."""
    return list({(cell.haproxy.name, cell.tls.name): (cell.haproxy, cell.tls) for cell in cells}.values())


def _draw_declared() -> Iterable[RenderableType]:
    made = make_table("#", "tls from", "haproxy from", *_FACTS, gap=1)
    for number, row in enumerate(TABLE, start=1):
        tls = row.family if row.tls == "0" else f"{row.family}-{row.tls}"
        haproxy = "any" if row.haproxy == "0" else row.haproxy
        _add_row(made, row, str(number), tls, haproxy)
    yield made
    yield ""
    yield "Of a library the first row that fits holds: make flags, and sources."
    for number, row in enumerate(TABLE, start=1):
        yield make_text(f"{number} {shlex.join(row.make_flags)}")
        proved = f"proved {row.proved}" if row.proved else "never built here: by its sources alone"
        yield Padding(make_text(proved, "dim"), (0, 0, 0, 3))
        yield from (Padding(make_text(source, "dim"), (0, 0, 0, 3)) for source in row.source)
    yield ""
    for name, client in CLIENTS.items():
        lacks = ", ".join(sorted(client.quic_lacks)) or "none"
        tcp = "TCP too" if client.tcp_lacks is not None else "no TCP"
        yield make_text(f"{name} offers all but {lacks} over QUIC; {tcp}.")


def _draw_selected(cells: Sequence[Cell]) -> Iterable[RenderableType]:
    pairs = _list_pairs(cells)
    flags = {pair: shlex.join(known.list_make_flags(*pair)) for pair in pairs}
    numbers = {line: str(number) for number, line in enumerate(dict.fromkeys(flags.values()), start=1)}
    made = make_table("haproxy", "tls", *_FACTS, "make", gap=1)
    for pair in pairs:
        _add_row(made, known.find_row(*pair), *(one.name for one in pair), last=numbers[flags[pair]])
    yield made
    yield ""
    yield from (make_text(f"make {number}: {line}") for line, number in numbers.items())
    notes = {one.message: one.reason for one in _find_limits(cells, pairs)}
    yield from (make_text(f"{reason}: {message}", "dim") for message, reason in notes.items())
    found = f"{units.format_count(len(pairs), 'pair')} of HAProxy and library"
    yield make_text(
        f"{found} in {units.format_count(len(cells), 'cell')},"
        f" {sum(known.find_unsupported(cell) is not None for cell in cells)} of them unsupported"
    )


def _find_limits(cells: Sequence[Cell], pairs: Sequence[Pair]) -> Iterable[Unsupported]:
    """Return what cannot be: the limits of HAProxy and the libraries, then those of the clients."""
    clients = {cell.client.name: cell.client for cell in cells}.values()
    found = (
        *(known.find_server_lack(*pair, suite) for pair in pairs for suite in SUITES),
        *(known.find_client_lack(client, suite) for client in clients for suite in SUITES),
    )
    return (one for one in found if one)


def _add_row(made: Table, row: Capability, *first: str, last: str | None = None) -> None:
    lacks = " ".join(_SHORT.get(suite, suite) for suite in SUITES if suite not in row.suites)
    values = (
        (row.api, "-", "-", "-", "all")
        if row.api == "none"
        else (
            row.api,
            "allowed" if row.ciphersuites else "fatal error",
            "yes" if row.zero_rtt else "no",
            "by hardware" if row.aes_by_hardware else "always",
            lacks or "-",
        )
    )
    style = "dim" if row.api == "none" else ""
    ends = () if last is None else (last,)
    add_row(made, *(make_text(value, style) for value in (*first, *values, *ends)))
