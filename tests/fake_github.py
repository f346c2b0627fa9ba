"""A GitHub that keeps issues in memory, and a ``gh`` that talks to it as the real one talks to GitHub.

The real ``gh`` talks to it as well: for the host github.localhost it speaks plain HTTP, and through a proxy.
Answers are what docs.github.com/rest/issues shows of each.
"""

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "ghp_secret0123456789"
ME = "github-actions[bot]"
REPOSITORY = "example/haproxy"

GH = """#!{python} -IS
import json, os, sys, urllib.error, urllib.request
api, flag, method, header, version, path, *rest = sys.argv[1:]
assert (api, flag, header) == ("api", "--method", "--header"), sys.argv
assert rest in ([], ["--input", "-"]), rest
token = os.environ.get("GH_TOKEN")
if not token:
    print("gh: To use GitHub CLI in a GitHub Actions workflow, set GH_TOKEN.", file=sys.stderr)
    sys.exit(4)
data = sys.stdin.buffer.read() if rest else None
asked = urllib.request.Request("{address}/" + path, method=method, data=data)
asked.add_header("Authorization", "token " + token)
try:
    with urllib.request.build_opener(urllib.request.ProxyHandler({{}})).open(asked) as answer:
        sys.stdout.buffer.write(answer.read())
except urllib.error.HTTPError as error:
    content = error.read()
    sys.stdout.buffer.write(content)
    sys.exit("gh: %s (HTTP %d)" % (json.loads(content)["message"], error.code))
"""


class FakeGitHub:
    """The issues of one repository, and what was asked."""

    def __init__(self, repository: str = REPOSITORY) -> None:
        self.repository = repository
        self.issues: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str, Any]] = []
        self.comments: dict[int, list[str]] = {}
        self.labels_allowed = True
        self.labels: list[str] = []
        """Those that it has: a label comes back as it is spelt here, and is found by that alone."""
        self.refusal: tuple[int, str] | None = None
        """What each request that writes is answered with."""

    @property
    def written(self) -> list[tuple[str, str]]:
        """Return method and path of what was written."""
        return [(method, path) for method, path, _ in self.asked if method != "GET" and path != "graphql"]

    def add(self, body: str, *, author: str = ME, label: str = "matrixctl", **fields: Any) -> dict[str, Any]:
        """Add an issue that is there already."""
        made = {
            "number": len(self.issues) + 1,
            "state": "open",
            "state_reason": None,
            "title": "x",
            "body": body,
            "user": {"login": author},
            "labels": [{"name": label}],
            **fields,
        }
        self.issues.append(made)
        return made

    def answer(self, method: str, target: str, content: Any, token: str) -> tuple[int, Any]:
        """Return status and JSON."""
        parts = urlsplit(target)
        path = parts.path.strip("/")
        self.asked.append((method, path, content))
        if token not in {f"token {TOKEN}", f"Bearer {TOKEN}"}:
            return 401, {"message": "Bad credentials"}
        if path == "graphql":
            return 200, {"data": {"viewer": {"login": ME}}}
        if self.refusal and method != "GET":
            return self.refusal[0], {"message": self.refusal[1]}
        if (method, path) == ("GET", f"repos/{self.repository}/labels"):
            return 200, [{"name": label} for label in self.labels]
        where, _, rest = path.partition("/issues")
        if where != f"repos/{self.repository}":
            return 404, {"message": "Not Found"}
        return self._answer_issues(method, rest.strip("/").split("/"), parse_qs(parts.query), content)

    def _answer_issues(
        self, method: str, rest: list[str], query: dict[str, list[str]], content: Any
    ) -> tuple[int, Any]:
        if method == "GET":
            page, size = int(query["page"][0]), int(query["per_page"][0])
            wanted = {"name": query["labels"][0]}
            found = [issue for issue in self.issues[::-1] if wanted in issue["labels"]]
            return 200, found[(page - 1) * size : page * size]
        if rest == [""]:
            spelt = {label.casefold(): label for label in self.labels}
            labels = [spelt.get(label.casefold(), label) for label in content["labels"]]
            assert len(content["body"]) < 65_536
            made = self.add(content["body"], title=content["title"])
            made["labels"] = [{"name": label} for label in labels if self.labels_allowed]
            return 201, made
        number = int(rest[0])
        if rest[1:] == ["comments"]:
            self.comments.setdefault(number, []).append(content["body"])
            return 201, {"id": 1}
        self.issues[number - 1].update(content)
        return 200, self.issues[number - 1]


@contextmanager
def serving(github: FakeGitHub) -> Iterator[str]:
    """Serve it, and give the address."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self._read()
            content = json.loads(body) if body else None
            token = self.headers.get("Authorization", "")
            target = urlsplit(self.path)._replace(scheme="", netloc="").geturl()  # a proxy is asked for a URL
            status, said = github.answer(self.command, target, content, token)
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _read(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":  # what gh sends, as it reads from stdin
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        do_GET = do_POST = do_PATCH = _answer  # noqa: N815 - http.server looks for these names

        def log_message(self, *_: object) -> None:
            """Not here."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def fake_gh(folder: Path, address: str) -> dict[str, str]:
    """Put our ``gh`` into a folder, and return the environment in which it is found."""
    folder.mkdir()
    path = folder / "gh"
    path.write_text(GH.format(python=sys.executable, address=address))
    path.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "GH_TOKEN": TOKEN}


def real_gh(folder: Path, address: str) -> dict[str, str]:
    """Return the environment in which the real ``gh`` asks this GitHub."""
    folder.mkdir()
    home = {"HOME": str(folder), "GH_CONFIG_DIR": str(folder), "GH_HOST": "github.localhost"}
    proxy = {"HTTP_PROXY": address, "http_proxy": address, "NO_PROXY": "", "no_proxy": ""}
    return {**home, **proxy, "GH_ENTERPRISE_TOKEN": TOKEN, "GH_TOKEN": TOKEN}
