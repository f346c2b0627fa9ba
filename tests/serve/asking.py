"""Asks an application in this process, as a server would: the path is taken as it stands."""

import asyncio
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from orchestrator.record.history.place import HistoryPlace, parse_place
from orchestrator.serve.application import AnswerSources, find_report, make_application
from orchestrator.serve.guard import Guard, Hosts
from orchestrator.serve.watch import RunWatch, SiteWatch

PORT = 8000
OURS = ("host", f"localhost:{PORT}")


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        return self.body.decode()


def ask(
    application: Guard,
    path: str,
    *headers: tuple[str, str],
    method: str = "GET",
    until: Callable[[Answer], bool] = lambda _: False,
) -> Answer:
    """Return the answer to one request; without headers to one with our own ``Host``.

    :param until: the client leaves once this holds.
    """
    answer = Answer()
    left = asyncio.Event()
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            answer.body += message.get("body", b"")
        if until(answer):
            left.set()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers or (OURS,)],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", PORT),
    }
    asyncio.run(asyncio.wait_for(application(scope, receive, send), timeout=60))
    return answer


@dataclass
class Served:
    """An application of a folder of runs, whose threads are played by the test: it looks when it wants to."""

    reports: Path
    site: SiteWatch
    run: RunWatch
    stopping: bool = False

    def application(self, hosts: Hosts | None = None) -> Guard:
        sources = AnswerSources(
            site=self.site, run=self.run, reports=self.reports, is_stopping=lambda: self.stopping
        )
        return make_application(sources, hosts or Hosts(port=PORT))

    def ask(self, path: str, *headers: tuple[str, str], **how: Any) -> Answer:
        return ask(self.application(), path, *headers, **how)


def served(reports: Path, folder: Path, place: HistoryPlace | None = None) -> Served:
    site = SiteWatch(place or parse_place(str(reports / "history.db")), folder, None)
    return Served(reports, site, RunWatch(reports, find_report))


def last_event(answer: Answer) -> Sequence[str]:
    """Return the lines of the last whole event of a stream."""
    return answer.text.split("\n\n")[-2].splitlines()
