"""``matrixctl github issues``: one issue per confirmed alarm, opened, found again, and closed."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import fake_github
import nights
import pytest
import samples
from cli_samples import matrixctl
from compare_samples import night, on
from fake_github import REPOSITORY, TOKEN, FakeGitHub
from markdown_it import MarkdownIt

from orchestrator.analyse.issues import read_mark
from orchestrator.outcome import ALARMS, Reason, Verdict
from orchestrator.record.model import Confirmation, RunRecord
from orchestrator.report.text import make_safe

CONFIRMED = {"confirmation": Confirmation(state="confirmed")}
UNCONFIRMED = {"confirmation": None}
FIRST = "misbuilt: no-quic: arch=amd64, haproxy=master, tls=wolfssl-5.7.2"


class Place:
    """A folder of nights, and the environment in which ``gh`` is found."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder, self.env = folder, env

    def write(self, name: str, record: RunRecord) -> str:
        run = record.run.model_copy(update={"id": name})
        (self.folder / name).write_text(record.model_copy(update={"run": run}).model_dump_json())
        return name

    def __call__(
        self, name: str, *args: str, repo: str = REPOSITORY, **env: str
    ) -> subprocess.CompletedProcess[str]:
        asked = ("github", "issues", name, "--repo", repo, *args)
        done = matrixctl(*asked, cwd=self.folder, env={**self.env, **env})
        assert TOKEN not in done.stdout + done.stderr
        return done


@pytest.fixture
def github() -> FakeGitHub:
    return FakeGitHub()


@pytest.fixture(params=["fake", "real"])
def place(request: pytest.FixtureRequest, tmp_path: Path, github: FakeGitHub) -> Iterator[Place]:
    if request.param == "real" and not shutil.which("gh"):
        pytest.skip("needs gh: make test-tools")
    with fake_github.serving(github) as address:
        make = fake_github.fake_gh if request.param == "fake" else fake_github.real_gh
        made = Place(tmp_path, make(tmp_path / "gh", address))
        made.write("bad", confirmed(nights.bad()))
        made.write("good", well(nights.bad()))
        yield made


def confirmed(record: RunRecord, *reasons: str) -> RunRecord:
    """The record with its alarms confirmed: those of some reasons, or of all."""
    cells = tuple(
        cell.model_copy(update=CONFIRMED)
        if cell.verdict in ALARMS and (not reasons or cell.reason in reasons)
        else cell
        for cell in record.cells
    )
    return record.model_copy(update={"cells": cells})


def well(record: RunRecord) -> RunRecord:
    cells = tuple(samples.cell(cell.axes, None) for cell in record.cells)
    return record.model_copy(update={"cells": cells})


def test_three_nights_open_update_close_and_open_again(place: Place, github: FakeGitHub) -> None:
    done = place("bad", "--base", "good")
    assert (done.returncode, done.stderr) == (0, "")
    assert [issue["title"].split(": ")[1] for issue in github.issues] == [
        *("no-quic", "handshake-then-hang", "handshake-refused", "not-ready")
    ]
    assert done.stdout.splitlines()[0] == f"open #1 {FIRST}"
    body = github.issues[0]["body"]
    assert "new failure: pass -&#62; misbuilt: no-quic" in body
    assert (
        "```sh\nmatrixctl run --cell amd64.haproxy-master.wolfssl-5.7.2.TLS_AES_128_GCM_SHA256\n```" in body
    )
    assert "15 of 15 confirmed, alone" in body
    assert read_mark(body)

    done = place(place.write("again", confirmed(nights.bad())))
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["update"] * 4
    assert len(github.issues) == 4
    assert "run <code>again</code>" in github.issues[0]["body"]
    assert github.comments == {}, "nobody is told that nothing is new"

    done = place("good")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["close"] * 4
    assert {(issue["state"], issue["state_reason"]) for issue in github.issues} == {("closed", "completed")}
    assert github.comments[1] == [
        "None of its cells fails unexpectedly in run <code>good</code> of <code>2026-11-22 06:58 UTC</code>."
    ]

    place("bad")
    assert {issue["state"] for issue in github.issues} == {"open"}
    assert len(github.issues) == 4
    assert github.comments[1][-1].startswith("It is there again in run <code>bad</code>")


def test_the_suspect_stands_in_it(place: Place, github: FakeGitHub) -> None:
    one = night(place.folder / "night", "one")
    two = night(place.folder / "night", "two", curl="8.14.1-3")
    (place.folder / "before").write_text(on(20, one).model_dump_json())
    after = confirmed(on(21, two, Reason.HANDSHAKE_TIMEOUT))
    (place.folder / "after").write_text(after.model_dump_json())
    assert place("after", "--base", "before").returncode == 0
    assert "suspect: package curl in client-amd64: 8.14.1-2 -&#62; 8.14.1-3" in github.issues[0]["body"]


def test_an_alarm_of_fewer_cells_is_the_same_issue_and_that_is_told(place: Place, github: FakeGitHub) -> None:
    place("bad")
    record = confirmed(nights.bad())
    gone = [cell.id for cell in record.cells if cell.reason == "no-quic"][:6]
    cells = tuple(samples.cell(one.axes, None) if one.id in gone else one for one in record.cells)
    done = place(place.write("fewer", record.model_copy(update={"cells": cells})))
    assert done.stdout.splitlines()[0].startswith("update #1 misbuilt: no-quic")
    assert github.comments == {1: [github.comments[1][0]]}
    assert github.comments[1][0].startswith("It has changed: 9 cells fail so in run <code>fewer</code>")
    assert len(github.issues) == 4


def test_a_night_that_loses_cells_does_not_forget_them(place: Place, github: FakeGitHub) -> None:
    record = confirmed(nights.bad(), "no-quic")
    ill = [cell.id for cell in record.cells if cell.reason == "no-quic"]

    def lose(night: RunRecord) -> RunRecord:
        lost = {"outcome": None, "reason": None, "verdict": Verdict.NOT_JUDGED, **UNCONFIRMED}
        cells = tuple(cell.model_copy(update=lost) if cell.id in ill[3:] else cell for cell in night.cells)
        return night.model_copy(update={"cells": cells})

    place(place.write("ill", record))
    mark = read_mark(github.issues[0]["body"])
    assert mark
    place(place.write("lost", lose(record)))
    again = read_mark(github.issues[0]["body"])
    assert again
    assert (again.cells, len(again.cells)) == (mark.cells, 15)
    assert "3 of 3 confirmed" in github.issues[0]["body"]
    assert github.comments == {}, "nobody is told of what is only not known"

    done = place(place.write("three-pass", lose(well(record))))
    assert done.stdout == "leave #1: 12 of its cells are flaky, not judged, or fail otherwise\n"
    assert place("good").stdout == "close #1\n"


def test_what_a_person_writes_below_the_mark_hides_no_issue(place: Place, github: FakeGitHub) -> None:
    place("bad")
    for issue in github.issues:
        issue["body"] += "\r\n\r\nI look at it."
    done = place("bad")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["update"] * 4
    assert len(github.issues) == 4
    assert "comments stay" in github.issues[0]["body"]


def test_only_what_was_confirmed_is_told(place: Place, github: FakeGitHub) -> None:
    done = place(place.write("some", confirmed(nights.bad(), "not-ready")))
    assert [issue["title"].split(": ")[1] for issue in github.issues] == ["not-ready"]
    assert sum("no cell of it was confirmed" in line for line in done.stdout.splitlines()) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"author": "somebody"},
        {"label": "other"},
        {"pull_request": {}},
        {"body": "<!-- matrixctl-alarm {} -->"},
    ],
)
def test_what_is_not_ours_is_not_touched(place: Place, github: FakeGitHub, changes: dict[str, str]) -> None:
    place("bad")
    (mine, *_) = github.issues
    github.issues.clear()
    github.add(**{"body": mine["body"], **changes})
    github.asked.clear()
    assert place("good").stdout == "no alarm, and no open issue of one\n"
    assert github.written == []


def test_a_dry_run_writes_nothing(place: Place, github: FakeGitHub) -> None:
    done = place("bad", "--dry-run")
    assert done.stdout.splitlines()[0] == f"open {FIRST}"
    assert github.written == []
    assert github.issues == []


def test_issues_on_later_pages_are_found(place: Place, github: FakeGitHub) -> None:
    place("bad")
    for _ in range(250):
        github.add("of a person", author="somebody")
    place("bad")
    assert len(github.issues) == 254
    pages = [path for method, path, _ in github.asked if method == "GET" and path.endswith("/issues")]
    assert len(pages) == 1 + 3


def test_the_token_is_in_no_argument_and_no_body(place: Place, github: FakeGitHub) -> None:
    place("bad")
    assert TOKEN not in repr(github.asked)
    page = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_RUN_ID": "5"}
    place("bad", **page)
    assert f"<https://github.com/{REPOSITORY}/actions/runs/5>" in github.issues[0]["body"]
    place("bad", **{**page, "GITHUB_RUN_ID": "5>@me"})
    assert "@me" not in github.issues[0]["body"]


def test_hostile_texts_stay_in_code(place: Place, github: FakeGitHub) -> None:
    record = confirmed(samples.hostile(nights.bad()))
    record = make_safe(record, lambda text: text.replace("\ud800", "\ufffd"))  # as the journal writes it
    assert place(place.write("hostile", record)).returncode == 0
    assert github.issues
    for issue in github.issues:
        outside: list[str] = []
        for token in MarkdownIt("commonmark").parse(issue["body"]):
            assert token.type != "html_block" or token.content.startswith("<!-- matrixctl-alarm {")
            depth = 0
            for child in token.children or ():
                depth += {"<code>": 1, "</code>": -1}.get(child.content, 0)
                if not depth and child.type in {"text", "text_special", "html_inline"}:
                    outside.append(child.content)
        assert not re.search(r"@|#\d|<(?!/?code>)|https?:|window", "\n".join(outside)), outside
        assert "\n" not in issue["title"]
        assert read_mark(issue["body"])


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (403, "issues: write"),
        (410, "Issues are switched off"),
        (404, "no such repository"),
        (422, "(HTTP 422)"),
        (500, "(HTTP 500)"),
    ],
)
def test_what_github_refuses_is_a_sentence(place: Place, github: FakeGitHub, status: int, said: str) -> None:
    github.refusal = (status, "Resource not accessible by integration")
    done = place("bad")
    assert done.returncode == 4
    assert "Resource not accessible" in " ".join(done.stderr.split())
    assert said in " ".join(done.stderr.split())


def test_a_label_that_is_left_out_is_said(place: Place, github: FakeGitHub) -> None:
    github.labels_allowed = False
    done = place("bad")
    assert done.returncode == 4
    assert "issue #1 of example/haproxy has no label matrixctl" in " ".join(done.stderr.split())


def test_a_label_that_the_repository_spells_otherwise_is_ours(place: Place, github: FakeGitHub) -> None:
    github.labels = ["MatrixCtl"]
    for kind in ("open", "update"):
        done = place("bad")
        assert (done.returncode, done.stderr) == (0, "")
        assert [line.split()[0] for line in done.stdout.splitlines()] == [kind] * 4
    assert {issue["labels"][0]["name"] for issue in github.issues} == {"MatrixCtl"}


def test_bad_input_is_a_sentence(place: Place, github: FakeGitHub, tmp_path: Path) -> None:
    def said(done: subprocess.CompletedProcess[str], code: int) -> str:
        assert (done.returncode, done.stdout) == (code, "")
        return " ".join(done.stderr.split())

    assert "no run 'nothing' below" in said(place("nothing"), 2)
    assert "is no repository of GitHub" in said(place("bad", repo="../x"), 2)
    assert "no such repository for this token" in said(place("bad", repo="other/name"), 4)
    assert "The token in GH_TOKEN is not valid" in said(
        place("bad", GH_TOKEN="x", GH_ENTERPRISE_TOKEN="x"), 4
    )
    if "GH_HOST" not in place.env:  # asks any other host than its own without a token
        assert "gh has no token" in said(place("bad", GH_TOKEN=""), 4)
    (tmp_path / "empty").mkdir()
    assert "the program `gh` is not installed" in said(place("bad", PATH=str(tmp_path / "empty")), 4)
    assert github.written == []
