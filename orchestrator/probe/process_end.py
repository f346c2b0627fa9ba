"""In which phase of its probe a HAProxy process ended, and how far it had come by then. Pure."""

from collections.abc import Sequence

from orchestrator.matrix.clients import choose_control_client
from orchestrator.matrix.model import Cell
from orchestrator.probe.session_files import list_requests
from orchestrator.record.model import Exchange, Observations, Request

_OK = 200


def find_when(cell: Cell, seen: Observations, http3: str) -> str:
    """Return when the process ended, for the end of a sentence: the phase, and what had passed before.

    :param http3: what the exchange over HTTP/3 means by itself; it is named where the process outlived it.
    """
    phase = seen.server.ended_in if seen.server else None
    client, control = cell.client.family, choose_control_client(cell.client.family)
    before = f"HTTP/3 before that: {http3.removesuffix('.')}"
    match phase:
        case "start":
            return "before it listened"
        case "h3":
            return f"while it was asked over HTTP/3: {_describe_progress(seen.h3, client)}"
        case "control":
            return f"in the control over HTTP/2: {_describe_progress(seen.control, control)}. {before}"
        case "stop":
            return f"after the last answer of the control. {before}"
        case None:
            return "while it was probed"


def quote_client(client: str, request: Request) -> str:
    """Return what a client says of a request that broke off."""
    spent = f" after {request.total_s:.1f} s" if request.total_s else ""
    return f"{client} {request.exit_code}{spent}: {request.error}"


def _describe_progress(exchange: Exchange | None, client: str) -> str:
    """Return which requests had passed, which had come back wrong, and which one was under way."""
    requests = exchange.requests if exchange else ()
    broken = next((one for one in requests if one.exit_code), None)
    answered = [one for one in requests if not one.exit_code]
    passed = [one.name for one in answered if _is_whole(one)]
    wrong = [one.name for one in answered if not _is_whole(one)]
    unasked = [one.name for one in list_requests()][len(requests) :]
    parts = [f"{_join(passed)} had passed" if passed else "no request had passed"]
    if wrong:
        parts.append(f"{_join(wrong)} had come back wrong")
    if broken is not None:
        what = f"the handshake of {broken.name}" if broken.handshake_s is None else broken.name
        parts.append(f"{what} was under way ({quote_client(client, broken)})")
    elif unasked:
        parts.append(f"{unasked[0]} was under way, and the client says nothing of it")
    return ", ".join(parts)


def _is_whole(request: Request) -> bool:
    return request.status == _OK and request.sha256 == request.expected_sha256


def _join(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
