"""Who may ask the server, and for what: it has no password, so other sites must not reach it."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = ("GET", "HEAD")
HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
"""Of each answer. The second keeps other sites from taking in our scripts with data, which need no Origin."""
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?", re.ASCII)
_HTTP = 80
_LOOPBACK_NAME = "localhost"


@dataclass(frozen=True, kw_only=True)
class Hosts:
    """By which names and addresses this server may be called."""

    port: int
    names: frozenset[str] = frozenset()
    """Beside ``localhost``, in small letters."""
    any_address: bool = False
    """Each address, and not those of loopback alone. No other site can have an address for its name."""

    def has(self, host: str) -> bool:
        """Return whether a ``Host`` is this server (RFC 9110, section 7.2)."""
        found = _HOST.fullmatch(host)
        if not found or int(found[2] or _HTTP) != self.port:
            return False
        name = found[1].lower()
        if name == _LOOPBACK_NAME or name in self.names:
            return True
        try:
            address = ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return self.any_address or address.is_loopback

    def has_origin(self, origin: str) -> bool:
        """Return whether an ``Origin`` is a page of this server (RFC 6454, section 7)."""
        scheme, _, host = origin.partition("://")
        return scheme == "http" and self.has(host)


class Guard:
    """Lets through what a browser asks from a page of ours or its address bar, and sets ``HEADERS``."""

    def __init__(self, app: ASGIApp, hosts: Hosts, policy: str) -> None:
        """Take what answers.

        :param policy: the Content-Security-Policy of an answer without one of its own.
        """
        self._app, self._hosts, self._policy = app, hosts, policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; see the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Content-Security-Policy", f"{self._policy}; frame-ancestors 'none'")
            await send(message)

        refused = self._refuse(scope["method"], Headers(scope=scope))
        await (refused or self._app)(scope, receive, send_guarded)

    def _refuse(self, method: str, headers: Headers) -> PlainTextResponse | None:
        """Return the refusal of a request, if it is one to refuse."""
        if method not in METHODS:
            return PlainTextResponse(
                "Only GET and HEAD: nothing can be changed here.\n", 405, {"Allow": ", ".join(METHODS)}
            )
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._hosts.has(hosts[0]):
            return PlainTextResponse(
                "This server is not called so: ask for http://localhost with its port.\n", 421
            )
        foreign = "Other sites may not read this one.\n"
        if any(not self._hosts.has_origin(origin) for origin in headers.getlist("origin")):
            return PlainTextResponse(foreign, 403)
        # All that another site may have is a link that a person follows (https://www.w3.org/TR/fetch-metadata/).
        if headers.get("sec-fetch-site") in {"cross-site", "same-site"} and (
            headers.get("sec-fetch-mode"),
            headers.get("sec-fetch-dest"),
        ) != ("navigate", "document"):
            return PlainTextResponse(foreign, 403)
        return None
