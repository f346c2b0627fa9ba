"""Issues for the alarms of a run, in a repository on GitHub, by its own command line client.

``gh`` takes the token from its environment and sends it to GitHub alone: it is in no line and no argument.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

from orchestrator.analyse.compare import Comparison
from orchestrator.analyse.issues import Issue, IssueStep, decide, read_mark
from orchestrator.errors import MatrixctlError, UsageError
from orchestrator.execute.system import process
from orchestrator.record.model import RunRecord
from orchestrator.report import issue_markdown
from orchestrator.report.alarms import Story, tell_alarms

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}", re.ASCII)
_TIMEOUT = 60.0
"""Seconds for one request."""
_PAGE, _PAGES = 100, 50
"""Issues or labels that GitHub gives at once, and how often it is asked."""
_STATUS = re.compile(r"\(HTTP (\d{3})\)")
_NO_TOKEN = 4
"""With what ``gh`` ends where it has no token (``gh help exit-codes``)."""
_REMEDIES = {
    "401": "The token in GH_TOKEN is not valid, or no longer.",
    "403": "The token may not do that: in a workflow, give the job `permissions: issues: write`.",
    "404": "There is no such repository for this token: look at --repo, and at what the token may see.",
    "410": "Issues are switched off in that repository.",
}


@dataclass(frozen=True, kw_only=True)
class Repository:
    """The issues of a repository that one author wrote under one label: no others are ours."""

    name: str
    """``OWNER/NAME``."""
    label: str

    def __post_init__(self) -> None:
        """:raises UsageError: for what is no name of a repository."""
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"{self.name!r} is no repository of GitHub", resolution="Name it --repo OWNER/NAME."
            )

    def list_issues(self) -> tuple[Issue, ...]:
        """Return the issues that have our author, our label and a mark.

        :raises MatrixctlError: as for each request.
        """
        author = self._find_author()
        found = []
        label = self._find_label()
        for one in self._list("issues", state="all", labels=label, creator=author):
            ours = (one.get("user") or {}).get("login") == author and self._has_label(one)
            mark = read_mark(one.get("body") or "") if ours and "pull_request" not in one else None
            if mark:
                unwanted = one.get("state_reason") == "not_planned"
                is_open = one["state"] == "open"
                found.append(Issue(number=one["number"], open=is_open, unwanted=unwanted, mark=mark))
        return tuple(found)

    def create(self, title: str, body: str) -> int:
        """Open an issue under our label, and return its number.

        :raises MatrixctlError: also where GitHub left the label out, since the issue is not found again.
        """
        made = self._ask(
            "POST", f"repos/{self.name}/issues", {"title": title, "body": body, "labels": [self.label]}
        )
        if not self._has_label(made):
            raise MatrixctlError(
                f"issue #{made['number']} of {self.name} has no label {self.label}, so it is not found again",
                resolution="The token must be able to set labels. Set this one by hand.",
            )
        return int(made["number"])

    def edit(self, number: int, **changes: str) -> None:
        """Change title, body or state of an issue."""
        self._ask("PATCH", f"repos/{self.name}/issues/{number}", changes)

    def comment(self, number: int, body: str) -> None:
        """Add a comment, of which those who follow the issue are told."""
        self._ask("POST", f"repos/{self.name}/issues/{number}/comments", {"body": body})

    def _has_label(self, issue: Mapping[str, Any]) -> bool:
        """Return whether an issue has our label, in upper case or lower: to GitHub it is the same."""
        labels = (label.get("name") or "" for label in issue.get("labels", ()) if isinstance(label, dict))
        return self.label.casefold() in map(str.casefold, labels)

    def _find_author(self) -> str:
        """Return who we are: of a workflow's own token ``github-actions[bot]``."""
        found = self._ask("POST", "graphql", {"query": "query { viewer { login } }"})
        try:
            return str(found["data"]["viewer"]["login"])
        except (KeyError, TypeError):
            raise MatrixctlError("GitHub does not say whose token this is") from None

    def _find_label(self) -> str:
        """Return our label as the repository spells it: GitHub may find it by that alone."""
        labels = (str(one["name"]) for one in self._list("labels"))
        return next((label for label in labels if label.casefold() == self.label.casefold()), self.label)

    def _list(self, kind: Literal["issues", "labels"], **asked: str) -> Iterator[dict[str, Any]]:
        for page in range(1, _PAGES + 1):
            query = urlencode({**asked, "per_page": _PAGE, "page": page})
            found = self._ask("GET", f"repos/{self.name}/{kind}?{query}")
            yield from found
            if len(found) < _PAGE:
                return

    def _ask(self, method: str, path: str, content: Mapping[str, Any] | None = None) -> Any:
        """Send one request, and return the JSON of the answer.

        :raises MatrixctlError: where ``gh`` is not installed, has no token, or GitHub refuses.
        """
        argv = ["gh", "api", "--method", method, "--header", "X-GitHub-Api-Version: 2022-11-28", path]
        if content is not None:
            argv += ["--input", "-"]
        stdin = b"" if content is None else json.dumps(content).encode()
        done = process.run(argv, timeout=_TIMEOUT, stdin=stdin)
        if done.exit_code == _NO_TOKEN:
            raise MatrixctlError(
                "gh has no token for GitHub",
                resolution="Set GH_TOKEN: in a workflow `env: {GH_TOKEN: ${{ github.token }}}`.",
            )
        if done.exit_code != 0:
            said = done.stderr.decode(errors="replace").strip()
            status = _STATUS.search(said)
            raise MatrixctlError(
                f"GitHub did not do {method} {path.partition('?')[0]}: {said.removeprefix('gh: ')}",
                resolution=_REMEDIES.get(status[1], "") if status else "",
            )
        try:
            return json.loads(done.stdout)
        except ValueError:
            raise MatrixctlError(f"GitHub's answer to {method} {path} is no JSON") from None


def sync_issues(
    repository: Repository, record: RunRecord, compared: Comparison | None, *, page: str, dry_run: bool
) -> Iterator[str]:
    """Open, update and close issues, so that there is one for each confirmed alarm; yield a line for each.

    :param compared: of another run with this one: what its suspects are.
    :param page: the address of the workflow's run, or nothing.
    :param dry_run: only say what would be done.
    :raises MatrixctlError: as GitHub says; what was done until then stays, and is found again.
    """
    stories = {story.alarm.key: story for story in tell_alarms(record, compared)}
    alarms = {story.alarm: story.is_confirmed for story in stories.values()}
    for step in decide(record, alarms, repository.list_issues()):
        story = stories[step.alarm.key] if step.alarm else None
        number = None if step.issue is None else step.issue.number
        if not dry_run:
            number = _do(repository, step, record, story, page) or number
        yield _describe(step, story, number)


def _do(
    repository: Repository, step: IssueStep, record: RunRecord, story: Story | None, page: str
) -> int | None:
    """Do one step, and return the number of an issue that was opened."""
    if step.kind == "close" and step.issue:
        repository.comment(step.issue.number, issue_markdown.write_end(record, page))
        repository.edit(step.issue.number, state="closed", state_reason="completed")
    if story is None or step.mark is None:
        return None
    title, body = issue_markdown.write_title(story), issue_markdown.write_body(record, story, step.mark, page)
    if step.issue is None:
        return repository.create(title, body)
    repository.edit(step.issue.number, title=title, body=body, state="open")
    if step.kind == "reopen":
        repository.comment(step.issue.number, issue_markdown.write_return(record, page))
    elif step.issue.mark != step.mark:
        repository.comment(step.issue.number, issue_markdown.write_change(record, story, page))
    return None


def _describe(step: IssueStep, story: Story | None, number: int | None) -> str:
    of = f" #{number}" if number else ""
    why = f": {step.why}" if step.why else ""
    return f"{step.kind}{of}{f' {issue_markdown.write_title(story)}' if story else ''}{why}"
