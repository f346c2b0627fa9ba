"""What is answered: the pages of the site, the run that goes on, and the folders of runs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from orchestrator.atomic_files import read_beneath
from orchestrator.errors import MatrixctlError
from orchestrator.record.find import read_run
from orchestrator.record.runs import list_begun
from orchestrator.report import html
from orchestrator.serve.guard import Guard, Hosts
from orchestrator.serve.watch import RunWatch, SiteWatch
from orchestrator.site.live import LIVE_POLICY, render_live
from orchestrator.site.pages import LIVE, POLICY, as_json, read_asset
from orchestrator.site.write import is_page

_TYPES = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "json": "application/json",
    "svg": "image/svg+xml",
    "txt": "text/plain",
    "xml": "application/atom+xml",
}
_BINARY = (".pcapng", ".sqlog")
"""Names of what is for a program: it is saved, and not shown."""
_ASSETS = {
    "style.css": ("report/style.css", "site/site.css"),
    "site.js": ("site/site.js",),
    "live.js": ("site/live.js",),
}
"""Our own files, which are there without a site as well."""
_PAGE_LIMIT = 1 << 26
_EVIDENCE_LIMIT = 1 << 24
"""Bytes of a page, and of a file of a run's folder."""
_BEAT_S = 15.0
"""Seconds after which a stream without news shows that it is alive."""
_LOOK_S = 0.2


@dataclass(frozen=True, kw_only=True)
class AnswerSources:
    """Where the answers come from."""

    site: SiteWatch
    run: RunWatch
    reports: Path
    is_stopping: Callable[[], bool]
    """Whether the server is about to end; streams end then."""


def make_application(sources: AnswerSources, hosts: Hosts) -> Guard:
    """Return the application, behind its guard."""
    answers = _Answers(sources)
    routes = [
        Route("/", answers.begin),
        Route(f"/{LIVE[0]}", answers.show_live),
        Route("/favicon.ico", lambda _: Response(status_code=204)),  # browsers ask for it; there is none
        Route("/live.json", answers.tell_live),
        Route("/events", answers.stream),
        Route("/reports/{run}/index.html", answers.show_report),
        Route("/reports/{run}/{name:path}", answers.show_evidence),
        Route("/{name:path}", answers.show_page),
    ]
    explained: Mapping[type[Exception], Callable[[Request, Exception], Response]] = {
        HTTPException: _explain,
        MatrixctlError: _explain,
        OSError: _explain,
    }
    application = Starlette(routes=routes, exception_handlers=dict(explained))
    application.router.redirect_slashes = False
    return Guard(application, hosts, POLICY)


def find_report(run: str) -> str:
    """Return the address of the report of a run, from the page of the run that goes on."""
    return f"reports/{run}/index.html"


class _Answers:
    def __init__(self, sources: AnswerSources) -> None:
        self._from = sources

    def begin(self, _: Request) -> Response:
        """Answer with the overview; without a site with the run."""
        return self._send_page("index.html") if self._from.site.has_pages else RedirectResponse(f"/{LIVE[0]}")

    def show_live(self, _: Request) -> Response:
        page = render_live(self._from.run.told, pages=self._from.site.has_pages)
        return _answer(page, "text/html", policy=LIVE_POLICY)

    def tell_live(self, _: Request) -> Response:
        return _answer(as_json(self._from.run.told), "application/json")

    def stream(self, request: Request) -> Response:
        kind = "text/event-stream"
        if request.method == "HEAD":
            return _answer(b"", kind)
        return StreamingResponse(self._list_events(), media_type=kind)

    async def _list_events(self) -> AsyncIterator[bytes]:
        """Yield an event for each change: all that ``live.json`` has.

        https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
        """
        sent, quiet = None, 0.0
        while not self._from.is_stopping():
            if (told := self._from.run.told) is not sent:
                sent, quiet = told, 0.0
                yield b"event: run\ndata: " + as_json(told) + b"\n"
            elif quiet >= _BEAT_S:
                quiet = 0.0
                yield b": alive\n\n"
            await asyncio.sleep(_LOOK_S)
            quiet += _LOOK_S

    def show_report(self, request: Request) -> Response:
        """Answer with the report so far, rendered again: a file in the folder is not trusted."""
        page = html.render(read_run(self._find_folder(request)))
        return _answer(page.encode(), "text/html", policy=html.find_policy())

    def show_evidence(self, request: Request) -> Response:
        content = read_beneath(self._find_folder(request), request.path_params["name"], _EVIDENCE_LIMIT)
        if len(content) > _EVIDENCE_LIMIT:  # no capture is so large
            content = content[:_EVIDENCE_LIMIT] + b"\n[cut: the rest is in the folder of the run]\n"
        is_text = not request.path_params["name"].endswith(_BINARY)
        return _answer(content, "text/plain" if is_text else "application/octet-stream")

    def _find_folder(self, request: Request) -> Path:
        run: str = request.path_params["run"]
        if run not in list_begun(self._from.reports):
            raise HTTPException(404)
        return self._from.reports / run

    def show_page(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name in _ASSETS:
            return _answer(b"".join(map(read_asset, _ASSETS[name])), _TYPES[name.rpartition(".")[2]])
        return self._send_page(name)

    def _send_page(self, name: str) -> Response:
        kind = _TYPES.get(name.rpartition(".")[2])
        if kind is None or not is_page(name) or not self._from.site.has_pages:
            raise HTTPException(404)
        return _answer(read_beneath(self._from.site.folder, name, _PAGE_LIMIT), kind)


def _answer(content: bytes, kind: str, *, policy: str = "") -> Response:
    answer = Response(content, media_type=kind)
    if policy:
        answer.headers["Content-Security-Policy"] = f"{policy}; frame-ancestors 'none'"
    return answer


def _explain(_: Request, error: Exception) -> Response:
    if isinstance(error, MatrixctlError):
        return PlainTextResponse(f"{error}\n", 500)
    return PlainTextResponse("There is no such page.\n", 404)
