"""Listens on a port, and answers until it is told to end."""

import errno
import ipaddress
import signal
import socket
from pathlib import Path
from types import FrameType

import uvicorn

from orchestrator.errors import UsageError
from orchestrator.serve.application import AnswerSources, find_report, make_application
from orchestrator.serve.guard import Hosts
from orchestrator.serve.watch import HISTORY_S, RUN_S, RunWatch, SiteWatch, repeat

_GRACE_S = 1
"""Seconds that an answer may take when the server ends."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; ``port`` 0 takes any.

    :raises UsageError: where that cannot be done, with what to do.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family)
    except (socket.gaierror, UnicodeError):
        raise UsageError(
            f"{host} is no address and no name of this machine",
            resolution="Leave --host out to be asked from this machine alone.",
        ) from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = f"port {port} is in use"
        elif error.errno == errno.EACCES:
            why = f"port {port} is for root alone"
        elif error.errno == errno.EADDRNOTAVAIL:
            why = f"{host} is no address of this machine"
        else:
            why = f"{host}, port {port}: {error.strerror}"
        raise UsageError(
            f"{why}: nothing can be served there", resolution="Name another one with --port or --host."
        ) from None


def is_loopback(listener: socket.socket) -> bool:
    """Return whether only this machine can reach it."""
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def name_address(listener: socket.socket, host: str) -> str:
    """Return the address to type into a browser."""
    where, port = listener.getsockname()[:2]
    if ipaddress.ip_address(where.partition("%")[0]).is_unspecified:
        host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def make_hosts(listener: socket.socket, host: str) -> Hosts:
    """Return by which names the server may be called."""
    names = {host.lower()}
    if not is_loopback(listener):
        names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
    return Hosts(
        port=listener.getsockname()[1], names=frozenset(names), any_address=not is_loopback(listener)
    )


def serve(listener: socket.socket, host: str, site: SiteWatch, reports: Path) -> None:
    """Answer until SIGINT, SIGTERM or SIGHUP, and follow history and run meanwhile.

    :raises KeyboardInterrupt: at SIGINT.
    :raises SystemExit: at the others.
    """
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGHUP, _leave)
    run = RunWatch(reports, find_report)
    run.look()
    repeat(site.look, HISTORY_S)
    repeat(run.look, RUN_S)
    sources = AnswerSources(site=site, run=run, reports=reports, is_stopping=lambda: server.should_exit)
    config = uvicorn.Config(
        make_application(sources, make_hosts(listener, host)),
        lifespan="off",
        ws="none",
        http="h11",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = uvicorn.Server(config)
    server.run(sockets=[listener])


def _leave(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)
